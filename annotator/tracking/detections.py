"""What association sees of the frames: boxes, coarse masks, scores and appearance as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import boxes_xywh, sample_grid
from annotator.tracking.arrays import Bools, Floats, Indices, any_by_group, expand_ranges
from annotator.tracking.overlap import CELL_CENTRES, GRID
from annotator.tracking.parameters import OCCLUSION

FRAMES_AT_ONCE = 16  # so that what is made of them stays in the processor's cache


@dataclass(frozen=True)
class Detections:
    """N instances that were found, most often those of a frame in the order of its `Instances`."""

    boxes_xyxy: Floats  # (N, 4) left, top, right, bottom of the mask, pixels
    mask_grids: Bools  # (N, GRID, GRID) the mask at the centres of GRID x GRID cells of its box
    scores: Floats  # (N,)
    category_ids: Indices  # (N,) person and rider, or car, truck and bus, may be taken for each other
    class_ids: Indices  # (N,) Cityscapes ids
    features: Floats  # (N, D) appearance, of length 1; D may be 0
    flow_velocity: (
        Floats  # (N, 2) x and y of the masks' pixels, by optical flow, pixels per step; nan = not known
    )
    occluded_sides: Bools  # (N, 4) sides of the box behind which the object may go on, or out of the frame

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def __getitem__(self, which: Indices | slice) -> Detections:
        return Detections(*(column[which] for column in self._columns))

    @classmethod
    def from_instances(cls, found: Instances, width: int) -> Detections:
        """Make detections of a frame's instances; appearance vectors of another length than `width` are zeros."""
        return cls.from_frames([found], width, [1.0])[0]

    @classmethod
    def from_frames(
        cls, frames: Sequence[Instances], width: int, elapsed: Sequence[float]
    ) -> list[Detections]:
        """Make detections of frames of one size.

        Args:
            frames: T of them, in order.
            width: length of appearance vectors; those of another length become zeros.
            elapsed: (T,) steps since the frame before; 0 where nothing goes on from it.
        """
        begins = range(0, len(frames), FRAMES_AT_ONCE)
        parts = (
            cls._from_few(frames[k : k + FRAMES_AT_ONCE], width, np.array(elapsed[k : k + FRAMES_AT_ONCE]))
            for k in begins
        )
        return [detections for part in parts for detections in part]

    @classmethod
    def _from_few(cls, frames: Sequence[Instances], width: int, elapsed: Floats) -> list[Detections]:
        counts = np.array([len(found) for found in frames])
        masks = [mask for found in frames for mask in found.masks]
        boxes_of_masks = boxes_xywh(masks)
        boxes = np.hstack([boxes_of_masks[:, :2], boxes_of_masks[:, :2] + boxes_of_masks[:, 2:]])
        grids, _, _ = sample_grid(masks, boxes_of_masks, GRID)
        classes = np.concatenate([found.class_ids for found in frames]).astype(np.intp)
        features = np.concatenate([_features_of_width(found, width) for found in frames])
        steps = np.repeat(np.where(elapsed == 0, np.nan, elapsed), counts)
        every = cls(
            boxes_xyxy=boxes,
            mask_grids=grids,
            scores=np.concatenate([found.scores for found in frames]).astype(np.float64),
            category_ids=np.array([BY_ID[k].category_id for k in classes.tolist()], np.intp),
            class_ids=classes,
            features=features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9),
            flow_velocity=np.concatenate([found.displacement for found in frames]) / steps[:, None],
            occluded_sides=_is_behind_others(boxes, grids, counts)
            | _is_at_border(boxes, frames[0].frame.size),
        )
        ends = np.cumsum(counts).tolist()
        return [every[end - n : end] for end, n in zip(ends, counts.tolist(), strict=True)]

    @property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.boxes_xyxy,
            self.mask_grids,
            self.scores,
            self.category_ids,
            self.class_ids,
            self.features,
            self.flow_velocity,
            self.occluded_sides,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """Put the detections of several frames, whose appearance vectors must be as long, one behind another."""
        return cls(
            *(np.concatenate(columns) for columns in zip(*(each._columns for each in parts), strict=True))
        )

    @classmethod
    def gather(cls, frames: Sequence[Detections], places: Sequence[tuple[int, int]]) -> Detections:
        """Pick detections by frame and position in the frame, one or more."""
        rows = zip(
            *([column[place] for column in frames[frame]._columns] for frame, place in places), strict=True
        )
        return cls(*(np.array(column) for column in rows))


def _features_of_width(found: Instances, width: int) -> Floats:
    has_width = found.features.shape[1] == width
    return found.features.astype(np.float64) if has_width else np.zeros((len(found.features), width))


def _is_behind_others(boxes: Floats, grids: Bools, counts: Indices) -> Bools:
    """(N, 4) whether half of what reaches a side, or more, touches something nearer: that goes further down.

    Of frames that show `counts` of the N each.
    """
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    behind, nearer = expand_ranges(begins, np.repeat(counts, counts))
    which = np.flatnonzero(_touch(boxes, behind, nearer) & (boxes[behind, 3] < boxes[nearer, 3]))
    behind, nearer = behind[which], nearer[which]
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    beside = [-OCCLUSION.reach, OCCLUSION.reach]
    points = np.empty((len(boxes), 4, GRID, 2))
    points[:, ::2, :, 1] = (boxes[:, 1, None] + CELL_CENTRES * extent[:, 1, None])[:, None]
    points[:, 1::2, :, 0] = (boxes[:, 0, None] + CELL_CENTRES * extent[:, 0, None])[:, None]
    points[:, ::2, :, 0] = (boxes[:, ::2] + beside)[..., None]
    points[:, 1::2, :, 1] = (boxes[:, 1::2] + beside)[..., None]
    reaching = np.stack(
        [grids[:, :, :2].any(2), grids[:, :2].any(1), grids[:, :, -2:].any(2), grids[:, -2:].any(1)], 1
    )
    cells = np.floor(
        (points[behind] - boxes[nearer, None, None, :2]) / extent[nearer, None, None] * GRID
    ).astype(np.intp)
    is_inside = ((cells >= 0) & (cells < GRID)).all(-1)
    column, row = np.clip(cells, 0, GRID - 1).transpose(3, 0, 1, 2)
    is_on = is_inside & grids[nearer[:, None, None], row, column]
    covered = any_by_group(behind, is_on, len(boxes)) & reaching
    return np.asarray(2 * covered.sum(2) >= np.maximum(reaching.sum(2), 1))


def _touch(boxes: Floats, one: Indices, other: Indices) -> Bools:
    """(K,) whether boxes come as near to each other as OCCLUSION.reach."""
    left, top, right, bottom = np.ascontiguousarray(boxes.T)  # which are looked up faster
    reach = OCCLUSION.reach
    across = (left[one] - reach < right[other]) & (right[one] + reach >= left[other])
    along = (top[one] - reach < bottom[other]) & (bottom[one] + reach >= top[other])
    return np.asarray(across & along)


def _is_at_border(boxes: Floats, size: tuple[int, int]) -> Bools:
    """(N, 4) whether a side is that of the frame."""
    height, width = size
    return np.hstack(
        [boxes[:, :2] < OCCLUSION.border, boxes[:, 2:] > np.array([width, height]) - OCCLUSION.border]
    )
