"""spatialemb-train: labelled images in, a checkpoint out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.options import PRESETS, CropOptions, LossOptions, ReadingOptions, TrainingJob, TrainingOptions

from . import shell
from .options import build, chosen, options_from


@click.command(name="spatialemb-train")
@click.argument("labels", metavar="LABELS", type=click.Path(path_type=Path))
@click.argument("images", metavar="[IMAGES]", required=False, type=click.Path(path_type=Path))
@options_from(TrainingJob, ReadingOptions)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="default",
    show_default=True,
    help="Recipe; the options below change it, and their defaults are those of `default`.",
)
@options_from(TrainingOptions, CropOptions, LossOptions)
@click.version_option(__version__, prog_name="spatialemb-train", message="%(prog)s %(version)s")
@shell.verbose
def command(labels: Path, images: Path | None, preset: str, **values: Any) -> None:
    """Train the network on labelled images.

    LABELS are of any kind that spatialemb-eval reads: a Cityscapes gtFine folder, COCO JSON, CVAT XML, a folder of
    labels that were corrected; or a .toml file that mixes several. IMAGES is their folder of images or their
    video, if it is not found beside them. What is labelled as a group or crowd, and objects too small to learn, is
    neither background nor an object.

    OUT/last.safetensors is what `spatialemb-annotate --weights` takes, OUT/best.safetensors the best by --validate;
    figures are in OUT/*.csv and OUT/tensorboard/, pictures in OUT/pictures/. The same command again goes on where
    it stopped. Several GPUs or machines: `torchrun --nproc-per-node N -m cli.train ...`.

    \b
    Exit codes: 0 trained, 1 stopped (the loss is no number, memory or disk is full), 2 wrong usage or data that
    can't be read, 130 interrupted.
    """
    reading = build(ReadingOptions, values)
    job = build(
        TrainingJob, values, labels=labels, images=images, options=recipe(preset, values), reading=reading
    )
    # Torch must not be behind --help.
    from annotator.training.loop import train

    from .training_progress import display

    with display() as shown:
        for progress in train(job):
            shown.show(progress)
    shell.print_result(str(job.out / "last.safetensors"))


def recipe(preset: str, values: dict[str, Any]) -> TrainingOptions:
    """A preset with what the command line changes of it. Raises UsageError."""
    context, options = click.get_current_context(), PRESETS[preset]
    changes = chosen(context, TrainingOptions, values)
    if "steps" in changes and "epochs" not in changes:
        changes["epochs"] = None
    return replace(
        options,
        **changes,
        crop=replace(options.crop, **chosen(context, CropOptions, values)),
        loss=replace(options.loss, **chosen(context, LossOptions, values)),
    )


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
