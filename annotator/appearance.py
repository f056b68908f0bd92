"""How instances look: the encoder's features over their masks, in a few numbers, for telling them apart over time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotator.instances import Instances
from annotator.masks import decode_windows

WIDTH = 32  # numbers of an instance
GRID = 16  # its mask is looked at in the centres of GRID x GRID cells of its box
STRIDE = 8  # pixels of the processed image per pixel of the features


def described(found: Instances, features: Tensor, processed: tuple[int, int]) -> Instances:
    """The instances with appearance vectors (N, WIDTH) of length 1; zeros for a mask that no cell's centre hits.

    `features` (C, h, w) are the encoder's, of the image at size `processed` (H, W). What all of the frame have in
    common is taken away, so that light and weather count for little; a fixed random projection makes C numbers few.
    """
    rows, columns, owners = _points(found, processed, (features.shape[-2], features.shape[-1]))
    at = torch.from_numpy(rows * features.shape[-1] + columns).to(features.device)
    picked = features.flatten(1).index_select(1, at) - features.mean((1, 2))[:, None]
    values = picked.T.float().cpu().numpy() @ _projection(features.shape[0])
    vectors = np.zeros((len(found), WIDTH), np.float32)
    np.add.at(vectors, owners, values)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(found, features=(vectors / np.maximum(length, 1e-6)).astype(np.float16))


def _points(
    found: Instances, processed: tuple[int, int], size: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Row and column in features of `size`, and the instance, of every cell's centre that lies on a mask."""
    cells = (np.arange(GRID) + 0.5) / GRID
    scale = np.array(processed) / np.array(found.frame.size) / STRIDE
    rows, columns, owners = [], [], []
    for k, (window, top, left) in enumerate(decode_windows(found.masks)):
        y, x = cells * window.shape[0], cells * window.shape[1]
        if not window.size:
            continue
        i, j = np.nonzero(window[y.astype(int)[:, None], x.astype(int)])
        rows.append((top + y[i]) * scale[0])
        columns.append((left + x[j]) * scale[1])
        owners.append(np.full(len(i), k, np.intp))
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.intp)
    row, column = (
        np.clip(np.concatenate(part).astype(np.int64), 0, most - 1)
        for part, most in ((rows, size[0]), (columns, size[1]))
    )
    return row, column, np.concatenate(owners)


@cache
def _projection(channels: int) -> npt.NDArray[np.float32]:
    """(C, WIDTH) orthonormal columns, the same on every machine up to rounding."""
    directions = np.random.default_rng(0).standard_normal((channels, max(WIDTH, channels)))
    return np.linalg.qr(directions)[0][:, :WIDTH].astype(np.float32)
