"""What CVAT shows of a polygon between two keyframes.

Vertices of both rings are matched by how far along the ring they lie, each with the nearest one of the other side, and
go straight from one to the other. Where several would come close to each other, CVAT leaves some out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.polygons import Ring

Point = list[float]  # x and y


class Run(NamedTuple):
    """Neighbouring pairs of vertices that share a vertex on one side; or one pair alone."""

    left: list[int]  # vertices, one a pair
    right: list[int]
    nearest: float  # pixels that vertices between must keep from each other


def interpolate(first: Ring, second: Ring, shares: Sequence[float]) -> list[Ring]:
    """The rings at some shares, each in (0, 1), of the way from one keyframe to the next."""
    left, right = _closed(first), _closed(second)
    runs = list(_runs(left, right, _matched(_along(left), _along(right))))
    starts = left[[i for run in runs for i in run.left]]
    ways = right[[j for run in runs for j in run.right]] - starts
    behind = [0, *np.cumsum([len(run.left) for run in runs]).tolist()]
    rings = []
    for share in shares:
        points = (starts + ways * share).tolist()  # one by one, lists are many times as fast
        kept = [
            point
            for run, begin, end in zip(runs, behind, behind[1:], strict=False)
            for point in _thinned(points[begin:end], run.nearest)
        ]
        rings.append(np.array(kept[:-1]))
    return rings


def _closed(ring: Ring) -> Ring:
    return np.concatenate([ring, ring[:1]])


def _along(points: Ring) -> npt.NDArray[np.float64]:
    """How far along an open line each of its points lies, from 0 to 1."""
    along = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    return along / max(along[-1], 1e-9)


def _matched(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> list[list[int]]:
    """The points of the right side that belong to each of the left, in order; at least one each."""
    matched = [[j] for j in _nearest_of(left, right).tolist()]
    alone = set(range(len(right))).difference(j for (j,) in matched)
    nearest = _nearest_of(right, left).tolist()
    for j in sorted(alone):
        matched[nearest[j]].append(j)
    return [sorted(of_point) for of_point in matched]


def _nearest_of(values: npt.NDArray[np.float64], among: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The place of the number nearest to each value, the first of several, among numbers that don't descend."""
    above = np.searchsorted(among, values)
    below = np.searchsorted(among, among[np.maximum(above - 1, 0)])
    above = np.minimum(above, len(among) - 1)
    is_below = np.abs(values - among[below]) <= np.abs(values - among[above])
    return np.where(is_below, below, above)


def _runs(left: Ring, right: Ring, matched: list[list[int]]) -> Iterator[Run]:
    i = 0
    while i < len(matched):
        partners, behind = matched[i], i + 1
        if len(partners) > 1:
            whole = right[partners[0] : partners[-1] + 1]
            yield Run([i] * len(partners), partners, _nearest(whole))
        else:
            while behind < len(matched) and matched[behind] == partners:
                behind += 1
            yield Run(list(range(i, behind)), partners * (behind - i), _nearest(left[i:behind]))
        i = behind


def _nearest(points: Ring) -> float:
    """Half of what points on this line would be apart on average."""
    return float(np.hypot(*np.diff(points, axis=0).T).sum() / (2 * len(points)))


def _thinned(points: list[Point], nearest: float) -> list[Point]:
    """The first and the last point, and those between that are far enough from the one kept before."""
    if len(points) == 1:
        return points
    kept = [points[0]]
    for point in points[1:-1]:
        if math.dist(point, kept[-1]) >= nearest:
            kept.append(point)
    if len(kept) == 1 and math.dist(points[-1], points[0]) < nearest:
        return [[(a + b) / 2 for a, b in zip(points[0], points[-1], strict=True)]]
    return [*kept, points[-1]]
