"""How labels are read that people and other tools wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annotator.options.record import check, option


@dataclass(frozen=True)
class ReadingOptions:
    """What is to become of labels that can't be taken as they are."""

    map: tuple[str, ...] = field(
        default=(),
        metadata=option(
            "Class of a label that is not called as in Cityscapes, or none to leave it out; may be repeated.",
            repeated="NAME=CLASS",
        ),
    )
    skip_bad: bool = field(
        default=False,
        metadata=option(
            "Leave out annotations that can't be read, and count them; else their file is refused."
        ),
    )
    unfinished: bool = field(
        default=False,
        metadata=option("Take runs of this tool that are not finished as they are; else they are refused."),
    )
    image_folder: Path | None = field(
        default=None,
        metadata=option(
            "Folder of the images of YOLO text, which doesn't hold their size  [default: found beside the labels]",
            flag="--images",
        ),
    )

    def __post_init__(self) -> None:
        check(self)


AS_WRITTEN = ReadingOptions()
