"""Cluster a seed map into instances: the sequential clustering of the paper, exact, at the cost of its foreground.

Source: Neven et al., CVPR 2019 (arXiv 1906.11109), section 3.4. The plain loop compares every seed pixel with
every foreground pixel. Here foreground pixels lie sorted in a grid over embedding space, so that a step looks
at the cells under its ellipse only, and it looks at claimed pixels only where an instance is still possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotator.detection.compiled import compiled
from annotator.model.embedding import decode

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

MOST_CELLS = 256  # per axis of the grid
ONE = int(np.float32(1).view(np.uint32))  # its bits; those of smaller numbers from 0 on are as much less
PER_CELL = 4  # foreground pixels, on average, of a grid that is coarser

# phi = exp(-distance) > 0.5 in float32, without the exponential: the largest distance for which it holds.
LIMIT = np.nextafter(np.nextafter(np.float32(np.log(2)), np.float32(0)), np.float32(0))


class Cluster(NamedTuple):
    """One instance in a seed map; pixels are numbered along the rows of the map."""

    score: float  # seed score of the pixel that founded it
    seed_pixel: int  # that pixel
    pixels: Indices  # (n,) the whole proposal, in no particular order
    centre: Floats  # (2,) mean of their embeddings, grid units, x then y
    sigma: Floats  # (2,) geometric mean of theirs


@dataclass(frozen=True)
class Foreground:
    """The n pixels of a seed map that take part, in order; only these are decoded."""

    pixels: Indices  # (n,) numbered along the rows of the map
    seed: Floats  # (n,) in [0, 1]
    embedding: Floats  # (2, n) grid units, x then y
    sigma: Floats  # (S, n)
    log_sigma: Floats  # (S, n) their logarithms, which the network tells

    @classmethod
    def of(cls, raw: Tensor, n_sigma: int, channel: int, grid: Tensor) -> Foreground:
        """Of a seed map of raw maps (2 + S + C, H, W), with the grid's coordinates (2, H, W), both on the CPU."""
        pixels, raw_there, grid_there = _taken(
            raw.flatten(1).numpy(), grid.flatten(1).numpy(), n_sigma, channel
        )
        maps = decode(torch.from_numpy(raw_there), n_sigma, torch.from_numpy(grid_there))
        parts = (maps.seed[0].numpy(), maps.embedding.numpy(), maps.sigma.numpy())
        return cls(pixels, *parts, raw_there[2 : 2 + n_sigma] * 10)

    def __len__(self) -> int:
        return len(self.pixels)


def cluster(foreground: Foreground, seed_threshold: float, min_pixels: int) -> Iterator[Cluster]:
    """Cluster a seed map, in the order in which the method finds the instances.

    Equal, pixel for pixel, to the plain loop.
    """
    if len(foreground) <= min_pixels:
        return
    order = _by_score(foreground.seed, seed_threshold)
    found = _found(foreground.embedding, foreground.sigma, foreground.log_sigma, order, min_pixels)
    begin = 0
    for seed_pixel, end, centre, log_sigma in zip(*found[:4], strict=True):
        with np.errstate(over="ignore"):
            sigma = np.exp(log_sigma).astype(np.float32)
        yield Cluster(
            float(foreground.seed[seed_pixel]),
            int(foreground.pixels[seed_pixel]),
            foreground.pixels[found[4][begin:end]],
            centre.astype(np.float32),
            np.broadcast_to(sigma, 2),
        )
        begin = end


@compiled
def _taken(values: Floats, grid: Floats, n_sigma: int, channel: int) -> tuple[Indices, Floats, Floats]:
    """The n pixels with seed scores above a half, and of these offsets, bandwidths and scores, and grid coordinates."""
    logits = values[2 + n_sigma + channel]
    n = 0
    for logit in logits:
        n += logit > 0
    pixels, taken, there = (
        np.empty(n, np.int64),
        np.empty((3 + n_sigma, n), np.float32),
        np.empty((2, n), np.float32),
    )
    k = 0
    for pixel in range(len(logits)):
        if logits[pixel] > 0:
            pixels[k] = pixel
            for row in range(2 + n_sigma):
                taken[row, k] = values[row, pixel]
            taken[2 + n_sigma, k] = logits[pixel]
            there[0, k], there[1, k] = grid[0, pixel], grid[1, pixel]
            k += 1
    return pixels, taken, there


