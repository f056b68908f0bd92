"""spatialemb-track: what was found before in, other tracks out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.options import TrackingJob, TrackingOptions

from . import shell
from .options import build, options_from


@click.command(name="spatialemb-track")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@options_from(TrackingJob, TrackingOptions)
@click.option("--quiet", is_flag=True, help="Say nothing of what was made.")
@click.version_option(__version__, prog_name="spatialemb-track", message="%(prog)s %(version)s")
@shell.verbose
def command(inputs: tuple[Path, ...], quiet: bool, **values: Any) -> None:
    """Make tracks anew, in seconds, without video or network.

    INPUT is a folder that spatialemb-annotate wrote, or one recording of it: it is tracked with these options and
    published again. Or it is MOTS text (`frame id class height width rle [score]`, ids don't matter) of any detector:
    its tracks are written to --out, which is a file or a folder.

    \b
    Exit codes: 0 tracked, 1 the format can't hold the tracks, 2 wrong usage or labels that can't be read,
    130 interrupted.
    """
    job = build(TrackingJob, values, inputs=inputs, tracking=build(TrackingOptions, values))
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.pipeline.retrack import retrack

    for done in retrack(job):
        if not quiet:
            counts = f"{done.frames} frames, {done.instances} instances, {done.tracks} tracks"
            losses = [f"{count} {what}" for what, count in done.losses.items()]
            remarks = "".join(f"; {remark}" for remark in (*losses, *done.remarks))
            shell.print_result(f"{done.name}: {counts} -> {done.file}{remarks}")


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
