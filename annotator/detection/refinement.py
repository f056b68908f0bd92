"""Refine clusters into masks and scores at the size of the frame, by what all of their pixels say on average."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from annotator.detection.clustering import LIMIT, Cluster, Floats, Indices
from annotator.masks import Rle, encode_window, remove_small_components

# The lowest raw seed score of a pixel of an instance, of 0.3: seed maps are to be phi, and fall short at borders.
OUTLINE = math.log(0.3 / 0.7)
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
    height, width = fields.seed.shape
    rows, columns = np.divmod(found.pixels, width)
    window = _around(rows, height), _around(columns, width)
    x, y, seed = (field[window] for field in fields)
    with np.errstate(over="ignore", invalid="ignore"):  # a network may say anything
        distance = _distance(x, y, found)
        inside = (distance <= LIMIT) & (seed > OUTLINE)
        if not inside.any():
            return None
        mean_seed = float((1 / (1 + np.exp(-seed[inside]))).mean())
        score = found.score * mean_seed * float(np.exp(-distance[inside]).mean())
        if score < min_score:
            return None
        mask, top, left = _enlarged(fields, scale, found, _box(inside, window))
    if not mask.any():
        return None
    pixels, down, right = _cropped(mask)
    return RefinedMask(
        encode_window(remove_small_components(pixels), top + down, left + right, scale.frame), score
    )


def _around(pixels: Indices, length: int) -> slice:
    """Along one axis, where the pixels of a cluster lie, and a little beyond."""
    begin, end = int(pixels.min()), int(pixels.max()) + 1
    beyond = 2 + (end - begin) // 4
    return slice(max(0, begin - beyond), min(length, end + beyond))


def _distance(x: Floats, y: Floats, found: Cluster) -> Floats:
    """How far embeddings are from a cluster's centre, in its bandwidths: phi is the exponential of that below 0."""
    away_x, away_y = x - found.centre[0], y - found.centre[1]
    away_x *= away_x
    away_y *= away_y
    away_x *= found.sigma[0]
    away_y *= found.sigma[1]
    away_x += away_y
    return away_x


def _box(inside: npt.NDArray[np.bool_], window: tuple[slice, slice]) -> tuple[slice, slice]:
    """The box of the pixels inside, with BESIDE more, within a window of the maps."""
    found = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    of_rows, of_columns = (
        slice(
            max(part.start, part.start + int(at[0]) - BESIDE),
            min(part.stop, part.start + int(at[-1]) + 1 + BESIDE),
        )
        for at, part in zip(found, window, strict=True)
    )
    return of_rows, of_columns


def _enlarged(
    fields: Fields, scale: Scale, found: Cluster, box: tuple[slice, slice]
) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Which pixels of the frame over a box of the maps are inside, and the top and left of these pixels."""
    (top, bottom), (left, right) = (
        scale.stretch(part.start, part.stop, length, axis)
        for axis, (part, length) in enumerate(zip(box, fields.seed.shape, strict=True))
    )
    if top == bottom or left == right:
        return np.zeros((0, 0), np.bool_), top, left
    down, across = scale.map_pixels(0), scale.map_pixels(1)
    to_map = np.array(
        [
            [across, 0, (left + 0.5) * across - 0.5 - box[1].start],
            [0, down, (top + 0.5) * down - 0.5 - box[0].start],
        ]
    )
    # To a 32nd of a map pixel, which is less than anything that the network knows of an outline.
    maps = cv2.warpAffine(
        np.dstack([field[box] for field in fields]),
        to_map,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    x, y, seed = (np.ascontiguousarray(maps[..., k]) for k in range(3))
    return (_distance(x, y, found) <= LIMIT) & (seed > OUTLINE), top, left


def _cropped(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int, int]:
    """The box of a mask with pixels, and its top and left."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(rows[0]), int(columns[0])
