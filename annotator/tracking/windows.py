"""Track a recording of any length in constant memory: window by window, joined where windows overlap.

Frames come and go in order. Windows begin at fixed frames of the recording, so how detection was cut into batches or
runs makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from annotator.instances import Instances
from annotator.tracking.arrays import Floats
from annotator.tracking.detections import Detections
from annotator.tracking.parameters import WINDOWS
from annotator.tracking.sequence import SequenceTracker
from annotator.tracking.times import with_moments
from annotator.tracking.tracklets import Tracklet

Ids = npt.NDArray[np.int64]  # (N,) provisional track id of each instance of a frame, from 1; 0 = none


@dataclass
class TimedFrame:
    """A frame on its way through association."""

    found: Instances
    time: float  # steps
    is_first: bool  # of a sequence: nothing goes on from the frame before
    elapsed: float  # steps since the frame before; 0 for the first
    ids: Ids = field(default_factory=lambda: np.zeros(0, np.int64))


def with_times(frames: Iterable[Instances], step_s: float, evenly: bool = False) -> Iterator[TimedFrame]:
    """Give frames their time in steps; a new sequence begins where the size changes or another clock begins."""
    size, time_s = None, 0.0
    for found, moment in with_moments(frames, lambda found: found.frame, evenly):
        is_first = moment.is_first or found.frame.size != size
        elapsed = 0.0 if is_first else (moment.time_s - time_s) / step_s
        size, time_s = found.frame.size, moment.time_s
        yield TimedFrame(found, time_s / step_s, is_first, elapsed)


def with_provisional_ids(frames: Iterable[TimedFrame], tracker: SequenceTracker) -> Iterator[TimedFrame]:
    """Give instances provisional track ids; one is never used for another object."""
    window: list[TimedFrame] = []
    done, used = 0, 0  # frames of the window that need no ids any more; ids
    for frame in frames:
        if frame.is_first and window:
            _identify(window, used, tracker)
            used = _max_id(window, used)
            yield from window[done:]
            window, done = [], 0
        window.append(frame)
        if len(window) >= WINDOWS.length and len(window) >= 2 * (
            overlap := _overlap(window, tracker.max_gap)
        ):
            _identify(window, used, tracker)
            used = _max_id(window, used)
            middle = len(window) - overlap // 2
            yield from map(
                replace, window[done:middle]
            )  # copies: the next window identifies these frames anew
            window, done = window[-overlap:], overlap - overlap // 2
    if window:
        _identify(window, used, tracker)
        yield from window[done:]


def _overlap(window: Sequence[TimedFrame], max_gap: float) -> int:
    """How many frames of a window the next one must begin with, for a gap of `max_gap` steps to be bridged."""
    last = window[-1].time
    in_gap = sum(1 for _ in takewhile(lambda frame: last - frame.time <= max_gap, reversed(window)))
    return max(WINDOWS.overlap, in_gap + WINDOWS.beside_gap)


def _max_id(window: Sequence[TimedFrame], used: int) -> int:
    return max([used, *(int(frame.ids.max(initial=0)) for frame in window)])


def _identify(window: Sequence[TimedFrame], used: int, tracker: SequenceTracker) -> None:
    """Give ids to the tracks of a window: as before where they go on, else numbers above `used`."""
    times = np.array([frame.time for frame in window])
    tracks = tracker.track(_detections(window), times)
    ids = _known_ids(window, tracks)
    for track in tracks:
        if not ids[id(track)]:
            used += 1
            ids[id(track)] = used
    for frame in window:
        frame.ids = np.zeros(len(frame.found), np.int64)
    for track in tracks:
        for k, place in track:
            window[k].ids[place] = ids[id(track)]


def _detections(window: Sequence[TimedFrame]) -> list[Detections]:
    width = max(frame.found.features.shape[1] for frame in window)
    return Detections.from_frames(
        [frame.found for frame in window], width, [frame.elapsed for frame in window]
    )


def _known_ids(window: Sequence[TimedFrame], tracks: Sequence[Tracklet]) -> dict[int, int]:
    """The id that each track had in the window before, by most common instances, one to one; 0 for new ones."""
    ids = {id(track): 0 for track in tracks}
    before = [frame.ids for frame in window]
    old = np.unique(np.concatenate(before))
    old = old[old > 0]
    if not len(old) or not tracks:
        return ids
    shared: Floats = np.zeros((len(tracks), len(old)))
    for row, track in enumerate(tracks):
        for k, place in track:
            if len(before[k]) and before[k][place]:
                shared[row, np.searchsorted(old, before[k][place])] += 1
    for row, column in np.transpose(linear_sum_assignment(shared, maximize=True)):
        if shared[row, column]:
            ids[id(tracks[row])] = int(old[column])
    return ids
