"""What numbers mean in MOTS text: lines `frame id class height width rle`, car 1, pedestrian 2, ignored region 10.

ids are class * 1000 + k, one k for a track in the whole recording; an instance without a track has its own.
Other classes than car and person are left out.
"""

from __future__ import annotations

from annotator.labels import BY_NAME

MOTS_CLASSES = {BY_NAME["car"].id: 1, BY_NAME["person"].id: 2}  # Cityscapes id -> MOTS class
CLASS_IDS = {mots_class: class_id for class_id, mots_class in MOTS_CLASSES.items()}
IGNORE_REGION = 10  # of which a frame may have several of one id
IDS_PER_CLASS = 1000
IDS = range(1 << 31)  # what a track id holds; 0 is one here, and goes by the last of them
NO_ID = -1  # of detectors


def is_id(number: int) -> bool:
    """Whether a number can be that of an object, or says that there is none."""
    return number in IDS or number == NO_ID
