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

from annotator.model.embedding import decode

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

FOREGROUND = 0.5  # a pixel takes part where its seed score is above: where the raw map is above 0
CELLS = 256  # per axis of the grid: cell numbers fit 16 bits, which numpy sorts by radix
SCORE_STEPS = 65535  # buckets of the seed scores between FOREGROUND and 1, for the same reason
SORTED_AT_ONCE = 4096  # pixels
WORTH_SHRINKING = 4096  # pixels

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
    """The n pixels of a seed map that take part, in order; only these are decoded, and leave the maps' device."""

    pixels: Indices  # (n,) numbered along the rows of the map
    seed: Floats  # (n,) in [0, 1]
    embedding: Floats  # (2, n) grid units, x then y
    sigma: Floats  # (S, n)
    log_sigma: Floats  # (S, n) their logarithms, which the network tells

    @classmethod
    def of(cls, raw: Tensor, n_sigma: int, channel: int, grid: Tensor) -> Foreground:
        """Of a seed map of raw maps (2 + S + C, H, W), with the grid's coordinates (2, H, W)."""
        values = raw.flatten(1)
        logits = values[2 + n_sigma + channel]
        # Seed scores above FOREGROUND; numpy finds them faster.
        pixels = torch.from_numpy(np.flatnonzero((logits > 0).cpu().numpy())).to(raw.device)
        raw_there = torch.stack([row.index_select(0, pixels) for row in (*values[: 2 + n_sigma], logits)])
        maps = decode(raw_there, n_sigma, grid.flatten(1).index_select(1, pixels))
        parts = (pixels, maps.seed[0], maps.embedding, maps.sigma, raw_there[2 : 2 + n_sigma] * 10)
        return cls(*(part.cpu().numpy() for part in parts))

    def __len__(self) -> int:
        return len(self.pixels)


def cluster(foreground: Foreground, seed_threshold: float, min_pixels: int) -> Iterator[Cluster]:
    """Cluster a seed map, in the order in which the method finds the instances.

    Equal, pixel for pixel, to the plain loop.
    """
    if len(foreground) <= min_pixels:
        return
    seed, embedding, sigma = foreground.seed, foreground.embedding, foreground.sigma
    everything = _Cells.of(embedding)
    unclaimed = everything
    claimed = np.zeros(len(foreground), bool)
    remaining = len(foreground)

    for seed_pixel in _by_score(seed, seed_threshold, claimed):
        if remaining <= min_pixels:
            return
        claimed[seed_pixel] = True
        ellipse = _Ellipse.at(embedding[:, seed_pixel], sigma[:, seed_pixel])
        inside = unclaimed.inside(ellipse)
        fresh = inside[~claimed[inside]]
        # An instance has more than min_pixels, more than half of them fresh: with fewer there is no need to look.
        if 2 * len(fresh) > min_pixels:
            proposal = inside if unclaimed is everything else everything.inside(ellipse)
            if len(proposal) > min_pixels and 2 * len(fresh) > len(proposal):
                centre, mean_sigma = _means(
                    embedding.take(proposal, 1), foreground.log_sigma.take(proposal, 1)
                )
                pixels = foreground.pixels[proposal]
                yield Cluster(
                    float(seed[seed_pixel]), int(foreground.pixels[seed_pixel]), pixels, centre, mean_sigma
                )
        claimed[fresh] = True
        remaining -= 1 + len(fresh)
        if 2 * remaining < len(unclaimed.member) and len(unclaimed.member) > WORTH_SHRINKING:
            unclaimed = unclaimed.without(claimed)


