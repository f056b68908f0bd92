"""Tracks of a recording of any length in constant memory: window by window, joined where windows overlap.

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
from annotator.tracking.observations import Floats, Observed
from annotator.tracking.stretch import tracks_of
from annotator.tracking.times import with_times
from annotator.tracking.tracklets import Tracklet

WINDOW, OVERLAP = 1024, 128  # frames at least
BESIDE_GAP = 64  # frames of an overlap beside the longest gap, so that both its sides are seen together

Names = npt.NDArray[np.int64]  # (N,) track of each instance of a frame, from 1; 0 = none


@dataclass
class TimedFrame:
    """A frame on its way through association."""

    found: Instances
    tick: float
    is_first: bool  # of a stretch: nothing goes on from the frame before
    passed: float  # ticks since the frame before; 0 for the first
    names: Names = field(default_factory=lambda: np.zeros(0, np.int64))


def timed(frames: Iterable[Instances], tick_s: float, evenly: bool = False) -> Iterator[TimedFrame]:
    """Frames with their time in ticks; a new stretch begins where the size changes or another clock begins."""
    size, time_s = None, 0.0
    for found, moment in with_times(frames, lambda found: found.frame, evenly):
        is_first = moment.is_first or found.frame.size != size
        passed = 0.0 if is_first else (moment.time_s - time_s) / tick_s
        size, time_s = found.frame.size, moment.time_s
        yield TimedFrame(found, time_s / tick_s, is_first, passed)


def named(frames: Iterable[TimedFrame], longest: float, min_track: int) -> Iterator[TimedFrame]:
    """The frames with names of tracks; a name is never used for another object."""
    window: list[TimedFrame] = []
    done, used = 0, 0  # frames of the window that need no name any more; names
    for frame in frames:
        if frame.is_first and window:
            _name(window, used, longest, min_track)
            used = _most(window, used)
            yield from window[done:]
            window, done = [], 0
        window.append(frame)
        if len(window) >= WINDOW and len(window) >= 2 * (overlap := _overlap(window, longest)):
            _name(window, used, longest, min_track)
            used = _most(window, used)
            middle = len(window) - overlap // 2
            yield from map(replace, window[done:middle])  # copies: the next window names these frames anew
            window, done = window[-overlap:], overlap - overlap // 2
    if window:
        _name(window, used, longest, min_track)
        yield from window[done:]


def _overlap(window: Sequence[TimedFrame], longest: float) -> int:
    """How many frames of a window the next one must begin with, for a gap of `longest` ticks to be bridged."""
    last = window[-1].tick
    in_gap = sum(1 for _ in takewhile(lambda frame: last - frame.tick <= longest, reversed(window)))
    return max(OVERLAP, in_gap + BESIDE_GAP)


def _most(window: Sequence[TimedFrame], used: int) -> int:
    return max([used, *(int(frame.names.max(initial=0)) for frame in window)])


def _name(window: Sequence[TimedFrame], used: int, longest: float, min_track: int) -> None:
    """Name the tracks of a window: as before where they go on, else by numbers above `used`."""
    ticks = np.array([frame.tick for frame in window])
    tracks = tracks_of(_observed(window), ticks, longest, min_track)
    names = _known(window, tracks)
    for track in tracks:
        if not names[id(track)]:
            used += 1
            names[id(track)] = used
    for frame in window:
        frame.names = np.zeros(len(frame.found), np.int64)
    for track in tracks:
        for k, place in track:
            window[k].names[place] = names[id(track)]


def _observed(window: Sequence[TimedFrame]) -> list[Observed]:
    width = max(frame.found.features.shape[1] for frame in window)
    return Observed.of_frames([frame.found for frame in window], width, [frame.passed for frame in window])


def _known(window: Sequence[TimedFrame], tracks: Sequence[Tracklet]) -> dict[int, int]:
    """The name that each track had in the window before, by most common instances, one to one; 0 for new ones."""
    names = {id(track): 0 for track in tracks}
    before = [frame.names for frame in window]
    old = np.unique(np.concatenate(before))
    old = old[old > 0]
    if not len(old) or not tracks:
        return names
    shared: Floats = np.zeros((len(tracks), len(old)))
    for row, track in enumerate(tracks):
        for k, place in track:
            if len(before[k]) and before[k][place]:
                shared[row, np.searchsorted(old, before[k][place])] += 1
    for row, column in np.transpose(linear_sum_assignment(shared, maximize=True)):
        if shared[row, column]:
            names[id(tracks[row])] = int(old[column])
    return names
