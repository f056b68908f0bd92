"""Times that rise, for association, made of those that a recording has.

Files lie: an AVI with B-frames gives each frame the time of another, cameras in a network repeat a time or set their
clock back. The order of decoded frames is right all the same. So times are repaired here, where tracks are made, from
what the store holds: the store and frames.csv keep the times of the file, and the same times give the same tracks,
whether frames were labelled in one run or several, or came in from elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, tee
from statistics import median_high
from typing import NamedTuple, TypeVar

import numpy as np

from annotator.frames import FrameRef

REACH = 32  # frames before and behind one that say what its time is; no codec shows a frame later than that
BLOCK = 8  # steps that tell the frame rate by what they cover together; the middle one of such blocks counts
FEW_BLOCKS = 3
STILL = 1 / 16  # of the usual step: with less time stands still
UNKNOWN_STEP_S = 0.1  # from frame to frame, where no time says it
MOST_STEPS = 1000  # of a recording that tell what is usual
MOST_TOLD = 10  # clocks

Item = TypeVar("Item")


class Moment(NamedTuple):
    """When a frame was, for association."""

    time_s: float  # rises from frame to frame of a sequence
    is_first: bool  # the recording begins here, or its clock begins anew
    is_repaired: bool  # it isn't the time of the file


class _Timed(NamedTuple):
    """A frame's time on its way through the repair."""

    frame: int  # its index
    told_s: float  # by the file
    time_s: float  # as far as it is repaired
    falls: int = 0  # frames so far that were told earlier than the one before
    clock: int = 0  # clocks so far that ended


def rising(frames: Iterable[FrameRef], evenly: bool = False) -> Iterator[Moment]:
    """Tell when each of a recording's frames was, in constant memory: as the file says, where that rises.

    Where times are out of order within REACH frames, sorted ones are taken. Where that doesn't make them rise, the next
    time that is later is approached in even steps, at most as long as usual. Where all times before are
    later than all behind, another clock begins; where that soon happens again, it is the same one.

    `evenly`: times only tell the rate, at which frames go by their index. Of every third frame, say, out of order times
    can't be sorted without those of the frames between.
    """
    timed = (_Timed(frame.index, frame.time_s, frame.time_s) for frame in frames)
    return _rising(_sorted(_clocks(timed)), evenly)


@dataclass(frozen=True)
class Times:
    """What is to be said of the times of a recording."""

    usual_s: float  # from frame to frame; 0 of a single frame
    repaired: int  # frames with another time than the file's
    first_repaired: int | None  # index of the first of them
    clocks: tuple[int, ...]  # indices of frames that another clock began with, 10 at most

    @classmethod
    def of(cls, frames: Iterable[FrameRef], evenly: bool = False) -> Times:
        """Look at the times of all frames, in constant memory."""
        steps: list[float] = []
        repaired, first_repaired, clocks, before = 0, None, list[int](), None
        for frame, moment in with_moments(frames, lambda frame: frame, evenly):
            if before is not None and moment.is_first and len(clocks) < MOST_TOLD:
                clocks.append(frame.index)
            if before is not None and not moment.is_first and len(steps) < MOST_STEPS:
                steps.append(moment.time_s - before.time_s)
            if moment.is_repaired:
                repaired += 1
                first_repaired = frame.index if first_repaired is None else first_repaired
            before = moment
        return cls(float(np.median(steps)) if steps else 0.0, repaired, first_repaired, tuple(clocks))

    def remarks(self) -> list[str]:
        """Word sentences about times that had to be repaired; none when all is well."""
        said = []
        if self.repaired:
            said.append(
                f"times run back or stand still (from frame {self.first_repaired} on, {self.repaired} frames): tracks"
                " were made with times that rise, frames.csv has those of the file"
            )
        if self.clocks:
            said.append(
                f"the clock begins anew at frame {', '.join(map(str, self.clocks))}: no track goes on there"
            )
        return said


