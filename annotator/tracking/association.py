"""Instances -> tracks, over the whole recording, forwards and backwards, from the store alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np

from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import Rle
from annotator.options import TrackingOptions
from annotator.store import Linked, Made, Store
from annotator.tracking.repair import interpolated, is_free
from annotator.tracking.stretch import STEADY, strength
from annotator.tracking.windows import TimedFrame, named, timed

TICK_S = 0.1  # what is known of motion is in tenths of a second
FAR_APART_S = 0.5  # from here on, a tick is the usual time from frame to frame
MISSED = 3  # frames that do not end a run
MOST_WAITING = 1024  # frames that wait for what becomes of their tracks


def associate(store: Store, options: TrackingOptions) -> None:
    """Give the instances of a store their tracks, or none if that is asked. Ids count from 1 in order of appearance."""
    store.set_note("tracked", None)  # until all is done
    if options.enabled:
        store.set_links(links(store, options))
    else:
        store.set_tracks(())
    store.set_note("tracked", asdict(options))


def links(store: Store, options: TrackingOptions) -> Iterator[Linked]:
    """What association makes of every frame, in order."""
    return linked(store.found(), tick_of(store.frames()), options)


def linked(frames: Iterable[Instances], tick_s: float, options: TrackingOptions) -> Iterator[Linked]:
    """What association makes of frames; a tick is `tick_s` seconds long. In constant memory."""
    longest = options.max_gap / TICK_S
    return finished(named(timed(frames, tick_s), longest, options.min_track), options, longest)


def tick_of(frames: Iterable[FrameRef]) -> float:
    """Seconds of a tick, given the frames of a recording."""
    times = np.fromiter((frame.time_s for frame in islice(frames, 1000)), np.float64)
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return usual if usual >= FAR_APART_S else TICK_S


# ---- which tracks are real, their ids, and their gaps


@dataclass
class _Life:
    """What is known of a track so far."""

    strength: float = 0.0
    run: int = 0  # instances since the last gap
    is_steady: bool = False
    track_id: int = 0
    tick: float = 0.0  # when it was seen last
    number: int = -1  # of that frame
    mask: Rle = field(default_factory=dict)
    score: float = 0.0


@dataclass
class _Waiting:
    """A frame whose tracks may not be known yet to be real."""

    frame: TimedFrame
    made: list[tuple[int, Made]] = field(default_factory=list)  # by name


def finished(frames: Iterable[TimedFrame], options: TrackingOptions, longest: float) -> Iterator[Linked]:
    """The frames with ids instead of names, without tracks too short to be real, and with gaps filled."""
    waiting: deque[_Waiting] = deque()
    lives: dict[int, _Life] = {}
    born = 0
    for number, frame in enumerate(frames):
        waiting.append(_Waiting(frame))
        _live_on(lives, waiting, number, options.fill_gaps, options.min_track)
        while _is_settled(waiting, lives, options, longest):
            settled, born = _linked(waiting.popleft(), lives, born, options.min_track)
            yield settled
        if number % MOST_WAITING == 0:
            oldest = number - 2 * MOST_WAITING
            lives = {name: life for name, life in lives.items() if life.number > oldest}
    while waiting:
        settled, born = _linked(waiting.popleft(), lives, born, options.min_track)
        yield settled


def _live_on(
    lives: dict[int, _Life], waiting: deque[_Waiting], number: int, fill_gaps: int, min_track: int
) -> None:
    """Tell tracks of the newest frame, and fill the gaps that end there."""
    frame = waiting[-1].frame
    found = frame.found
    for place in np.flatnonzero(frame.names).tolist():
        name = int(frame.names[place])
        life = lives.setdefault(name, _Life())
        mask, score = found.masks[place], float(found.scores[place])
        gap = number - life.number - 1
        if life.number >= 0 and 0 < gap <= min(fill_gaps, len(waiting) - 1):
            _fill(list(waiting)[-gap - 1 : -1], name, life, frame, place)
        life.strength += strength(score)
        life.run = 1 if gap > MISSED else life.run + 1
        life.is_steady |= life.run >= STEADY * min_track
        life.tick, life.number, life.mask, life.score = frame.tick, number, mask, score


def _fill(missed: list[_Waiting], name: int, life: _Life, frame: TimedFrame, place: int) -> None:
    """Add interpolated instances of a track to the frames that missed it."""
    found = frame.found
    score = min(life.score, float(found.scores[place]))
    for each in missed:
        share = (each.frame.tick - life.tick) / max(frame.tick - life.tick, 1e-9)
        mask = interpolated(life.mask, found.masks[place], share)
        if mask is not None and is_free(mask, each.frame.found.masks):
            lowest = min([score, *each.frame.found.scores[-1:].tolist()])  # beneath all that was seen
            class_id = int(found.class_ids[place])
            each.made.append((name, Made(0, class_id, lowest, mask["counts"])))


def _is_settled(
    waiting: deque[_Waiting], lives: dict[int, _Life], options: TrackingOptions, longest: float
) -> bool:
    """Whether nothing that comes can change the oldest frame."""
    if len(waiting) > MOST_WAITING:
        return True
    if len(waiting) <= options.fill_gaps + 1:
        return False
    newest = waiting[-1].frame.tick
    return all(
        _is_real(lives[name], options.min_track) or abs(newest - lives[name].tick) > longest
        for name in waiting[0].frame.names.tolist()
        if name
    )


def _is_real(life: _Life, min_track: int) -> bool:
    return min_track == 1 or life.is_steady or life.strength >= min_track


def _linked(waiting: _Waiting, lives: dict[int, _Life], born: int, min_track: int) -> tuple[Linked, int]:
    """A frame with ids, and how many tracks there are by now."""
    ids = []
    for name in waiting.frame.names.tolist():
        life = lives.get(name)
        if life is None or not _is_real(life, min_track):
            ids.append(0)
            continue
        if not life.track_id:
            born += 1
            life.track_id = born
        ids.append(life.track_id)
    made = [
        instance._replace(track_id=lives[name].track_id)
        for name, instance in waiting.made
        if lives[name].track_id
    ]
    return Linked(waiting.frame.found.frame.index, ids, made), born
