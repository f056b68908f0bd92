"""Masks for frames in which an object was missed: between the seen ones, in the interpolated box."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from annotator.masks import Rle, areas, boxes_xywh, decode_window, encode_window, shared, union
from annotator.tracking.observations import Floats

SEEN = 0.5  # share of an interpolated mask that nothing found covers


def interpolated(before: Rle, after: Rle, share: float) -> Rle | None:
    """The mask at `share` of the way from one to the other; None when it is outside of the frame.

    Both are moved and scaled into the box between theirs, and their signed distances to the outline are mixed, so
    that the outline goes from one to the other as it does between two keyframes of CVAT.
    """
    size = (before["size"][0], before["size"][1])
    boxes = boxes_xywh([before, after])
    box = boxes[0] * (1 - share) + boxes[1] * share
    left, top = np.maximum(np.round(box[:2]).astype(int), 0)
    right, bottom = np.minimum(np.round(box[:2] + box[2:]).astype(int), size[::-1])
    if right <= left or bottom <= top:
        return None
    window = (int(left), int(top), int(right - left), int(bottom - top))
    inside = (1 - share) * _moved(before, box, window) + share * _moved(after, box, window) > 0
    return encode_window(inside, window[1], window[0], size) if inside.any() else None


def is_free(mask: Rle, found: Sequence[Rle]) -> bool:
    """Whether most of a mask would be seen beside those that were found; else the object was hidden, not missed."""
    area = areas([mask])
    return not found or bool(shared([mask], [union(found, mask["size"])], area)[0, 0] < (1 - SEEN) * area[0])


def _moved(mask: Rle, box_xywh: Floats, window_xywh: tuple[int, int, int, int]) -> Floats:
    """Signed distances (h, w), in pixels of the mask, to its outline, moved from its own box into another.

    They are positive inside, and given at the pixels of a window of the frame.
    """
    inside = np.pad(decode_window(mask)[0].astype(np.uint8), 1)
    distances = [cv2.distanceTransform(each, cv2.DIST_L2, cv2.DIST_MASK_5) for each in (inside, 1 - inside)]
    signed = np.where(inside, distances[0] - 0.5, 0.5 - distances[1])
    scale = (np.array(inside.shape[::-1]) - 2) / box_xywh[2:]
    # From a pixel of the window to where its middle is in the padded mask, counted from that of the first pixel.
    offset = (np.array(window_xywh[:2]) + 0.5 - box_xywh[:2]) * scale + 0.5
    to_mask = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(signed, to_mask, window_xywh[2:], flags=flags, borderMode=cv2.BORDER_REPLICATE)
