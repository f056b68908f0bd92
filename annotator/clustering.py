"""Raw maps -> Instances: sequential clustering of each seed map, exact, at the cost of its foreground.

`cluster` is the method of the paper, pixel for pixel; `shown` makes better masks and scores of what it finds.

Source: Neven et al., CVPR 2019 (arXiv 1906.11109), section 3.4. The plain loop compares every seed pixel with
every foreground pixel. Here foreground pixels lie sorted in a grid over embedding space, so that a step looks
at the cells under its ellipse only, and it looks at claimed pixels only where an instance is still possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotator.appearance import described
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import Rle, areas, encode_window, visible, without_specks
from annotator.model.embedding import decode
from annotator.model.network import NetworkSpec, RawMaps
from annotator.options import DetectionOptions

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

FOREGROUND = 0.5  # a pixel takes part where its seed score is above: where the raw map is above 0
OUTLINE = 0.3  # and belongs to an instance where it is above this: seed maps are to be phi, and fall short at borders
CELLS = 256  # per axis of the grid: cell numbers fit 16 bits, which numpy sorts by radix
SCORE_STEPS = 65535  # buckets of the seed scores between FOREGROUND and 1, for the same reason
SORTED_AT_ONCE = 4096  # pixels
WORTH_SHRINKING = 4096  # pixels
MIN_SHOWN_SHARE = 0.5  # of an instance's mask that better ones leave visible
PAPER_MIN_PIXELS = 128  # at 2048 x 1024
PAPER_PIXELS = 2048 * 1024

# phi = exp(-distance) > 0.5 in float32, without the exponential: the largest distance for which it holds.
LIMIT = np.nextafter(np.nextafter(np.float32(np.log(2)), np.float32(0)), np.float32(0))


class Cluster(NamedTuple):
    """One instance in a seed map; pixels are numbered along the rows of the map."""

    score: float  # seed score of the pixel that founded it
    founder: int  # that pixel
    pixels: Indices  # (n,) the whole proposal, in no particular order
    centre: Floats  # (2,) mean of their embeddings, grid units, x then y
    sigma: Floats  # (2,) geometric mean of theirs


def instances_of(maps: RawMaps, frames: Sequence[FrameRef], options: DetectionOptions) -> list[Instances]:
    """The instances of each frame of a batch, in source pixels."""
    spec = maps.spec
    size = (maps.raw.shape[-2], maps.raw.shape[-1])
    grid = spec.grid.coordinates(size, device=maps.raw.device)
    found = [
        _instances_of_frame(raw, grid, spec, frame, options)
        for raw, frame in zip(maps.raw, frames, strict=True)
    ]
    if maps.features is None:
        return found
    return [described(each, features, size) for each, features in zip(found, maps.features, strict=True)]


def default_min_pixels(spec: NetworkSpec) -> int:
    """The paper's 128 pixels, at the size that the network was trained at."""
    height, width = spec.trained_size
    return max(1, round(PAPER_MIN_PIXELS * height * width / PAPER_PIXELS))


def _instances_of_frame(
    raw: Tensor, grid: Tensor, spec: NetworkSpec, frame: FrameRef, options: DetectionOptions
) -> Instances:
    min_pixels = options.min_pixels or default_min_pixels(spec)
    offset_x, offset_y, *rest = raw.cpu().numpy()
    logits = rest[spec.n_sigma :]
    axes = Axes(*(axis.cpu().numpy() for axis in (grid[0, 0], grid[1, :, 0])))
    masks: list[Rle] = []
    class_ids: list[int] = []
    scores: list[float] = []
    for channel, class_id in enumerate(spec.class_ids):
        if options.class_ids is not None and class_id not in options.class_ids:
            continue
        foreground = Foreground.of(raw, spec.n_sigma, channel, grid)
        fields = Fields(offset_x, offset_y, logits[channel])
        for found in cluster(foreground, options.seed_threshold, min_pixels):
            instance = shown(fields, axes, found, frame.size, options.min_score)
            if instance is not None:
                masks.append(instance.mask)
                class_ids.append(class_id)
                scores.append(instance.score)
    return without_duplicates(Instances.of(frame, masks, class_ids, scores))


def without_duplicates(instances: Instances) -> Instances:
    """Without those that better ones nearly hide: one object found twice (as car and as truck), not two objects.

    Each seed map is clustered by itself, so the method alone gives both.
    """
    visible_areas = areas(visible(instances.masks, instances.frame.size))
    kept = np.flatnonzero(visible_areas >= MIN_SHOWN_SHARE * areas(instances.masks))
    return instances.only(kept)


# ---- clustering of one seed map


