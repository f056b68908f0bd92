"""Tracklets -> tracks: what ends is joined with what begins later, by a global assignment that looks both ways.

The motion of a tracklet's end, filtered forwards, and that of another's beginning, filtered backwards, are two
states with covariances: whether one object can have both is a matter of their distance in these. Tracklets as
observations: Huang et al., "Robust object tracking by hierarchical association of detection responses", ECCV 2008.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from annotator.tracking.motion import Motion
from annotator.tracking.observations import Floats, Indices, Observed, box_overlap, shape_overlap, sizes
from annotator.tracking.tracklets import TAILS, Tracklet, appearance, joined

ENDS = 12  # observations at an end that its motion is taken from
FAR = 2.5  # mean log(1 + d^2 / TAILS) from which two ends are not compared
# Log-odds of round after round, the certain first: what is joined has better known ends, and is in nobody's way. At the
# end, the false link of a rare pair costs less than the identity that a missing one breaks.
LEAST = (2.0, 0.0, -1.5, -3.0, -3.0)
LONG = 14.0  # ticks; the detections that weights were fitted on have no gaps much longer
# Log-odds of a join: constant, and for each cue of `_cues`. By logistic regression on KITTI MOTS with noise.
WEIGHTS = np.array([-0.4, -2.3, -0.19, 2.0, -0.34, 0.19, 3.1, -0.28, 3.9])


@dataclass(frozen=True)
class _Ends:
    """One end of each of N tracklets, with time running as in the recording."""

    motion: Motion
    ticks: Floats  # (N,)
    seen: Observed  # N
    lengths: Indices  # (N,) observations of the whole tracklet


def stitch(
    tracklets: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats, drift: Floats, longest: float
) -> list[Tracklet]:
    """Tracklets joined over gaps of at most `longest` ticks, in order of appearance."""
    tracks = list(tracklets)
    for least in LEAST:
        following = _following(tracks, observed, ticks, drift, longest, least)
        tracks = joined(tracks, following) if following else tracks
    return tracks


def _following(
    tracks: Sequence[Tracklet],
    observed: Sequence[Observed],
    ticks: Floats,
    drift: Floats,
    longest: float,
    least: float,
) -> dict[int, int]:
    """Which tracklet follows on which, by log-odds above `least`."""
    begins = np.array([ticks[track[0][0]] for track in tracks])
    ends = np.array([ticks[track[-1][0]] for track in tracks])
    first, second = _pairs(begins, ends, longest)
    if not len(first):
        return {}
    before = _ends(tracks, observed, ticks, drift, is_end=True)
    after = _ends(tracks, observed, ticks, drift, is_end=False)
    is_possible = before.seen.categories[first] == after.seen.categories[second]
    first, second = first[is_possible], second[is_possible]
    cues = _cues(before, after, first, second)
    odds = WEIGHTS[0] + cues @ WEIGHTS[1:] + appearance(before.seen, after.seen, first, second)
    good = (odds > least) & (cues[:, 0] < FAR)
    return _assign(first[good], second[good], odds[good] - least)


def _pairs(begins: Floats, ends: Floats, longest: float) -> tuple[Indices, Indices]:
    """Tracklets of which the second begins after the first ended, and not too late."""
    order = np.argsort(begins, kind="stable")
    low = np.searchsorted(begins[order], ends, side="right")
    high = np.searchsorted(begins[order], ends + longest + 1e-6, side="right")
    count = np.maximum(high - low, 0)
    first = np.repeat(np.arange(len(ends)), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    return first, order[place]


def _ends(
    tracks: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats, drift: Floats, is_end: bool
) -> _Ends:
    """The motion of the ends (or of the beginnings, filtered backwards) of all tracks at once."""
    stretches = [track[-ENDS:] if is_end else track[:ENDS][::-1] for track in tracks]
    frames = np.array([stretch[-1][0] for stretch in stretches])
    seen = _gather([stretch[-1] for stretch in stretches], observed)
    edges = np.array([observed[frame].edges[place] for frame, place in (s[0] for s in stretches)])
    first = np.array([stretch[0][0] for stretch in stretches])
    motion = Motion.begin(edges, drift[first] if is_end else -drift[first])
    for step in range(1, ENDS):
        rows = np.array([k for k, stretch in enumerate(stretches) if len(stretch) > step], np.intp)
        if not len(rows):
            break
        steps = [(stretches[k][step - 1], stretches[k][step]) for k in rows]
        passed = np.array([abs(ticks[b[0]] - ticks[a[0]]) for a, b in steps])[:, None]
        edges = np.array([observed[frame].edges[place] for _, (frame, place) in steps])
        hidden = np.array([observed[frame].hidden[place] for _, (frame, place) in steps])
        motion.put(rows, motion.only(rows).after(passed).seen_at(edges, hidden))
    lengths = np.array([len(track) for track in tracks])
    return _Ends(motion if is_end else motion.reversed(), ticks[frames], seen, lengths)


def _gather(places: Sequence[tuple[int, int]], observed: Sequence[Observed]) -> Observed:
    names = [each.name for each in fields(Observed)]
    return Observed(
        *(np.array([getattr(observed[frame], name)[place] for frame, place in places]) for name in names)
    )


def _cues(before: _Ends, after: _Ends, first: Indices, second: Indices) -> Floats:
    """(K, 8) what speaks for two tracklets being one object."""
    gap = (after.ticks[second] - before.ticks[first])[:, None]
    a, b = before.motion.only(first), after.motion.only(second)
    distance, spread = _distance(a.after(gap), b)
    size = sizes((a.edges + b.edges) / 2)
    # Where each says the object was in the middle of the gap.
    of_a, of_b = a.edges + a.velocity * gap / 2, b.edges - b.velocity * gap / 2
    away = np.abs((of_a - of_b)[:, :2] + (of_a - of_b)[:, 2:]) / 2 / size[:, :2]
    return np.stack(
        [
            np.log1p(distance / TAILS).mean(1),
            np.log(spread / size**4).mean(1),
            shape_overlap(before.seen.shapes[first], after.seen.shapes[second]),
            np.minimum(gap[:, 0], LONG),
            np.log(np.minimum(before.lengths[first], 20)),
            box_overlap(of_a, of_b),
            np.minimum(away.max(1), 5),
            np.log1p((np.abs(b.velocity - a.velocity) / size).mean(1)),
        ],
        1,
    )


def _distance(a: Motion, b: Motion) -> tuple[Floats, Floats]:
    """(K, 4) squared distance of the states (edge, velocity) in their covariance, and its determinant."""
    edge, both, velocity = (a.variance + b.variance).transpose(2, 0, 1)
    spread = np.maximum(edge * velocity - both**2, 1e-9)
    away, faster = b.edges - a.edges, b.velocity - a.velocity
    distance = (velocity * away**2 - 2 * both * away * faster + edge * faster**2) / spread
    return np.maximum(distance, 0), spread


def _assign(first: Indices, second: Indices, gain: Floats) -> dict[int, int]:
    """One-to-one pairs of largest total gain, each gain above 0; group by group, so that cost stays linear."""
    if not len(first):
        return {}
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    nodes = len(rows) + len(columns)
    links = coo_array((np.ones(len(row)), (row, len(rows) + column)), shape=(nodes, nodes))
    _, group_of = connected_components(links, directed=False)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for k, group in enumerate(group_of[row].tolist()):
        groups[group].append(k)
    following = {}
    for pairs in groups.values():
        in_rows, r = np.unique(row[pairs], return_inverse=True)
        in_columns, c = np.unique(column[pairs], return_inverse=True)
        table = np.zeros((len(in_rows), len(in_columns)))
        table[r, c] = gain[pairs]
        for i, j in zip(*linear_sum_assignment(table, maximize=True), strict=True):
            if table[i, j] > 0:
                following[int(rows[in_rows[i]])] = int(columns[in_columns[j]])
    return following
