"""Stitch tracklets to tracks: what ends is joined with what begins later, by a global assignment that looks both ways.

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

from annotator.tracking.arrays import Floats, Indices, expand_ranges
from annotator.tracking.boosting import BoostedTrees
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import CameraMotion
from annotator.tracking.endpoints import Endpoints, mahalanobis
from annotator.tracking.linking import appearance_log_odds
from annotator.tracking.pair_features import OcclusionAlongPath, pair_features
from annotator.tracking.parameters import LINKING, STITCHING
from annotator.tracking.tracklets import DetectionIndex, Tracklet, merge_chains


@dataclass(frozen=True)
class Candidates:
    """K pairs of tracklets of which the second may go on with the first."""

    first: Indices  # (K,)
    second: Indices  # (K,)
    features: Floats  # (K, C)
    affinity: Floats  # (K,) log-odds by class and appearance


def stitch(tracklets: Sequence[Tracklet], scorer: PairScorer, max_gap: float) -> list[Tracklet]:
    """Join tracklets over gaps of at most `max_gap` steps; in order of appearance."""
    tracks = list(tracklets)
    for threshold in STITCHING.thresholds:
        first, second = pairs_within(tracks, scorer.times, max_gap)
        gain = scorer.log_odds(tracks, first, second) - threshold
        tracks = merge_chains(tracks, solve_assignment(first, second, gain))
    return tracks


def pairs_within(tracks: Sequence[Tracklet], times: Floats, max_gap: float) -> tuple[Indices, Indices]:
    """List pairs of which the second begins after the first ended, at most `max_gap` steps later: (K,) numbers each."""
    begins = np.array([times[track[0][0]] for track in tracks])
    ends = np.array([times[track[-1][0]] for track in tracks])
    order = np.argsort(begins, kind="stable")
    low = np.searchsorted(begins[order], ends, side="right")
    high = np.searchsorted(begins[order], ends + max_gap + 1e-6, side="right")
    first, place = expand_ranges(low, np.maximum(high - low, 0))
    return first, order[place]


class PairScorer:
    """Says how likely pairs of tracklets of a sequence are one object."""

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        frames: Sequence[Detections],
        times: Floats,
        camera: CameraMotion,
        trees: BoostedTrees,
    ) -> None:
        """Score pairs of tracklets, and of what they are joined to.

        Args:
            tracklets: all of the sequence.
            frames: its detections.
            times: (T,) of its frames, in steps.
            camera: its motion.
            trees: which weigh the features of pairs.
        """
        self.times = times
        self._frames, self._camera, self._trees = frames, camera, trees
        self._occlusion = OcclusionAlongPath(frames)
        self._classes = ClassAffinity(tracklets, frames)
        # A track is known by its first detection and its last.
        self._numbers: dict[tuple[DetectionIndex, DetectionIndex], int] = {}
        self._known = np.zeros(0, np.int64)  # pairs, ascending
        self._log_odds = np.zeros(0)  # of these

    def log_odds(self, tracks: Sequence[Tracklet], first: Indices, second: Indices) -> Floats:
        """(K,) log-odds of pairs, -inf of hopeless ones. What was scored in a round before is looked up."""
        number = self._numbers
        numbers = [number.setdefault((track[0], track[-1]), len(number)) for track in tracks]
        of_track = np.array(numbers, np.int64)
        pairs = of_track[first] << 32 | of_track[second]
        is_new = ~np.isin(pairs, self._known)
        self._remember(pairs[is_new], self._score(tracks, first[is_new], second[is_new]))
        return self._log_odds[np.searchsorted(self._known, pairs)]

    def _remember(self, pairs: npt.NDArray[np.int64], log_odds: Floats) -> None:
        known = np.concatenate([self._known, pairs])
        order = np.argsort(known, kind="stable")
        self._known, self._log_odds = known[order], np.concatenate([self._log_odds, log_odds])[order]

    def _score(self, tracks: Sequence[Tracklet], first: Indices, second: Indices) -> Floats:
        log_odds = np.full(len(first), -np.inf)
        if not len(first):
            return log_odds
        near, pairs = self.candidates(tracks, first, second)
        log_odds[near] = self._trees.log_odds(pairs.features) + pairs.affinity
        return log_odds

    def candidates(
        self, tracks: Sequence[Tracklet], first: Indices, second: Indices
    ) -> tuple[Indices, Candidates]:
        """Gate pairs: (N,) those that are worth a look, and what speaks for them."""
        frames, times, camera = self._frames, self.times, self._camera
        before, ends = Endpoints.of_tracks(tracks, first, frames, times, camera, is_end=True)
        after, begins = Endpoints.of_tracks(tracks, second, frames, times, camera, is_end=False)
        distance, determinant = mahalanobis(before, after, ends, begins)
        is_near = np.log1p(distance / LINKING.degrees_of_freedom).mean(1) < STITCHING.gate
        is_near &= before.seen.category_ids[ends] == after.seen.category_ids[begins]
        near = np.flatnonzero(is_near)
        ends, begins = ends[near], begins[near]
        occluded = self._occlusion.mean_share(before, after, ends, begins)
        affinity = self._classes.log_odds(tracks, first[near], second[near])
        affinity += appearance_log_odds(before.seen, after.seen, ends, begins)
        features = pair_features(before, after, ends, begins, distance[near], determinant[near], occluded)
        return near, Candidates(first[near], second[near], features, affinity)


class ClassAffinity:
    """What it says about two tracklets that most of their detections are of the same class, or not.

    Where classes hardly ever change within a tracklet, as in labels by people, different ones are different objects;
    a detector that takes vans for trucks now and then says less.
    """

    def __init__(self, tracklets: Sequence[Tracklet], frames: Sequence[Detections]) -> None:
        self._frames = frames
        votes = [self._votes(track) for track in tracklets]
        agreeing, detections = sum(int(vote.max()) for vote in votes), sum(int(vote.sum()) for vote in votes)
        noise = STITCHING.class_noise + 1 - agreeing / max(detections, 1)
        self._log_odds = min(0.0, float(np.log(noise / STITCHING.class_difference)))

    def _votes(self, track: Tracklet) -> Indices:
        return np.bincount([self._frames[frame].class_ids[place] for frame, place in track])

    def log_odds(self, tracks: Sequence[Tracklet], first: Indices, second: Indices) -> Floats:
        """(K,) log-odds that the pairs are one object each."""
        asked, place = np.unique(np.concatenate([first, second]), return_inverse=True)
        classes = np.array([self._votes(tracks[track]).argmax() for track in asked], np.intp)
        of_first, of_second = classes[place[: len(first)]], classes[place[len(first) :]]
        return np.where(of_first == of_second, 0.0, self._log_odds)


def solve_assignment(first: Indices, second: Indices, gain: Floats) -> dict[int, int]:
    """Choose which tracklet follows on which: one-to-one pairs of largest total gain, each gain above 0.

    Group by group of connected pairs, so that cost stays linear.
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
