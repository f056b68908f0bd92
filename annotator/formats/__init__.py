"""Label files, one module per format, writer and reader together."""

from annotator.formats import cityscapes, coco, cvat, frames_csv, mots
from annotator.formats.interface import Format, LabelReader, Recorded, Written

FORMATS: dict[str, Format] = {
    "frames": frames_csv,
    "cityscapes": cityscapes,
    "coco": coco,
    "cvat": cvat,
    "mots": mots,
}

__all__ = ["FORMATS", "Format", "LabelReader", "Recorded", "Written"]
