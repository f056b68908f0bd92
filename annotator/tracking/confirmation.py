"""Confirm tracks: which are real, their ids in order of appearance, and their gaps filled; frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from annotator.instances import Instances
from annotator.interpolation import MaskInterpolator
from annotator.labels import BY_ID
from annotator.masks import Rle, areas, intersections, union
from annotator.options import TrackingOptions
from annotator.store import INTERPOLATED, RESHAPED, AddedInstance, FrameTracks
from annotator.tracking.gap_filling import is_unoccupied, split_merged_mask
from annotator.tracking.parameters import CONFIDENCE, CONFIRMATION
from annotator.tracking.sequence import confidence_weight
from annotator.tracking.windows import Ids, TimedFrame


@dataclass
class TrackState:
    """What is known of a track so far."""

    confidence: float = 0.0  # sum over its observations
    run: int = 0  # observations since the last gap
    is_steady: bool = False
    track_id: int = 0  # 0 = not confirmed yet
    time: float = 0.0  # steps, of the last observation
    number: int = -1  # of its frame; -1 = not observed yet
    mask: Rle = field(default_factory=dict)
    score: float = 0.0


class Observation(NamedTuple):
    """What a frame shows of a track: an instance, or its fragments as one."""

    provisional_id: int
    class_id: int  # Cityscapes id
    score: float
    mask: Rle


@dataclass
class PendingFrame:
    """A frame whose tracks may not be confirmed yet."""

    frame: TimedFrame
    added: list[tuple[int, AddedInstance]] = field(default_factory=list)  # by provisional id
    replaced: list[tuple[int, int]] = field(default_factory=list)  # ids and places that added ones are for

    def merge_fragments(self) -> list[Observation]:
        """Make fragments of a track one instance; list what the frame shows of its tracks, by ascending id."""
        ids, found = self.frame.ids.copy(), self.frame.found
        seen = []
        for track, places in _places_by_id(ids).items():
            first = places[0]  # of the best score
            each = Observation(
                track, int(found.class_ids[first]), float(found.scores[first]), found.masks[first]
            )
            if len(places) > 1:
                each = each._replace(mask=union([found.masks[place] for place in places], found.frame.size))
                self.added.append(
                    (track, AddedInstance(0, each.class_id, each.score, each.mask["counts"], RESHAPED))
                )
                self.replaced += [(track, place) for place in places]
                ids[places] = 0
            seen.append(each)
        self.frame.ids = ids
        return seen

    def mask_of(self, track: int) -> Rle | None:
        """Find what the frame shows of a track; None when it shows nothing, or only by a guess."""
        for of, added in self.added:
            if of == track and added.kind == RESHAPED:
                return {"size": list(self.frame.found.frame.size), "counts": added.counts}
        places = np.flatnonzero(self.frame.ids == track)
        return self.frame.found.masks[places[0]] if len(places) else None

    def reshape(self, place: int, mask: Rle) -> None:
        """Give the track of an instance another mask."""
        track, found = int(self.frame.ids[place]), self.frame.found
        added = AddedInstance(
            0, int(found.class_ids[place]), float(found.scores[place]), mask["counts"], RESHAPED
        )
        self.added.append((track, added))
        self.replaced.append((track, place))
        self.frame.ids[place] = 0


def confirm(frames: Iterable[TimedFrame], options: TrackingOptions, max_gap: float) -> Iterator[FrameTracks]:
    """Give out track ids for provisional ones, without tracks too short to be real, and with gaps filled.

    Args:
        frames: of a recording, with provisional ids.
        options: what makes a track real, and which gaps are filled.
        max_gap: steps out of sight after which a track has ended.
    """
    pending: deque[PendingFrame] = deque()
    states: dict[int, TrackState] = {}
    confirmed = 0
    for number, frame in enumerate(frames):
        pending.append(PendingFrame(frame))
        _observe(states, pending, number, options.fill_gaps, options.min_track)
        while _is_settled(pending, states, options, max_gap):
            settled, confirmed = _settle(pending.popleft(), states, confirmed, options.min_track)
            yield settled
        if number % CONFIRMATION.max_pending == 0:
            oldest = number - 2 * CONFIRMATION.max_pending
            states = {track: state for track, state in states.items() if state.number > oldest}
    while pending:
        settled, confirmed = _settle(pending.popleft(), states, confirmed, options.min_track)
        yield settled


def _observe(
    states: dict[int, TrackState], pending: deque[PendingFrame], number: int, fill_gaps: int, min_track: int
) -> None:
    """Update tracks by the newest frame, and fill the gaps that end there."""
    shown = [
        (states.setdefault(seen.provisional_id, TrackState()), seen) for seen in pending[-1].merge_fragments()
    ]
    longest = min(fill_gaps, len(pending) - 1)
    again = [each for each in shown if each[0].number >= 0 and 0 < number - each[0].number - 1 <= longest]
    if again:
        frames = list(pending)[-longest - 2 :]
        interpolators = MaskInterpolator.from_pairs([(state.mask, seen.mask) for state, seen in again])
        for (state, seen), interpolator in zip(again, interpolators, strict=True):
            gap = number - state.number - 1
            _fill(frames[-gap - 2 :], gap, state, seen, interpolator)
    time = pending[-1].frame.time
    for state, seen in shown:
        gap = number - state.number - 1
        state.confidence += confidence_weight(seen.score)
        state.run = 1 if gap > CONFIRMATION.max_missed else state.run + 1
        state.is_steady |= state.run >= CONFIDENCE.steady * min_track
        state.time, state.number, state.mask, state.score = time, number, seen.mask, seen.score


def _fill(
    frames: list[PendingFrame], gap: int, state: TrackState, seen: Observation, interpolator: MaskInterpolator
) -> None:
    """Add instances of a track to the frames that missed it: interpolated, or split off another.

    `frames` are those before the last, which shows it again, and the one before them, if it is still there.
    """
    score = min(state.score, seen.score)
    for each in frames[-gap - 1 : -1]:
        share = (each.frame.time - state.time) / max(frames[-1].frame.time - state.time, 1e-9)
        mask = interpolator.at(share)
        if mask is None:
            continue
        if is_unoccupied(mask, each.frame.found.masks):
            lowest = min([score, *each.frame.found.scores[-1:].tolist()])  # beneath all that was seen
            added = AddedInstance(0, seen.class_id, lowest, mask["counts"], INTERPOLATED)
            each.added.append((seen.provisional_id, added))
        elif len(frames) == gap + 2:
            _split_off(each, seen, mask, frames[0], frames[-1], share)


def _split_off(
    frame: PendingFrame,
    seen: Observation,
    mask: Rle,
    before: PendingFrame,
    behind: PendingFrame,
    share: float,
) -> None:
    """Give a track its part of an instance that holds another object, too, if that one's track says so."""
    found = frame.frame.found
    place = int(intersections([mask], found.masks, areas([mask]))[0].argmax())
    track = int(frame.frame.ids[place])
    ends = [each.mask_of(track) for each in (before, behind)] if track else []
    if not ends or ends[0] is None or ends[1] is None or not _is_of_category(found, place, seen):
        return
    own = MaskInterpolator.from_pairs([(ends[0], ends[1])])[0].at(share)
    parts = split_merged_mask(found.masks[place], own, mask) if own else None
    if parts:
        added = AddedInstance(0, seen.class_id, float(found.scores[place]), parts[1]["counts"], RESHAPED)
        frame.reshape(place, parts[0])
        frame.added.append((seen.provisional_id, added))


