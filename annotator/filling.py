"""Polygons filled by the very rule of pycocotools, in work that follows what the border crosses of the frame.

pycocotools walks along the whole border in steps of a fifth of a pixel, and takes 80 bytes of memory for a pixel of it:
a few edges that lead far away from the frame exhaust any machine. Here every edge is asked only where it crosses the
columns of the frame, with the same integers and the same rounding, so that both give equal masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.limits import FARTHEST, MOST_CROSSINGS, MOST_VERTICES

SCALE = 5  # steps of a pixel
LONG = 1 << 20  # steps of a border, for which pycocotools takes 16 MB
BLOCK = 1 << 18  # crossings worked on at once
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]  # whole numbers of steps: exact up to 2^53
Rule = Callable[[Floats, Floats, Floats, Floats], Floats]
NONE = np.zeros(0, np.int64)
ONE = np.uint8(1)  # of the type of what it is added to: that is thirty times as fast


def require_ring(ring: npt.NDArray[np.float64]) -> None:
    """Raise ValueError for what is no ring (N, 2), in pixels, that can be filled."""
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        raise ValueError(f"a polygon of {len(ring)} points")
    if len(ring) > MOST_VERTICES:
        raise ValueError(f"a polygon of {len(ring):,} points; up to {MOST_VERTICES:,} are read")
    farthest = np.abs(ring).max()
    if np.isnan(farthest):
        raise ValueError("a polygon with a point that is no number")
    if farthest > FARTHEST:
        raise ValueError(f"a polygon that reaches beyond {FARTHEST:,} pixels")


def are_short(rings: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Whether all are rings that can be filled, none of which is long: looked at all at once, and not too closely."""
    if not all(ring.ndim == 2 and ring.shape[1] == 2 and 2 < len(ring) <= MOST_VERTICES for ring in rings):
        return False
    farthest = np.abs(np.concatenate(rings)).max() if rings else 0  # nan: a point that is no number
    most = max(map(len, rings), default=0)
    return bool(farthest <= FARTHEST and most * (SCALE * 2 * farthest + 1) <= LONG)


def is_long(ring: npt.NDArray[np.float64]) -> bool:
    """Whether pycocotools would take many steps along the border of a ring (N, 2)."""
    if len(ring) * (SCALE * 2 * np.abs(ring).max() + 1) <= LONG:
        return False
    sides = np.abs(ring - np.roll(ring, -1, axis=0)).max(axis=1)
    return bool(SCALE * sides.sum() + len(ring) > LONG)


def run_bounds(ring: npt.NDArray[np.float64], size: tuple[int, int]) -> Integers:
    """Where runs begin and end by turns, down the columns of a frame of `size` (H, W): ascending pixel numbers.

    `ring` (N, 2) holds finite x and y in pixels. The last run may go on to the end of the frame: then their number is
    odd. Raises ValueError for a border that crosses columns too often.
    """
    height, width = size
    ends = np.trunc(SCALE * ring + 0.5)
    edges = np.concatenate([ends, np.roll(ends, -1, axis=0)], axis=1)
    # A column is crossed between the steps 2 and 3 of its pixel.
    first = np.maximum(np.ceil((edges[:, ::2].min(axis=1) - 2) / SCALE), 0)
    count = np.minimum(np.floor((edges[:, ::2].max(axis=1) - 3) / SCALE), width - 1) - first + 1
    total = int(np.maximum(count, 0).sum())
    if total > MOST_CROSSINGS:
        raise ValueError(
            f"a polygon whose border crosses {total:,} columns; up to {MOST_CROSSINGS:,} are read"
        )
    is_flat = np.abs(edges[:, 0] - edges[:, 2]) >= np.abs(edges[:, 1] - edges[:, 3])
    crossings = chain(
        _crossings(edges, first, count, (count > 0) & is_flat, height, _of_flat, 0),
        _crossings(edges, first, count, (count > 0) & ~is_flat, height, _of_steep, 1),
    )
    if total <= BLOCK:
        positions, often = np.unique(np.concatenate([NONE, *crossings]), return_counts=True)
        return positions[(often % 2 == 1) & (positions < height * width)]
    parity = np.zeros(height * width + 1, np.uint8)
    for positions in crossings:
        np.add.at(parity, positions, ONE)
    return np.flatnonzero(parity[:-1] & 1)


def _crossings(
    edges: Floats, first: Floats, count: Floats, which: Floats, height: int, steps_down: Rule, axis: int
) -> Iterator[Integers]:
    """The pixels at which some edges cross columns, given the first column of each and how many it crosses."""
    edges, first, crossed = edges[which], first[which], count[which].astype(np.int64)
    is_turned = edges[:, axis] > edges[:, 2 + axis]
    edges[is_turned] = edges[is_turned][:, [2, 3, 0, 1]]
    x, y, to_x, to_y = edges.T
    slope = (to_y - y) / (to_x - x) if axis == 0 else (to_x - x) / (to_y - y)
    behind = np.cumsum(crossed)
    begin = 0
    while begin < len(edges):
        done = behind[begin] - crossed[begin]
        end = max(int(np.searchsorted(behind, done + BLOCK, side="right")), begin + 1)
        of_block = crossed[begin:end]
        before = behind[begin:end] - of_block - done
        columns = np.repeat(first[begin:end] - before, of_block) + np.arange(before[-1] + of_block[-1])
        step = SCALE * columns + 2
        steps = steps_down(step, *(np.repeat(each[begin:end], of_block) for each in (x, y, slope)))
        rows = np.ceil(np.clip((steps + 0.5) / SCALE - 0.5, 0, height))
        yield (columns * height + rows).astype(np.int64)
        begin = end


def _of_flat(step: Floats, x: Floats, y: Floats, slope: Floats) -> Floats:
    """Where edges that go by steps across cross this step: the upper one of the two steps down there."""
    along = step - x
    return np.minimum(np.trunc(y + slope * along + 0.5), np.trunc(y + slope * (along + 1) + 0.5))


def _of_steep(step: Floats, x: Floats, y: Floats, slope: Floats) -> Floats:
    """Where edges that go by steps down cross this step: the last step down before x changes from it, or to it."""
    # Near it by division, and exactly by asking steps in turn, as they are rounded.
    along = np.floor((step + 0.5 - x) / slope) - 2
    is_right = slope > 0
    for _ in range(4):
        at = np.trunc(x + slope * (along + 1) + 0.5)
        along += np.where(is_right, at <= step, at > step)
    return y + along
