"""What a frame's maps say of each instance as a whole, in numbers: by them an instance head judges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from annotator.detection.appearance import STRIDE
from annotator.detection.clustering import Cluster
from annotator.frames import FrameRef
from annotator.masks import Rle, areas, boxes_xywh, intersections, iou, sample_pixels
from annotator.model.network import RawMaps

GRID = 24  # an instance is looked at in the centres of GRID x GRID cells of its box and what lies around
SPAN = 2.0  # boxes that these cells span along each axis
THIRDS = 3

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """The N instances that clustering found in a frame, before any is left out; in any order."""

    frame: FrameRef
    masks: list[Rle]
    channels: npt.NDArray[np.intp]  # (N,) seed map that each comes from
    scores: Wide  # (N,) of refinement
    clusters: list[Cluster]


@dataclass(frozen=True)
class _Samples:
    """Where instances are looked at: (N, GRID, GRID) each."""

    across: Wide  # (GRID,) centres of the cells, in boxes from the left or top of the box
    is_on: npt.NDArray[np.bool_]  # in the mask
    is_off: npt.NDArray[np.bool_]  # in the frame, but not in the mask
    rows: Wide  # of the processed image
    columns: Wide

    @classmethod
    def of(cls, found: Candidates, boxes: Wide, scale: Wide) -> _Samples:
        across = (np.arange(GRID) + 0.5) / GRID * SPAN - (SPAN - 1) / 2
        columns, rows = (boxes[:, axis, None] + across * boxes[:, 2 + axis, None] for axis in (0, 1))
        height, width = found.frame.size
        is_within = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
            :, None
        ]
        row, column = (
            np.clip(at, 0, most - 1).astype(np.int64) for at, most in ((rows, height), (columns, width))
        )
        is_on = sample_pixels(found.masks, row, column) & is_within
        shape = is_on.shape
        return cls(
            across,
            is_on,
            is_within & ~is_on,
            np.broadcast_to(((row + 0.5) * scale[0])[:, :, None], shape),
            np.broadcast_to(((column + 0.5) * scale[1])[:, None], shape),
        )

    def pixels(self, size: tuple[int, int], stride: int, every: int = 1) -> npt.NDArray[np.int64]:
        """(N, cells) pixels of maps of `size` (h, w), numbered along the rows, of every so many cells an axis."""
        row, column = (
            np.clip((at[:, ::every, ::every] / stride).astype(np.int64), 0, most - 1)
            for at, most in ((self.rows, size[0]), (self.columns, size[1]))
        )
        return (row * size[1] + column).reshape(len(row), -1)


def instance_features(
    found: Candidates, raw: Tensor, features: Tensor, maps: RawMaps
) -> npt.NDArray[np.float32]:
    """(N, F) float32: seed scores of all classes over and around each mask, the encoder's features, shape, rivals.

    `raw` (2 + S + C, h, w) are the frame's of `maps`, `features` (E, H / 8, W / 8) the encoder's;
    F = 11 * C + 2 * E + 35 with C classes.
    """
    spec, size = maps.spec, maps.size
    scale = np.array(size) / np.array(found.frame.size)
    boxes = boxes_xywh(found.masks)
    samples = _Samples.of(found, boxes, scale)
    parts: list[npt.NDArray[np.floating[Any]]] = [
        _of_seeds(samples, raw[2 + spec.n_sigma :], maps.stride),
        _of_encoder(samples, features),
        _of_shape(found, samples, boxes, scale, maps),
        _of_rivals(found, len(spec.class_ids)),
    ]
    return np.hstack([part.astype(np.float32) for part in parts])


def _of_seeds(samples: _Samples, logits: Tensor, stride: int) -> Floats:
    """(N, 9 * C) mean in the mask and the largest, means above, below, left, right, beside it, of its top and foot."""
    maps = logits.flatten(1).cpu().numpy()
    at = samples.pixels((logits.shape[-2], logits.shape[-1]), stride)
    with np.errstate(over="ignore"):  # a network may say anything
        seed = 1 / (1 + np.exp(-maps[:, at]))  # (C, N, cells)
    across = samples.across
    before, within, behind = across < 0, (across >= 0) & (across < 1), across >= 1
    everywhere = np.ones(GRID, np.bool_)
    around = [
        (before, everywhere),
        (behind, everywhere),
        (within, before),
        (within, behind),
        (within, within),
    ]
    on, off = samples.is_on, samples.is_off
    areas_ = [on, *(off & rows[:, None] & columns for rows, columns in around)]
    areas_ += [on & (within & (across < 1 / 3))[:, None], on & (within & (across >= 2 / 3))[:, None]]
    means = [_means(seed, area) for area in areas_]
    largest = (seed * on.reshape(len(on), -1)).max(2).T
    return np.hstack([means[0], largest, *means[1:]])


def _of_encoder(samples: _Samples, features: Tensor) -> Floats:
    """(N, 2 * E) means in the mask and around it, without what all of the frame have in common."""
    maps = features.flatten(1).float().cpu().numpy()
    maps = maps - maps.mean(1, keepdims=True)
    values = maps[:, samples.pixels((features.shape[-2], features.shape[-1]), STRIDE, every=2)]
    return np.hstack([_means(values, area[:, ::2, ::2]) for area in (samples.is_on, samples.is_off)])


def _means(values: Floats, area: npt.NDArray[np.bool_]) -> Floats:
    """(N, C) means of values (C, N, cells) over areas (N, rows, columns); 0 over none."""
    weights = area.reshape(len(area), -1).astype(np.float32)
    return (np.einsum("cnk,nk->cn", values, weights) / np.maximum(weights.sum(1), 1)).T


def _of_shape(found: Candidates, samples: _Samples, boxes: Wide, scale: Wide, maps: RawMaps) -> Wide:
    """(N, 31): size and place, nine parts of its box, how its cluster fits the mask, and the network's own scores."""
    size, grid = maps.size, maps.spec.grid
    left, top, width, height = (boxes * np.tile(scale[::-1], 2)).T
    frame_height, frame_width = found.frame.size
    pixels = areas(found.masks) * scale.prod()
    of_pixel = np.array([grid.extent_x / (grid.points_x - 1), grid.extent_y / (grid.points_y - 1)])
    sigma = np.array([each.sigma for each in found.clusters], np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        reach = np.log(np.sqrt(np.log(2) / sigma) / of_pixel / np.stack([width, height], 1))
    across, on = samples.across, samples.is_on
    count = np.maximum(on.sum((1, 2)), 1)
    mean_x, mean_y = (on.sum(1) @ across) / count, (on.sum(2) @ across) / count
    centre = np.array([each.centre for each in found.clusters], np.float64) / of_pixel
    away = (centre - np.stack([left, top], 1)) / np.stack([width, height], 1) - np.stack([mean_x, mean_y], 1)
    middle = (left + width / 2) / size[1]
    place = [middle, np.abs(middle - 0.5), (top + height / 2) / size[0], (top + height) / size[0]]
    ends = (boxes[:, 0] <= 1, boxes[:, 0] + boxes[:, 2] >= frame_width - 1)
    founding = np.array([each.score for each in found.clusters])
    return np.stack(
        [
            *(np.log(width), np.log(height), np.log(pixels), np.log(width / height)),
            *(pixels / (width * height), *place, *_known(reach, 4).T, *_known(away, 2).T, mean_x, mean_y),
            *(*ends, boxes[:, 1] + boxes[:, 3] >= frame_height - 1, *_occupancy(samples)),
            *(found.scores, founding, found.scores / np.maximum(founding, 1e-6)),
            np.log([len(each.pixels) * maps.stride**2 for each in found.clusters]),
        ],
        1,
    )


def _known(values: Wide, most: float) -> Wide:
    return np.clip(np.nan_to_num(values, nan=0, posinf=most, neginf=-most), -most, most)


def _occupancy(samples: _Samples) -> Wide:
    """(9, N) share of each ninth of the box that the mask fills."""
    inside = np.flatnonzero((samples.across >= 0) & (samples.across < 1))
    box = samples.is_on[:, inside[0] : inside[-1] + 1, inside[0] : inside[-1] + 1]
    of_third = len(inside) // THIRDS
    cells = box.reshape(len(box), THIRDS, of_third, THIRDS, of_third)
    return cells.mean((2, 4)).reshape(len(box), -1).T


def _of_rivals(found: Candidates, classes: int) -> Wide:
    """(N, 2 * C + 4): its seed map; by class the best other one in its place; how better ones and it overlap."""
    n = len(found.masks)
    overlap = iou(found.masks, found.masks)
    pixels = areas(found.masks)
    inside = intersections(found.masks, found.masks, pixels) / np.maximum(pixels, 1)[:, None]
    np.fill_diagonal(overlap, 0)
    np.fill_diagonal(inside, 0)
    is_better = found.scores[None] > found.scores[:, None]
    own = np.eye(classes)[found.channels]
    rivals = (
        (overlap[:, :, None] * (found.scores[:, None] * own)[None]).max(1) if n else np.zeros((0, classes))
    )
    overlaps = [(overlap * is_better), inside * is_better, inside.T * is_better, inside]
    return np.hstack([own, rivals, *(each.max(1, initial=0)[:, None] for each in overlaps)])