def _is_of_category(found: Instances, place: int, seen: Observation) -> bool:
    return BY_ID[int(found.class_ids[place])].category_id == BY_ID[seen.class_id].category_id


def _places_by_id(ids: Ids) -> dict[int, list[int]]:
    """Where each provisional id is, in ascending order."""
    places: dict[int, list[int]] = {int(track): [] for track in np.unique(ids[ids > 0])}
    for place in np.flatnonzero(ids).tolist():
        places[int(ids[place])].append(place)
    return places


def _is_settled(
    pending: deque[PendingFrame], states: dict[int, TrackState], options: TrackingOptions, max_gap: float
) -> bool:
    """Whether nothing that comes can change the oldest frame."""
    if len(pending) > CONFIRMATION.max_pending:
        return True
    if len(pending) <= options.fill_gaps + 1:
        return False
    newest = pending[-1].frame.time
    return all(
        _is_confirmed(states[track], options.min_track) or abs(newest - states[track].time) > max_gap
        for track in [*pending[0].frame.ids.tolist(), *(track for track, _ in pending[0].added)]
        if track
    )


def _is_confirmed(state: TrackState, min_track: int) -> bool:
    return min_track == 1 or state.is_steady or state.confidence >= min_track


def _settle(
    pending: PendingFrame, states: dict[int, TrackState], confirmed: int, min_track: int
) -> tuple[FrameTracks, int]:
    """Replace provisional ids of the oldest frame; with it comes how many tracks are confirmed by now."""
    ids = []
    for track in pending.frame.ids.tolist():
        state = states.get(track)
        if state is None or not _is_confirmed(state, min_track):
            ids.append(0)
            continue
        if not state.track_id:
            confirmed += 1
            state.track_id = confirmed
        ids.append(state.track_id)
    added = [
        instance._replace(track_id=states[track].track_id)
        for track, instance in pending.added
        if states[track].track_id
    ]
    replaced = {place for track, place in pending.replaced if states[track].track_id}
    scores = pending.frame.found.scores.tolist()
    lost = [scores[k] for k, track_id in enumerate(ids) if not track_id and k not in replaced]
    return FrameTracks(pending.frame.found.frame.index, ids, added, lost), confirmed
