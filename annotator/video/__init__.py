"""Reading: videos and folders of images as frames, and frames as batches on the device."""

from typing import TYPE_CHECKING, Any

from annotator.video.sources import Findings, Source, find, find_sources

if TYPE_CHECKING:
    from annotator.video.loader import Batch, Loader

__all__ = ["Batch", "Findings", "Loader", "Source", "find", "find_sources"]


def __getattr__(name: str) -> Any:
    """The loader on first use: it needs torch, and finding sources must not wait for that."""
    if name in __all__:
        from annotator.video import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
