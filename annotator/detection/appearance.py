"""How instances look: the encoder's features over their masks, in a few numbers, for telling them apart over time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
from torch import Tensor

from annotator.instances import Instances
from annotator.masks import boxes_xywh, sample_grid

WIDTH = 32  # numbers of an instance
GRID = 16  # its mask is looked at in the centres of GRID x GRID cells of its box
STRIDE = 8  # pixels of the processed image per pixel of the features


def with_appearance(found: Instances, features: Tensor, processed: tuple[int, int]) -> Instances:
    """Add appearance vectors (N, WIDTH) of length 1; zeros for a mask that no cell's centre hits.

    `features` (C, h, w) are the encoder's, of the image at size `processed` (H, W). What all of the frame have in
    common is taken away, so that light and weather count for little; a fixed random projection makes C numbers few.
    """
    is_on, rows, columns = sample_grid(found.masks, boxes_xywh(found.masks), GRID)
    owners, i, j = np.nonzero(is_on)
    scale = np.array(processed) / np.array(found.frame.size) / STRIDE
    row, column = (
        np.clip((at * per_pixel).astype(np.int64), 0, most - 1)
        for at, per_pixel, most in zip(
            (rows[owners, i], columns[owners, j]), scale, features.shape[-2:], strict=True
        )
    )
    maps = features.flatten(1).float().cpu().numpy()
    picked = maps.take(row * features.shape[-1] + column, 1) - maps.mean(1, keepdims=True)
    vectors = np.zeros((len(found), WIDTH), np.float32)
    begin = np.flatnonzero(np.diff(owners, prepend=-1))
    if len(begin):
        sums = np.add.reduceat(picked, begin, 1)
        vectors[owners[begin]] = sums.T @ _projection(features.shape[0])
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(found, features=(vectors / np.maximum(length, 1e-6)).astype(np.float16))


@cache
def _projection(channels: int) -> npt.NDArray[np.float32]:
    """(C, WIDTH) orthonormal columns, the same on every machine up to rounding."""
    directions = np.random.default_rng(0).standard_normal((channels, max(WIDTH, channels)))
    return np.linalg.qr(directions)[0][:, :WIDTH].astype(np.float32)
