"""Rings, and what they fill by the rule of pycocotools, which is CVAT's too.

A ring through pixel centres would lose half a pixel all around (IoU 0.89 on a small blob); one along pixel edges
fills back to the very mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.masks import Rle

Ring = npt.NDArray[np.float64]  # (N, 2) x and y in pixels, clockwise on the screen, not closed


def fill(ring: Ring, size: tuple[int, int]) -> Rle:
    """The mask, in a frame of `size` (H, W), that pycocotools and CVAT fill a ring to."""
    return fill_all([ring], size)[0]


def fill_all(rings: Sequence[Ring], size: tuple[int, int]) -> list[Rle]:
    """`fill` of N rings; one of fewer than three points fills nothing."""
    filled = iter(masks.fill([np.asarray(ring, np.float64) for ring in rings if len(ring) > 2], size))
    return [next(filled) if len(ring) > 2 else masks.empty(size) for ring in rings]


def area(ring: Ring) -> float:
    """The area within a ring, in pixels; positive when it runs clockwise on the screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:]) + x[-1] * y[0] - y[-1] * x[0]) / 2


def length(ring: Ring) -> float:
    """The way around a ring, in pixels."""
    return float(np.hypot(*(ring - np.roll(ring, 1, axis=0)).T).sum())


def with_keyholes(outer: Ring, holes: Sequence[Ring]) -> Ring:
    """One ring for a part with holes: it goes to every hole and back on the shortest way, which has no width."""
    ring = outer
    for hole in holes:
        away = np.square(ring[:, None] - hole[None]).sum(axis=2)
        at, to = np.unravel_index(int(away.argmin()), away.shape)
        around = np.roll(hole, -int(to), axis=0)
        ring = np.concatenate([ring[: at + 1], around, around[:1], ring[at:]])
    return ring
