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
    other: Path | None = None  # run, or truth of any kind, to compare it with
    preview: bool = field(
        default=True,
        metadata=option("Draw no preview.mp4 where there is none of these labels.", flag="--no-preview"),
    )
    report: bool = field(default=True, metadata=option("Write no report.html.", flag="--no-report"))
    review_budget: int | None = field(
        default=None,
        metadata=option(
            "Pick so many frames of each recording that hold most of the expected work: in review.csv and the report.",
            minimum=1,
        ),
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
        if self.other is not None and not self.report:
            raise UsageError(f"{self.other}: differences are shown in report.html; leave out `report=False`")
        if not self.run.exists():
            raise UsageError(f"{self.run}: isn't there; name a folder that spatialemb-annotate wrote")
