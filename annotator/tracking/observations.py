"""What association sees of a frame: boxes, shapes and scores as arrays, and no masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import boxes_xywh, decode_windows

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

GRID = 16  # a shape is its mask at the centres of GRID x GRID cells of its box
CENTRES = (np.arange(GRID) + 0.5) / GRID


@dataclass(frozen=True)
class Observed:
    """The N instances of a frame, in the order of its `Instances`."""

    edges: Floats  # (N, 4) left, top, right, bottom of the mask, pixels
    shapes: Bools  # (N, GRID, GRID)
    scores: Floats  # (N,)
    categories: Indices  # (N,) person and rider, or car, truck and bus, may be taken for each other
    class_ids: Indices  # (N,) Cityscapes ids
    features: Floats  # (N, D) appearance, of length 1; D may be 0

    def __len__(self) -> int:
        return len(self.edges)

    @classmethod
    def of(cls, found: Instances, width: int) -> Observed:
        """What there is to see of instances; appearance vectors of another length than `width` are zeros."""
        boxes = boxes_xywh(found.masks)
        features = found.features.astype(np.float64)
        if features.shape[1] != width:
            features = np.zeros((len(found), width))
        length = np.linalg.norm(features, axis=1, keepdims=True)
        return cls(
            edges=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
            shapes=np.array(
                [_shape(window) for window, _, _ in decode_windows(found.masks)], np.bool_
            ).reshape(-1, GRID, GRID),
            scores=found.scores.astype(np.float64),
            categories=np.array([BY_ID[int(c)].category_id for c in found.class_ids], np.intp),
            class_ids=found.class_ids.astype(np.intp),
            features=features / np.maximum(length, 1e-9),
        )

    @property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (self.edges, self.shapes, self.scores, self.categories, self.class_ids, self.features)

    def only(self, which: Indices) -> Observed:
        """Some of the instances."""
        return Observed(*(column[which] for column in self._columns))

    def with_others(self, others: Observed) -> Observed:
        """These and others, whose appearance vectors must be as long."""
        pairs = zip(self._columns, others._columns, strict=True)
        return Observed(*(np.concatenate(pair) for pair in pairs))

    def put(self, which: Indices, others: Observed) -> None:
        """Replace some of them, in place."""
        for column, other in zip(self._columns, others._columns, strict=True):
            column[which] = other


def _shape(window: Bools) -> Bools:
    height, width = window.shape
    if not height:
        return np.zeros((GRID, GRID), np.bool_)
    return window[(CENTRES * height).astype(int)[:, None], (CENTRES * width).astype(int)]


def sizes(edges: Floats) -> Floats:
    """(N, 4) edges -> (N, 4) what is large for each of them: width or height, but no thin side counts as small."""
    width, height = np.maximum(edges[:, 2:] - edges[:, :2], 1).T  # edges that are predicted may cross
    across = np.maximum(width, 0.6 * height)
    along = np.maximum(height, 0.5 * width)
    return np.stack([across, along, across, along], 1)


def areas(edges: Floats) -> Floats:
    """(N, 4) edges -> (N,) of the boxes, at least 1."""
    return np.maximum(edges[:, 2:] - edges[:, :2], 1).prod(1)


def shape_overlap(a: Bools, b: Bools) -> Floats:
    """IoU of (K, GRID, GRID) shapes, pair by pair, each stretched over its own box: (K,)."""
    return (a & b).sum((1, 2)) / np.maximum((a | b).sum((1, 2)), 1)


def mask_overlap(edges: Floats, shapes: Bools, other_edges: Floats, other_shapes: Bools) -> Floats:
    """IoU of K masks given as shapes in boxes, pair by pair: (K,), as exact as the grid."""
    extent = np.maximum(edges[:, 2:] - edges[:, :2], 1)
    other_extent = np.maximum(other_edges[:, 2:] - other_edges[:, :2], 1)
    # The cells' centres of the first in cells of the second.
    points = edges[:, None, :2] + CENTRES[:, None] * extent[:, None]
    cells = np.floor((points - other_edges[:, None, :2]) / other_extent[:, None] * GRID).astype(np.intp)
    is_inside = (cells >= 0) & (cells < GRID)
    column, row = np.clip(cells, 0, GRID - 1).transpose(2, 0, 1)
    both = other_shapes[np.arange(len(edges))[:, None, None], row[:, :, None], column[:, None]]
    both &= is_inside[:, :, 1][:, :, None] & is_inside[:, :, 0][:, None] & shapes
    area, other_area = (
        shape.sum((1, 2)) * box.prod(1) / GRID**2
        for shape, box in ((shapes, extent), (other_shapes, other_extent))
    )
    shared = both.sum((1, 2)) * extent.prod(1) / GRID**2
    return np.asarray(shared / np.maximum(area + other_area - shared, 1))
