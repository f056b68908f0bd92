"""How far instances moved since the frame before, by the pixels on their masks.

Sources: Lucas and Kanade, "An iterative image registration technique", 1981, in pyramids as in Bouguet, 2000; points
count that come back when they are followed the other way, as in Kalal et al., "Forward-backward error", ICPR 2010.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from annotator.instances import Instances
from annotator.masks import at_cells, boxes_xywh

PIXELS = 384 * 192  # of the picture in which points are followed, at most
GRID = 8  # points of an instance: the centres of GRID x GRID cells of its box that are on its mask
FEWEST = 4  # points that say something
COMES_BACK = 1.0  # pixels from where it was
STOP = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03  # after so many steps, or at so many pixels
SEARCH: dict[str, Any] = {"winSize": (9, 9), "maxLevel": 3, "criteria": STOP}

Gray = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class OpticalFlow:
    """Follows the pixels of a recording from frame to frame."""

    def __init__(self) -> None:
        self._before: Gray | None = None

    def see(self, image: npt.NDArray[np.uint8]) -> None:
        """Look at a frame (H, W, 3), RGB, without instances."""
        self._before = _small(image)

    def measured(self, image: torch.Tensor, found: Instances) -> Instances:
        """The instances of the next frame (3, H, W), uint8 RGB, with how far each moved since the last one."""
        before, after = self._before, _small(image.permute(1, 2, 0).cpu().numpy())
        self._before = after
        if before is None or before.shape != after.shape or not len(found):
            return found
        points, owners = _points(found)
        scale = after.shape[1] / found.frame.size[1]
        here = (points + 0.5) * scale - 0.5
        moved, is_sure = _followed(before, after, here.astype(np.float32))
        way = np.full((len(found), 2), np.nan, np.float32)
        for k in range(len(found)):
            of_instance = moved[is_sure & (owners == k)]
            if len(of_instance) >= FEWEST:
                way[k] = np.median(of_instance, axis=0) / scale
        return replace(found, moved=way)


def _small(image: npt.NDArray[np.uint8]) -> Gray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = math.sqrt(PIXELS / gray.size)
    if scale < 1:
        size = max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.uint8)


def _points(found: Instances) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(P, 2) pixels x, y on the masks, each once for an instance, and (P,) the instance of each."""
    is_on, rows, columns = at_cells(found.masks, boxes_xywh(found.masks), GRID)
    owners, i, j = np.nonzero(is_on)
    height, width = found.frame.size
    pixels = (rows[owners, i].astype(np.int64), columns[owners, j].astype(np.int64))
    once = np.unique(np.ravel_multi_index((owners, *pixels), (len(found), height, width)))
    owners, y, x = np.unravel_index(once, (len(found), height, width))
    return np.stack([x, y], 1), owners


def _followed(before: Gray, after: Gray, here: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(P, 2) how far points (P, 2) of a frame moved since the one before, and (P,) whether that is sure."""
    if not len(here):
        return here, np.zeros(0, np.bool_)
    there, is_found, _ = cv2.calcOpticalFlowPyrLK(after, before, here[:, None], None, **SEARCH)
    back, is_back, _ = cv2.calcOpticalFlowPyrLK(before, after, there, None, **SEARCH)
    off = np.abs(back[:, 0] - here).max(1)
    is_sure = (is_found[:, 0] > 0) & (is_back[:, 0] > 0) & (off < COMES_BACK)
    return here - there[:, 0], is_sure
