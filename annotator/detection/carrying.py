"""Masks carried to the frames between two that the network saw, by optical flow from both sides.

The same object is found where its mask, carried from the one frame to the other, lies over one of its class there.
Between, its outline goes from one to the other, and its place is what both flows say, each the more the nearer it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from annotator.detection.optical_flow import Grey, paths
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.interpolation import MaskInterpolator
from annotator.masks import Rle, boxes_xywh, decode_windows, empty, encode_window, iou

MIN_IOU = 0.3  # of a mask that was carried with the one that it is taken for

Floats = npt.NDArray[np.float64]


def carry(
    before: Instances, after: Instances, between: Sequence[FrameRef], pictures: Sequence[Grey]
) -> list[Instances]:
    """The instances of T frames between two that have been labelled; all of them are interpolated.

    `pictures` are the small ones of all T + 2 frames. Only what is in both frames is carried; where the size of frames
    changes none is.
    """
    if len({ref.size for ref in (before.frame, *between, after.frame)}) > 1:
        return []
    forwards, backwards = paths(pictures, before), paths(pictures[::-1], after)[::-1]
    pairs = _pairs(before, after, forwards[-1], backwards[0])
    interpolators = MaskInterpolator.from_pairs([(before.masks[i], after.masks[j]) for i, j in pairs])
    ways = [
        _Way(before, after, forwards[:, i], backwards[:, j], interpolator, i, j)
        for (i, j), interpolator in zip(pairs, interpolators, strict=True)
    ]
    return [_at(ref, k + 1, ways) for k, ref in enumerate(between)]


class _Way:
    """The way of an object from one frame to another."""

    def __init__(
        self,
        before: Instances,
        after: Instances,
        forwards: Floats,
        backwards: Floats,
        interpolator: MaskInterpolator,
        i: int,
        j: int,
    ) -> None:
        """Of instance `i` of a frame and `j` of another, with their paths (T + 2, 2) away from each."""
        shares = np.linspace(0, 1, len(forwards))[:, None]
        boxes = boxes_xywh([before.masks[i], after.masks[j]])
        whole = np.diff(boxes[:, :2] + boxes[:, 2:] / 2, axis=0)
        # Where a flow has lost the object, that side goes the straight way.
        off = np.where(np.isnan(forwards), 0, forwards - shares * whole) * (1 - shares)
        off += np.where(np.isnan(backwards), 0, backwards + (1 - shares) * whole) * shares
        self._interpolator, self._off = interpolator, off
        self._shares = shares[:, 0]
        self._places = shares * whole + off
        self._ends = (before, i), (after, j)

    def at(self, k: int) -> tuple[Rle, int, float, npt.NDArray[np.float16], Floats] | None:
        """Mask, class, score, appearance and displacement in frame `k`; None where nothing of it is in the frame."""
        share = float(self._shares[k])
        mask = self._interpolator.at(share, self._off[k])
        if mask is None:
            return None
        (before, i), (after, j) = self._ends
        nearest, place = self._ends[share > 0.5]
        score = (1 - share) * float(before.scores[i]) + share * float(after.scores[j])
        moved = self._places[k] - self._places[k - 1]
        return mask, int(nearest.class_ids[place]), score, nearest.features[place], moved


def _at(ref: FrameRef, k: int, ways: Sequence[_Way]) -> Instances:
    there = [each for each in (way.at(k) for way in ways) if each is not None]
    if not there:
        return Instances.of(ref)
    rles, class_ids, scores, features, moved = zip(*there, strict=True)
    return Instances.of(
        ref,
        rles,
        class_ids,
        scores,
        np.stack(features),
        interpolated=np.ones(len(rles), np.bool_),
        displacement=np.stack(moved),
    )


def _pairs(before: Instances, after: Instances, forwards: Floats, backwards: Floats) -> list[tuple[int, int]]:
    """Which instances of two frames are the same object, given how far each moves to the other: (N, 2), (M, 2)."""
    if not len(before) or not len(after):
        return []
    overlap = np.maximum(
        iou(_moved(before.masks, forwards), after.masks), iou(before.masks, _moved(after.masks, backwards))
    )
    overlap[before.class_ids[:, None] != after.class_ids] = 0
    matched = np.transpose(linear_sum_assignment(overlap, maximize=True)).tolist()
    return [(i, j) for i, j in matched if overlap[i, j] >= MIN_IOU]


def _moved(rles: Sequence[Rle], ways: Floats) -> list[Rle]:
    """Masks moved by pixels x and y (N, 2), as far as they stay in the frame; nan: not at all."""
    moved = []
    for rle, (window, top, left), way in zip(rles, decode_windows(rles), np.nan_to_num(ways), strict=True):
        height, width = rle["size"]
        across, down = np.rint(way).astype(int).tolist()
        top, left = top + down, left + across
        part = window[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
        kept = part.size > 0
        moved.append(
            encode_window(part, max(0, top), max(0, left), (height, width))
            if kept
            else empty((height, width))
        )
    return moved
