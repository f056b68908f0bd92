"""Refine clusters into masks and scores at the size of the frame, by what all of their pixels say on average."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.detection.clustering import LIMIT, Cluster, Floats, Indices
from annotator.detection.compiled import compiled
from annotator.detection.components import remove_small_components
from annotator.detection.encoding import encode_columns
from annotator.masks import Rle

# The lowest raw seed score of a pixel of an instance, of 0.3: seed maps are to be phi, and fall short at borders.
OUTLINE = np.float32(math.log(0.3 / 0.7))
BESIDE = 2  # map pixels around those inside, between which the outline lies


class Fields(NamedTuple):
    """What the network says of each pixel of its maps, (H, W) each."""

    x: Floats  # embedding, grid units
    y: Floats
    seed: Floats  # of one class, raw


class Scale(NamedTuple):
    """How the pixels of a frame lie over those of its maps."""

    frame: tuple[int, int]  # (H, W)
    processed: tuple[int, int]  # (H, W) that the frame was resized to
    stride: int  # of its pixels per pixel of the maps

    def map_pixels(self, axis: int) -> float:
        """Map pixels per pixel of the frame along an axis."""
        return self.processed[axis] / self.frame[axis] / self.stride

    def stretch(self, begin: int, end: int, length: int, axis: int) -> tuple[int, int]:
        """The pixels of the frame between the centres of map pixels; at the ends of the axis those beyond, too."""
        per_pixel = self.map_pixels(axis)
        first = max(0, math.ceil((begin + 0.5) / per_pixel - 0.5)) if begin else 0
        last = math.floor((end - 0.5) / per_pixel - 0.5) + 1 if end < length else self.frame[axis]
        return first, max(first, min(last, self.frame[axis]))


class RefinedMask(NamedTuple):
    """A cluster at the size of the frame."""

    mask: Rle
    score: float  # in [0, 1]


def refine(fields: Fields, scale: Scale, found: Cluster, min_score: float = 0) -> RefinedMask | None:
    """The instance of a cluster in its frame, None when nothing is left of it or it scores too low.

    A cluster takes one pixel's word for its centre and bandwidth. What all of its pixels say on average is less
    noisy, and is what training compares objects with: by that the instance is decided anew, in and around the cluster.
    Its pixels have phi > 0.5 and seed scores above OUTLINE; its score is the product of its first pixel's seed score,
    and of mean seed score and mean phi. Where pixels of the maps are inside, those of the frame are asked, by maps
    that are enlarged to it.
    """
    window = _around(found.pixels, fields.seed.shape)
    means = found.centre, found.sigma
    is_inside, is_off, mean_seed, mean_phi = _decided(*fields, window, *means)
    score = found.score * mean_seed * mean_phi
    if not is_inside.any() or score < min_score:
        return None
    box = _box(is_inside, window)
    top, bottom = scale.stretch(box.top, box.bottom, len(fields.seed), 0)
    left, right = scale.stretch(box.left, box.right, fields.seed.shape[1], 1)
    rows, columns = (
        _positions(scale, 0, top, bottom, box.top, box.bottom),
        _positions(scale, 1, left, right, box.left, box.right),
    )
    mask = _enlarged(*fields, is_inside, is_off, window, rows, columns, *means)
    if not mask.any():
        return None
    remove_small_components(mask)
    return RefinedMask(encode_columns(mask, top, left, scale.frame), score)


class _Box(NamedTuple):
    """Of map pixels."""

    top: int
    bottom: int
    left: int
    right: int


@compiled
def _around(pixels: Indices, size: tuple[int, int]) -> _Box:
    """Where the pixels of a cluster lie, and a little beyond."""
    height, width = size
    top, bottom, left, right = height, 0, width, 0
    for pixel in pixels:
        row, column = pixel // width, pixel % width
        top, bottom = min(top, row), max(bottom, row + 1)
        left, right = min(left, column), max(right, column + 1)
    down, across = 2 + (bottom - top) // 4, 2 + (right - left) // 4
    return _Box(
        max(0, top - down), min(height, bottom + down), max(0, left - across), min(width, right + across)
    )


@compiled
def _distance(x: float, y: float, centre: Floats, sigma: Floats) -> float:
    """How far an embedding is from a centre, in its bandwidths: phi is the exponential of that below 0."""
    away_x, away_y = x - centre[0], y - centre[1]
    return away_x * away_x * sigma[0] + away_y * away_y * sigma[1]


@compiled
def _decided(
    x: Floats, y: Floats, seed: Floats, window: _Box, centre: Floats, sigma: Floats
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], float, float]:
    """Which pixels of a window are inside, and which are off by their seed scores; mean seed score and phi inside."""
    size = window.bottom - window.top, window.right - window.left
    is_inside, is_off = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    count, seeds, phis = 0, 0.0, 0.0
    for i in range(size[0]):
        for j in range(size[1]):
            row, column = window.top + i, window.left + j
            if not seed[row, column] > OUTLINE:
                is_off[i, j] = True
                continue
            distance = _distance(x[row, column], y[row, column], centre, sigma)
            if distance <= LIMIT:
                is_inside[i, j] = True
                count += 1
                seeds += 1 / (1 + np.exp(-np.float64(seed[row, column])))
                phis += np.exp(-np.float64(distance))
    return is_inside, is_off, seeds / max(count, 1), phis / max(count, 1)


@compiled
def _box(is_inside: npt.NDArray[np.bool_], window: _Box) -> _Box:
    """The box of the pixels inside, with BESIDE more, within the window."""
    height, width = is_inside.shape
    top, bottom, left, right = height, 0, width, 0
    for i in range(height):
        for j in range(width):
            if is_inside[i, j]:
                top, bottom = min(top, i), max(bottom, i + 1)
                left, right = min(left, j), max(right, j + 1)
    return _Box(
        window.top + max(0, top - BESIDE),
        window.top + min(height, bottom + BESIDE),
        window.left + max(0, left - BESIDE),
        window.left + min(width, right + BESIDE),
    )


class _Positions(NamedTuple):
    """Along an axis, the map pixels around each of n pixels of the frame, and how far it is from the first of them."""

    before: Indices  # (n,)
    behind: Indices
    share: Floats


def _positions(scale: Scale, axis: int, begin: int, end: int, first: int, last: int) -> _Positions:
    """Of the frame's pixels from `begin` up to `end`, over map pixels from `first` up to `last`."""
    at = (np.arange(begin, end) + 0.5) * scale.map_pixels(axis) - 0.5
    at = np.clip(at, first, last - 1)
    before = np.clip(at.astype(np.int64), first, max(first, last - 2))
    return _Positions(before, np.minimum(before + 1, last - 1), (at - before).astype(np.float32))


