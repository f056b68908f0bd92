"""spatialemb-bench: how fast labelling is here, and where its time goes."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator import __version__
from annotator.escape import to_json
from annotator.options import BenchmarkJob

from . import shell
from .options import build, options_from

if TYPE_CHECKING:
    from annotator.pipeline.benchmark import Speed


@click.command(name="spatialemb-bench")
@click.argument("clip", metavar="[CLIP]", required=False, type=click.Path(path_type=Path))
@options_from(BenchmarkJob)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object on stdout.")
@click.version_option(__version__, prog_name="spatialemb-bench", message="%(prog)s %(version)s")
def command(clip: Path | None, as_json: bool, **values: Any) -> None:
    """Measure how fast labelling is here, with each runtime and precision that is there.

    CLIP is a video or a folder of images; without it, the sample drive is rendered. Frames a second, CPU seconds and
    memory are those of the whole command, and "idle" is the share of its cores' time that it left unused; the stages
    are measured one after another, in CPU milliseconds a frame.
    Nothing is kept.

    \b
    Exit codes: 0 measured, 2 wrong usage, or what can't be read, 130 interrupted.
    """
    job = build(BenchmarkJob, values, clip=clip)
    # Torch must not be behind --help.
    from annotator.pipeline.benchmark import benchmark

    measured = list(benchmark(job))
    if as_json:
        about = {
            "clip": str(clip or "sample drive"),
            "processor": platform.processor(),
            "cores": os.cpu_count(),
        }
        shell.print_result(to_json({**about, "runs": [asdict(speed) for speed in measured]}))
    else:
        shell.print_result(table(measured))


def table(measured: Sequence[Speed]) -> str:
    """A line for every runtime, in columns."""
    stages = list(measured[0].stages)
    head = ["runtime", "precision", "frames/s", "CPU ms", "idle", *stages, "but network", "peak MB"]
    rows = [head, *(_row(speed) for speed in measured)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if k > 1 else cell.ljust(width) for k, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _row(speed: Speed) -> list[str]:
    total = sum(speed.stages.values())
    others = (total - speed.stages["network"]) / total if total else 0.0
    return [
        speed.runtime,
        speed.precision,
        f"{speed.frames_per_s:.2f}",
        f"{1000 * speed.cpu_s_per_frame:.0f}",
        f"{speed.idle_share:.0%}",
        *(f"{1000 * seconds:.0f}" for seconds in speed.stages.values()),
        f"{others:.0%}",
        "-" if speed.peak_mb is None else f"{speed.peak_mb:.0f}",
    ]


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
