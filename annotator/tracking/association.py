"""Instances -> tracks, over the whole recording, forwards and backwards, from the store alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import numpy as np

from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import Rle, areas, shared, union
from annotator.options import TrackingOptions
from annotator.store import INTERPOLATED, RESHAPED, TRACKING_LOSSES, Linked, Made, Store
from annotator.tracking.repair import Between, is_free, parted
from annotator.tracking.stretch import STEADY, strength
from annotator.tracking.tally import Tally
from annotator.tracking.times import Times
from annotator.tracking.windows import Names, TimedFrame, named, timed

TICK_S = 0.1  # what is known of motion is in tenths of a second
FAR_APART_S = 0.5  # from here on, a tick is the usual time from frame to frame
MISSED = 3  # frames that do not end a run
MOST_WAITING = 1024  # frames that wait for what becomes of their tracks


def associate(store: Store, options: TrackingOptions) -> None:
    """Give the instances of a store their tracks, or none if that is asked. Ids count from 1 in order of appearance.

    A recording of fewer frames than the shortest track keeps all its instances, and so do images that are no
    sequence, without tracks. What is lost is kept as the note TRACKING_LOSSES: in words, and how many.
    """
    store.set_note("tracked", None)  # until all is done
    tally = Tally()
    if options.enabled:
        evenly = bool(store.note("evenly"))
        times = Times.of(store.frames(), evenly)
        usable = replace(options, min_track=1) if store.frame_count < options.min_track else options
        frames = tally.of_frames(store.found())
        store.set_links(tally.of_links(linked(frames, _tick_of(times), usable, evenly)))
        store.remark("associate", times.remarks())
    else:
        store.remark("associate", [])
    if not options.enabled or tally.are_unrelated():
        store.set_tracks(())
    store.set_note(TRACKING_LOSSES, tally.losses(options.min_track))
    store.set_note("tracked", asdict(options))


def linked(
    frames: Iterable[Instances], tick_s: float, options: TrackingOptions, evenly: bool = False
) -> Iterator[Linked]:
    """What association makes of frames; a tick is `tick_s` seconds long. In constant memory.

    `evenly`: frames go by their index, at the rate that times tell; see `rising`.
    """
    longest = options.max_gap / TICK_S
    return finished(named(timed(frames, tick_s, evenly), longest, options.min_track), options, longest)


def tick_of(frames: Iterable[FrameRef]) -> float:
    """Seconds of a tick, given the frames of a recording."""
    return _tick_of(Times.of(frames))


def _tick_of(times: Times) -> float:
    return times.usual_s if times.usual_s >= FAR_APART_S else TICK_S


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


class _Seen(NamedTuple):
    """What a frame shows of a track: an instance, or its fragments as one."""

    name: int
    class_id: int
    score: float
    mask: Rle


@dataclass
class _Waiting:
    """A frame whose tracks may not be known yet to be real."""

    frame: TimedFrame
    made: list[tuple[int, Made]] = field(default_factory=list)  # by name
    replaced: list[tuple[int, int]] = field(default_factory=list)  # names and places that made ones are for

    def joined(self) -> list[_Seen]:
        """What the frame shows of its tracks, by ascending name; fragments are made one instance."""
        names, found = self.frame.names.copy(), self.frame.found
        seen = []
        for name, places in _places(names).items():
            first = places[0]  # of the best score
            each = _Seen(name, int(found.class_ids[first]), float(found.scores[first]), found.masks[first])
            if len(places) > 1:
                each = each._replace(mask=union([found.masks[place] for place in places], found.frame.size))
                self.made.append((name, Made(0, each.class_id, each.score, each.mask["counts"], RESHAPED)))
                self.replaced += [(name, place) for place in places]
                names[places] = 0
            seen.append(each)
        self.frame.names = names
        return seen

    def mask_of(self, name: int) -> Rle | None:
        """What the frame shows of a track; None when it doesn't, or only by a guess."""
        for of, made in self.made:
            if of == name and made.kind == RESHAPED:
                return {"size": list(self.frame.found.frame.size), "counts": made.counts}
        places = np.flatnonzero(self.frame.names == name)
        return self.frame.found.masks[places[0]] if len(places) else None

    def reshape(self, place: int, mask: Rle) -> None:
        """Give the track of an instance another mask."""
        name, found = int(self.frame.names[place]), self.frame.found
        made = Made(0, int(found.class_ids[place]), float(found.scores[place]), mask["counts"], RESHAPED)
        self.made.append((name, made))
        self.replaced.append((name, place))
        self.frame.names[place] = 0


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
    shown = [(lives.setdefault(seen.name, _Life()), seen) for seen in waiting[-1].joined()]
    longest = min(fill_gaps, len(waiting) - 1)
    again = [each for each in shown if each[0].number >= 0 and 0 < number - each[0].number - 1 <= longest]
    if again:
        frames = list(waiting)[-longest - 2 :]
        betweens = Between.of_pairs([(life.mask, seen.mask) for life, seen in again])
        for (life, seen), between in zip(again, betweens, strict=True):
            gap = number - life.number - 1
            _fill(frames[-gap - 2 :], gap, life, seen, between)
    tick = waiting[-1].frame.tick
    for life, seen in shown:
        gap = number - life.number - 1
        life.strength += strength(seen.score)
        life.run = 1 if gap > MISSED else life.run + 1
        life.is_steady |= life.run >= STEADY * min_track
        life.tick, life.number, life.mask, life.score = tick, number, seen.mask, seen.score


