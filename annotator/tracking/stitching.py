"""Tracklets -> tracks: what ends is joined with what begins later, by a global assignment that looks both ways.

The motion of a tracklet's end, filtered forwards, and that of another's beginning, filtered backwards, are two
states with covariances: their distance in these, what lies between, and how alike the two are go to boosted trees,
which say whether they are one object. Tracklets as observations: Huang et al., "Robust object tracking by
hierarchical association of detection responses", ECCV 2008.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from annotator.tracking.ends import Ends, Way, cues, misfit
from annotator.tracking.flow import Flow
from annotator.tracking.forest import forest
from annotator.tracking.observations import Floats, Indices, Observed, spread_out
from annotator.tracking.tracklets import TAILS, Instance, Tracklet, appearance, joined

FAR = 2.9  # mean log(1 + d^2 / TAILS) from which two ends are not compared
# Log-odds of round after round, the certain first: what is joined has better known ends, and is in nobody's way. At the
# end, the false link of a rare pair costs less than the identity that a missing one breaks.
LEAST = (3.0, 1.0, -1.0, -2.0, -2.0)
USUAL = 0.25  # share of different objects of a category that are of different classes
SELDOM = 0.002  # share of instances of another class than their track's, where all seem to agree


@dataclass(frozen=True)
class Candidates:
    """K pairs of tracklets of which the second may go on with the first."""

    first: Indices  # (K,)
    second: Indices  # (K,)
    cues: Floats  # (K, C)
    alike: Floats  # (K,) log-odds by class and appearance

    @property
    def odds(self) -> Floats:
        """(K,) log-odds that the two are one object."""
        return forest().odds(self.cues) + self.alike


def stitch(
    tracklets: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats, flow: Flow, longest: float
) -> list[Tracklet]:
    """Tracklets joined over gaps of at most `longest` ticks, in order of appearance."""
    tracks, judge = list(tracklets), Judge(tracklets, observed, ticks, flow)
    for least in LEAST:
        first, second = pairs_of(tracks, ticks, longest)
        tracks = joined(tracks, chosen(first, second, judge.odds(tracks, first, second) - least))
    return tracks


def pairs_of(tracks: Sequence[Tracklet], ticks: Floats, longest: float) -> tuple[Indices, Indices]:
    """Tracklets of which the second begins after the first ended, and not too late."""
    begins = np.array([ticks[track[0][0]] for track in tracks])
    ends = np.array([ticks[track[-1][0]] for track in tracks])
    order = np.argsort(begins, kind="stable")
    low = np.searchsorted(begins[order], ends, side="right")
    high = np.searchsorted(begins[order], ends + longest + 1e-6, side="right")
    first, place = spread_out(low, np.maximum(high - low, 0))
    return first, order[place]


class Judge:
    """What speaks for pairs of tracklets of a stretch being one object."""

    def __init__(
        self, tracklets: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats, flow: Flow
    ) -> None:
        self._observed, self._ticks, self._flow = observed, ticks, flow
        self._way = Way(observed)
        self._classes = Classes(tracklets, observed)
        self._numbers: dict[tuple[Instance, Instance], int] = {}  # a track is known by its first and its last
        self._known = np.zeros(0, np.int64)  # pairs, ascending
        self._odds = np.zeros(0)  # of these

    def odds(self, tracks: Sequence[Tracklet], first: Indices, second: Indices) -> Floats:
        """(K,) log-odds of pairs, -inf of hopeless ones. What was told in a round before is not asked again."""
        number = self._numbers
        numbers = [number.setdefault((track[0], track[-1]), len(number)) for track in tracks]
        of_track = np.array(numbers, np.int64)
        pairs = of_track[first] << 32 | of_track[second]
        is_new = ~np.isin(pairs, self._known)
        self._learn(pairs[is_new], self._judged(tracks, first[is_new], second[is_new]))
        return self._odds[np.searchsorted(self._known, pairs)]

    def _learn(self, pairs: npt.NDArray[np.int64], odds: Floats) -> None:
        known = np.concatenate([self._known, pairs])
        order = np.argsort(known, kind="stable")
        self._known, self._odds = known[order], np.concatenate([self._odds, odds])[order]

    def _judged(self, tracks: Sequence[Tracklet], first: Indices, second: Indices) -> Floats:
        odds = np.full(len(first), -np.inf)
        if not len(first):
            return odds
        near, pairs = self.candidates(tracks, first, second)
        odds[near] = pairs.odds
        return odds

    def candidates(
        self, tracks: Sequence[Tracklet], first: Indices, second: Indices
    ) -> tuple[Indices, Candidates]:
        """Those of the pairs that are worth a look, (N,) and what speaks for them."""
        before, ends = Ends.of(tracks, first, self._observed, self._ticks, self._flow, is_end=True)
        after, begins = Ends.of(tracks, second, self._observed, self._ticks, self._flow, is_end=False)
        distance, spread = misfit(before, after, ends, begins)
        is_near = np.log1p(distance / TAILS).mean(1) < FAR
        is_near &= before.seen.categories[ends] == after.seen.categories[begins]
        near = np.flatnonzero(is_near)
        ends, begins = ends[near], begins[near]
        covered = self._way.covered(before, after, ends, begins)
        alike = self._classes.odds(tracks, first[near], second[near])
        alike += appearance(before.seen, after.seen, ends, begins)
        evidence = cues(before, after, ends, begins, distance[near], spread[near], covered)
        return near, Candidates(first[near], second[near], evidence, alike)


class Classes:
    """What it says about two tracklets that most of their instances are of the same class, or not.

    Where classes hardly ever change within a tracklet, as in labels by people, different ones are different objects;
    a detector that takes vans for trucks now and then says less.
    """

    def __init__(self, tracklets: Sequence[Tracklet], observed: Sequence[Observed]) -> None:
        self._observed = observed
        votes = [self._votes(track) for track in tracklets]
        agreeing, instances = sum(int(vote.max()) for vote in votes), sum(int(vote.sum()) for vote in votes)
        self._odds = min(0.0, float(np.log((SELDOM + 1 - agreeing / max(instances, 1)) / USUAL)))

    def _votes(self, track: Tracklet) -> Indices:
        return np.bincount([self._observed[frame].class_ids[place] for frame, place in track])

    def odds(self, tracks: Sequence[Tracklet], first: Indices, second: Indices) -> Floats:
        """(K,) log-odds that the pairs are one object each."""
        asked, place = np.unique(np.concatenate([first, second]), return_inverse=True)
        classes = np.array([self._votes(tracks[track]).argmax() for track in asked], np.intp)
        of_first, of_second = classes[place[: len(first)]], classes[place[len(first) :]]
        return np.where(of_first == of_second, 0.0, self._odds)


def chosen(first: Indices, second: Indices, gain: Floats) -> dict[int, int]:
    """Which tracklet follows on which: one-to-one pairs of largest total gain, each gain above 0.

    Group by group, so that cost stays linear.
    """
    is_good = gain > 0
    first, second, gain = first[is_good], second[is_good], gain[is_good]
    if not len(first):
        return {}
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    nodes = len(rows) + len(columns)
    links = coo_array((np.ones(len(row)), (row, len(rows) + column)), shape=(nodes, nodes))
    _, group_of = connected_components(links, directed=False)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for k, number in enumerate(group_of[row].tolist()):
        groups[number].append(k)
    following = {}
    for group in groups.values():
        in_rows, r = np.unique(row[group], return_inverse=True)
        in_columns, c = np.unique(column[group], return_inverse=True)
        table = np.zeros((len(in_rows), len(in_columns)))
        table[r, c] = gain[group]
        for i, j in zip(*linear_sum_assignment(table, maximize=True), strict=True):
            if table[i, j] > 0:
                following[int(rows[in_rows[i]])] = int(columns[in_columns[j]])
    return following
