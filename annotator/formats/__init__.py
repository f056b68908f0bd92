"""Label files, one module per format, writer and reader together."""

from typing import TYPE_CHECKING, Any

from annotator.formats.interface import Format, LabelReader, Recorded, Written

if TYPE_CHECKING:
    FORMATS: dict[str, Format]

__all__ = ["FORMATS", "Format", "LabelReader", "Recorded", "Written"]


def __getattr__(name: str) -> Any:
    """All formats on first use: importing them takes longer than many a reading of one."""
    if name == "FORMATS":
        from annotator.formats import cityscapes, coco, cvat, frames_csv, mots

        globals()[name] = {
            "frames": frames_csv,
            "cityscapes": cityscapes,
            "coco": coco,
            "cvat": cvat,
            "mots": mots,
        }
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