def _fill(frames: list[_Waiting], gap: int, life: _Life, seen: _Seen, between: Between) -> None:
    """Add instances of a track to the frames that missed it: interpolated, or cut off another.

    `frames` are those before the last, which shows it again, and the one before them, if it is still there.
    """
    score = min(life.score, seen.score)
    for each in frames[-gap - 1 : -1]:
        share = (each.frame.tick - life.tick) / max(frames[-1].frame.tick - life.tick, 1e-9)
        mask = between.at(share)
        if mask is None:
            continue
        if is_free(mask, each.frame.found.masks):
            lowest = min([score, *each.frame.found.scores[-1:].tolist()])  # beneath all that was seen
            made = Made(0, seen.class_id, lowest, mask["counts"], INTERPOLATED)
            each.made.append((seen.name, made))
        elif len(frames) == gap + 2:
            _cut_off(each, seen, mask, frames[0], frames[-1], share)


def _cut_off(
    frame: _Waiting, seen: _Seen, mask: Rle, before: _Waiting, behind: _Waiting, share: float
) -> None:
    """Give a track its part of an instance that holds another object, too, if that one's track says so."""
    found = frame.frame.found
    place = int(shared([mask], found.masks, areas([mask]))[0].argmax())
    name = int(frame.frame.names[place])
    ends = [each.mask_of(name) for each in (before, behind)] if name else []
    if not ends or ends[0] is None or ends[1] is None or not _is_alike(found, place, seen):
        return
    own = Between.of_pairs([(ends[0], ends[1])])[0].at(share)
    parts = parted(found.masks[place], own, mask) if own else None
    if parts:
        made = Made(0, seen.class_id, float(found.scores[place]), parts[1]["counts"], RESHAPED)
        frame.reshape(place, parts[0])
        frame.made.append((seen.name, made))


def _is_alike(found: Instances, place: int, seen: _Seen) -> bool:
    return BY_ID[int(found.class_ids[place])].category_id == BY_ID[seen.class_id].category_id


def _places(names: Names) -> dict[int, list[int]]:
    """Where each name is, by ascending name."""
    places: dict[int, list[int]] = {int(name): [] for name in np.unique(names[names > 0])}
    for place in np.flatnonzero(names).tolist():
        places[int(names[place])].append(place)
    return places


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
        for name in [*waiting[0].frame.names.tolist(), *(name for name, _ in waiting[0].made)]
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
    replaced = {place for name, place in waiting.replaced if lives[name].track_id}
    scores = waiting.frame.found.scores.tolist()
    lost = [scores[k] for k, track_id in enumerate(ids) if not track_id and k not in replaced]
    return Linked(waiting.frame.found.frame.index, ids, made, lost), born
