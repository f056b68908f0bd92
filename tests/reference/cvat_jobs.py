"""What CVAT does to tracks between an import and an export: its jobs, each with tracks of its own.

Read from CVAT's server (dataset_manager: annotation.py, task.py, bindings.py, formats/cvat.py; as of 2.54), and said
again with plain loops. In short:

* A task keeps nothing itself. An import into a task is cut into its jobs (`sliced`); each keeps its piece of a track
  as a track of its own, with the group and the attributes of the whole. Nothing closes a piece at the border.
* People edit jobs, not tasks. Groups are numbered in each job by itself, from the highest number there on.
* An export joins the jobs, one after the other (`merged`). Tracks that begin in the frames which a job shares with the
  one before are compared with those that are there: same label, and polygons that on average overlap by half. What
  meets becomes one track, with group and attributes of the earlier one. What doesn't meet, or has nothing to meet, is
  closed by a copy of its last keyframe, outside, behind the last frame of its job; without shared frames, all is.
* An export lists keyframes, and the frames between and behind them in which the object is seen (`listed`). What was in
  deleted frames counts for nothing, keyframes included.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from scipy.optimize import linear_sum_assignment

from tests.reference.cvat_interpolation import Point, between

ALIKE = 0.5  # how much tracks of two jobs must overlap to be one


@dataclass
class Keyframe:
    """A shape that somebody drew; outside: the object is no longer seen."""

    points: list[Point]
    outside: bool
    attributes: dict[str, str]
    z_order: int = 0


@dataclass
class Track:
    """An object, or a part of one, in one job."""

    label: str
    group: str  # "0" = none
    keyframes: dict[int, Keyframe]  # by frame
    job: int = 0


@dataclass
class Listed:
    """A shape of a track in one frame."""

    frame: int
    is_key: bool
    shape: Keyframe


@dataclass
class Jobs:
    """The jobs of a task: the frames of each, of which neighbours may share some."""

    frames: list[list[int]]
    overlap: int = 0  # frames that neighbours share
    step: int = field(default=1)

    @classmethod
    def of(cls, frames: list[int], segment_size: int, overlap: int) -> Jobs:
        """As CVAT makes them: shared frames are at most half of a job."""
        size = min(segment_size or len(frames), len(frames))
        overlap = min(overlap, size // 2)
        starts = range(0, max(len(frames) - overlap, 1), max(size - overlap, 1))
        step = frames[1] - frames[0] if len(frames) > 1 else 1
        return cls([frames[start : start + size] for start in starts], overlap, step)


def sliced(track: Track, job: int, jobs: Jobs) -> Track | None:
    """The piece of a track that a job keeps, None if there is none."""
    start, stop = jobs.frames[job][0], jobs.frames[job][-1]
    if not _reaches_into(track, start, stop):
        return None
    kept = _from_seen([Listed(frame, True, key) for frame, key in _keys(track) if start <= frame <= stop])
    if len(kept) < len(track.keyframes):
        shown = _from_seen([s for s in listed(track, stop + jobs.step, jobs.step) if s.frame >= start])
        if shown:
            if not shown[0].is_key:
                kept.insert(0, shown[0])
            last = shown[-1]
            is_end = last.is_key and last.shape.outside and last.frame > kept[-1].frame
            if is_end or (max(track.keyframes) >= stop and last.shape.points != kept[-1].shape.points):
                kept.append(last)
    if not kept:
        return None
    return replace(track, keyframes={each.frame: each.shape for each in kept}, job=job)


def merged(tracks: list[Track], jobs: Jobs) -> list[Track]:
    """The tracks of all jobs as an export has them."""
    found: list[Track] = []
    for job, frames in enumerate(jobs.frames):
        end = frames[0] + jobs.overlap * jobs.step  # of the frames that are shared with the job before
        come = [replace(track, keyframes=dict(track.keyframes)) for track in tracks if track.job == job]
        new = [track for track in come if min(track.keyframes) >= end]
        shared = [track for track in come if min(track.keyframes) < end]
        old = [track for track in found if _goes_on(track, frames[0])]
        pairs = _pairs(shared, old, frames[0], end, jobs.step) if job else {}
        for j, track in enumerate(old):
            if j not in pairs.values():
                _close(track, end)
                continue
            other = shared[next(i for i in pairs if pairs[i] == j)]
            if min(other.keyframes) >= min(track.keyframes):  # else CVAT loses the other one
                track.keyframes = dict(sorted((other.keyframes | track.keyframes).items()))
        found += new + [track for i, track in enumerate(shared) if i not in pairs]
    return found


def listed(track: Track, end: int, step: int, deleted: Container[int] = ()) -> list[Listed]:
    """What an export lists of a track, in frames before `end`."""
    found: list[Listed] = []
    before: tuple[int, Keyframe] | None = None
    for frame, key in _keys(track):
        if frame in deleted:
            continue
        if before is not None:
            first, shape = before
            key = replace(key, attributes=shape.attributes | key.attributes)
            for middle in range(first + step, frame, step) if not shape.outside else ():
                ring = between(shape.points, key.points, (middle - first) / (frame - first))
                found.append(Listed(middle, False, replace(shape, points=ring)))
        found.append(Listed(frame, True, key))
        before = frame, key
    if before is not None and not before[1].outside:
        found += [Listed(frame, False, before[1]) for frame in range(before[0] + step, end, step)]
    return [each for each in found if each.frame < end and each.frame not in deleted]


def _keys(track: Track) -> list[tuple[int, Keyframe]]:
    return sorted(track.keyframes.items())


def _from_seen(shapes: list[Listed]) -> list[Listed]:
    """Without those before the object is seen first."""
    for place, each in enumerate(shapes):
        if not each.shape.outside:
            return shapes[place:]
    return []


def _reaches_into(track: Track, start: int, stop: int) -> bool:
    """Whether the object may be seen in a job; its end, outside in the first frame of it, doesn't count."""
    before: tuple[int, Keyframe] | None = None
    for frame, key in _keys(track):
        is_end = frame == start and key.outside
        if before and not is_end and not before[1].outside and max(before[0], start) <= min(frame, stop):
            return True
        before = frame, key
    return before is not None and not before[1].outside and before[0] <= stop


