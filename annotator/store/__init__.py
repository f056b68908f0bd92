"""The store: one SQLite file per source, the only thing that detection, association and publishing share."""

from annotator.store.progress import IMPORTED, Edited, Progress, Publication
from annotator.store.run_folder import Recording, RunFolder
from annotator.store.schema import FILE_NAME, INTERPOLATED, RESHAPED
from annotator.store.store import AddedInstance, FrameTracks, Store

__all__ = [
    "FILE_NAME",
    "IMPORTED",
    "INTERPOLATED",
    "RESHAPED",
    "AddedInstance",
    "Edited",
    "FrameTracks",
    "Progress",
    "Publication",
    "Recording",
    "RunFolder",
    "Store",
]