@compiled
def _enlarged(
    x: Floats,
    y: Floats,
    seed: Floats,
    is_inside: npt.NDArray[np.bool_],
    is_off: npt.NDArray[np.bool_],
    window: _Box,
    rows: _Positions,
    columns: _Positions,
    centre: Floats,
    sigma: Floats,
) -> npt.NDArray[np.bool_]:
    """(columns, rows) which pixels of the frame are inside, by maps that are interpolated between their pixels.

    Between pixels that are all inside everything is, as an ellipse is convex; between ones that are all off, nothing.
    """
    mask = np.zeros((len(columns.before), len(rows.before)), np.bool_)
    for j in range(len(columns.before)):
        left, right, across = columns.before[j], columns.behind[j], columns.share[j]
        a, b = left - window.left, right - window.left
        for i in range(len(rows.before)):
            top, bottom, down = rows.before[i], rows.behind[i], rows.share[i]
            c, d = top - window.top, bottom - window.top
            if is_inside[c, a] and is_inside[c, b] and is_inside[d, a] and is_inside[d, b]:
                mask[j, i] = True
                continue
            if is_off[c, a] and is_off[c, b] and is_off[d, a] and is_off[d, b]:
                continue
            if _between(seed, top, bottom, left, right, down, across) > OUTLINE:
                there_x = _between(x, top, bottom, left, right, down, across)
                there_y = _between(y, top, bottom, left, right, down, across)
                mask[j, i] = _distance(there_x, there_y, centre, sigma) <= LIMIT
    return mask


@compiled
def _between(
    field: Floats, top: int, bottom: int, left: int, right: int, down: float, across: float
) -> float:
    """Bilinear interpolation."""
    above = field[top, left] + (field[top, right] - field[top, left]) * across
    below = field[bottom, left] + (field[bottom, right] - field[bottom, left]) * across
    return above + (below - above) * down
