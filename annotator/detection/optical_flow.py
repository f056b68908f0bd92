"""How far instances moved since the frame before, by the pixels on their masks.

Pixels are looked for far away and near by, as a large neighbour that moves carries a search from coarse to fine away
with it; an instance is given the motion by which both frames look more alike on its mask.

Sources: Lucas and Kanade, "An iterative image registration technique", 1981, in pyramids as in Bouguet, 2000; points
count that come back when they are followed the other way, as in Kalal et al., "Forward-backward error", ICPR 2010.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from annotator.instances import Instances
from annotator.masks import boxes_xywh, sample_grid

PIXELS = 384 * 192  # of the picture in which points are followed, at most
GRID = 8  # points of an instance: the centres of GRID x GRID cells of its box that are on its mask
FEWEST = 4  # points that say something
COMES_BACK = 1.0  # pixels from where it was
STOP = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03  # after so many steps, or at so many pixels
SEARCH: dict[str, Any] = {"winSize": (9, 9), "criteria": STOP}
LEVELS = (3, 0)  # of the pyramid: motion of about 9 * 2**level / 2 pixels is found
PATCH = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), -1).reshape(
    -1, 2
)  # around a point, x and y

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


class OpticalFlow:
    """Follows the pixels of a recording from frame to frame."""

    def __init__(self) -> None:
        self._before: Grey | None = None

    def update(self, image: torch.Tensor) -> None:
        """Take a frame (3, H, W), uint8 RGB, without instances."""
        self._before = small_grey(image)

    def with_displacement(self, image: torch.Tensor, found: Instances) -> Instances:
        """The instances of the next frame (3, H, W), uint8 RGB, with how far each moved since the last one."""
        before, after = self._before, small_grey(image)
        self._before = after
        return found if before is None else displaced(before, after, found)


def displaced(before: Grey, after: Grey, found: Instances) -> Instances:
    """The instances of a frame with how far each moved since the one before, given both as small pictures."""
    if before.shape != after.shape or not len(found):
        return found
    here, of_instance, scale = _points_within(after, found)
    ways = np.stack([_ways(before, after, here, of_instance, level) for level in LEVELS])
    unlike = [_unlike(before, after, here, of_instance, way) for way in ways]
    best = np.argmin(unlike, axis=0)
    return replace(found, displacement=ways[best, np.arange(len(found))] / scale)


def paths(pictures: Sequence[Grey], found: Instances) -> npt.NDArray[np.float64]:
    """(T, N, 2) how far the instances of the first of T small pictures have moved by each of them, in pixels x and y.

    An instance that is lost is nan from there on.
    """
    here, of_instance, scale = _points_within(pictures[0], found)
    at = np.zeros((len(pictures), len(found), 2))
    for k in range(1, len(pictures)):
        step = -_ways(pictures[k], pictures[k - 1], here, of_instance, LEVELS[0]).astype(np.float64)
        at[k] = at[k - 1] + step / scale
        for points, way in zip(of_instance, step, strict=True):
            if not np.isnan(way[0]):
                here[points] += way.astype(np.float32)
    return at


def _points_within(picture: Grey, found: Instances) -> tuple[Floats, list[Indices], float]:
    """Points (P, 2) on the masks in a small picture of their frame, which are of each, and its pixels per pixel."""
    points, owners = _points(found)
    scale = picture.shape[1] / found.frame.size[1]
    here = ((points + 0.5) * scale - 0.5).astype(np.float32)
    return here, [np.flatnonzero(owners == k) for k in range(len(found))], scale


def small_grey(image: torch.Tensor) -> Grey:
    """A frame (3, H, W), uint8 RGB, as the small picture that points are followed in."""
    grey = cv2.cvtColor(image.permute(1, 2, 0).cpu().numpy(), cv2.COLOR_RGB2GRAY)
    scale = math.sqrt(PIXELS / grey.size)
    if scale < 1:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _points(found: Instances) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(P, 2) pixels x, y on the masks, each once for an instance, and (P,) the instance of each."""
    is_on, rows, columns = sample_grid(found.masks, boxes_xywh(found.masks), GRID)
    owners, i, j = np.nonzero(is_on)
    height, width = found.frame.size
    pixels = (rows[owners, i].astype(np.int64), columns[owners, j].astype(np.int64))
    once = np.unique(np.ravel_multi_index((owners, *pixels), (len(found), height, width)))
    owners, y, x = np.unravel_index(once, (len(found), height, width))
    return np.stack([x, y], 1), owners


def _ways(before: Grey, after: Grey, here: Floats, of_instance: Sequence[Indices], level: int) -> Floats:
    """(N, 2) how far instances moved, given their points, (P, 2) of all and which are of each; nan = not known."""
    moved, is_sure = _followed(before, after, here, level)
    ways = np.full((len(of_instance), 2), np.nan, np.float32)
    for k, points in enumerate(of_instance):
        sure = points[is_sure[points]]
        if len(sure) >= FEWEST:
            ways[k] = np.median(moved[sure], axis=0)
    return ways


def _followed(before: Grey, after: Grey, here: Floats, level: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(P, 2) how far points (P, 2) of a frame moved since the one before, and (P,) whether that is sure."""
    if not len(here):
        return here, np.zeros(0, np.bool_)
    search = SEARCH | {"maxLevel": level}
    there, is_found, _ = cv2.calcOpticalFlowPyrLK(after, before, here[:, None], None, **search)
    back, is_back, _ = cv2.calcOpticalFlowPyrLK(before, after, there, None, **search)
    off = np.abs(back[:, 0] - here).max(1)
    is_sure = (is_found[:, 0] > 0) & (is_back[:, 0] > 0) & (off < COMES_BACK)
    return here - there[:, 0], is_sure


def _unlike(
    before: Grey, after: Grey, here: Floats, of_instance: Sequence[Indices], ways: Floats
) -> npt.NDArray[np.float64]:
    """(N,) median grey levels by which the patches around an instance's points differ from those it came from."""
    unlike = np.full(len(of_instance), np.inf)
    for k, points in enumerate(of_instance):
        if not np.isnan(ways[k, 0]):
            off = _patches(after, here[points]) - _patches(before, here[points] - ways[k])
            unlike[k] = np.median(np.abs(off).mean(1))
    return unlike


def _patches(grey: Grey, points: Floats) -> Floats:
    """(P, PATCH) grey levels around points (P, 2)."""
    at = (points[:, None] + PATCH).astype(np.float32)
    # Channels of `at` lie apart in memory, which OpenCV does not take.
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    return cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
