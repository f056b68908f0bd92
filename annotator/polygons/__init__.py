"""Masks as rings along pixel edges, and back by the rule that pycocotools and CVAT fill by.

A ring through pixel centres would lose half a pixel all around (IoU 0.89 on a small blob); one along pixel
edges fills back to the very mask. It may touch itself in a corner, where two pixels meet.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco

from annotator.masks import Rle, decode_window, empty, iou

Ring = npt.NDArray[np.float64]  # (N, 2) x and y in pixels, clockwise on the screen, not closed
MIN_IOU = 0.97  # of a simplified ring with the one that it stands for
TOLERANCES = 0.5 * 2.0 ** np.arange(0, 8, 0.5)  # pixels that a vertex may be off, fine to coarse
SAMPLES = 64  # points around a ring by which two of them are laid on each other


def outer_rings(rle: Rle) -> list[Ring]:
    """The outer ring of every 8-connected part of a mask, along pixel edges, in no special order."""
    return [ring for ring, is_hole in _contours(rle) if not is_hole]


def holes(rle: Rle) -> list[Ring]:
    """The ring of every hole of a mask, along pixel edges."""
    return [ring for ring, is_hole in _contours(rle) if is_hole]


def fill(ring: Ring, size: tuple[int, int]) -> Rle:
    """The mask, in a frame of `size` (H, W), that pycocotools and CVAT fill a ring to."""
    if len(ring) < 3:
        return empty(size)
    return dict(coco.frPyObjects([np.asarray(ring, np.float64).ravel().tolist()], *size)[0])


def area(ring: Ring) -> float:
    """The area within a ring, in pixels; positive when it runs clockwise on the screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def simplify(ring: Ring, min_iou: float = MIN_IOU) -> Ring:
    """A ring of fewer of its vertices that fills to at least `min_iou` of what the ring fills to."""
    corner = np.floor(ring.min(axis=0))
    width, height = np.ceil(ring.max(axis=0) - corner).astype(int).tolist()
    local, size = (ring - corner).astype(np.float32), (max(height, 1), max(width, 1))
    whole = [fill(local, size)]
    simplest, low, high = ring, 0, len(TOLERANCES)
    while low < high:  # bisection: a coarser tolerance gives fewer vertices and a smaller IoU
        middle = (low + high) // 2
        candidate = cv2.approxPolyDP(local, float(TOLERANCES[middle]), closed=True)[:, 0].astype(np.float64)
        if len(candidate) >= 3 and iou([fill(candidate, size)], whole)[0, 0] >= min_iou:
            simplest, low = candidate + corner, middle + 1
        else:
            high = middle
    return simplest


def align(ring: Ring, previous: Ring) -> Ring:
    """The same ring, wound as `previous` and begun at the vertex that lies as the start of `previous` does.

    CVAT interpolates by the way along the ring from its first vertex: rings that begin elsewhere, or run the
    other way, twist. Position is left aside, so that a moving object keeps its start.
    """
    if area(ring) * area(previous) < 0:
        ring = ring[::-1]
    wanted, _ = _resample(previous)
    points, starts = _resample(ring)
    wanted, points = wanted - wanted.mean(axis=0), points - points.mean(axis=0)
    turned = points[(np.arange(SAMPLES) + np.arange(SAMPLES)[:, None]) % SAMPLES]
    shift = np.square(turned - wanted).sum(axis=(1, 2)).argmin() / SAMPLES
    away = np.abs(starts - shift)
    return np.roll(ring, -int(np.minimum(away, 1 - away).argmin()), axis=0)


def _contours(rle: Rle) -> list[tuple[Ring, bool]]:
    """The rings of a mask along pixel edges, each with whether it goes around a hole."""
    window, top, left = decode_window(rle)
    if not window.any():
        return []
    # Seen at twice the size, cv2's contour through pixel centres is a pixel edge in each of its points:
    # columns 2x and 2x + 1 of pixel x are its left and its right edge.
    double = np.repeat(np.repeat(window.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, hierarchy = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [
        (_corners((contour[:, 0] + 1) // 2 + np.array([left, top])), bool(family[3] >= 0))
        for contour, family in zip(contours, hierarchy[0], strict=True)
    ]


def _corners(points: npt.NDArray[np.integer[Any]]) -> Ring:
    """The corners of a ring, clockwise on the screen, without repeated points and those on a straight way."""
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    ring: Ring = points[turns].astype(np.float64)
    return ring if area(ring) > 0 else ring[::-1]


def _resample(ring: Ring) -> tuple[Ring, npt.NDArray[np.float64]]:
    """SAMPLES points at equal steps along a ring, and the place of its vertices along it in [0, 1)."""
    closed = np.vstack([ring, ring[:1]])
    along = np.append(0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T)))
    along /= max(along[-1], 1e-9)
    at = np.arange(SAMPLES) / SAMPLES
    points = np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    return points, along[:-1]
