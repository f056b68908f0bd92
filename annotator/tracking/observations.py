"""What association sees of a frame: boxes, shapes and scores as arrays, and no masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import at_pixels, boxes_xywh

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

GRID = 16  # a shape is its mask at the centres of GRID x GRID cells of its box
BESIDE = 3.0  # pixels behind an edge in which another object hides it
BORDER = 2.0  # pixels from the edge of the frame
CENTRES = (np.arange(GRID) + 0.5) / GRID
THINNEST = np.array([0.6, 0.5])  # width of the height, height of the width


@dataclass(frozen=True)
class Observed:
    """The N instances of a frame, in the order of its `Instances`."""

    edges: Floats  # (N, 4) left, top, right, bottom of the mask, pixels
    shapes: Bools  # (N, GRID, GRID)
    scores: Floats  # (N,)
    categories: Indices  # (N,) person and rider, or car, truck and bus, may be taken for each other
    class_ids: Indices  # (N,) Cityscapes ids
    features: Floats  # (N, D) appearance, of length 1; D may be 0
    velocity: Floats  # (N, 2) of the pixels on the masks, x and y, pixels per tick; nan = not known
    hidden: Bools  # (N, 4) edges behind which the object may go on: behind a nearer one, or out of the frame

    def __len__(self) -> int:
        return len(self.edges)

    @classmethod
    def of(cls, found: Instances, width: int, passed: float = 1.0) -> Observed:
        """What there is to see of instances; appearance vectors of another length than `width` are zeros.

        `passed` ticks since the frame before; 0 where nothing goes on from it.
        """
        boxes = boxes_xywh(found.masks)
        features = found.features.astype(np.float64)
        if features.shape[1] != width:
            features = np.zeros((len(found), width))
        length = np.linalg.norm(features, axis=1, keepdims=True)
        edges = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        columns, rows = (boxes[:, axis, None] + CENTRES * boxes[:, 2 + axis, None] for axis in (0, 1))
        shapes = at_pixels(found.masks, rows.astype(np.int64), columns.astype(np.int64))
        return cls(
            edges=edges,
            shapes=shapes,
            scores=found.scores.astype(np.float64),
            categories=np.array([BY_ID[int(c)].category_id for c in found.class_ids], np.intp),
            class_ids=found.class_ids.astype(np.intp),
            features=features / np.maximum(length, 1e-9),
            velocity=found.moved.astype(np.float64) / (passed or np.nan),
            hidden=_behind_others(edges, shapes) | _at_border(edges, found.frame.size),
        )

    @property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.edges,
            self.shapes,
            self.scores,
            self.categories,
            self.class_ids,
            self.features,
            self.velocity,
            self.hidden,
        )

    def only(self, which: Indices) -> Observed:
        """Some of the instances."""
        return Observed(*(column[which] for column in self._columns))

    @classmethod
    def concatenated(cls, parts: Sequence[Observed]) -> Observed:
        """The instances of several frames, whose appearance vectors must be as long."""
        return cls(
            *(np.concatenate(columns) for columns in zip(*(each._columns for each in parts), strict=True))
        )


def _behind_others(edges: Floats, shapes: Bools) -> Bools:
    """(N, 4) whether half of what reaches an edge, or more, touches something nearer: that goes further down."""
    behind, nearer = np.nonzero(_touch(edges) & (edges[:, None, 3] < edges[None, :, 3]))
    extent = np.maximum(edges[:, 2:] - edges[:, :2], 1)
    points = np.empty((len(edges), 4, GRID, 2))  # beside the edges
    points[:, ::2, :, 1] = (edges[:, 1, None] + CENTRES * extent[:, 1, None])[:, None]
    points[:, 1::2, :, 0] = (edges[:, 0, None] + CENTRES * extent[:, 0, None])[:, None]
    points[:, ::2, :, 0] = (edges[:, ::2] + [-BESIDE, BESIDE])[..., None]
    points[:, 1::2, :, 1] = (edges[:, 1::2] + [-BESIDE, BESIDE])[..., None]
    reaching = np.stack(
        [shapes[:, :, :2].any(2), shapes[:, :2].any(1), shapes[:, :, -2:].any(2), shapes[:, -2:].any(1)], 1
    )
    cells = np.floor(
        (points[behind] - edges[nearer, None, None, :2]) / extent[nearer, None, None] * GRID
    ).astype(np.intp)
    is_inside = ((cells >= 0) & (cells < GRID)).all(-1)
    column, row = np.clip(cells, 0, GRID - 1).transpose(3, 0, 1, 2)
    covered = np.zeros_like(reaching)
    np.logical_or.at(covered, behind, is_inside & shapes[nearer[:, None, None], row, column])
    covered &= reaching
    return np.asarray(2 * covered.sum(2) >= np.maximum(reaching.sum(2), 1))


def _touch(edges: Floats) -> Bools:
    """(N, N) whether boxes come as near to each other as BESIDE."""
    left, top, right, bottom = edges.T
    across = (left[:, None] - BESIDE < right) & (right[:, None] + BESIDE >= left)
    along = (top[:, None] - BESIDE < bottom) & (bottom[:, None] + BESIDE >= top)
    return np.asarray(across & along)


def _at_border(edges: Floats, size: tuple[int, int]) -> Bools:
    """(N, 4) whether an edge is that of the frame."""
    height, width = size
    return np.hstack([edges[:, :2] < BORDER, edges[:, 2:] > np.array([width, height]) - BORDER])


def sizes(edges: Floats) -> Floats:
    """(N, 4) edges -> (N, 4) what is large for each of them: width or height, but no thin side counts as small."""
    extent = np.maximum(edges[:, 2:] - edges[:, :2], 1)  # edges that are predicted may cross
    large = np.empty_like(edges)
    large[:, :2] = large[:, 2:] = np.maximum(extent, extent[:, ::-1] * THINNEST)
    return large


def areas(edges: Floats) -> Floats:
    """(N, 4) edges -> (N,) of the boxes, at least 1."""
    return np.maximum(edges[:, 2:] - edges[:, :2], 1).prod(1)


def box_overlap(a: Floats, b: Floats) -> Floats:
    """IoU of boxes given by (K, 4) edges, pair by pair: (K,)."""
    extent = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.maximum(extent, 0).prod(1)
    return np.asarray(shared / (areas(a) + areas(b) - shared))


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
