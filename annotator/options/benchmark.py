"""What can be asked of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annotator.options.record import check, option


@dataclass(frozen=True)
class BenchmarkJob:
    """A recording to measure the speed of labelling on."""

    clip: Path | None  # None: the sample drive, rendered anew
    weights: Path | None = field(
        default=None, metadata=option("Weights  [default: the model in the package]")
    )
    frames: int = field(
        default=40, metadata=option("Frames of the recording to label.", minimum=1, maximum=100_000)
    )

    def __post_init__(self) -> None:
        check(self)
