"""Link detections of neighbouring frames to tracklets, forwards and backwards, where both have little doubt.

A detection goes on with a tracklet by the log-odds that the two are one object, given how far it is from where the
Kalman filter predicts the tracklet, how their masks overlap there and where its pixels came from, and how alike their
masks are. High scores choose first, as in Zhang et al., "ByteTrack", ECCV 2022. What is new in a crowd has no velocity
yet, and takes the next one for itself; seen from behind, it was known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from annotator.tracking.arrays import Floats, Indices
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import CameraMotion
from annotator.tracking.kalman import KalmanState, measurement_variance
from annotator.tracking.overlap import grid_iou, mask_iou
from annotator.tracking.parameters import LINKING
from annotator.tracking.tracklets import Tracklet


@dataclass
class ActiveTracks:
    """N tracklets that may go on."""

    state: KalmanState
    last: Indices  # (N,) the detection that was linked last, of those of the sequence
    time_since_update: Floats  # (N,) steps
    hits: Floats  # (N,) detections so far

    def __len__(self) -> int:
        return len(self.last)

    def __getitem__(self, which: Indices) -> ActiveTracks:
        return ActiveTracks(
            self.state[which], self.last[which], self.time_since_update[which], self.hits[which]
        )

    def concatenate(self, others: ActiveTracks) -> ActiveTracks:
        """Put others behind these."""
        return ActiveTracks(
            self.state.concatenate(others.state),
            np.concatenate([self.last, others.last]),
            np.concatenate([self.time_since_update, others.time_since_update]),
            np.concatenate([self.hits, others.hits]),
        )


def link_detections(frames: Sequence[Detections], times: Floats) -> tuple[list[Tracklet], CameraMotion]:
    """Link the detections of a sequence of frames at `times` (T,), in steps.

    Returns tracklets in order of appearance, which hold every detection once, and the motion of the camera.
    """
    every = Detections.concatenate(frames)
    ends = np.cumsum([len(detections) for detections in frames])
    by_frame = [np.arange(end - len(each), end) for end, each in zip(ends, frames, strict=True)]
    camera = CameraMotion.still(frames)
    forwards, backwards = _link_both_ways(every, by_frame, times, camera)
    following = consensus(forwards, inverse_links(backwards))
    indices = [(frame, place) for frame, each in enumerate(frames) for place in range(len(each))]
    heads = np.setdiff1d(np.arange(len(every)), following)
    return [[indices[k] for k in _chain_from(int(head), following)] for head in heads], camera


def inverse_links(links: Indices) -> Indices:
    """Turn links round: (N,) from which detection each is reached; -1 = none."""
    inverse = np.full_like(links, -1)
    begins = np.flatnonzero(links >= 0)
    inverse[links[begins]] = begins
    return inverse


def consensus(one: Indices, another: Indices) -> Indices:
    """(N,) links that both have, and those of one between detections of which the other says nothing."""
    agreed = np.where(one == another, one, -1)
    for links, others in ((one, another), (another, one)):
        is_new = (links >= 0) & (others < 0) & (inverse_links(others)[links] < 0)
        agreed[is_new] = links[is_new]
    return agreed


def _chain_from(head: int, following: Indices) -> Iterator[int]:
    while head >= 0:
        yield head
        head = int(following[head])


def _link_both_ways(
    every: Detections, by_frame: Sequence[Indices], times: Floats, camera: CameraMotion
) -> tuple[Indices, Indices]:
    """(N,) the detection that follows each as it shows from the first frame on, and from the last one back; -1 = none.

    The motion of the camera is fitted on the way forwards. Both ways go side by side, as numpy takes hardly longer for
    both: the way back is among copies of all detections, N further on and of categories of their own.
    """
    count, last = len(every), len(by_frame) - 1
    apart = int(every.category_ids.max(initial=0)) + 1
    copies = replace(every, category_ids=every.category_ids + apart, flow_velocity=-every.flow_velocity)
    both = Detections.concatenate([every, copies])
    cameras = camera, camera.at_rest()
    elapsed = np.zeros(2)
    following = np.full(2 * count, -1)
    active = ActiveTracks(KalmanState.empty(), np.zeros(0, np.intp), np.zeros(0), np.zeros(0))
    for k, ahead in enumerate(by_frame):
        here = np.concatenate([ahead, by_frame[last - k] + count])
        seen = both[here]
        if k:
            elapsed = np.array([times[k] - times[k - 1], times[last - k + 1] - times[last - k]])
            active = _predict(active, np.where(active.last < count, elapsed[0], elapsed[1]))
        shifts = _flow_shifts(active, both, seen, count, elapsed)
        pairs = np.array([*_two_stage_match(active, both, seen, shifts)], np.intp).reshape(-1, 2)
        following[active.last[pairs[:, 0]]] = here[pairs[:, 1]]
        is_new = np.ones(len(seen), np.bool_)
        is_new[pairs[:, 1]] = False
        new = np.flatnonzero(is_new)
        velocity = np.empty((len(new), 4))
        of_known, of_new = active.last < count, new < len(ahead)
        for way, known, fresh in ((cameras[0], of_known, of_new), (cameras[1], ~of_known, ~of_new)):
            known &= active.hits >= LINKING.min_hits
            way.fit(k, max(k - 1, 0), active.state.boxes_xyxy[known], active.state.velocity[known])
            velocity[fresh] = way.velocity(seen.boxes_xyxy[new[fresh]], k)
        born = KalmanState.initiate(seen.boxes_xyxy[new], velocity, flow_velocity=seen.flow_velocity[new])
        active = _update(active, seen, here, pairs, new, born)
    return following[:count], np.maximum(following[count:] - count, -1)


def _predict(active: ActiveTracks, steps: Floats) -> ActiveTracks:
    """Predict where tracklets are (N,) steps later; those that missed too much are dropped."""
    time_since_update = active.time_since_update + steps
    goes_on = np.flatnonzero(time_since_update <= LINKING.max_gap + 1e-6)
    kept = active if len(goes_on) == len(active) else active[goes_on]
    return ActiveTracks(
        kept.state.predict(steps[goes_on, None]), kept.last, time_since_update[goes_on], kept.hits
    )


def _update(
    active: ActiveTracks, seen: Detections, here: Indices, pairs: Indices, new: Indices, born: KalmanState
) -> ActiveTracks:
    """Update tracklets by the detections that they were matched with, and put new ones behind them."""
    rows, places = pairs.T
    active.state[rows] = active.state[rows].update(seen.boxes_xyxy[places], seen.occluded_sides[places])
    active.last[rows] = here[places]
    active.time_since_update[rows] = 0
    active.hits[rows] += 1
    return active.concatenate(ActiveTracks(born, here[new], np.zeros(len(new)), np.ones(len(new))))


def _flow_shifts(
    active: ActiveTracks, every: Detections, seen: Detections, count: int, elapsed: Floats
) -> Floats:
    """(N, M, 2) how far each would have moved to be one of the M detections, by optical flow; nan = not known.

    Flow tells of the way from the frame before, so of those that were seen there: on the way forwards that of the
    detection, on the way back that of the tracklet's last one.
    """
    is_forwards = active.last < count
    steps = np.where(is_forwards, elapsed[0], elapsed[1])
    velocity = np.where(
        is_forwards[:, None, None], seen.flow_velocity, every.flow_velocity[active.last][:, None]
    )
    velocity[active.time_since_update > steps + 1e-6] = np.nan
    return velocity * steps[:, None, None]


def _two_stage_match(
    active: ActiveTracks, every: Detections, seen: Detections, shifts: Floats
) -> Iterator[tuple[int, int]]:
    """(row, place) of the tracklets that go on with a detection of the frame; high scores first."""
    rows, places, variance = _gate(active.state, every.category_ids[active.last], seen)
    if not len(rows):
        return
    log_odds = np.full((len(active), len(seen)), -np.inf)
    features = link_features(active, every, seen, rows, places, variance)
    log_odds[rows, places] = (
        LINKING.intercept
        + features @ np.array(LINKING.weights)
        + appearance_log_odds(every, seen, active.last[rows], places)
    )
    pairs = np.column_stack((rows, places))
    log_odds[rows, places] += LINKING.flow_overlap * _flow_overlap(every, seen, active.last, pairs, shifts)
    free = np.ones(len(active), np.bool_)
    is_high = seen.scores >= LINKING.high_score
    for stage in (is_high, ~is_high):
        for row, place in _assign(log_odds, np.flatnonzero(free), np.flatnonzero(stage)):
            free[row] = False
            yield row, place


def _gate(state: KalmanState, categories: Indices, seen: Detections) -> tuple[Indices, Indices, Floats]:
    """Pairs of tracklets and detections that are worth a look, (K,) each, and (K, 4) variance of their sides."""
    rows, places = np.nonzero(categories[:, None] == seen.category_ids)
    predicted, boxes = state.boxes_xyxy[rows], seen.boxes_xyxy[places]
    noise = measurement_variance(predicted, boxes, seen.occluded_sides[places])
    variance = state.covariance[rows, :, 0] + noise
    distance = 1 + (boxes - predicted) ** 2 / (LINKING.degrees_of_freedom * variance)
    near = np.flatnonzero(distance.prod(1) < np.exp(4 * LINKING.gate))
    return rows[near], places[near], variance[near]


def link_features(
    active: ActiveTracks,
    every: Detections,
    seen: Detections,
    rows: Indices,
    places: Indices,
    variance: Floats,
) -> Floats:
    """(K, 6) features of tracklets `rows` and detections `places` of the frame: what speaks for one object.

    Distance of the sides, distance of the centres, mask IoU in the predicted box, the same after a gap, IoU of the
    mask grids, hits. LINKING.weights has a weight for each.
    """
    predicted, boxes = active.state.boxes_xyxy[rows], seen.boxes_xyxy[places]
    last, others = active.last[rows], seen.mask_grids[places]
    grids = every.mask_grids[last]
    overlap = mask_iou(
        predicted, grids, every.occluded_sides[last], boxes, others, seen.occluded_sides[places]
    )
    missed = np.minimum(active.time_since_update[rows] - 1, 1).clip(0)
    residual = boxes - predicted
    return np.column_stack(
        (
            np.log1p(residual**2 / variance / LINKING.degrees_of_freedom).mean(1),
            _centre_distance(residual, variance),
            overlap,
            overlap * missed,
            grid_iou(grids, others),
            np.minimum(active.hits[rows], 5) - 1,
        )
    )


def _centre_distance(residual: Floats, variance: Floats) -> Floats:
    """(K,) how far centres are off, given (K, 4) of the sides: misses of opposite sides cancel."""
    centre = (residual[:, :2] + residual[:, 2:]) / 2
    of_centre = (variance[:, :2] + variance[:, 2:]) / 4
    return np.asarray(np.log1p(centre**2 / of_centre / LINKING.degrees_of_freedom).mean(1))


def _flow_overlap(a: Detections, b: Detections, last: Indices, pairs: Indices, shifts: Floats) -> Floats:
    """(K,) mask IoU of pairs (K, 2) of tracklets, seen `last` in a, and detections of b after `shifts` (N, M, 2).

    0 where these are not known.
    """
    overlap = np.zeros(len(pairs))
    shift = shifts[pairs[:, 0], pairs[:, 1]]
    known = np.flatnonzero(~np.isnan(shift).any(1))
    i, j = last[pairs[known, 0]], pairs[known, 1]
    boxes = a.boxes_xyxy[i] + np.tile(shift[known], 2)
    overlap[known] = mask_iou(
        boxes, a.mask_grids[i], a.occluded_sides[i], b.boxes_xyxy[j], b.mask_grids[j], b.occluded_sides[j]
    )
    return overlap


def appearance_log_odds(a: Detections, b: Detections, rows: Indices, places: Indices) -> Floats | float:
    """(K,) what appearance adds to the log-odds of pairs; 0 without appearance vectors."""
    if not a.features.shape[1] or a.features.shape[1] != b.features.shape[1]:
        return 0.0
    cosine = (a.features[rows] * b.features[places]).sum(1)
    return LINKING.appearance * (cosine - LINKING.usual_cosine)


def _assign(log_odds: Floats, rows: Indices, places: Indices) -> Iterable[tuple[int, int]]:
    """One-to-one pairs of some rows and columns of largest total log-odds above 0."""
    if not len(rows) or not len(places):
        return []
    gain = np.maximum(log_odds[np.ix_(rows, places)], 0)
    assigned = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return [(int(rows[r]), int(places[c])) for r, c in assigned if gain[r, c] > 0]