@dataclass(frozen=True)
class Foreground:
    """The n pixels of a seed map that take part, in order; only these are decoded, and leave the maps' device."""

    pixels: Indices  # (n,) numbered along the rows of the map
    seed: Floats  # (n,) in [0, 1]
    embedding: Floats  # (2, n) grid units, x then y
    sigma: Floats  # (S, n)

    @classmethod
    def of(cls, raw: Tensor, n_sigma: int, channel: int, grid: Tensor) -> Foreground:
        """Of a seed map of raw maps (2 + S + C, H, W), with the grid's coordinates (2, H, W)."""
        values = raw.flatten(1)
        logits = values[2 + n_sigma + channel]
        pixels = torch.nonzero(logits > 0).squeeze(1)  # seed scores above FOREGROUND
        raw_there = torch.stack([row.index_select(0, pixels) for row in (*values[: 2 + n_sigma], logits)])
        maps = decode(raw_there, n_sigma, grid.flatten(1).index_select(1, pixels))
        parts = (pixels, maps.seed[0], maps.embedding, maps.sigma)
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

    for founder in _by_score(seed, seed_threshold, claimed):
        if remaining <= min_pixels:
            return
        claimed[founder] = True
        ellipse = _Ellipse.at(embedding[:, founder], sigma[:, founder])
        inside = unclaimed.inside(ellipse)
        fresh = inside[~claimed[inside]]
        # An instance has more than min_pixels, more than half of them fresh: with fewer there is no need to look.
        if 2 * len(fresh) > min_pixels:
            proposal = inside if unclaimed is everything else everything.inside(ellipse)
            if len(proposal) > min_pixels and 2 * len(fresh) > len(proposal):
                centre, mean_sigma = _means(embedding.take(proposal, 1), sigma.take(proposal, 1))
                pixels = foreground.pixels[proposal]
                yield Cluster(
                    float(seed[founder]), int(foreground.pixels[founder]), pixels, centre, mean_sigma
                )
        claimed[fresh] = True
        remaining -= 1 + len(fresh)
        if 2 * remaining < len(unclaimed.member) and len(unclaimed.member) > WORTH_SHRINKING:
            unclaimed = unclaimed.without(claimed)


def _means(embedding: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """(2,) mean of embeddings (2, n), and (2,) geometric mean of sigmas (S, n), whose logarithms the network tells."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return embedding.mean(1), np.broadcast_to(np.exp(np.log(sigma).mean(1)), 2)


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


# ---- instances at the size of the frame


class Fields(NamedTuple):
    """What the network says of each processed pixel of a frame, (H, W) each, as raw maps."""

    offset_x: Floats
    offset_y: Floats
    seed: Floats  # of one class


class Axes(NamedTuple):
    """Grid coordinates of the columns (W,) and of the rows (H,) of raw maps."""

    x: Floats
    y: Floats


class Shown(NamedTuple):
    """A cluster as the frame shows it."""

    mask: Rle
    score: float  # in [0, 1]


def shown(
    fields: Fields, axes: Axes, found: Cluster, size: tuple[int, int], min_score: float = 0
) -> Shown | None:
    """The instance of a cluster in a frame of `size` (H, W), None when nothing is left of it or it scores too low.

    A cluster takes one pixel's word for its centre and bandwidth. What all of its pixels say on average is less
    noisy, and is what training compares objects with: by that the instance is decided anew, for every source pixel
    in and around the cluster, from fields that are enlarged to the frame. Its pixels have phi > 0.5 and seed scores
    above OUTLINE; its score is the product of its founder's seed score, and of mean seed score and mean phi.
    """
    height, width = fields.seed.shape
    rows, columns = np.divmod(found.pixels, width)
    vertical = _Samples.around(rows, height, size[0])
    horizontal = _Samples.around(columns, width, size[1])
    near = np.stack([field[vertical.within, horizontal.within] for field in fields])
    x = horizontal.of(axes.x[horizontal.within], 0)
    y = vertical.of(axes.y[vertical.within], 0)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):  # a network may say anything
        offset_x, offset_y, seed_logit = vertical.of(horizontal.of(near, 2), 1)
        away_x, away_y = np.tanh(offset_x) + (x - found.centre[0]), np.tanh(offset_y) + (y - found.centre[1])
        phi = np.exp(-(away_x * away_x * found.sigma[0] + away_y * away_y * found.sigma[1]))
        seed = 1 / (1 + np.exp(-seed_logit))
    mask = (phi > 0.5) & (seed > OUTLINE)
    if not mask.any():
        return None
    score = found.score * float(seed[mask].mean()) * float(phi[mask].mean())
    if score < min_score:
        return None
    pixels, top, left = _cropped(mask)
    top, left = vertical.first + top, horizontal.first + left
    return Shown(encode_window(without_specks(pixels), top, left, size), score)


def _cropped(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int, int]:
    """The box of a mask with pixels, and its top and left."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(rows[0]), int(columns[0])


@dataclass(frozen=True)
class _Samples:
    """Bilinear samples along one axis: a stretch of the source axis between pixels of the processed axis."""

    first: int  # of the stretch, in source pixels
    within: slice  # processed pixels that are looked at
    before: Indices  # (n,) which of these lies at or before each source pixel's centre
    after: Indices
    share: Floats  # (n,) of `after`

    @classmethod
    def around(cls, pixels: Indices, processed: int, source: int) -> _Samples:
        """The source pixels that lie over some processed pixels, between them, and a little beyond."""
        begin, end = int(pixels.min()), int(pixels.max()) + 1
        beyond = 2 + (end - begin) // 4
        begin, end = begin - beyond, end + beyond
        ratio = source / processed
        first = max(0, int(np.floor(begin * ratio)))
        last = min(source, int(np.ceil(end * ratio)))
        position = ((np.arange(first, last) + 0.5) / ratio - 0.5).clip(0, processed - 1)
        before = position.astype(np.int64)
        after = np.minimum(before + 1, processed - 1)
        share = (position - before).astype(np.float32)
        within = slice(int(before[0]), int(after[-1]) + 1)
        return cls(first, within, before - within.start, after - within.start, share)

    def of(self, maps: Floats, axis: int) -> Floats:
        """Maps, cut to `within` along an axis, sampled there."""
        share = self.share[:, None] if axis == maps.ndim - 2 else self.share
        low = maps.take(self.before, axis)
        return low + (maps.take(self.after, axis) - low) * share