@compiled
def _by_score(seed: Floats, threshold: float) -> Indices:
    """Pixels by descending score, row-major on ties, down to the threshold: sorted by two halves of their bits."""
    bits = seed.view(np.uint32)
    pixels, count = np.empty(len(seed), np.int64), 0
    for k in range(len(seed)):
        if seed[k] >= threshold:
            pixels[count] = k
            count += 1
    pixels = pixels[:count]
    for shift in (0, 12):  # of 24 bits, that tell floats between a half and 1 apart
        ends = np.zeros(4097, np.int64)
        for pixel in pixels:
            ends[((ONE - bits[pixel]) >> shift & 4095) + 1] += 1
        for k in range(4096):
            ends[k + 1] += ends[k]
        by_bits = np.empty(count, np.int64)
        for pixel in pixels:
            digit = (ONE - bits[pixel]) >> shift & 4095
            by_bits[ends[digit]] = pixel
            ends[digit] += 1
        pixels = by_bits
    return pixels


class _Cells(NamedTuple):
    """n pixels sorted by the cell of embedding space they lie in; within a cell those that nobody has claimed first."""

    side: int  # cells along each axis
    low: Floats  # (2,) corner of the first cell
    per_unit: Floats  # (2,) cells per grid unit
    first: Indices  # (side * side + 1,) where each cell begins
    live: Indices  # (side * side,) where its claimed pixels begin
    member: npt.NDArray[np.int32]  # (n,) which pixel each is
    x: Floats  # (n,) its embedding
    y: Floats


@compiled
def _found(
    embedding: Floats, sigma: Floats, log_sigma: Floats, order: Indices, min_pixels: int
) -> tuple[Indices, Indices, npt.NDArray[np.float64], npt.NDArray[np.float64], Indices]:
    """K instances, given n pixels, and those that may found one in their `order`.

    Their founders (K,), where each one's pixels end (K,), means of embeddings (K, 2) and of log sigmas (K, S), and the
    pixels of all of them, one behind the other.
    """
    n = embedding.shape[1]
    cells = _sorted_by_cell(embedding)
    is_claimed = np.zeros(n, np.bool_)
    founders, ends, means = np.empty(n, np.int64), np.empty(n, np.int64), np.empty((n, 2 + len(sigma)))
    pixels, inside = np.empty(n, np.int64), np.empty(n, np.int64)
    found, total, remaining = 0, 0, n
    for founder in order:
        if is_claimed[founder]:
            continue
        if remaining <= min_pixels:
            break
        is_claimed[founder] = True
        fresh = _claim(cells, embedding[:, founder], sigma[:, founder], is_claimed)
        remaining -= 1 + fresh
        # An instance has more than min_pixels, more than half of them fresh: with fewer there is no need to look.
        if 2 * fresh <= min_pixels:
            continue
        count = _inside(cells, embedding[:, founder], sigma[:, founder], inside)
        if count > min_pixels and 2 * fresh > count:
            pixels = _with_room(pixels, total, count)
            for k in range(count):
                pixels[total + k] = inside[k]
            total += count
            founders[found], ends[found] = founder, total
            for k in range(2):
                means[found, k] = _mean(embedding[k], inside, count)
            for k in range(len(sigma)):
                means[found, 2 + k] = _mean(log_sigma[k], inside, count)
            found += 1
    return founders[:found], ends[:found], means[:found, :2], means[:found, 2:], pixels[:total]


