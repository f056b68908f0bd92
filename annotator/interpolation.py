"""What an object looked like between two frames that show it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from annotator.masks import Rle, boxes_xywh, decode_windows, encode_window

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class MaskInterpolator:
    """Interpolates what an object looked like between two frames that show it.

    Both masks are moved and scaled into the box between theirs, and their signed distances to the outline are mixed,
    so that the outline goes from one to the other as it does between two keyframes of CVAT.
    """

    def __init__(self, size: tuple[int, int], boxes: Floats, windows: Sequence[Bools]) -> None:
        """Interpolate masks given by their boxes (2, 4) xywh and windows within these, in frames of `size` (H, W)."""
        self._size = size
        self._boxes = boxes
        self._distances = [_signed_distances(window) for window in windows]

    @classmethod
    def from_pairs(cls, pairs: Sequence[tuple[Rle, Rle]]) -> list[MaskInterpolator]:
        """Make one for each of N pairs of masks, before and after, all of one size; decompressed all at once."""
        masks = [mask for pair in pairs for mask in pair]
        size = (masks[0]["size"][0], masks[0]["size"][1])
        boxes, windows = boxes_xywh(masks), [window for window, _, _ in decode_windows(masks)]
        return [cls(size, boxes[k : k + 2], windows[k : k + 2]) for k in range(0, len(masks), 2)]

    def at(self, share: float, off: Floats | tuple[float, float] = (0, 0)) -> Rle | None:
        """Make the mask at `share` of the way from one to the other; None when it is outside of the frame.

        `off` says how far the object was, in pixels x and y, from the straight way.
        """
        box = self._boxes[0] * (1 - share) + self._boxes[1] * share
        box[:2] += off
        left, top = np.maximum(np.round(box[:2]).astype(int), 0)
        right, bottom = np.minimum(np.round(box[:2] + box[2:]).astype(int), self._size[::-1])
        if right <= left or bottom <= top:
            return None
        window = (int(left), int(top), int(right - left), int(bottom - top))
        before, after = (_warp(each, box, window) for each in self._distances)
        inside = (1 - share) * before + share * after > 0
        return encode_window(inside, window[1], window[0], self._size) if inside.any() else None


def _signed_distances(window: Bools) -> Floats:
    """(h + 2, w + 2) distances to the outline of a mask (h, w) in its box, with a border; positive inside."""
    inside = cv2.copyMakeBorder(window.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    within, beyond = (
        cv2.distanceTransform(each, cv2.DIST_L2, cv2.DIST_MASK_5) for each in (inside, 1 - inside)
    )
    return np.asarray(np.where(inside, within - 0.5, 0.5 - beyond))


def _warp(distances: Floats, box_xywh: Floats, window_xywh: tuple[int, int, int, int]) -> Floats:
    """Signed distances of a mask, moved from its box into another, at the pixels of a window (h, w) of the frame."""
    scale = (np.array(distances.shape[::-1]) - 2) / box_xywh[2:]
    # From a pixel of the window to where its middle is in the padded mask, counted from that of the first pixel.
    offset = (np.array(window_xywh[:2]) + 0.5 - box_xywh[:2]) * scale + 0.5
    to_mask = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(distances, to_mask, window_xywh[2:], flags=flags, borderMode=cv2.BORDER_REPLICATE)
