"""Refine clusters into masks and scores at the size of the frame, by what all of their pixels say on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.detection.clustering import Cluster, Floats, Indices
from annotator.masks import Rle, encode_window, remove_small_components

OUTLINE = 0.3  # seed score of a pixel of an instance: seed maps are to be phi, and fall short at borders


class Fields(NamedTuple):
    """What the network says of each processed pixel of a frame, (H, W) each, as raw maps."""

    offset_x: Floats
    offset_y: Floats
    seed: Floats  # of one class


class Axes(NamedTuple):
    """Grid coordinates of the columns (W,) and of the rows (H,) of raw maps."""

    x: Floats
    y: Floats


class RefinedMask(NamedTuple):
    """A cluster at the size of the frame."""

    mask: Rle
    score: float  # in [0, 1]


def refine(
    fields: Fields, axes: Axes, found: Cluster, size: tuple[int, int], min_score: float = 0
) -> RefinedMask | None:
    """The instance of a cluster in a frame of `size` (H, W), None when nothing is left of it or it scores too low.

    A cluster takes one pixel's word for its centre and bandwidth. What all of its pixels say on average is less
    noisy, and is what training compares objects with: by that the instance is decided anew, for every source pixel
    in and around the cluster, from fields that are enlarged to the frame. Its pixels have phi > 0.5 and seed scores
    above OUTLINE; its score is the product of its first pixel's seed score, and of mean seed score and mean phi.
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
    return RefinedMask(encode_window(remove_small_components(pixels), top, left, size), score)


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
