"""What can be asked of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annotator.options.record import check, option

METRICS = ("cityscapes", "coco", "tracks", "boundary", "edits")  # what annotator.evaluation can score
MATCH_AUTO, MATCH_NAME, MATCH_ID = "auto", "name", "id"


@dataclass(frozen=True)
class PairingOptions:
    """How the frames of two sets of labels meet."""

    match: str = field(
        default=MATCH_AUTO,
        metadata=option(
            "What frames meet by: name, id (the number of an image or frame), or auto: by name, and by number where a"
            " side has no names.",
            choices=(MATCH_AUTO, MATCH_NAME, MATCH_ID),
        ),
    )

    def __post_init__(self) -> None:
        check(self)


PAIRED_AS_NAMED = PairingOptions()


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation scores, and where figures go beside the table."""

    metrics: tuple[str, ...] = field(
        default=(),
        metadata=option(
            f"Metrics, separated by commas: {', '.join(METRICS)}  [default: all that apply]", choices=METRICS
        ),
    )
    json: Path | None = field(default=None, metadata=option("File for all figures, as fractions of 1."))
    csv: Path | None = field(default=None, metadata=option("File for all figures, one a line."))
    plots: Path | None = field(
        default=None,
        metadata=option("Folder for curves, the confusion of classes, and the worst frames, as PNG."),
    )

    def __post_init__(self) -> None:
        check(self)
