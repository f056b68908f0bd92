"""Where tracklets end and begin, and what speaks for two of them being one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from annotator.tracking.flow import Flow
from annotator.tracking.motion import Motion
from annotator.tracking.observations import (
    CENTRES,
    GRID,
    Floats,
    Indices,
    Observed,
    any_of,
    box_overlap,
    shape_overlap,
    sizes,
    spread_out,
)
from annotator.tracking.tracklets import TAILS, Tracklet

SEEN = (0.09, 1.0)  # as `motion.SEEN`; more, as what ends is often half hidden already
LENGTH = 12  # observations at an end that its motion is taken from
LOOKS = 6  # frames of a gap in which to look for what hides an object, at most
LONG = 40  # observations from which on a tracklet isn't longer


@dataclass(frozen=True)
class Ends:
    """One end of each of N tracklets, with time running as in the recording."""

    motion: Motion
    frames: Indices  # (N,)
    ticks: Floats  # (N,)
    seen: Observed  # N
    lengths: Indices  # (N,) observations of the whole tracklet

    @classmethod
    def of(
        cls,
        tracks: Sequence[Tracklet],
        asked: Indices,
        observed: Sequence[Observed],
        ticks: Floats,
        flow: Flow,
        is_end: bool,
    ) -> tuple[Ends, Indices]:
        """The ends (or beginnings, filtered backwards) of tracks (K,), each once, and (K,) where each is."""
        numbers, place = np.unique(asked, return_inverse=True)
        return cls._of([tracks[k] for k in numbers], observed, ticks, flow, is_end), place

    @classmethod
    def _of(
        cls,
        tracks: Sequence[Tracklet],
        observed: Sequence[Observed],
        ticks: Floats,
        flow: Flow,
        is_end: bool,
    ) -> Ends:
        stretches = [track[-LENGTH:] if is_end else track[:LENGTH][::-1] for track in tracks]
        first = np.array([stretch[0][0] for stretch in stretches])
        edges = np.array([observed[frame].edges[place] for frame, place in (s[0] for s in stretches)])
        velocity = flow.velocity(edges, first)
        motion = Motion.begin(edges, velocity if is_end else -velocity, SEEN)
        for step in range(1, LENGTH):
            rows = np.array([k for k, stretch in enumerate(stretches) if len(stretch) > step], np.intp)
            if not len(rows):
                break
            steps = [(stretches[k][step - 1], stretches[k][step]) for k in rows]
            passed = np.array([abs(ticks[b[0]] - ticks[a[0]]) for a, b in steps])[:, None]
            edges = np.array([observed[frame].edges[place] for _, (frame, place) in steps])
            hidden = np.array([observed[frame].hidden[place] for _, (frame, place) in steps])
            motion.put(rows, motion.only(rows).after(passed).seen_at(edges, hidden, SEEN))
        frames = np.array([stretch[-1][0] for stretch in stretches])
        return cls(
            motion if is_end else motion.reversed(),
            frames,
            ticks[frames],
            _gather([stretch[-1] for stretch in stretches], observed),
            np.array([len(track) for track in tracks]),
        )


def _gather(places: Sequence[tuple[int, int]], observed: Sequence[Observed]) -> Observed:
    names = [each.name for each in fields(Observed)]
    return Observed(
        *(np.array([getattr(observed[frame], name)[place] for frame, place in places]) for name in names)
    )


def misfit(before: Ends, after: Ends, first: Indices, second: Indices) -> tuple[Floats, Floats]:
    """(K, 4) squared distance of the states (edge, velocity) in their covariance, and its determinant."""
    a = before.motion.only(first).after((after.ticks[second] - before.ticks[first])[:, None])
    b = after.motion.only(second)
    edge, both, velocity = (a.variance + b.variance).transpose(2, 0, 1)
    spread = np.maximum(edge * velocity - both**2, 1e-9)
    away, faster = b.edges - a.edges, b.velocity - a.velocity
    distance = (velocity * away**2 - 2 * both * away * faster + edge * faster**2) / spread
    return np.maximum(distance, 0), spread


def cues(
    before: Ends,
    after: Ends,
    first: Indices,
    second: Indices,
    distance: Floats,
    spread: Floats,
    covered: Floats,
) -> Floats:
    """(K, 32) what speaks for two tracklets being one object; in sizes and ticks, whatever the resolution.

    `distance` and `spread` are those of `misfit`, `covered` (K,) that of `Way`.
    """
    gap = (after.ticks[second] - before.ticks[first])[:, None]
    a, b = before.motion.only(first), after.motion.only(second)
    size = sizes((a.edges + b.edges) / 2)
    # Where each says the object was in the middle of the gap.
    of_a, of_b = a.edges + a.velocity * gap / 2, b.edges - b.velocity * gap / 2
    away = np.abs(of_b - of_a + np.roll(of_b - of_a, 2, axis=1)) / 2 / size
    seen_a, seen_b = before.seen.edges[first], after.seen.edges[second]
    growth = np.log(
        np.maximum(seen_b[:, 2:] - seen_b[:, :2], 1) / np.maximum(seen_a[:, 2:] - seen_a[:, :2], 1)
    )
    missed = np.maximum(after.frames[second] - before.frames[first] - 1, 0)
    off = np.log1p(distance / TAILS)
    columns = (
        off,
        off.mean(1),
        np.log(spread / size**4).mean(1),
        shape_overlap(before.seen.shapes[first], after.seen.shapes[second]),
        gap,
        np.minimum(before.lengths[first], LONG),
        np.minimum(after.lengths[second], LONG),
        box_overlap(of_a, of_b),
        away[:, :2],
        np.abs(of_b - of_a)[:, 3] / size[:, 3],
        np.abs(b.velocity - a.velocity) / size,
        growth,
        before.seen.hidden[first],
        after.seen.hidden[second],
        a.velocity[:, ::2].mean(1) / size[:, 0],
        b.velocity[:, ::2].mean(1) / size[:, 0],
        covered,
        (1 - covered) * missed,
    )
    return np.column_stack(columns)


class Way:
    """What others cover of the way from one place to another, in the frames between."""

    def __init__(self, observed: Sequence[Observed]) -> None:
        self._edges = np.concatenate([seen.edges for seen in observed])
        self._edges_apart = np.ascontiguousarray(self._edges.T)  # which are looked up faster
        self._shapes = np.concatenate([seen.shapes for seen in observed])
        self._begins = np.concatenate([[0], np.cumsum([len(seen) for seen in observed])])

    def covered(self, before: Ends, after: Ends, first: Indices, second: Indices) -> Floats:
        """(K,) mean share of the box on its straight way that others' masks cover; 0 without frames between."""
        begin, end = before.frames[first], after.frames[second]
        looks = np.clip(end - begin - 1, 0, LOOKS)
        pair, look = spread_out(np.zeros(len(looks), np.intp), looks)
        frame = begin[pair] + 1 + (2 * look + 1) * (end - begin - 1)[pair] // (2 * looks[pair])
        share = ((frame - begin[pair]) / (end - begin)[pair])[:, None]
        box = before.seen.edges[first][pair] * (1 - share) + after.seen.edges[second][pair] * share
        seen = self._share(box, frame)
        return np.bincount(pair, seen, len(first)) / np.maximum(looks, 1)

    def _share(self, boxes: Floats, frames: Indices) -> Floats:
        """(M,) share of boxes (M, 4) that is covered in frames (M,)."""
        row, other = spread_out(self._begins[frames], np.diff(self._begins)[frames])
        left, top, right, bottom = self._edges_apart
        meets = (left[other] < boxes[row, 2]) & (boxes[row, 0] < right[other])
        meets &= (top[other] < boxes[row, 3]) & (boxes[row, 1] < bottom[other])
        row, other = row[meets], other[meets]
        box, edges = boxes[row], self._edges[other]
        extent = np.maximum(edges[:, 2:] - edges[:, :2], 1)
        points = box[:, None, :2] + CENTRES[::2, None] * (box[:, None, 2:] - box[:, None, :2])
        cells = np.floor((points - edges[:, None, :2]) / extent[:, None] * GRID).astype(np.intp)
        is_inside = (cells >= 0) & (cells < GRID)
        x, y = np.clip(cells, 0, GRID - 1).transpose(2, 0, 1)
        is_covered = self._shapes[other[:, None, None], y[:, :, None], x[:, None]]
        is_covered &= is_inside[:, :, 1][:, :, None] & is_inside[:, :, 0][:, None]
        return np.asarray(any_of(row, is_covered, len(boxes)).mean((1, 2)))
