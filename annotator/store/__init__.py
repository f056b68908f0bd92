"""The store: one SQLite file per source, the only thing that detection, association and publishing share."""

from annotator.store.notes import EDITED, TRACKING_LOSSES
from annotator.store.schema import FILE_NAME, INTERPOLATED, RESHAPED
from annotator.store.store import AddedInstance, FrameTracks, Store

__all__ = [
    "EDITED",
    "FILE_NAME",
    "INTERPOLATED",
    "RESHAPED",
    "TRACKING_LOSSES",
    "AddedInstance",
    "FrameTracks",
    "Store",
]
