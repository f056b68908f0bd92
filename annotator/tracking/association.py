"""Instances -> tracks: frame by frame over the whole recording, one to one, by overlap of masks and motion.

Every frame's instances are assigned to the tracks alive twice: first by the overlap of their masks, which is
exact where things move little; what is left over by the overlap of boxes, moved on with the track's velocity,
which holds on to what is small or fast or was hidden for some frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import Rle, boxes_xywh, iou
from annotator.options import TrackingOptions
from annotator.store import Store

Floats = npt.NDArray[np.float64]

# A track without an instance for longer than both of these is over.
MAX_HIDDEN_S = 1.0
MAX_HIDDEN_FRAMES = 4  # from frame to frame, for image folders (a second each) and every N-th frame
VELOCITY_GAIN = 0.5  # share of the newest step in a track's velocity


@dataclass
class _Alive:
    """A track that may go on."""

    track_id: int
    category: str  # person and rider, or car, truck and bus, may be taken for each other
    mask: Rle
    box: Floats  # (4,) xywh, pixels
    velocity: Floats  # (2,) of the box's centre, pixels per second
    time_s: float

    def moved_to(self, time_s: float) -> Floats:
        """The box where the track should be by now, xywh."""
        shift = self.velocity * max(0.0, time_s - self.time_s)
        return self.box + np.array([*shift, 0, 0])

    def follow(self, mask: Rle, box: Floats, time_s: float) -> None:
        """Go on with an instance."""
        elapsed = time_s - self.time_s
        if elapsed > 0:
            step = (_centres(box[None]) - _centres(self.box[None]))[0] / elapsed
            self.velocity = (1 - VELOCITY_GAIN) * self.velocity + VELOCITY_GAIN * step
        self.mask, self.box, self.time_s = mask, box, time_s


def associate(store: Store, options: TrackingOptions) -> None:
    """Give every instance of a store its track. Ids count from 1 in order of appearance."""
    hidden_s = max(MAX_HIDDEN_S, MAX_HIDDEN_FRAMES * _usual_step_s(store.frames()))
    store.set_tracks(_assignments(store.instances(), options.min_iou, hidden_s))


def _usual_step_s(frames: Iterator[FrameRef]) -> float:
    """The median time from frame to frame; 0 where there are fewer than two."""
    times = np.fromiter((frame.time_s for frame in frames), np.float64)
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _assignments(
    frames: Iterator[Instances], min_iou: float, hidden_s: float
) -> Iterator[tuple[int, int, int]]:
    """(frame index, position in the frame, track id) of every instance."""
    alive: list[_Alive] = []
    born = 0
    for instances in frames:
        time_s = instances.frame.time_s
        alive = [
            # By the distance in time: where a clock jumps back, tracks end as well.
            track
            for track in alive
            if abs(time_s - track.time_s) <= hidden_s and _fits(track, instances)
        ]
        boxes = boxes_xywh(instances.masks)
        categories = [BY_ID[int(class_id)].category for class_id in instances.class_ids]
        is_new = np.ones(len(instances), bool)
        for position, track in _match(alive, instances, boxes, categories, time_s, min_iou).items():
            track.follow(instances.masks[position], boxes[position], time_s)
            is_new[position] = False
            yield instances.frame.index, position, track.track_id
        for position in np.flatnonzero(is_new).tolist():
            born += 1
            mask, box = instances.masks[position], boxes[position]
            alive.append(_Alive(born, categories[position], mask, box, np.zeros(2), time_s))
            yield instances.frame.index, position, born


def _fits(track: _Alive, instances: Instances) -> bool:
    """Whether a track's mask has the size of a frame: recordings may change it."""
    return tuple(track.mask["size"]) == instances.frame.size


def _match(
    alive: Sequence[_Alive],
    instances: Instances,
    boxes: Floats,
    categories: Sequence[str],
    time_s: float,
    min_iou: float,
) -> dict[int, _Alive]:
    """Position in the frame -> the track that goes on there."""
    if not alive or not len(instances):
        return {}
    allowed = np.array([[track.category == category for category in categories] for track in alive])
    matches: dict[int, _Alive] = {}
    by_mask = iou([track.mask for track in alive], instances.masks) * allowed
    for row, column in _assign(by_mask, min_iou):
        matches[column] = alive[row]
        allowed[row], allowed[:, column] = False, False
    moved = np.array([track.moved_to(time_s) for track in alive])
    by_box = _box_iou(moved, boxes) * allowed
    for row, column in _assign(by_box, min_iou):
        matches[column] = alive[row]
    return matches


def _assign(similarity: Floats, least: float) -> list[tuple[int, int]]:
    """One-to-one pairs of largest total similarity, each at least `least`."""
    rows, columns = linear_sum_assignment(np.where(similarity >= least, similarity, 0), maximize=True)
    return [
        (int(r), int(c)) for r, c in zip(rows, columns, strict=True) if similarity[r, c] >= max(least, 1e-9)
    ]


def _centres(boxes: Floats) -> Floats:
    """(N, 4) xywh -> (N, 2)."""
    return boxes[:, :2] + boxes[:, 2:] / 2


def _box_iou(a: Floats, b: Floats) -> Floats:
    """(N, 4), (M, 4) xywh -> (N, M) intersection over union."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    total = a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None] - shared
    return np.asarray(shared / np.maximum(total, 1e-9))
