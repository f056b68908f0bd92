"""Masks for frames in which an object was missed: the nearer seen one, moved and scaled into the interpolated box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotator.masks import Rle, areas, boxes_xywh, decode_window, encode_window, shared, union
from annotator.tracking.observations import Floats

SEEN = 0.5  # share of an interpolated mask that nothing found covers


def interpolated(before: Rle, after: Rle, share: float) -> Rle | None:
    """The mask at `share` of the way from one to the other; None when it is outside of the frame."""
    nearer = before if share <= 0.5 else after
    boxes = boxes_xywh([before, after])
    box = boxes[0] * (1 - share) + boxes[1] * share
    return moved_into(nearer, box)


def is_free(mask: Rle, found: Sequence[Rle]) -> bool:
    """Whether most of a mask would be seen beside those that were found; else the object was hidden, not missed."""
    area = areas([mask])
    return not found or bool(shared([mask], [union(found, mask["size"])], area)[0, 0] < (1 - SEEN) * area[0])


def moved_into(mask: Rle, box_xywh: Floats) -> Rle | None:
    """A mask scaled from its own box into another, nearest neighbour; None when nothing of it is in the frame."""
    size = (mask["size"][0], mask["size"][1])
    window, _, _ = decode_window(mask)
    left, top = np.round(box_xywh[:2]).astype(int)
    right, bottom = np.maximum(np.round(box_xywh[:2] + box_xywh[2:]).astype(int), (left + 1, top + 1))
    rows = np.arange(max(top, 0), min(bottom, size[0]))
    columns = np.arange(max(left, 0), min(right, size[1]))
    if not window.size or not len(rows) or not len(columns):
        return None
    inside = window[
        ((rows - top) * window.shape[0] // (bottom - top))[:, None],
        (columns - left) * window.shape[1] // (right - left),
    ]
    return encode_window(inside, int(rows[0]), int(columns[0]), size) if inside.any() else None
