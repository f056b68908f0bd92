"""What association sees of a frame: boxes, shapes and scores as arrays, and no masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import at_cells, boxes_xywh

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

GRID = 16  # a shape is its mask at the centres of GRID x GRID cells of its box
AT_ONCE = 16  # frames, so that what is made of them stays in the processor's cache
BESIDE = 3.0  # pixels behind an edge in which another object hides it
BORDER = 2.0  # pixels from the edge of the frame
CENTRES = (np.arange(GRID) + 0.5) / GRID
OUT_OF_SIGHT = 0.5  # what a pixel counts for that one mask shows and another doesn't, as something hides it
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
    def of(cls, found: Instances, width: int) -> Observed:
        """What there is to see of a frame's instances; appearance vectors of another length than `width` are zeros."""
        return cls.of_frames([found], width, [1.0])[0]

    @classmethod
    def of_frames(cls, frames: Sequence[Instances], width: int, passed: Sequence[float]) -> list[Observed]:
        """`of` of frames of one size, `passed` ticks since the frame before; 0 where nothing goes on from it."""
        begins = range(0, len(frames), AT_ONCE)
        parts = (
            cls._of_few(frames[k : k + AT_ONCE], width, np.array(passed[k : k + AT_ONCE])) for k in begins
        )
        return [seen for part in parts for seen in part]

    @classmethod
    def _of_few(cls, frames: Sequence[Instances], width: int, passed: Floats) -> list[Observed]:
        counts = np.array([len(found) for found in frames])
        masks = [mask for found in frames for mask in found.masks]
        boxes = boxes_xywh(masks)
        edges = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        shapes, _, _ = at_cells(masks, boxes, GRID)
        classes = np.concatenate([found.class_ids for found in frames]).astype(np.intp)
        features = np.concatenate([_of_width(found.features, width) for found in frames])
        ticks = np.repeat(np.where(passed == 0, np.nan, passed), counts)
        every = cls(
            edges=edges,
            shapes=shapes,
            scores=np.concatenate([found.scores for found in frames]).astype(np.float64),
            categories=np.array([BY_ID[k].category_id for k in classes.tolist()], np.intp),
            class_ids=classes,
            features=features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9),
            velocity=np.concatenate([found.moved for found in frames]) / ticks[:, None],
            hidden=_behind_others(edges, shapes, counts) | _at_border(edges, frames[0].frame.size),
        )
        ends = np.cumsum(counts).tolist()
        return [every.only(slice(end - n, end)) for end, n in zip(ends, counts.tolist(), strict=True)]

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

    def only(self, which: Indices | slice) -> Observed:
        """Some of the instances."""
        return Observed(*(column[which] for column in self._columns))

    @classmethod
    def concatenated(cls, parts: Sequence[Observed]) -> Observed:
        """The instances of several frames, whose appearance vectors must be as long."""
        return cls(
            *(np.concatenate(columns) for columns in zip(*(each._columns for each in parts), strict=True))
        )


def _of_width(features: npt.NDArray[np.float16], width: int) -> Floats:
    return features.astype(np.float64) if features.shape[1] == width else np.zeros((len(features), width))


def _behind_others(edges: Floats, shapes: Bools, counts: Indices) -> Bools:
    """(N, 4) whether half of what reaches an edge, or more, touches something nearer: that goes further down.

    Of frames that show `counts` of the N each.
    """
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    behind, nearer = spread_out(begins, np.repeat(counts, counts))
    which = np.flatnonzero(_touch(edges, behind, nearer) & (edges[behind, 3] < edges[nearer, 3]))
    behind, nearer = behind[which], nearer[which]
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
    covered = any_of(behind, is_inside & shapes[nearer[:, None, None], row, column], len(edges)) & reaching
    return np.asarray(2 * covered.sum(2) >= np.maximum(reaching.sum(2), 1))


def _touch(edges: Floats, one: Indices, other: Indices) -> Bools:
    """(K,) whether boxes come as near to each other as BESIDE."""
    left, top, right, bottom = np.ascontiguousarray(edges.T)  # which are looked up faster
    across = (left[one] - BESIDE < right[other]) & (right[one] + BESIDE >= left[other])
    along = (top[one] - BESIDE < bottom[other]) & (bottom[one] + BESIDE >= top[other])
    return np.asarray(across & along)


def spread_out(begins: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Ranges of `counts` numbers from `begins`, one after another: which range each number is of, and the numbers."""
    of = np.repeat(np.arange(len(counts)), counts)
    return of, np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + begins[of]


def any_of(of: Indices, values: Bools, count: int) -> Bools:
    """(count, ...) whether any of the values (K, ...) of each is true, given which each is of (K,), ascending."""
    found = np.zeros((count, *values.shape[1:]), np.bool_)
    begins = np.flatnonzero(np.diff(of, prepend=-1))
    if len(begins):
        found[of[begins]] = np.logical_or.reduceat(values, begins)
    return found


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
    return _cells(a & b) / np.maximum(_cells(a | b), 1)


def mask_overlap(
    edges: Floats,
    shapes: Bools,
    hidden: Bools,
    other_edges: Floats,
    other_shapes: Bools,
    other_hidden: Bools,
) -> Floats:
    """IoU of K masks given as shapes in boxes, pair by pair: (K,), as exact as the grid.

    What one shows behind an edge at which the other is hidden, (K, 4) each, counts for OUT_OF_SIGHT of a pixel.
    """
    extent = np.maximum(edges[:, 2:] - edges[:, :2], 1)
    other_extent = np.maximum(other_edges[:, 2:] - other_edges[:, :2], 1)
    points = edges[:, :2, None] + CENTRES * extent[:, :, None]
    other_points = other_edges[:, :2, None] + CENTRES * other_extent[:, :, None]
    # The cells' centres of the first in cells of the second.
    cells = np.floor((points - other_edges[:, :2, None]) / other_extent[:, :, None] * GRID).astype(np.intp)
    is_inside = (cells >= 0) & (cells < GRID)
    column, row = np.minimum(np.maximum(cells, 0), GRID - 1).transpose(1, 0, 2)
    of_row = (np.arange(len(edges))[:, None] * GRID + row) * GRID
    both = other_shapes.ravel().take(of_row[:, :, None] + column[:, None])
    both &= shapes
    both &= is_inside[:, 1, :, None]
    both &= is_inside[:, 0, None]
    shared = _cells(both) * extent.prod(1)
    area = _counted(shapes, points, other_edges, other_hidden) * extent.prod(1)
    other_area = _counted(other_shapes, other_points, edges, hidden) * other_extent.prod(1)
    return np.asarray(shared / np.maximum(area + other_area - shared, GRID**2))


def _counted(shapes: Bools, centres: Floats, edges: Floats, hidden: Bools) -> Floats:
    """(K,) cells of shapes, of centres x and y (K, 2, GRID); those behind a hidden edge (K, 4) count for less."""
    low = np.where(hidden[:, :2], edges[:, :2], -np.inf)[:, :, None]
    high = np.where(hidden[:, 2:], edges[:, 2:], np.inf)[:, :, None]
    inside = (centres >= low) & (centres <= high)
    in_sight = _cells(shapes & (inside[:, 1, :, None] & inside[:, 0, None]))
    return OUT_OF_SIGHT * _cells(shapes) + (1 - OUT_OF_SIGHT) * in_sight


def _cells(shapes: Bools) -> Indices:
    """(K,) how many of the cells of (K, GRID, GRID) shapes are on."""
    eights = shapes.reshape(len(shapes), GRID**2).view(np.uint64)  # whose bits are counted faster
    return np.bitwise_count(eights).sum(1, dtype=np.intp)
