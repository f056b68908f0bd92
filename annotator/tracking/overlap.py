"""Sizes of boxes, and overlaps of boxes and of masks on grids, pair by pair."""

from __future__ import annotations

import numpy as np

from annotator.tracking.arrays import Bools, Floats, Indices
from annotator.tracking.parameters import OCCLUSION

GRID = 16  # a mask grid is the mask at the centres of GRID x GRID cells of its box
CELL_CENTRES = (np.arange(GRID) + 0.5) / GRID
THINNEST = np.array([0.6, 0.5])  # width of the height, height of the width


def sizes(boxes: Floats) -> Floats:
    """(N, 4) boxes -> (N, 4) what is large for each side: width or height, but no thin one counts as small."""
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)  # sides that are predicted may cross
    large = np.empty_like(boxes)
    large[:, :2] = large[:, 2:] = np.maximum(extent, extent[:, ::-1] * THINNEST)
    return large


def box_areas(boxes: Floats) -> Floats:
    """(N, 4) boxes -> (N,) at least 1."""
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 1).prod(1)


def box_iou(a: Floats, b: Floats) -> Floats:
    """IoU of (K, 4) boxes, pair by pair: (K,)."""
    extent = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.maximum(extent, 0).prod(1)
    return np.asarray(shared / (box_areas(a) + box_areas(b) - shared))


def grid_iou(a: Bools, b: Bools) -> Floats:
    """IoU of (K, GRID, GRID) mask grids, pair by pair, each stretched over its own box: (K,)."""
    return _count_cells(a & b) / np.maximum(_count_cells(a | b), 1)


def mask_iou(
    boxes: Floats,
    grids: Bools,
    occluded: Bools,
    other_boxes: Floats,
    other_grids: Bools,
    other_occluded: Bools,
) -> Floats:
    """IoU of K masks given as grids in boxes, pair by pair: (K,), as exact as the grid.

    What one shows behind a side at which the other is occluded, (K, 4) each, counts for OCCLUSION.pixel_weight.
    """
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    other_extent = np.maximum(other_boxes[:, 2:] - other_boxes[:, :2], 1)
    points = boxes[:, :2, None] + CELL_CENTRES * extent[:, :, None]
    other_points = other_boxes[:, :2, None] + CELL_CENTRES * other_extent[:, :, None]
    # The cells' centres of the first in cells of the second.
    cells = np.floor((points - other_boxes[:, :2, None]) / other_extent[:, :, None] * GRID).astype(np.intp)
    is_inside = (cells >= 0) & (cells < GRID)
    column, row = np.minimum(np.maximum(cells, 0), GRID - 1).transpose(1, 0, 2)
    of_row = (np.arange(len(boxes))[:, None] * GRID + row) * GRID
    both = other_grids.ravel().take(of_row[:, :, None] + column[:, None])
    both &= grids
    both &= is_inside[:, 1, :, None]
    both &= is_inside[:, 0, None]
    shared = _count_cells(both) * extent.prod(1)
    area = _weigh_cells(grids, points, other_boxes, other_occluded) * extent.prod(1)
    other_area = _weigh_cells(other_grids, other_points, boxes, occluded) * other_extent.prod(1)
    return np.asarray(shared / np.maximum(area + other_area - shared, GRID**2))


def _weigh_cells(grids: Bools, centres: Floats, boxes: Floats, occluded: Bools) -> Floats:
    """(K,) cells of grids, of centres x and y (K, 2, GRID); those behind an occluded side (K, 4) count for less."""
    low = np.where(occluded[:, :2], boxes[:, :2], -np.inf)[:, :, None]
    high = np.where(occluded[:, 2:], boxes[:, 2:], np.inf)[:, :, None]
    inside = (centres >= low) & (centres <= high)
    in_sight = _count_cells(grids & (inside[:, 1, :, None] & inside[:, 0, None]))
    return OCCLUSION.pixel_weight * _count_cells(grids) + (1 - OCCLUSION.pixel_weight) * in_sight


def _count_cells(grids: Bools) -> Indices:
    """(K,) how many of the cells of (K, GRID, GRID) grids are on."""
    eights = grids.reshape(len(grids), GRID**2).view(np.uint64)  # whose bits are counted faster
    return np.bitwise_count(eights).sum(1, dtype=np.intp)
