"""Fill gaps of tracks: masks between the seen ones, where nothing else was, or cut off what was found as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotator.masks import (
    Rle,
    areas,
    intersections,
    iou,
    union,
    visible,
)
from annotator.tracking.parameters import GAP_FILLING


def is_unoccupied(mask: Rle, found: Sequence[Rle]) -> bool:
    """Whether most of a mask would be seen beside those that were found; else the object was hidden, not missed."""
    area = areas([mask])
    over = [found[k] for k in np.flatnonzero(intersections([mask], found, area)).tolist()]
    if not over:
        return True
    occupied = intersections([mask], [union(over, mask["size"])], area)[0, 0]
    return bool(occupied < (1 - GAP_FILLING.min_unoccupied) * area[0])


def split_merged_mask(both: Rle, own: Rle, other: Rle) -> tuple[Rle, Rle] | None:
    """Split a mask that holds two objects, given where each should be; None when it is of one alone."""
    if areas([both])[0] < GAP_FILLING.min_growth * areas([own])[0]:
        return None
    size = both["size"]
    rest = visible([other, both], size)[1]
    [[whole], [without]] = iou([both, rest], [own]).tolist()
    if without < whole + GAP_FILLING.min_gain:
        return None
    if iou([both], [union([own, other], size)])[0, 0] < GAP_FILLING.min_union_iou:
        return None
    return rest, visible([rest, both], size)[1]