@compiled
def _sorted_by_cell(embedding: Floats) -> _Cells:
    """All pixels (2, n), unclaimed."""
    n = embedding.shape[1]
    side = min(MOST_CELLS, max(1, int(np.sqrt(n / PER_CELL))))
    low, per_unit = np.empty(2, np.float32), np.empty(2, np.float32)
    for axis in range(2):
        least, most = np.float32(np.nan), np.float32(np.nan)
        for value in embedding[axis]:  # fmin and fmax: what is no number counts for nothing
            least, most = np.fmin(least, value), np.fmax(most, value)
        low[axis], per_unit[axis] = least, np.float32(side) / np.fmax(most - least, np.float32(1e-6))
    cell, first = np.empty(n, np.int32), np.zeros(side * side + 1, np.int64)
    for pixel in range(n):
        column = _cell(embedding[0, pixel], low[0], per_unit[0], side)
        cell[pixel] = _cell(embedding[1, pixel], low[1], per_unit[1], side) * side + column
        first[cell[pixel] + 1] += 1
    live = np.empty(side * side, np.int64)
    for k in range(side * side):
        live[k] = first[k]
        first[k + 1] += first[k]
    member, x, y = np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.float32)
    for pixel in range(n):
        place = live[cell[pixel]]
        member[place], x[place], y[place] = pixel, embedding[0, pixel], embedding[1, pixel]
        live[cell[pixel]] += 1
    return _Cells(side, low, per_unit, first, live, member, x, y)


@compiled
def _cell(value: np.float32, low: np.float32, per_unit: np.float32, side: int) -> int:
    """Monotone: what lies between two values has a cell between theirs. What is no number has cell 0."""
    scaled = (value - low) * per_unit
    if not scaled > 0:
        return 0
    return side - 1 if scaled >= side - 1 else int(scaled)


@compiled
def _claim(cells: _Cells, centre: Floats, sigma: Floats, is_claimed: npt.NDArray[np.bool_]) -> int:
    """Claim the unclaimed pixels with phi > 0.5, which go behind those of their cells; how many there were."""
    left, right = _span(cells, 0, centre[0], sigma[0])
    top, bottom = _span(cells, 1, centre[1], sigma[-1])
    fresh = 0
    for row in range(top, bottom + 1):
        for cell in range(row * cells.side + left, row * cells.side + right + 1):
            k, live = cells.first[cell], cells.live[cell]
            while k < live:
                pixel, x, y = cells.member[k], cells.x[k], cells.y[k]
                if not is_claimed[pixel]:  # only founders are, here
                    if not _is_inside(x, y, centre, sigma):
                        k += 1
                        continue
                    is_claimed[pixel] = True
                    fresh += 1
                live -= 1
                cells.member[k], cells.x[k], cells.y[k] = cells.member[live], cells.x[live], cells.y[live]
                cells.member[live], cells.x[live], cells.y[live] = pixel, x, y
            cells.live[cell] = live
    return fresh


@compiled
def _inside(cells: _Cells, centre: Floats, sigma: Floats, found: Indices) -> int:
    """Write the claimed pixels with phi > 0.5 to `found`; how many there are."""
    left, right = _span(cells, 0, centre[0], sigma[0])
    top, bottom = _span(cells, 1, centre[1], sigma[-1])
    count = 0
    for row in range(top, bottom + 1):
        for cell in range(row * cells.side + left, row * cells.side + right + 1):
            for k in range(cells.live[cell], cells.first[cell + 1]):
                if _is_inside(cells.x[k], cells.y[k], centre, sigma):
                    found[count] = cells.member[k]
                    count += 1
    return count


@compiled
def _is_inside(x: np.float32, y: np.float32, centre: Floats, sigma: Floats) -> bool:
    away_x, away_y = x - centre[0], y - centre[1]
    return away_x * away_x * sigma[0] + away_y * away_y * sigma[-1] <= LIMIT


@compiled
def _span(cells: _Cells, axis: int, centre: np.float32, sigma: np.float32) -> tuple[int, int]:
    """The first and the last cell, along an axis, of the box around an ellipse, which is rounded up."""
    radius = np.sqrt(np.log(2) / np.float64(sigma)) * (1 + 1e-6) + 2e-6
    low, per_unit = cells.low[axis], cells.per_unit[axis]
    first = _cell(np.float32(centre - radius), low, per_unit, cells.side)
    return first, _cell(np.float32(centre + radius), low, per_unit, cells.side)


@compiled
def _mean(values: Floats, pixels: Indices, count: int) -> float:
    total = 0.0
    for k in range(count):
        total += values[pixels[k]]
    return total / count


@compiled
def _with_room(pixels: Indices, total: int, count: int) -> Indices:
    """The same, with room for `count` more behind `total`: instances may share pixels."""
    if total + count <= len(pixels):
        return pixels
    grown = np.empty(2 * (total + count), np.int64)
    for k in range(total):
        grown[k] = pixels[k]
    return grown