def _means(embedding: Floats, log_sigma: Floats) -> tuple[Floats, Floats]:
    """(2,) mean of embeddings (2, n), and (2,) geometric mean of sigmas, given their logarithms (S, n)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return embedding.mean(1), np.broadcast_to(np.exp(log_sigma.mean(1)), 2)


class _Ellipse(NamedTuple):
    centre: Floats  # (2,)
    sigma: Floats  # (2,)
    radius: npt.NDArray[np.float64]  # (2,) of the box around it, rounded up

    @classmethod
    def at(cls, centre: Floats, sigma: Floats) -> _Ellipse:
        both = np.broadcast_to(sigma, 2)
        with np.errstate(divide="ignore"):
            radius = np.sqrt(np.log(2) / both.astype(np.float64)) * (1 + 1e-6) + 2e-6
        return cls(centre, both, radius)


@dataclass(frozen=True)
class _Cells:
    """Foreground pixels sorted by the cell of embedding space that they lie in."""

    low: Floats  # (2,) corner of the first cell
    per_unit: Floats  # (2,) cells per grid unit
    x: Floats  # (n,) embedding, sorted by cell
    y: Floats
    member: Indices  # (n,) which foreground pixel each is
    cell: npt.NDArray[np.uint16]  # (n,) ascending
    first: Indices  # (CELLS * CELLS + 1,) where each cell begins

    @classmethod
    def of(cls, embedding: Floats) -> _Cells:
        low = np.fmin.reduce(embedding, 1)
        per_unit = CELLS / np.maximum(np.fmax.reduce(embedding, 1) - low, np.float32(1e-6))
        column, row = (
            _cell(axis, start, scale) for axis, start, scale in zip(embedding, low, per_unit, strict=True)
        )
        cell = (row * CELLS + column).astype(np.uint16)
        order = np.argsort(cell, kind="stable")
        return cls._sorted(low, per_unit, embedding[0][order], embedding[1][order], order, cell[order])

    @classmethod
    def _sorted(cls, low, per_unit, x, y, member, cell) -> _Cells:  # type: ignore[no-untyped-def]
        first = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=CELLS * CELLS))])
        return cls(low, per_unit, x, y, member, cell, first)

    def without(self, claimed: npt.NDArray[np.bool_]) -> _Cells:
        """The pixels that are not claimed."""
        keep = ~claimed[self.member]
        columns = (self.x, self.y, self.member, self.cell)
        return self._sorted(self.low, self.per_unit, *(column[keep] for column in columns))

    def inside(self, ellipse: _Ellipse) -> Indices:
        """Which pixels have phi > 0.5, in no particular order."""
        near = self._near(ellipse)
        dx, dy = self.x[near] - ellipse.centre[0], self.y[near] - ellipse.centre[1]
        with np.errstate(over="ignore", invalid="ignore"):
            distance = dx * dx * ellipse.sigma[0] + dy * dy * ellipse.sigma[1]
        return self.member[near][distance <= LIMIT]

    def _near(self, ellipse: _Ellipse) -> Indices | slice:
        """Positions of the pixels in cells that the box around an ellipse touches."""
        left, top = _cell((ellipse.centre - ellipse.radius).astype(np.float32), self.low, self.per_unit)
        right, bottom = _cell((ellipse.centre + ellipse.radius).astype(np.float32), self.low, self.per_unit)
        if left == 0 and right == CELLS - 1:
            return slice(self.first[top * CELLS], self.first[(bottom + 1) * CELLS])
        rows = np.arange(top, bottom + 1) * CELLS
        begin, end = self.first[rows + left], self.first[rows + right + 1]
        lengths = end - begin
        before = np.cumsum(lengths) - lengths
        return np.repeat(begin - before, lengths) + np.arange(lengths.sum())


def _cell(values: Floats, low: Floats, per_unit: Floats) -> npt.NDArray[np.int32]:
    """Monotone: what lies between two values has a cell between theirs."""
    scaled = (values - low) * per_unit
    return np.fmin(np.fmax(scaled, 0), CELLS - 1).astype(np.int32)  # fmax gives what is no number to cell 0


def _by_score(seed: Floats, threshold: float, claimed: npt.NDArray[np.bool_]) -> Iterator[int]:
    """Unclaimed pixels by descending score, row-major on ties, down to the threshold.

    Buckets are sorted by radix, and a few at a time exactly when their turn comes: by then most of their pixels
    are claimed.
    """
    bucket = ((1 - seed) * np.float32(SCORE_STEPS / (1 - FOREGROUND))).astype(np.uint16)
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket))
    begin = 0
    while begin < len(order):
        end = int(ends[np.searchsorted(ends, min(begin + SORTED_AT_ONCE, len(order)))])
        waiting = order[begin:end]
        waiting = waiting[~claimed[waiting]]
        waiting = waiting[np.argsort(-seed[waiting], kind="stable")]
        position = _next_unclaimed(waiting, 0, claimed)
        while position < len(waiting):
            pixel = int(waiting[position])
            if seed[pixel] < threshold:
                return
            yield pixel
            position = _next_unclaimed(waiting, position, claimed)
        begin = end


def _next_unclaimed(waiting: Indices, position: int, claimed: npt.NDArray[np.bool_]) -> int:
    """The first position from `position` on whose pixel is not claimed; len(waiting) when there is none."""
    window = 16
    while position < len(waiting):
        taken = claimed[waiting[position : position + window]]
        first = int(taken.argmin())
        if not taken[first]:
            return position + first
        position += window
        window *= 4
    return len(waiting)
