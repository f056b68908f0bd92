"""What can be asked of a quantization."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annotator.options.record import check, option


@dataclass(frozen=True)
class QuantizationJob:
    """Weights that are to get a graph of eight bits."""

    weights: Path | None  # None: the model in the package
    images: Path = field(
        metadata=option("Images or videos like those that will be labelled; no labels needed.")
    )
    out: Path = field(metadata=option("File for the weights with their graph of eight bits (.safetensors)."))
    labels: Path | None = field(
        default=None,
        metadata=option("Labels of such images: AP50 must not fall on them by more than --most-loss."),
    )
    label_images: Path | None = field(
        default=None, metadata=option("Where the images of --labels are  [default: beside them]")
    )
    calibration_images: int = field(
        default=150, metadata=option("Images to learn ranges of numbers from.", minimum=1, maximum=10_000)
    )
    compared_images: int = field(
        default=30, metadata=option("Images to compare with full precision.", minimum=1, maximum=10_000)
    )
    most_loss: float = field(
        default=0.01, metadata=option("Most that AP50 may fall on --labels.", minimum=0, maximum=1)
    )
    least_agreement: float = field(
        default=0.8,
        metadata=option(
            "Share of the objects that full precision is sure of, which eight bits must find, too.",
            minimum=0,
            maximum=1,
        ),
    )
    overwrite: bool = field(default=False, metadata=option("Replace a file that is there."))

    def __post_init__(self) -> None:
        check(self)
