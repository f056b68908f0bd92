"""Observations of a stretch -> tracklets: frame by frame forwards and backwards, where both have little doubt.

An instance goes on with a tracklet by the log-odds that the two are one object, given how far it is from where the
tracklet should be (motion), how their masks overlap there, and how alike their shapes are. Strong instances choose
first, as in Zhang et al., "ByteTrack", ECCV 2022. What is new in a crowd has no velocity yet, and takes the next one
for itself; seen from behind, it was known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from annotator.tracking.motion import Motion, noise_of_seen
from annotator.tracking.observations import (
    Floats,
    Indices,
    Observed,
    mask_overlap,
    shape_overlap,
)

Instance = tuple[int, int]  # frame of the stretch, position in the frame
Tracklet = list[Instance]  # frames ascending
Links = dict[Instance, Instance]  # from an instance to that of a later frame

TAILS = 4.0  # degrees of freedom of Student's t: edges are often far off, by legs and by what hides them
FAR = 2.2  # mean log(1 + d^2 / TAILS) of the edges from which two are not compared
MAX_MISSED = 3.0  # ticks that a tracklet may miss; longer gaps are for stitching, which sees both ends
STRONG = 0.5  # score
KNOWN = 3  # times seen, from which the velocity of a tracklet says something
# Log-odds of a link: constant, and for each cue of `_cues`. By logistic regression on KITTI MOTS with noise.
WEIGHTS = np.array([-1.0, -1.2, -1.7, 9.7, -7.0, 0.8, 0.36])
ALIKE = 6.0  # weight of the cosine between appearance vectors, which come from real pictures only


@dataclass
class _Alive:
    """N tracklets that may go on."""

    motion: Motion
    frames: Indices  # (N,) of the stretch, where they were seen last
    places: Indices  # (N,) position in that frame
    missed: Floats  # (N,) ticks since they were seen
    lengths: Floats  # (N,) times seen
    seen: Observed  # N, as they were seen last

    def __len__(self) -> int:
        return len(self.frames)

    def only(self, which: Indices) -> _Alive:
        return _Alive(
            self.motion.only(which),
            self.frames[which],
            self.places[which],
            self.missed[which],
            self.lengths[which],
            self.seen.only(which),
        )


def link(observed: Sequence[Observed], ticks: Floats) -> tuple[list[Tracklet], Floats]:
    """The tracklets of a stretch of frames at times `ticks` (T,), in order of appearance; every instance is in one.

    With them, (T,) how fast objects drift to the right, in pixels per tick, as they do when the camera turns.
    """
    forwards, drift = _followed(observed, ticks)
    backwards, _ = _followed(observed[::-1], -ticks[::-1])
    last = len(observed) - 1
    reversed_links = {
        (last - frame, place): (last - before, other) for (before, other), (frame, place) in backwards.items()
    }
    following = _agreed(forwards, reversed_links)
    later = set(following.values())
    tracklets: list[Tracklet] = []
    for frame, seen in enumerate(observed):
        for place in range(len(seen)):
            if (frame, place) not in later:
                tracklets.append(_from((frame, place), following))
    return tracklets, drift


def _agreed(one: Links, another: Links) -> Links:
    """What both say, and what one says of instances of which the other says nothing."""
    agreed: Links = {}
    for links, others in ((one, another), (another, one)):
        reached = set(others.values())
        for a, b in links.items():
            if others.get(a) == b or (a not in others and b not in reached):
                agreed[a] = b
    return agreed


def _from(head: Instance, following: Links) -> Tracklet:
    tracklet = [head]
    while tracklet[-1] in following:
        tracklet.append(following[tracklet[-1]])
    return tracklet


def joined(tracklets: Sequence[Tracklet], following: dict[int, int]) -> list[Tracklet]:
    """The tracklets in which each is one with the one that follows on it, by number; in order of appearance."""
    tracks = []
    for head in sorted(set(range(len(tracklets))) - set(following.values())):
        track, last = list(tracklets[head]), head
        while last in following:
            last = following[last]
            track += tracklets[last]
        tracks.append(sorted(track))
    return tracks


def _followed(observed: Sequence[Observed], ticks: Floats) -> tuple[Links, Floats]:
    """Which instance follows on which, as it shows frame by frame; and (T,) the drift."""
    drift = np.zeros(len(observed))
    following: Links = {}
    alive: _Alive | None = None
    for frame, seen in enumerate(observed):
        pairs: list[tuple[int, int]] = []
        if alive is not None:
            alive = _moved(alive, float(ticks[frame] - ticks[frame - 1]))
            pairs = list(_match(alive, seen))
            for row, place in pairs:
                following[int(alive.frames[row]), int(alive.places[row])] = (frame, place)
            drift[frame] = _drift(alive)
        alive = _gone_on(alive, seen, frame, pairs, drift[frame])
    return following, drift


def _moved(alive: _Alive, ticks: float) -> _Alive:
    """Those that may still go on, where they should be now."""
    kept = alive.only(np.flatnonzero(alive.missed + ticks <= MAX_MISSED + 1e-6))
    kept.motion = kept.motion.after(ticks)
    kept.missed = kept.missed + ticks
    return kept


def _drift(alive: _Alive) -> float:
    """How fast objects drift to the right: the median of those that are known well, and less when they are few."""
    known = np.flatnonzero(alive.lengths >= KNOWN)
    if not len(known):
        return 0.0
    return float(np.median(alive.motion.velocity[known][:, ::2].mean(1)) * len(known) / (len(known) + 1))


def _gone_on(
    alive: _Alive | None, seen: Observed, frame: int, pairs: Sequence[tuple[int, int]], drift: float
) -> _Alive:
    """The tracklets after a frame, new ones behind the others."""
    fresh = np.setdiff1d(np.arange(len(seen)), [place for _, place in pairs])
    born = _Alive(
        Motion.begin(seen.edges[fresh], drift),
        np.full(len(fresh), frame),
        fresh,
        np.zeros(len(fresh)),
        np.ones(len(fresh)),
        seen.only(fresh),
    )
    if alive is None or not len(alive):
        return born
    if pairs:
        rows, places = np.array(pairs).T
        now = seen.only(places)
        alive.motion.put(rows, alive.motion.only(rows).seen_at(now.edges, now.hidden))
        alive.frames[rows], alive.places[rows] = frame, places
        alive.missed[rows] = 0
        alive.lengths[rows] += 1
        alive.seen.put(rows, now)
    return _Alive(
        alive.motion.with_others(born.motion),
        np.concatenate([alive.frames, born.frames]),
        np.concatenate([alive.places, born.places]),
        np.concatenate([alive.missed, born.missed]),
        np.concatenate([alive.lengths, born.lengths]),
        alive.seen.with_others(born.seen),
    )


def _match(alive: _Alive, seen: Observed) -> Iterator[tuple[int, int]]:
    """(row, place) of the tracklets that go on with an instance of the frame; strong instances first."""
    odds = np.full((len(alive), len(seen)), -np.inf)
    rows, places, misfit = near(alive.motion, alive.seen.categories, seen)
    if not len(rows):
        return
    cues = _cues(alive, seen, rows, places, misfit)
    odds[rows, places] = WEIGHTS[0] + cues @ WEIGHTS[1:] + appearance(alive.seen, seen, rows, places)
    free = np.ones(len(alive), bool)
    strong = seen.scores >= STRONG
    for stage in (strong, ~strong):
        for row, place in assign(odds, np.flatnonzero(free), np.flatnonzero(stage)):
            free[row] = False
            yield row, place


def near(motion: Motion, categories: Indices, seen: Observed) -> tuple[Indices, Indices, Floats]:
    """Pairs of predicted objects and instances that are worth a look, (K,) each, and (K, 4) how far edges are off."""
    expected = motion.edges[:, None]
    variance = motion.variance[:, None, :, 0] + noise_of_seen(expected, seen.edges, seen.hidden)
    misfit = (seen.edges - expected) ** 2 / variance
    is_near = np.log1p(misfit / TAILS).mean(2) < FAR
    rows, places = np.nonzero(is_near & (categories[:, None] == seen.categories[None]))
    return rows, places, misfit[rows, places]


def _cues(alive: _Alive, seen: Observed, rows: Indices, places: Indices, misfit: Floats) -> Floats:
    """(K, 6) what speaks for a pair being one object."""
    predicted, edges = alive.motion.edges[rows], seen.edges[places]
    shapes, others = alive.seen.shapes[rows], seen.shapes[places]
    overlap = mask_overlap(predicted, shapes, edges, others)
    missed = np.minimum(alive.missed[rows] - 1, 1).clip(0)
    variance = alive.motion.variance[rows, :, 0] + noise_of_seen(predicted, edges, seen.hidden[places])
    return np.stack(
        [
            np.log1p(misfit / TAILS).mean(1),
            centre_misfit(edges - predicted, variance),
            overlap,
            overlap * missed,
            shape_overlap(shapes, others),
            np.minimum(alive.lengths[rows], 5) - 1,
        ],
        1,
    )


def centre_misfit(away: Floats, variance: Floats) -> Floats:
    """(K,) how far centres are off, given (K, 4) of the edges: misses of opposite edges cancel."""
    centre = (away[:, :2] + away[:, 2:]) / 2
    of_centre = (variance[:, :2] + variance[:, 2:]) / 4
    return np.asarray(np.log1p(centre**2 / of_centre / TAILS).mean(1))


def appearance(a: Observed, b: Observed, rows: Indices, places: Indices) -> Floats | float:
    """(K,) what appearance adds to the log-odds of pairs; 0 without appearance vectors."""
    if not a.features.shape[1] or a.features.shape[1] != b.features.shape[1]:
        return 0.0
    cosine = (a.features[rows] * b.features[places]).sum(1)
    return ALIKE * (cosine - 0.8)


def assign(odds: Floats, rows: Indices, places: Indices, least: float = 0.0) -> Iterable[tuple[int, int]]:
    """One-to-one pairs of some rows and columns of largest total log-odds above `least`."""
    gain = np.maximum(odds[np.ix_(rows, places)] - least, 0)
    chosen = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return [(int(rows[r]), int(places[c])) for r, c in chosen if gain[r, c] > 0]
