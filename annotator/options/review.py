"""What can be asked of looking at labels that are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annotator.errors import UsageError
from annotator.options.record import check, option


@dataclass(frozen=True)
class ReviewJob:
    """What is to be made for people to look at."""

    run: Path  # or one recording of it
    preview: bool = field(
        default=True,
        metadata=option("Draw no preview.mp4 where there is none of these labels.", flag="--no-preview"),
    )
    show: int | None = field(
        default=None,
        metadata=option(
            "Draw this frame of a recording alone, with what the network sees in it: seed map, bandwidth, offsets.",
            minimum=0,
        ),
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.run.exists():
            raise UsageError(f"{self.run}: isn't there; name a folder that spatialemb-annotate wrote")
