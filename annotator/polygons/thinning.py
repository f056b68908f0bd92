"""The vertices that a ring can do without, by how little they say.

Visvalingam and Whyatt, "Line generalisation by repeated elimination of points" (1993): again and again the vertex goes
that makes the smallest triangle with its neighbours. Lines are fitted before stretch by stretch; this sees the ring as
a whole, and takes what its bound of the overlap still gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotator.polygons.rings import Ring

FEWEST = 4  # vertices that stay


def dispensable(ring: Ring, is_free: npt.NDArray[np.bool_]) -> list[int]:
    """The vertices of a ring that may go, given which are free to (N,), in the order in which they should."""
    left, order = list(range(len(ring))), []
    areas = np.where(is_free, [_area(ring, left, place) for place in left], np.inf)
    while len(left) > FEWEST and np.isfinite(areas.min()):
        place = int(areas.argmin())
        order.append(left.pop(place))
        areas = np.delete(areas, place)
        for beside in (place - 1, place % len(left)):
            if is_free[left[beside]]:
                areas[beside] = _area(ring, left, beside)
    return order


def are_alone(rings: Sequence[Ring]) -> list[npt.NDArray[np.bool_]]:
    """Which vertices of each ring no other has, and this ring once: those of common borders and keyholes are not."""
    if not rings:
        return []
    _, which, counts = np.unique(np.concatenate(rings), axis=0, return_inverse=True, return_counts=True)
    return np.split(counts[which.ravel()] == 1, np.cumsum([len(ring) for ring in rings])[:-1])


def _area(ring: Ring, left: Sequence[int], place: int) -> float:
    """Twice the area of the triangle of a vertex that is left with its neighbours."""
    (a, b), (c, d), (e, f) = ring[[left[place - 1], left[place], left[(place + 1) % len(left)]]].tolist()
    return abs((a - c) * (f - d) - (b - d) * (e - c))
