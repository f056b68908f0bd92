"""Cityscapes instance AP: the figures of `evalInstanceLevelSemanticLabeling` from overlaps alone.

At each of ten overlaps a prediction that overlaps a true object of its class by more is right, one such for every
object: the best scored. Further ones are wrong, and so is a prediction that overlaps nothing, unless a larger share
of it than the overlap lies in regions and objects that do not count: void, groups, small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.evaluation.overlap import ANY_CLASS, Overlap
from annotator.labels import BY_ID, INSTANCE_CLASSES

OVERLAPS = np.arange(0.5, 1.0, 0.05)  # as the official script makes them: 0.6 is 0.6000000000000001 there
UNKNOWN_DISTANCE = (-1.0, 0.0)  # metres and confidence, as the official script has them


@dataclass(frozen=True)
class Level:
    """Which true objects count."""

    suffix: str  # of the names of its figures
    min_pixels: int
    max_metres: float  # median distance
    min_confidence: float  # of the distance, in [0, 1]

    def figures(self, areas: npt.NDArray[np.float64]) -> dict[str, float]:
        """AP and AP50 of the areas (10,) under the curves of all overlaps, by name."""
        at_50 = f"AP50_{self.suffix}" if self.suffix else "AP50"
        return {f"AP{self.suffix}": float(areas.mean()), at_50: float(areas[0])}


EVERYWHERE = Level("", 100, np.inf, -np.inf)
NEARBY = (Level("100m", 1000, 100, 0.5), Level("50m", 1000, 50, 0.5))


@dataclass(frozen=True)
class Curve:
    """Precision over recall of one class at one overlap: a point for every score that occurs, ascending."""

    scores: npt.NDArray[np.float64]  # (N,) at or above which predictions are taken
    precision: npt.NDArray[np.float64]  # (N,)
    recall: npt.NDArray[np.float64]  # (N,) descending

    def area(self) -> float:
        """AP: no envelope; a precision weighs half the recall between its neighbours; (p = 1, r = 0) is added.

        0 without points. (The official script fails where all predictions of a class are ignored.)
        """
        if not len(self.scores):
            return 0.0
        precision = np.append(self.precision, 1)
        recall = np.concatenate([self.recall[:1], self.recall, [0, 0]])
        return float(precision @ (recall[:-2] - recall[2:]) / 2)


class CityscapesAP:
    """AP over frames, added one by one. A prediction takes 48 bytes, a frame none.

    Distances of true objects add AP within 100 m and 50 m, among objects of 1000 pixels or more.
    """

    def __init__(self, class_ids: Sequence[int] = INSTANCE_CLASSES, with_distances: bool = False) -> None:
        self._class_ids = tuple(class_ids)
        self._levels = (EVERYWHERE, *NEARBY) if with_distances else (EVERYWHERE,)
        self._tallies = {(level, c): _Tally() for level in self._levels for c in self._class_ids}

    def add(self, overlap: Overlap, distances: npt.NDArray[np.float64] | None = None) -> None:
        """Count a frame.

        `distances` (T + R, 2) are metres (median) and confidence of its true objects, then of its regions;
        without, they are unknown, which never is near.
        """
        if distances is None:
            distances = np.tile(UNKNOWN_DISTANCE, (len(overlap.truth) + len(overlap.regions), 1))
        for class_id in self._class_ids:
            case = _Case.of(overlap, class_id, distances)
            for level in self._levels:
                self._tallies[level, class_id].add(case, level)

    def curve(self, class_id: int, overlap: float = 0.5) -> Curve:
        """The curve of a class at one of the ten overlaps; without points where nothing is predicted."""
        at = int(np.argmin(np.abs(OVERLAPS - overlap)))
        return self._tallies[EVERYWHERE, class_id].curve(at)

    def result(self) -> dict[str, Any]:
        """Figures in [0, 1]: {"AP", "AP50", "classes": {name: {"AP", "AP50"}}}; nan for classes without truth.

        Means leave those classes out. With distances also AP100m, AP50_100m, AP50m and AP50_50m.
        """
        mean: dict[str, Any] = {}
        classes: dict[str, dict[str, float]] = {BY_ID[c].name: {} for c in self._class_ids}
        for level in self._levels:
            areas = np.array([self._tallies[level, c].areas() for c in self._class_ids])
            for figures, of_class in zip(classes.values(), areas, strict=True):
                figures.update(level.figures(of_class))
            mean.update(level.figures(_mean_of_known(areas)))
        return {**mean, "classes": classes}


@dataclass(frozen=True)
class _Case:
    """One class in one frame: P predictions, T true objects, G groups."""

    scores: npt.NDArray[np.floating[Any]]  # (P,) descending
    areas: npt.NDArray[np.int64]  # (P,) pixels, none empty
    in_void: npt.NDArray[np.int64]  # (P,) pixels in void
    shared: npt.NDArray[np.int64]  # (P, T + G) pixels
    iou: npt.NDArray[np.float64]  # (P, T + G)
    truth_areas: npt.NDArray[np.int64]  # (T + G,) pixels
    distances: npt.NDArray[np.float64]  # (T + G, 2) metres, confidence
    is_group: npt.NDArray[np.bool_]  # (T + G,)

    @classmethod
    def of(cls, overlap: Overlap, class_id: int, distances: npt.NDArray[np.float64]) -> _Case:
        predicted, truth, regions = overlap.predicted, overlap.truth, overlap.regions
        p = np.flatnonzero((predicted.class_ids == class_id) & (predicted.areas > 0))
        t = np.flatnonzero(truth.class_ids == class_id)
        g = np.flatnonzero(regions.class_ids == class_id)
        areas, truth_areas = predicted.areas[p], np.concatenate([truth.areas[t], regions.areas[g]])
        shared = np.hstack([overlap.shared[np.ix_(p, t)], overlap.shared_with_regions[np.ix_(p, g)]])
        return cls(
            scores=predicted.scores[p],
            areas=areas,
            in_void=overlap.shared_with_regions[np.ix_(p, regions.class_ids == ANY_CLASS)].sum(1),
            shared=shared,
            iou=shared / (areas[:, None] + truth_areas - shared),
            truth_areas=truth_areas,
            distances=distances[np.concatenate([t, len(truth) + g])],
            is_group=np.arange(len(t) + len(g)) >= len(t),
        )


ROW = np.dtype([("score", np.float64), ("right", np.uint16, 10), ("wrong", np.uint16, 10)])


@dataclass
class _Tally:
    """What became of all predictions of one class."""

    truths: int = 0  # true objects that count
    rows: bytearray = field(default_factory=bytearray)  # ROWs of predictions that count at some overlap

    def add(self, case: _Case, level: Level) -> None:
        metres, confidence = case.distances.T
        is_seen = (case.truth_areas >= level.min_pixels) & (metres <= level.max_metres)
        is_seen &= confidence >= level.min_confidence
        is_counted = is_seen & ~case.is_group
        self.truths += int(is_counted.sum())
        if not len(case.scores):
            return
        claims = case.iou[:, is_counted] > OVERLAPS[:, None, None]  # (10, P, objects that count)
        wins = claims & (np.cumsum(claims, axis=1) == 1)  # predictions come best scored first
        # A group that is small or far has two reasons to be ignored, and the official script counts both.
        reasons = case.is_group.astype(np.int64) + ~is_seen
        ignored = (case.in_void + case.shared @ reasons) / case.areas
        # What overlaps an object that does not count is ignored too: its share in there is no less than its IoU.
        is_astray = ~claims.any(axis=2) & (ignored <= OVERLAPS[:, None])  # (10, P)
        rows = np.zeros(len(case.scores), ROW)
        rows["score"] = case.scores
        rows["right"] = wins.sum(axis=2).T
        rows["wrong"] = (claims.sum(axis=2) - wins.sum(axis=2) + is_astray).T
        self.rows += rows.tobytes()

    def areas(self) -> npt.NDArray[np.float64]:
        """AP at each overlap: (10,); nan without truth."""
        if not self.truths:
            return np.full(len(OVERLAPS), np.nan)
        return np.array([self.curve(at).area() for at in range(len(OVERLAPS))])

    def curve(self, at: int) -> Curve:
        rows = np.frombuffer(self.rows, ROW)
        right, wrong = rows["right"][:, at], rows["wrong"][:, at]
        counts = (right > 0) | (wrong > 0)
        scores, of_score = np.unique(rows["score"][counts], return_inverse=True)
        true, false = (
            np.bincount(of_score, column[counts], len(scores))[::-1].cumsum()[::-1]
            for column in (right, wrong)
        )
        return Curve(scores, true / (true + false), true / max(self.truths, 1))


def _mean_of_known(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean row of the classes that have figures; nan where none has."""
    known = rows[~np.isnan(rows[:, 0])]
    return known.mean(axis=0) if len(known) else np.full(rows.shape[1], np.nan)
