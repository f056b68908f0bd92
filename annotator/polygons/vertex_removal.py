"""The vertices that a ring can do without, by how little they say.

Visvalingam and Whyatt, "Line generalisation by repeated elimination of points" (1993): again and again the vertex goes
that makes the smallest triangle with its neighbours. Lines are fitted before stretch by stretch; this sees the ring as
a whole, and takes what its bound of the overlap still gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotator.polygons.rings import Ring

FEWEST = 4  # vertices that stay


def removal_order(ring: Ring, is_free: npt.NDArray[np.bool_]) -> list[int]:
    """The vertices of a ring that may go, given which are free to (N,), in the order in which they should."""
    points, is_kept = ring.tolist(), (~is_free).tolist()

    def area(place: int) -> float:
        """Twice that of the triangle of a vertex that is left with its neighbours."""
        if is_kept[left[place]]:
            return math.inf
        (a, b), (c, d), (e, f) = (points[left[k]] for k in (place - 1, place, (place + 1) % len(left)))
        return abs((a - c) * (f - d) - (b - d) * (e - c))

    left, order = list(range(len(ring))), []
    areas = [area(place) for place in left]
    while len(left) > FEWEST and (least := min(areas)) < math.inf:
        place = areas.index(least)
        order.append(left.pop(place))
        areas.pop(place)
        for beside in (place - 1, place % len(left)):
            areas[beside] = area(beside)
    return order


def are_alone(rings: Sequence[Ring]) -> list[npt.NDArray[np.bool_]]:
    """Which vertices of each ring no other has, and this ring once: those of common borders and keyholes are not."""
    if not rings:
        return []
    _, which, counts = np.unique(np.concatenate(rings), axis=0, return_inverse=True, return_counts=True)
    return np.split(counts[which.ravel()] == 1, np.cumsum([len(ring) for ring in rings])[:-1])
