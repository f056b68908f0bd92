"""spatialemb-train: labelled images in, a checkpoint out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.options import TrainingOptions
from cli import shell
from cli.options import build, options_from


@click.command(name="spatialemb-train")
@click.argument("annotations", metavar="COCO.json", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGES", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the training.")
@click.option(
    "--weights", type=click.Path(path_type=Path), help="Start from these  [default: ImageNet features]"
)
@click.option(
    "--mix",
    default="",
    metavar="SOURCE=SHARE,...",
    help="Shares of the crops  [default: by number of images]",
)
@options_from(TrainingOptions)
@click.version_option(__version__, prog_name="spatialemb-train", message="%(prog)s %(version)s")
def command(
    annotations: Path, images: Path, out: Path, weights: Path | None, mix: str, **values: Any
) -> None:
    """Train the network on a COCO file and its folder of images.

    Images may name their `source` and, in `labelled`, the category ids that are labelled exhaustively in them.
    Rendered streets are there as the source `rendered`. OUT/last.safetensors is what
    `spatialemb-annotate --weights` takes; the same command again goes on where it stopped.
    """
    options = build(TrainingOptions, values)
    # Torch must not be behind --help.
    from annotator.training.data import CocoImages, CombinedImages, RenderedImages
    from annotator.training.loop import train
    from annotator.training.start import initial_network

    real = CocoImages(annotations, images)
    shares = parse_mix(mix) or {name: float(len(numbers)) for name, numbers in real.sources().items()}
    network = initial_network(weights, options.seed, options.frozen_stages)
    provenance = {
        "data": annotations.name,
        "mix": shares,
        "started_from": weights.name if weights else "ImageNet",
    }
    began = time.monotonic()
    for progress in train(network, CombinedImages(real, RenderedImages()), shares, out, options, provenance):
        spent = time.monotonic() - began
        click.echo(
            f"step {progress.step} of {options.steps}, loss {progress.loss:.3f},"
            f" learning rate {progress.learning_rate:.2e}, {spent:.0f} s",
            err=True,
        )
    shell.show(str(out / "last.safetensors"))


def parse_mix(text: str) -> dict[str, float]:
    """Shares by source from "SOURCE=SHARE,..."; raises click.BadParameter."""
    shares = {}
    for part in filter(None, text.split(",")):
        name, _, share = part.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise click.BadParameter(f"--mix takes SOURCE=SHARE,..., not {part!r}") from None
    if any(not share >= 0 for share in shares.values()) or (shares and not sum(shares.values())):
        raise click.BadParameter("--mix: shares must be positive")
    return shares


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
