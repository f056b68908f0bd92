"""Where the names of objects go, so that none covers another: beside its object, where few others are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (K, 4) left, top, right, bottom in pixels

SHIFTS = (0.0, 0.5, 1.0)  # of a name along the side of its object
AWAY = (0.0, 1.0, 2.0, 3.5)  # heights of a name between it and its object
PER_AWAY = 0.08  # cost of each of these heights, in shares of a name that lie on objects
PER_MOVE = 0.25  # cost of a place other than in the frame before
MARGIN = 1  # pixels between two names


class Place(NamedTuple):
    """Where a name goes."""

    box: tuple[int, int, int, int]  # left, top, right, bottom
    candidate: int  # which of the places around its object that is
    is_away: bool  # so that a line must lead to its object


class NamePlacer:
    """Places names frame after frame: where that is possible, each where it was around its object before."""

    def __init__(self, size: tuple[int, int]) -> None:
        """For pictures of `size` (H, W)."""
        self._size = size
        self._before: dict[int, int] = {}  # by track

    def place(
        self,
        boxes: Boxes,
        name_sizes: Sequence[Sequence[tuple[int, int]]],
        track_ids: Sequence[int],
        is_object: npt.NDArray[np.bool_],
    ) -> list[tuple[int, Place] | None]:
        """Find places for the names of N objects, in order of importance, given their boxes (N, 4).

        Each has names of some sizes (h, w), the best first; which one fits, and where, comes back, or None where none
        does. Names keep off the pixels of objects (H, W) as far as they can, and never cover one another.
        """
        sums = np.zeros((self._size[0] + 1, self._size[1] + 1), np.int32)
        sums[1:, 1:] = is_object.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
        taken = np.zeros((0, 4))
        places: list[tuple[int, Place] | None] = []
        chosen: dict[int, int] = {}
        for box, sizes, track_id in zip(boxes, name_sizes, track_ids, strict=True):
            found = None
            for which, size in enumerate(sizes):
                place = self._best(box, size, taken, sums, self._before.get(track_id))
                if place is not None:
                    found = which, place
                    taken = np.vstack([taken, np.array(place.box, float)])
                    if track_id:
                        chosen[track_id] = place.candidate
                    break
            places.append(found)
        self._before = chosen
        return places

    def _best(
        self,
        box: npt.NDArray[np.float64],
        size: tuple[int, int],
        taken: Boxes,
        sums: npt.NDArray[np.int32],
        before: int | None,
    ) -> Place | None:
        """The best free place for a name of `size` (h, w) around a box."""
        places, away = _around(box, size)
        height, width = self._size
        fits = (places[:, 0] >= 0) & (places[:, 1] >= 0) & (places[:, 2] <= width) & (places[:, 3] <= height)
        fits &= ~_overlap(places, taken).any(1)
        if not fits.any():
            return None
        left, top, right, bottom = places[fits].astype(int).T
        covered = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        candidates = np.flatnonzero(fits)
        cost = covered / (size[0] * size[1]) + PER_AWAY * away[candidates]
        if before is not None:
            cost += PER_MOVE * (candidates != before)
        best = int(np.argmin(cost))
        place = left[best], top[best], right[best], bottom[best]
        candidate = int(candidates[best])
        return Place(
            (int(place[0]), int(place[1]), int(place[2]), int(place[3])), candidate, away[candidate] > 0
        )


def _around(box: npt.NDArray[np.float64], size: tuple[int, int]) -> tuple[Boxes, npt.NDArray[np.float64]]:
    """Places (K, 4) for a name of `size` (h, w) around a box, the same ones in the same order; (K,) how far away."""
    left, top, right, bottom = np.round(box)
    height, width = size
    corners: list[tuple[float, float]] = []
    away: list[float] = []
    for heights in AWAY:
        off = heights * height
        for shift in SHIFTS:
            x = left + shift * (right - left - width)
            y = top + shift * (bottom - top - height)
            corners += [
                (x, top - height - off),
                (x, bottom + off),
                (right + off, y),
                (left - width - off, y),
            ]
            away += 4 * [heights]
    corners.append((left, top))  # on the object itself, where nothing else is free
    away.append(0.5)
    first = np.round(np.array(corners))
    return np.hstack([first, first + np.array([width, height])]), np.array(away)


def _overlap(a: Boxes, b: Boxes) -> npt.NDArray[np.bool_]:
    """(K, M) whether boxes are nearer to each other than the margin."""
    first, second = a[:, None] + [-MARGIN, -MARGIN, MARGIN, MARGIN], b[None]
    return np.asarray(
        (np.maximum(first[..., :2], second[..., :2]) < np.minimum(first[..., 2:], second[..., 2:])).all(-1)
    )