def with_moments(
    items: Iterable[Item], frame_of: Callable[[Item], FrameRef], evenly: bool = False
) -> Iterator[tuple[Item, Moment]]:
    """Pair each item with the moment of its frame; a few are held, to look ahead."""
    ours, theirs = tee(items)
    return zip(ours, rising(map(frame_of, theirs), evenly), strict=True)


# ---- one step after the other


def _clocks(timed: Iterable[_Timed]) -> Iterator[_Timed]:
    """Count falls and clocks: another begins where all before is later than all behind, if that is rare."""
    falls = clock = 0
    since = REACH  # frames since such a place
    for before, here, behind in _around(timed):
        since += 1
        if before and here.told_s < before[-1].told_s:
            latest = max(other.told_s for other in (here, *behind))
            is_low = latest < min(other.told_s for other in before)
            if is_low and since > REACH:
                clock += 1
            else:
                falls += 1
            if is_low:
                since = 0
        yield here._replace(falls=falls, clock=clock)


def _sorted(timed: Iterable[_Timed]) -> Iterator[_Timed]:
    """Give each frame, of the times around it, the one whose turn it is."""
    for before, here, behind in _around(timed, of_clock=True):
        window = [*before, here, *behind]
        if window[0].falls != window[-1].falls:
            times = np.array([other.told_s for other in window])
            here = here._replace(time_s=float(np.partition(times, len(before))[len(before)]))
        yield here


def _rising(timed: Iterable[_Timed], evenly: bool) -> Iterator[Moment]:
    """The times as they are where they rise, in even steps to the next one where they don't."""
    usual, frame, time_s, count = UNKNOWN_STEP_S, 0, 0.0, 0
    for before, here, behind in _around(timed, of_clock=True):
        is_first = not before
        count = 0 if is_first else count + 1
        if count % REACH == 0:
            usual = _usual_step([*before, here, *behind]) or usual
        if is_first:
            time_s = here.time_s
        elif evenly:
            time_s += usual * (here.frame - frame)
        elif here.time_s - time_s >= STILL * usual * (here.frame - frame):
            time_s = here.time_s
        else:
            steps = ((later.time_s - time_s) / (later.frame - frame) for later in behind)
            step = next((step for step in steps if step >= STILL * usual), usual)
            time_s += min(step, usual) * (here.frame - frame)
        frame = here.frame
        yield Moment(time_s, is_first, time_s != here.told_s)


def _usual_step(timed: Sequence[_Timed]) -> float:
    """Seconds from one index to the next, with those of frames that stand still; 0 when no time rises."""
    rates = []
    for start in range(0, len(timed) - 1, BLOCK):
        block = timed[start : start + BLOCK + 1]
        risen = sum(max(0.0, later.time_s - earlier.time_s) for earlier, later in pairwise(block))
        rates.append(risen / (block[-1].frame - block[0].frame))
    if len(rates) < FEW_BLOCKS:  # a pause may be in most of them
        steps = (
            (later.time_s - earlier.time_s) / (later.frame - earlier.frame)
            for earlier, later in pairwise(timed)
        )
        rates = [min(median_high(rates or [0.0]), median_high([step for step in steps if step > 0] or [0.0]))]
    return median_high(rates)


def _around(
    timed: Iterable[_Timed], of_clock: bool = False
) -> Iterator[tuple[Sequence[_Timed], _Timed, Sequence[_Timed]]]:
    """Each frame with REACH before and behind it; `of_clock`: only those of its clock."""
    coming = iter(timed)
    before: deque[_Timed] = deque(maxlen=REACH)
    behind = deque(islice(coming, REACH))
    while behind:
        here = behind.popleft()
        behind.extend(islice(coming, 1))
        if of_clock and before and before[-1].clock != here.clock:
            before.clear()
        if of_clock and behind and behind[-1].clock != here.clock:
            yield before, here, [other for other in behind if other.clock == here.clock]
        else:
            yield before, here, behind
        before.append(here)