def _goes_on(track: Track, start: int) -> bool:
    last, key = _keys(track)[-1]
    return last >= start or not key.outside


def _close(track: Track, frame: int) -> None:
    _, key = _keys(track)[-1]
    if not key.outside:
        track.keyframes[frame] = replace(key, outside=True)


def _pairs(new: list[Track], old: list[Track], start: int, end: int, step: int) -> dict[int, int]:
    """Which of the old ones each new track is, by places."""
    if not new or not old:
        return {}
    alike = np.array([[_alike(one, other, start, end, step) for other in old] for one in new])
    rows, columns = linear_sum_assignment(1 - alike)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if 1 - alike[i, j] <= ALIKE}


def _alike(one: Track, other: Track, start: int, end: int, step: int) -> float:
    """How alike two tracks are in the frames that their jobs share, from 0 to 1."""
    if one.label != other.label:
        return 0
    ours, theirs = ({each.frame: each.shape for each in listed(t, end, step)} for t in (one, other))
    frames = [frame for frame in range(start, end, step) if frame in ours or frame in theirs]
    total = 0.0
    for frame in frames:
        if frame in ours and frame in theirs and ours[frame].outside == theirs[frame].outside:
            total += _overlap(ours[frame].points, theirs[frame].points)
    return total / len(frames) if frames else 0


def _overlap(one: list[Point], other: list[Point]) -> float:
    """IoU of two polygons; one that crosses itself is like nothing."""
    first, second = shapely.Polygon(one), shapely.Polygon(other)
    if not (first.is_valid and second.is_valid and first.area and second.area):
        return 0
    shared = float(first.intersection(second).area)
    return shared / (first.area + second.area - shared)
