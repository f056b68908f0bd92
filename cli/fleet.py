"""spatialemb-fleet: what a run over many recordings has done, and when it may be over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator import __version__
from annotator.escape import one_line, to_json
from annotator.options import ReportJob

from . import shell
from .options import build, options_from

if TYPE_CHECKING:
    from annotator.fleet.report import FleetReport

MOST_LISTED = 50  # recordings of a table; the files list all


@click.group(name="spatialemb-fleet")
@click.version_option(__version__, prog_name="spatialemb-fleet", message="%(prog)s %(version)s")
def command() -> None:
    """See how a run over many recordings is going."""


@command.command(name="report")
@click.argument("run", metavar="DIR", type=click.Path(path_type=Path))
@options_from(ReportJob)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object on stdout.")
@shell.verbose
def report(run: Path, as_json: bool, **values: Any) -> int:
    """Say how far a run is, and write fleet.json and fleet.csv into it.

    DIR is the --out of spatialemb-annotate, also while it runs: a folder, or the address of a storage, which tells
    only of recordings that are done or have failed. What shards (--shard 3/8) have recorded is put together in
    run.json when none of them is running any more.

    \b
    Exit codes: 0 all recordings are labelled, 1 some are not, 2 wrong usage, 3 none is.
    """
    job = build(ReportJob, values, run=run)
    from annotator.fleet.report import report as report_on

    found = report_on(job.run, job.csv)
    shell.print_result(to_json(found.as_json()) if as_json else "\n".join(_lines(found)))
    return found.exit_code


def _lines(found: FleetReport) -> list[str]:
    """The report as people read it: what isn't done first."""
    rows = sorted(found.rows, key=lambda row: (row.state == "done", row.name))
    lines = [
        f"{one_line(row.name)}  {row.state}  {row.frames} frames  {row.objects} objects  {row.seconds:.1f} s"
        f"  {row.doubts} doubts" + (f"  {one_line(row.error)}" if row.error else "")
        for row in rows[:MOST_LISTED]
    ]
    if len(rows) > MOST_LISTED:
        lines.append(f"... and {len(rows) - MOST_LISTED} more, which fleet.csv lists")
    states = ", ".join(f"{count} {state}" for state, count in found.states.items() if count)
    totals = found.totals
    lines.append(f"{len(rows)} recordings: {states or 'none'}")
    lines.append(
        f"{totals['frames']:.0f} frames, {totals['objects']:.0f} objects, {totals['doubts']:.0f} doubts,"
        f" {totals['seconds'] / 3600:.2f} hours of work"
    )
    if found.frames_per_second is not None:
        lines.append(f"a worker labels {found.frames_per_second:.2f} frames/s, all its work included")
    if found.seconds_left is not None:
        lines.append(f"about {found.seconds_left / 60:.0f} minutes left, if the rest is like what is done")
    for count, which in found.absent.items():
        numbers = ", ".join(map(str, which[:10])) + (", ..." if len(which) > 10 else "")
        lines.append(f"of {count} shards these have not begun: {numbers}")
    return lines


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
