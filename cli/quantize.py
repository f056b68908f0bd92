"""spatialemb-quantize: weights in, the same weights with a graph of eight bits out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.options import QuantizationJob

from . import shell
from .options import build, options_from


@click.command(name="spatialemb-quantize")
@click.argument("weights", metavar="[WEIGHTS]", required=False, type=click.Path(path_type=Path))
@options_from(QuantizationJob)
@click.version_option(__version__, prog_name="spatialemb-quantize", message="%(prog)s %(version)s")
@shell.verbose
def command(weights: Path | None, **values: Any) -> None:
    """Make weights fast on CPUs: add a graph of eight bits, which labelling takes by itself.

    WEIGHTS are those of spatialemb-train, or the authors'; without them, the model in the package. Ranges of numbers
    are learned from --images. What comes out is compared with full precision on some of them, and with --labels by
    AP50; it is refused where it finds too few of the same objects.

    \b
    Exit codes: 0 made, 1 refused, or the file can't be written, 2 wrong usage, or what can't be read, 130 interrupted.
    """
    job = build(QuantizationJob, values, weights=weights)
    # Torch must not be behind --help.
    from annotator.training.quantization import quantize

    made = quantize(job)
    cost = "" if made.ap50 is None else f"; AP50 {made.ap50[0]:.3f} -> {made.ap50[1]:.3f}"
    shell.print_result(
        f"{made.path}: {made.images} images, {made.agreement:.1%} of the sure objects found{cost}"
    )


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
