"""Observations of a stretch -> tracklets: frame by frame forwards and backwards, where both have little doubt.

An instance goes on with a tracklet by the log-odds that the two are one object, given how far it is from where the
tracklet should be (motion), how their masks overlap there and where its pixels came from, and how alike their shapes
are. Strong instances choose first, as in Zhang et al., "ByteTrack", ECCV 2022. What is new in a crowd has no velocity
yet, and takes the next one for itself; seen from behind, it was known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from annotator.tracking.flow import Flow
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

TAILS = 4.0  # degrees of freedom of Student's t: edges are often far off, by legs and by what hides them
FAR = 2.2  # mean log(1 + d^2 / TAILS) of the edges from which two are not compared
MAX_MISSED = 3.0  # ticks that a tracklet may miss; longer gaps are for stitching, which sees both ends
STRONG = 0.5  # score
KNOWN = 3  # times seen, from which the velocity of a tracklet says something
# Log-odds of a link: constant, and for each cue of `_cues`. By logistic regression on KITTI MOTS with noise.
WEIGHTS = np.array([-1.0, -1.2, -1.7, 9.7, -7.0, 0.8, 0.36])
MOVED = 3.0  # weight of the overlap where an instance comes from, as its pixels moved
ALIKE = 6.0  # weight of the cosine between appearance vectors, which come from real pictures only


@dataclass
class _Alive:
    """N tracklets that may go on."""

    motion: Motion
    last: Indices  # (N,) the instance that was seen last, of those of the stretch
    missed: Floats  # (N,) ticks since then
    lengths: Floats  # (N,) times seen

    def __len__(self) -> int:
        return len(self.last)

    def only(self, which: Indices) -> _Alive:
        return _Alive(self.motion.only(which), self.last[which], self.missed[which], self.lengths[which])

    def with_others(self, others: _Alive) -> _Alive:
        return _Alive(
            self.motion.with_others(others.motion),
            np.concatenate([self.last, others.last]),
            np.concatenate([self.missed, others.missed]),
            np.concatenate([self.lengths, others.lengths]),
        )


def link(observed: Sequence[Observed], ticks: Floats) -> tuple[list[Tracklet], Flow]:
    """The tracklets of a stretch of frames at times `ticks` (T,), in order of appearance; every instance is in one.

    With them, how the picture moves with the camera.
    """
    every = Observed.concatenated(observed)
    ends = np.cumsum([len(seen) for seen in observed])
    frames = [np.arange(end - len(seen), end) for end, seen in zip(ends, observed, strict=True)]
    flow = Flow.still(observed)
    forwards, backwards = _followed(every, frames, ticks, flow)
    following = _agreed(forwards, _turned(backwards))
    names = [(frame, place) for frame, seen in enumerate(observed) for place in range(len(seen))]
    heads = np.setdiff1d(np.arange(len(every)), following)
    return [[names[k] for k in _from(int(head), following)] for head in heads], flow


def _turned(links: Indices) -> Indices:
    """The same links from the other side: (N,) from which instance each is reached; -1 = none."""
    turned = np.full_like(links, -1)
    begins = np.flatnonzero(links >= 0)
    turned[links[begins]] = begins
    return turned


def _agreed(one: Indices, another: Indices) -> Indices:
    """(N,) links that both have, and those of one between instances of which the other says nothing."""
    agreed = np.where(one == another, one, -1)
    for links, others in ((one, another), (another, one)):
        is_new = (links >= 0) & (others < 0) & (_turned(others)[links] < 0)
        agreed[is_new] = links[is_new]
    return agreed


def _from(head: int, following: Indices) -> Iterator[int]:
    while head >= 0:
        yield head
        head = int(following[head])


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


def _followed(
    every: Observed, frames: Sequence[Indices], ticks: Floats, flow: Flow
) -> tuple[Indices, Indices]:
    """(N,) which instance follows on each as it shows from the first frame on, and which from the last one back.

    -1 = none. The flow is told on the way forwards. Both ways go side by side, as numpy takes hardly longer for both:
    the way back is among copies of all instances, N further on and of categories of their own.
    """
    count, last = len(every), len(frames) - 1
    apart = int(every.categories.max(initial=0)) + 1
    copies = replace(every, categories=every.categories + apart, velocity=-every.velocity)
    both = Observed.concatenated([every, copies])
    flows = flow, flow.unknown()
    passed = np.zeros(2)
    following = np.full(2 * count, -1)
    alive = _Alive(Motion.none(), np.zeros(0, np.intp), np.zeros(0), np.zeros(0))
    for k, ahead in enumerate(frames):
        here = np.concatenate([ahead, frames[last - k] + count])
        seen = both.only(here)
        if k:
            passed = np.array([ticks[k] - ticks[k - 1], ticks[last - k + 1] - ticks[last - k]])
            alive = _moved(alive, np.where(alive.last < count, passed[0], passed[1]))
        shifts = _shifts(alive, both, seen, count, passed)
        pairs = np.array([*_match(alive, both, seen, shifts)], np.intp).reshape(-1, 2)
        following[alive.last[pairs[:, 0]]] = here[pairs[:, 1]]
        is_new = np.ones(len(seen), np.bool_)
        is_new[pairs[:, 1]] = False
        new = np.flatnonzero(is_new)
        velocity = np.empty((len(new), 4))
        of_known, of_new = alive.last < count, new < len(ahead)
        for way, known, fresh in ((flows[0], of_known, of_new), (flows[1], ~of_known, ~of_new)):
            known &= alive.lengths >= KNOWN
            way.tell(k, max(k - 1, 0), alive.motion.edges[known], alive.motion.velocity[known])
            velocity[fresh] = way.velocity(seen.edges[new[fresh]], k)
        begun = Motion.begin(seen.edges[new], velocity, moving=seen.velocity[new])
        alive = _gone_on(alive, seen, here, pairs, new, begun)
    return following[:count], np.maximum(following[count:] - count, -1)


def _moved(alive: _Alive, ticks: Floats) -> _Alive:
    """Those that may still go on, where they should be (N,) ticks later."""
    missed = alive.missed + ticks
    goes_on = np.flatnonzero(missed <= MAX_MISSED + 1e-6)
    kept = alive if len(goes_on) == len(alive) else alive.only(goes_on)
    return _Alive(kept.motion.after(ticks[goes_on, None]), kept.last, missed[goes_on], kept.lengths)


def _gone_on(
    alive: _Alive, seen: Observed, here: Indices, pairs: Indices, new: Indices, begun: Motion
) -> _Alive:
    """The tracklets after a frame, new ones behind the others."""
    rows, places = pairs.T
    born = _Alive(begun, here[new], np.zeros(len(new)), np.ones(len(new)))
    alive.motion.put(rows, alive.motion.only(rows).seen_at(seen.edges[places], seen.hidden[places]))
    alive.last[rows] = here[places]
    alive.missed[rows] = 0
    alive.lengths[rows] += 1
    return alive.with_others(born)


def _shifts(alive: _Alive, every: Observed, seen: Observed, count: int, passed: Floats) -> Floats:
    """(N, M, 2) how far each would have moved to be one of the M instances, by pixels; nan = not known.

    Pixels tell of the way from the frame before, so of those that were seen there: on the way forwards the pixels on
    the instance, on the way back those on the tracklet's last one.
    """
    is_forwards = alive.last < count
    ticks = np.where(is_forwards, passed[0], passed[1])
    velocity = np.where(is_forwards[:, None, None], seen.velocity, every.velocity[alive.last][:, None])
    velocity[alive.missed > ticks + 1e-6] = np.nan
    return velocity * ticks[:, None, None]


def _match(alive: _Alive, every: Observed, seen: Observed, shifts: Floats) -> Iterator[tuple[int, int]]:
    """(row, place) of the tracklets that go on with an instance of the frame; strong instances first."""
    rows, places, variance = _near(alive.motion, every.categories[alive.last], seen)
    if not len(rows):
        return
    odds = np.full((len(alive), len(seen)), -np.inf)
    cues = _cues(alive, every, seen, rows, places, variance)
    odds[rows, places] = WEIGHTS[0] + cues @ WEIGHTS[1:] + appearance(every, seen, alive.last[rows], places)
    pairs = np.column_stack((rows, places))
    odds[rows, places] += MOVED * _overlap_by_pixels(every, seen, alive.last, pairs, shifts)
    free = np.ones(len(alive), np.bool_)
    strong = seen.scores >= STRONG
    for stage in (strong, ~strong):
        for row, place in _assign(odds, np.flatnonzero(free), np.flatnonzero(stage)):
            free[row] = False
            yield row, place


def _near(motion: Motion, categories: Indices, seen: Observed) -> tuple[Indices, Indices, Floats]:
    """Pairs of predicted objects and instances that are worth a look, (K,) each, and (K, 4) variance of their edges."""
    rows, places = np.nonzero(categories[:, None] == seen.categories)
    expected, edges = motion.edges[rows], seen.edges[places]
    variance = motion.variance[rows, :, 0] + noise_of_seen(expected, edges, seen.hidden[places])
    misfit = 1 + (edges - expected) ** 2 / (TAILS * variance)
    near = np.flatnonzero(misfit.prod(1) < np.exp(4 * FAR))
    return rows[near], places[near], variance[near]


def _cues(
    alive: _Alive, every: Observed, seen: Observed, rows: Indices, places: Indices, variance: Floats
) -> Floats:
    """(K, 6) what speaks for a pair being one object."""
    predicted, edges = alive.motion.edges[rows], seen.edges[places]
    last, others = alive.last[rows], seen.shapes[places]
    shapes = every.shapes[last]
    overlap = mask_overlap(predicted, shapes, every.hidden[last], edges, others, seen.hidden[places])
    missed = np.minimum(alive.missed[rows] - 1, 1).clip(0)
    away = edges - predicted
    return np.column_stack(
        (
            np.log1p(away**2 / variance / TAILS).mean(1),
            _centre_misfit(away, variance),
            overlap,
            overlap * missed,
            shape_overlap(shapes, others),
            np.minimum(alive.lengths[rows], 5) - 1,
        )
    )


def _centre_misfit(away: Floats, variance: Floats) -> Floats:
    """(K,) how far centres are off, given (K, 4) of the edges: misses of opposite edges cancel."""
    centre = (away[:, :2] + away[:, 2:]) / 2
    of_centre = (variance[:, :2] + variance[:, 2:]) / 4
    return np.asarray(np.log1p(centre**2 / of_centre / TAILS).mean(1))


def _overlap_by_pixels(a: Observed, b: Observed, last: Indices, pairs: Indices, shifts: Floats) -> Floats:
    """(K,) overlap of pairs (K, 2) of tracklets, seen `last` in a, and instances of b after `shifts` (N, M, 2).

    0 where these are not known.
    """
    overlap = np.zeros(len(pairs))
    shift = shifts[pairs[:, 0], pairs[:, 1]]
    known = np.flatnonzero(~np.isnan(shift).any(1))
    i, j = last[pairs[known, 0]], pairs[known, 1]
    edges = a.edges[i] + np.tile(shift[known], 2)
    overlap[known] = mask_overlap(edges, a.shapes[i], a.hidden[i], b.edges[j], b.shapes[j], b.hidden[j])
    return overlap


def appearance(a: Observed, b: Observed, rows: Indices, places: Indices) -> Floats | float:
    """(K,) what appearance adds to the log-odds of pairs; 0 without appearance vectors."""
    if not a.features.shape[1] or a.features.shape[1] != b.features.shape[1]:
        return 0.0
    cosine = (a.features[rows] * b.features[places]).sum(1)
    return ALIKE * (cosine - 0.8)


def _assign(odds: Floats, rows: Indices, places: Indices) -> Iterable[tuple[int, int]]:
    """One-to-one pairs of some rows and columns of largest total log-odds above 0."""
    if not len(rows) or not len(places):
        return []
    gain = np.maximum(odds[np.ix_(rows, places)], 0)
    chosen = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return [(int(rows[r]), int(places[c])) for r, c in chosen if gain[r, c] > 0]
