"""spatialemb-review: labels in, what people look at before they correct out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator import __version__
from annotator.errors import ExitCode
from annotator.options import ReviewJob

from . import shell
from .options import build, options_from, with_flags

if TYPE_CHECKING:
    from annotator.store.records import SourceRecord


@click.command(name="spatialemb-review")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("other", metavar="[OTHER]", required=False, type=click.Path(path_type=Path))
@options_from(ReviewJob)
@click.option("--quiet", is_flag=True, help="Say nothing of what was made.")
@click.version_option(__version__, prog_name="spatialemb-review", message="%(prog)s %(version)s")
@shell.verbose
def command(run: Path, other: Path | None, quiet: bool, **values: Any) -> int:
    """Look at labels before correcting them.

    RUN is a folder that spatialemb-annotate wrote, or one recording of it. Each recording gets preview.mp4, its labels
    drawn over its frames, contact_sheet.jpg, and review.csv: its instances by how likely a person would change them.
    RUN gets report.html, one page of all that, to be opened in a browser. With OTHER, a second run or ground truth of
    any kind, the page also shows what OTHER has added, is missing, and has in another shape, class or identity.

    \b
    Exit codes: 0 all is made, 1 some recordings failed, 2 wrong usage or labels that can't be read, 130 interrupted.
    """
    job = build(ReviewJob, values, run=run, other=other)
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.review.review import review, show

    records = records_of(run)
    if job.show is not None:
        shell.print_result(str(show(job, records, weights_of(run))))
        return ExitCode.OK
    has_failed = False
    for made in review(job, records, with_flags):
        if made.error:
            has_failed = True
            shell.report_error(made.error)
        elif not quiet:
            shell.print_result(f"{made.name}: {', '.join(map(str, made.files)) or 'nothing to make'}")
    return ExitCode.SOME_FAILED if has_failed else ExitCode.OK


def records_of(run: Path) -> Mapping[str, SourceRecord]:
    """What run.json tells of the recordings of a run, or of the run that a recording's folder is in."""
    from annotator.store.lock import RUN_FILE, run_root
    from annotator.store.records import read_records

    root = run_root(run)
    return {} if root is None else read_records(root / RUN_FILE)


def weights_of(run: Path) -> Path | None:
    """The weights that a run was labelled with, as far as they are where they were; None for those of the package."""
    from annotator.escape import read_object
    from annotator.store.lock import RUN_FILE, run_root

    root = run_root(run)
    weights = None if root is None else read_object(root / RUN_FILE).get("weights")
    file = weights.get("file") if isinstance(weights, dict) else None
    return Path(file) if isinstance(file, str) and file != "default" else None


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
