"""Label files, one module per format, writer and reader together."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.formats.interface import Format, LabelReader, RecordingInfo, Written
from annotator.instances import GroundTruth

if TYPE_CHECKING:
    FORMATS: dict[str, Format]

# What each format writes into the folder of a recording.
PLACES = {
    "cityscapes": ("cityscapes",),
    "coco": ("coco.json",),
    "cvat": ("cvat.xml", "cvat"),
    "mots": ("mots.txt",),
    "cityscapes-polygons": ("cityscapes_polygons",),
}

__all__ = ["FORMATS", "PLACES", "Format", "LabelReader", "RecordingInfo", "Written", "read_truth"]


def read_truth(path: Path) -> Iterator[GroundTruth]:
    """Yield every frame that a path holds labels of, recording by recording, with what is not labelled in it.

    `path` is whatever `sniff` knows: a run of this tool or one recording of it, Cityscapes, COCO, CVAT XML, MOTS.
    Frames have an index, and a name where they are images. Track ids are those of one recording. Raises UsageError
    when it isn't known, FormatError or SourceError when it can't be read.
    """
    from annotator.formats.sniffing import sniff

    for labels in sniff(path).labels:
        yield from labels.truth()


def __getattr__(name: str) -> Any:
    """All formats on first use: importing them takes longer than many a reading of one."""
    if name == "FORMATS":
        from annotator.formats import cityscapes, cityscapes_polygons, coco, cvat, frames_csv, mots

        globals()[name] = {
            "cityscapes": cityscapes,
            "coco": coco,
            "cvat": cvat,
            "mots": mots,
            "cityscapes-polygons": cityscapes_polygons,
            "frames": frames_csv,
        }
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
