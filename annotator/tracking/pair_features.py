"""Features of pairs of tracklets, by which boosted trees say whether the two are one object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotator.tracking.arrays import Floats, Indices, any_by_group, expand_ranges
from annotator.tracking.detections import Detections
from annotator.tracking.endpoints import Endpoints
from annotator.tracking.overlap import CELL_CENTRES, GRID, box_iou, grid_iou, sizes
from annotator.tracking.parameters import ENDPOINTS, LINKING

COUNT = 32  # of features


def pair_features(
    before: Endpoints,
    after: Endpoints,
    first: Indices,
    second: Indices,
    distance: Floats,
    determinant: Floats,
    occluded: Floats,
) -> Floats:
    """(K, COUNT) features of pairs, in sizes of the objects and steps, whatever the resolution.

    Args:
        before: ends of the tracklets that come first.
        after: beginnings of those that come second.
        first: (K,) of `before`.
        second: (K,) of `after`.
        distance: (K, 4) of `mahalanobis`.
        determinant: (K, 4) of `mahalanobis`.
        occluded: (K,) of `OcclusionAlongPath`.
    """
    gap = (after.times[second] - before.times[first])[:, None]
    a, b = before.state[first], after.state[second]
    size = sizes((a.boxes_xyxy + b.boxes_xyxy) / 2)
    # Where each says the object was in the middle of the gap.
    of_a, of_b = a.boxes_xyxy + a.velocity * gap / 2, b.boxes_xyxy - b.velocity * gap / 2
    away = np.abs(of_b - of_a + np.roll(of_b - of_a, 2, axis=1)) / 2 / size
    seen_a, seen_b = before.seen.boxes_xyxy[first], after.seen.boxes_xyxy[second]
    growth = np.log(
        np.maximum(seen_b[:, 2:] - seen_b[:, :2], 1) / np.maximum(seen_a[:, 2:] - seen_a[:, :2], 1)
    )
    missed = np.maximum(after.frames[second] - before.frames[first] - 1, 0)
    off = np.log1p(distance / LINKING.degrees_of_freedom)
    columns = (
        off,
        off.mean(1),
        np.log(determinant / size**4).mean(1),
        grid_iou(before.seen.mask_grids[first], after.seen.mask_grids[second]),
        gap,
        np.minimum(before.lengths[first], ENDPOINTS.long),
        np.minimum(after.lengths[second], ENDPOINTS.long),
        box_iou(of_a, of_b),
        away[:, :2],
        np.abs(of_b - of_a)[:, 3] / size[:, 3],
        np.abs(b.velocity - a.velocity) / size,
        growth,
        before.seen.occluded_sides[first],
        after.seen.occluded_sides[second],
        a.velocity[:, ::2].mean(1) / size[:, 0],
        b.velocity[:, ::2].mean(1) / size[:, 0],
        occluded,
        (1 - occluded) * missed,
    )
    return np.column_stack(columns)


class OcclusionAlongPath:
    """What others cover of the path from one place to another, in the frames between."""

    def __init__(self, frames: Sequence[Detections]) -> None:
        self._boxes = np.concatenate([each.boxes_xyxy for each in frames])
        self._boxes_apart = np.ascontiguousarray(self._boxes.T)  # which are looked up faster
        self._grids = np.concatenate([each.mask_grids for each in frames])
        self._begins = np.concatenate([[0], np.cumsum([len(each) for each in frames])])

    def mean_share(self, before: Endpoints, after: Endpoints, first: Indices, second: Indices) -> Floats:
        """(K,) mean share of the box on its straight path that others' masks cover; 0 without frames between."""
        begin, end = before.frames[first], after.frames[second]
        looks = np.clip(end - begin - 1, 0, ENDPOINTS.max_looks)
        pair, look = expand_ranges(np.zeros(len(looks), np.intp), looks)
        frame = begin[pair] + 1 + (2 * look + 1) * (end - begin - 1)[pair] // (2 * looks[pair])
        share = ((frame - begin[pair]) / (end - begin)[pair])[:, None]
        box = before.seen.boxes_xyxy[first][pair] * (1 - share) + after.seen.boxes_xyxy[second][pair] * share
        return np.bincount(pair, self._shares(box, frame), len(first)) / np.maximum(looks, 1)

    def _shares(self, boxes: Floats, frames: Indices) -> Floats:
        """(M,) share of boxes (M, 4) that is covered in frames (M,)."""
        row, other = expand_ranges(self._begins[frames], np.diff(self._begins)[frames])
        left, top, right, bottom = self._boxes_apart
        meets = (left[other] < boxes[row, 2]) & (boxes[row, 0] < right[other])
        meets &= (top[other] < boxes[row, 3]) & (boxes[row, 1] < bottom[other])
        row, other = row[meets], other[meets]
        box, others = boxes[row], self._boxes[other]
        extent = np.maximum(others[:, 2:] - others[:, :2], 1)
        points = box[:, None, :2] + CELL_CENTRES[::2, None] * (box[:, None, 2:] - box[:, None, :2])
        cells = np.floor((points - others[:, None, :2]) / extent[:, None] * GRID).astype(np.intp)
        is_inside = (cells >= 0) & (cells < GRID)
        x, y = np.clip(cells, 0, GRID - 1).transpose(2, 0, 1)
        is_covered = self._grids[other[:, None, None], y[:, :, None], x[:, None]]
        is_covered &= is_inside[:, :, 1][:, :, None] & is_inside[:, :, 0][:, None]
        return np.asarray(any_by_group(row, is_covered, len(boxes)).mean((1, 2)))
