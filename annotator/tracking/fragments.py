"""Merge fragments of one object in a frame, as behind a pole: a track takes those that make it whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from annotator.tracking.arrays import Bools, Floats
from annotator.tracking.detections import Detections
from annotator.tracking.overlap import box_areas, box_iou
from annotator.tracking.parameters import FRAGMENTS
from annotator.tracking.tracklets import DetectionIndex, Tracklet, merge_chains


def merge_by_fragments(
    tracklets: Sequence[Tracklet], frames: Sequence[Detections], times: Floats
) -> list[Tracklet]:
    """Merge tracklets where one ends and another begins with fragments of the same frames, at `times` (T,) in steps."""
    # Both have to show a frame, and FRAGMENTS.near more each.
    long = {number: track for number, track in enumerate(tracklets) if len(track) > FRAGMENTS.near}
    category = {number: _category(track, frames) for number, track in long.items()}
    beginning: defaultdict[tuple[int, int], list[int]] = defaultdict(list)  # by frame and category
    for number, track in long.items():
        beginning[track[0][0], category[number]].append(number)
    following: dict[int, int] = {}
    taken: set[int] = set()
    for a, track in long.items():
        end = track[-1][0]
        firsts = range(end - FRAGMENTS.max_gap + 1, end + 1)
        later = [b for first in firsts for b in beginning[first, category[a]] if b != a and b not in taken]
        ious = {b: _min_union_iou(track, long[b], frames, times) for b in later}
        best = max(ious, key=lambda b: ious[b], default=a)
        if ious.get(best, 0.0) > FRAGMENTS.min_iou:
            following[a] = best
            taken.add(best)
    return merge_chains(tracklets, following)


def _category(track: Tracklet, frames: Sequence[Detections]) -> int:
    frame, place = track[0]
    return int(frames[frame].category_ids[place])


def _min_union_iou(a: Tracklet, b: Tracklet, frames: Sequence[Detections], times: Floats) -> float:
    """The least IoU of a and b together with where their object should be, of the frames that show both."""
    one, other = dict(a[-FRAGMENTS.max_gap :]), dict(b[: FRAGMENTS.max_gap])
    if not one.keys() & other.keys():
        return 0.0
    near = FRAGMENTS.near
    before = [each for each in a if each[0] < b[0][0]][-near:]
    behind = [each for each in b if each[0] > a[-1][0]][:near]
    if len(before) < near or len(behind) < near:
        return 0.0
    whole = np.array([frames[frame].boxes_xyxy[place] for frame, place in before + behind])
    when = times[[frame for frame, _ in before + behind]]
    ious = []
    for frame in sorted(one.keys() & other.keys()):
        parts = frames[frame].boxes_xyxy[[one[frame], other[frame]]]
        gain, chosen = _best_union(parts[:0], parts, _extrapolate(when - times[frame], whole))
        ious.append(gain if len(chosen) == len(parts) else 0.0)
    return min(ious)


def attach_fragments(
    tracks: Sequence[Tracklet], frames: Sequence[Detections], times: Floats
) -> list[Tracklet]:
    """Attach stray detections to the tracks that they are parts of; a frame may come more than once in a track then."""
    solid = [list(track) for track in tracks if len(track) > FRAGMENTS.max_stray]
    in_solid = {each for track in solid for each in track}
    offers = [
        (gain, number, parts)
        for number, track in enumerate(solid)
        for gain, parts in _offers(track, frames, times, in_solid)
    ]
    taken: set[DetectionIndex] = set()
    for _, number, parts in sorted(offers, reverse=True):
        if taken.isdisjoint(parts):
            solid[number] += parts
            taken.update(parts)
    rest = [
        [each for each in track if each not in taken] for track in tracks if len(track) <= FRAGMENTS.max_stray
    ]
    return sorted([sorted(track) for track in solid] + [track for track in rest if track])


def _offers(
    track: Tracklet, frames: Sequence[Detections], times: Floats, in_solid: set[DetectionIndex]
) -> Iterator[tuple[float, tuple[DetectionIndex, ...]]]:
    """What fragments would do for a track where it is small, or misses a few frames."""
    shown = np.array([frame for frame, _ in track])
    boxes = np.array([frames[frame].boxes_xyxy[place] for frame, place in track])
    category = frames[shown[0]].category_ids[track[0][1]]
    is_small = _is_small(box_areas(boxes))
    short = np.flatnonzero((np.diff(shown) > 1) & (np.diff(shown) <= FRAGMENTS.max_gap + 1))
    missed = [frame for k in short.tolist() for frame in range(shown[k] + 1, shown[k + 1])]
    for frame in sorted(missed + shown[is_small].tolist()):
        seen = frames[frame]
        stray = [
            k for k in np.flatnonzero(seen.category_ids == category).tolist() if (frame, k) not in in_solid
        ]
        low, high = np.searchsorted(shown, [frame, frame + 1])
        before = [k for k in range(max(0, low - FRAGMENTS.context), low) if not is_small[k]]
        behind = [k for k in range(high, min(len(track), high + FRAGMENTS.context)) if not is_small[k]]
        if stray and before and behind and high - low <= 1:
            near = before[-FRAGMENTS.near :] + behind[: FRAGMENTS.near]
            place = _extrapolate(times[shown[near]] - times[frame], boxes[near])
            gain, chosen = _best_union(boxes[low:high], seen.boxes_xyxy[stray], place)
            if chosen:
                yield gain, tuple((frame, stray[k]) for k in chosen)


def _is_small(areas: Floats) -> Bools:
    """(N,) which of the areas along a track are small beside those around them."""
    context = FRAGMENTS.context
    around = np.arange(len(areas))[:, None] + np.delete(np.arange(-context, context + 1), context)
    is_there = (around >= 0) & (around < len(areas))
    near = np.where(is_there, areas[around.clip(0, len(areas) - 1)], np.nan)
    return areas < FRAGMENTS.small * np.nanmedian(near, 1)


def _best_union(own: Floats, parts: Floats, place: Floats) -> tuple[float, list[int]]:
    """What (K, 4) parts gain in IoU with a place (4,), joined to what is there (0 or 1, 4), and which of them do."""
    inside = np.hstack([np.maximum(parts[:, :2], place[:2]), np.minimum(parts[:, 2:], place[2:])])
    share = np.maximum(inside[:, 2:] - inside[:, :2], 0).prod(1) / box_areas(parts)
    free = np.flatnonzero(share > FRAGMENTS.inside).tolist()
    begun = iou = float(box_iou(own, place[None])[0]) if len(own) else 0.0
    box, chosen = own, list[int]()
    while free:
        both = [np.vstack([box, parts[k, None]]) for k in free]
        boxes = np.array([np.hstack([each[:, :2].min(0), each[:, 2:].max(0)]) for each in both])
        ious = box_iou(boxes, np.broadcast_to(place, boxes.shape))
        k = int(ious.argmax())
        if ious[k] < iou + FRAGMENTS.min_gain:
            break
        iou, box = float(ious[k]), boxes[k, None]
        chosen.append(free.pop(k))
    return (iou - begun, chosen) if iou > FRAGMENTS.min_iou else (0.0, [])


def _extrapolate(times: Floats, boxes: Floats) -> Floats:
    """(4,) box at time 0, by the straight line through (K, 4) at (K,) times that errs least."""
    if len(times) < 3 or np.ptp(times) == 0:
        return np.asarray(boxes.mean(0))
    return np.asarray(np.polynomial.polynomial.polyfit(times, boxes, 1)[0])
