"""Tracks made better by what both sides say: every instance is given anew to the track expected there.

Where an object should be in a frame is filtered forwards from all frames before and backwards from all behind, without
the frame itself, as in a two-filter smoother (Fraser and Potter, 1969). Swaps and strays of the forward pass show then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from annotator.tracking.motion import SEEN, Motion, noise
from annotator.tracking.observations import Floats, Indices, Observed, mask_overlap, shape_overlap
from annotator.tracking.tracklets import TAILS, Tracklet, appearance, assign, centre_misfit, near

REACH = 2  # frames before its first and behind its last instance in which a track may find another
LEAST = -3.0  # log-odds from which an instance may belong to a track
# Log-odds of a link: constant, and for each cue of `_cues`. By logistic regression on KITTI MOTS with noise.
WEIGHTS = np.array([0.2, -0.9, -1.2, 11.8, -1.3, -0.9, -0.9, 0.5])


@dataclass
class _Expected:
    """Where N tracks are expected in a frame, by what lies on one side of it."""

    tracks: Indices  # (N,) ascending
    motion: Motion
    seen: Observed  # N, as they were seen last on that side
    passed: Floats  # (N,) ticks since


def refine(
    tracks: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats, drift: Floats
) -> list[Tracklet]:
    """The tracks with their instances chosen anew, in order of appearance; some may lose all."""
    before = list(_expected(tracks, observed, ticks, drift, forwards=True))
    behind = list(_expected(tracks, observed, ticks, drift, forwards=False))[::-1]
    members: list[dict[int, int]] = [{} for _ in observed]  # by frame: position of each track so far
    for track, instances in enumerate(tracks):
        for frame, place in instances:
            members[frame][track] = place
    chosen: list[Tracklet] = [[] for _ in tracks]
    for frame, seen in enumerate(observed):
        pairs = dict(_match(before[frame], behind[frame], seen))
        taken = set(pairs.values())
        kept = {t: p for t, p in members[frame].items() if t not in pairs and p not in taken}
        for track, place in (pairs | kept).items():
            chosen[track].append((frame, place))
    return sorted((track for track in chosen if track), key=lambda track: track[0])


def _expected(
    tracks: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats, drift: Floats, forwards: bool
) -> Iterator[_Expected]:
    """What one side says of every frame, in the order of `forwards`, without the frame itself."""
    count = len(observed)
    order = range(count) if forwards else range(count - 1, -1, -1)
    sign = 1 if forwards else -1
    begins: list[list[int]] = [[] for _ in range(count)]
    at: list[dict[int, int]] = [{} for _ in range(count)]  # by frame: position of each track
    ends = np.zeros(len(tracks), int)
    for track, members in enumerate(tracks):
        first, last = (members[0][0], members[-1][0])[::sign]
        begins[first].append(track)
        ends[track] = last + sign * REACH
        for frame, place in members:
            at[frame][track] = place
    alive: _Expected | None = None
    for step, frame in enumerate(order):
        seen = observed[frame]
        if alive is not None:
            alive = _kept(alive, np.flatnonzero(sign * (ends[alive.tracks] - frame) >= 0))
            passed = abs(float(ticks[frame] - ticks[order[step - 1]]))
            alive.motion, alive.passed = alive.motion.after(passed), alive.passed + passed
            yield _Expected(
                alive.tracks, alive.motion.only(np.arange(len(alive.tracks))), alive.seen, alive.passed
            )
        else:
            yield _begun(np.zeros(0, np.intp), np.zeros(0, np.intp), seen, 0.0)
        alive = _gone_on(alive, seen, at[frame], begins[frame], sign * float(drift[frame]))


def _begun(tracks: Indices, places: Indices, seen: Observed, drift: float) -> _Expected:
    now = seen.only(places)
    return _Expected(tracks, Motion.begin(now.edges, drift), now, np.zeros(len(tracks)))


def _kept(expected: _Expected, which: Indices) -> _Expected:
    return _Expected(
        expected.tracks[which],
        expected.motion.only(which),
        expected.seen.only(which),
        expected.passed[which],
    )


def _gone_on(
    alive: _Expected | None, seen: Observed, at: dict[int, int], begins: list[int], drift: float
) -> _Expected:
    """The tracks after a frame."""
    fresh = np.array(begins, np.intp)
    born = _begun(fresh, np.array([at[track] for track in begins], np.intp), seen, drift)
    if alive is None or not len(alive.tracks):
        return born
    places = np.array([at.get(track, -1) for track in alive.tracks.tolist()])
    rows = np.flatnonzero(places >= 0)
    now = seen.only(places[rows])
    alive.motion.put(rows, alive.motion.only(rows).seen_at(now.edges))
    alive.seen = alive.seen.only(np.arange(len(alive.tracks)))
    alive.seen.put(rows, now)
    alive.passed[rows] = 0
    if not len(fresh):
        return alive
    tracks = np.concatenate([alive.tracks, born.tracks])
    joined = _Expected(
        tracks,
        alive.motion.with_others(born.motion),
        alive.seen.with_others(born.seen),
        np.concatenate([alive.passed, born.passed]),
    )
    return _kept(joined, np.argsort(tracks, kind="stable"))


def _match(before: _Expected, behind: _Expected, seen: Observed) -> Iterator[tuple[int, int]]:
    """(track, place) of a frame."""
    tracks = np.union1d(before.tracks, behind.tracks)
    if not len(tracks) or not len(seen):
        return
    sides = [(side, np.searchsorted(tracks, side.tracks)) for side in (before, behind)]
    motion, categories = _both(len(tracks), sides)
    rows, places, misfit = near(motion, categories, seen)
    if not len(rows):
        return
    cues = _cues(motion, sides, seen, rows, places, misfit)
    odds = np.full((len(tracks), len(seen)), -np.inf)
    odds[rows, places] = WEIGHTS[0] + cues @ WEIGHTS[1:] + _appearance(sides, seen, rows, places, len(tracks))
    for row, place in assign(odds, np.arange(len(tracks)), np.arange(len(seen)), LEAST):
        yield int(tracks[row]), place


def _both(count: int, sides: Sequence[tuple[_Expected, Indices]]) -> tuple[Motion, Indices]:
    """Where tracks are expected by both sides, each by its certainty, and their categories."""
    weight, edges = np.zeros((count, 4)), np.zeros((count, 4))
    categories = np.zeros(count, np.intp)
    for side, row in sides:
        certainty = 1 / side.motion.variance[..., 0]
        weight[row] += certainty
        edges[row] += certainty * side.motion.edges
        categories[row] = side.seen.categories
    variance = np.zeros((count, 4, 3))
    variance[..., 0] = 1 / weight
    return Motion(edges / weight, np.zeros_like(edges), variance), categories


def _cues(
    motion: Motion,
    sides: Sequence[tuple[_Expected, Indices]],
    seen: Observed,
    rows: Indices,
    places: Indices,
    misfit: Floats,
) -> Floats:
    """(K, 7) what speaks for an instance belonging to a track."""
    predicted, edges = motion.edges[rows], seen.edges[places]
    overlaps = np.full((2, len(rows)), np.nan)
    alike = np.full((2, len(rows)), np.nan)
    passed = np.full((2, len(rows)), np.nan)
    for k, (side, row) in enumerate(sides):
        where = np.full(len(motion), -1)
        where[row] = np.arange(len(row))
        known = np.flatnonzero(where[rows] >= 0)
        of_side = where[rows[known]]
        shapes, others = side.seen.shapes[of_side], seen.shapes[places[known]]
        overlaps[k, known] = mask_overlap(predicted[known], shapes, edges[known], others)
        alike[k, known] = shape_overlap(shapes, others)
        passed[k, known] = side.passed[of_side]
    variance = motion.variance[rows, :, 0] + noise(edges, SEEN)
    return np.stack(
        [
            np.log1p(misfit / TAILS).mean(1),
            centre_misfit(edges - predicted, variance),
            np.nanmax(overlaps, 0),
            np.nanmin(overlaps, 0),
            np.minimum(np.nanmin(passed, 0), 10),
            np.isfinite(passed).sum(0) - 1.0,
            np.nanmax(alike, 0),
        ],
        1,
    )


def _appearance(
    sides: Sequence[tuple[_Expected, Indices]], seen: Observed, rows: Indices, places: Indices, count: int
) -> Floats:
    """(K,) what appearance adds to the log-odds, mean of the sides that know it."""
    total, known = np.zeros(len(rows)), np.zeros(len(rows))
    for side, row in sides:
        where = np.full(count, -1)
        where[row] = np.arange(len(row))
        of_side = np.flatnonzero(where[rows] >= 0)
        total[of_side] += appearance(side.seen, seen, where[rows[of_side]], places[of_side])
        known[of_side] += 1
    return np.asarray(total / np.maximum(known, 1))
