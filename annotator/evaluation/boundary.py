"""How well outlines fit: boundary IoU (Cheng et al., CVPR 2021, arXiv 2103.16562) and mean contour distance.

Both are means over pairs: a true object and the prediction of its class that overlaps it best, by more than half.
Masks are decoded within the boxes of a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.evaluation.overlap import Overlap, judged
from annotator.instances import GroundTruth, Instances
from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.masks import Window

WIDTH = 0.02  # of a boundary, as a share of the frame's diagonal
MATCH = 0.5  # IoU that a pair exceeds
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

Mask = npt.NDArray[np.uint8]  # 0 and 1


@dataclass
class _Tally:
    """Sums over pairs."""

    pairs: int = 0
    boundary_iou: float = 0
    contour_px: float = 0

    def figures(self) -> dict[str, float]:
        none = float("nan")
        return {
            "boundary_iou": self.boundary_iou / self.pairs if self.pairs else none,
            "contour_px": self.contour_px / self.pairs if self.pairs else none,
            "pairs": self.pairs,
        }


class BoundaryQuality:
    """Boundary IoU and contour distance over frames, added one by one. Nothing of a frame stays."""

    def __init__(self, class_ids: Sequence[int] = INSTANCE_CLASSES) -> None:
        self._tallies = {class_id: _Tally() for class_id in class_ids}

    def add(self, prediction: Instances, truth: GroundTruth, overlap: Overlap) -> None:
        """Count a frame: what `overlap` was made of."""
        found, true = judged(prediction, truth), judged(truth.instances, truth)
        width = boundary_width(overlap.frame.size)
        pairs = [(p, t) for p, t in _pairs(overlap) if int(overlap.truth.class_ids[t]) in self._tallies]
        windows = masks.decode_windows([rle for p, t in pairs for rle in (found.masks[p], true.masks[t])])
        for _, t in pairs:
            tally = self._tallies[int(overlap.truth.class_ids[t])]
            a, b = _in_one_window(next(windows), next(windows))
            tally.pairs += 1
            tally.boundary_iou += boundary_iou(a, b, width)
            tally.contour_px += contour_distance(a, b)

    def result(self) -> dict[str, Any]:
        """{"boundary_iou": in [0, 1], "contour_px", "pairs": n, "classes": {name: the same}}; nan without pairs."""
        every = _Tally()
        for tally in self._tallies.values():
            every.pairs += tally.pairs
            every.boundary_iou += tally.boundary_iou
            every.contour_px += tally.contour_px
        classes = {BY_ID[class_id].name: tally.figures() for class_id, tally in self._tallies.items()}
        return {**every.figures(), "classes": classes}


def boundary_width(size: tuple[int, int]) -> int:
    """Pixels of a boundary in frames of a size (H, W), at least 1."""
    return max(1, round(WIDTH * float(np.hypot(*size))))


def boundary_iou(a: Mask, b: Mask, width: int) -> float:
    """IoU of what of each mask (H, W) lies within `width` pixels of its outline; the frame's edge is outline."""
    ring_a, ring_b = _outer_pixels(a, width), _outer_pixels(b, width)
    return int((ring_a & ring_b).sum()) / max(1, int((ring_a | ring_b).sum()))


def contour_distance(a: Mask, b: Mask) -> float:
    """Mean distance in pixels from the contour of each mask (H, W) to the other's, within 2 %; neither is empty.

    A contour are the pixels of a mask with one of their four neighbours outside.
    """
    contour_a, contour_b = _contour(a), _contour(b)
    return float(_distance(contour_b)[contour_a > 0].mean() + _distance(contour_a)[contour_b > 0].mean()) / 2


def _pairs(overlap: Overlap) -> Iterator[tuple[int, int]]:
    """Prediction and true object of every pair."""
    iou = overlap.iou() * (overlap.predicted.class_ids[:, None] == overlap.truth.class_ids)
    if len(iou):
        for t in np.flatnonzero(iou.max(axis=0) > MATCH):
            yield int(iou[:, t].argmax()), int(t)


def _in_one_window(*windows: Window) -> Iterator[Mask]:
    """Masks within a window around all of them, as 0 and 1."""
    top, left = (min(window[k] for window in windows) for k in (1, 2))
    bottom = max(y + window.shape[0] for window, y, _ in windows)
    right = max(x + window.shape[1] for window, _, x in windows)
    for window, y, x in windows:
        mask = np.zeros((bottom - top, right - left), np.uint8)
        mask[y - top :, x - left :][: window.shape[0], : window.shape[1]] = window
        yield mask


def _outer_pixels(mask: Mask, width: int) -> Mask:
    side = 2 * width + 1
    if min(mask.shape) < side:
        return mask  # no pixel is that far inside
    return mask - _eroded(mask, np.ones((side, side), np.uint8))


def _contour(mask: Mask) -> Mask:
    return mask - _eroded(mask, CROSS)


def _eroded(mask: Mask, kernel: Mask) -> Mask:
    """The mask without pixels that see anything outside through the kernel; outside begins at the window's edge."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return cv2.erode(padded, kernel)[1:-1, 1:-1]


def _distance(contour: Mask) -> npt.NDArray[np.float32]:
    """From every pixel to the nearest of a contour, within 2 %: exact ones take three times as long."""
    return cv2.distanceTransform(1 - contour, cv2.DIST_L2, cv2.DIST_MASK_5)
