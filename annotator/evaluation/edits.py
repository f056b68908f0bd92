"""The cost of correction: what people have to do to make predictions equal to truth.

In each frame predictions and true objects with an IoU of at least a half are paired one to one, those of one class
first. From 0.9 on a prediction may stay as it is. Tracks are corrected by cutting a predicted track wherever the true
object changes, and joining the pieces of a true object.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.evaluation.matching import EPSILON, HALF, Pairs, assign, in_ignored_regions
from annotator.evaluation.overlap import Overlap
from annotator.labels import BY_ID

GOOD = 0.9 - EPSILON  # IoU from which a prediction may stay as it is
NOTHING = 0  # instead of a class: no object on that side
CUT, JOIN = "cut", "joined"


class Edits:
    """Corrections over frames, added in order, and recordings. Memory follows the number of tracks."""

    def __init__(self) -> None:
        self._meetings = Counter[tuple[int, int]]()  # of (predicted class, true class)
        self._reshaped = Counter[int]()  # by class
        self._joins, self._cuts = Counter[int](), Counter[int]()  # by class of the true object
        self.end_sequence()

    def add(self, overlap: Overlap) -> int:
        """Count a frame, of disjoint masks; the number of objects in it to correct."""
        predicted, true = overlap.predicted.class_ids, overlap.truth.class_ids
        iou = overlap.iou()
        p, t = paired(iou, predicted[:, None] == true)
        is_right = predicted[p] == true[t]
        is_reshaped = is_right & (iou[p, t] < GOOD)
        deleted = np.setdiff1d(np.flatnonzero(~is_ignored(overlap)), p)
        missing = np.setdiff1d(np.arange(len(true)), t)
        self._meetings.update(zip(predicted[p].tolist(), true[t].tolist(), strict=True))
        self._meetings.update((class_id, NOTHING) for class_id in predicted[deleted].tolist())
        self._meetings.update((NOTHING, class_id) for class_id in true[missing].tolist())
        self._reshaped.update(true[t[is_reshaped]].tolist())
        self._follow(overlap, p, t)
        return int(is_reshaped.sum() + (~is_right).sum() + len(deleted) + len(missing))

    def end_sequence(self) -> None:
        """Identities of the frames added from here on are others."""
        self._links = Links()

    def confusion(self) -> tuple[list[int], npt.NDArray[np.int64]]:
        """The C classes that occur, and how many predicted objects of each (rows) are true ones of each (columns).

        (C + 1, C + 1); the last row counts true objects that are missing, the last column predictions to delete.
        """
        class_ids = self._class_ids()
        place = {class_id: k for k, class_id in enumerate([*class_ids, NOTHING])}
        table = np.zeros((len(place), len(place)), np.int64)
        for (predicted, true), times in self._meetings.items():
            table[place[predicted], place[true]] = times
        return class_ids, table

    def result(self) -> dict[str, Any]:
        """Counts of objects in frames, over all classes and for each under "classes".

        `objects` are true ones. Every predicted one is to `stay`, to `reshape`, to `delete`, or of the `wrong_class`
        (counted for the class that it was given); true ones that nothing is paired with are `missing`. `joins`
        and `cuts` are of tracks. All but `stay` are `edits`; `edits_per_object` is nan without objects.
        """
        counts = {class_id: self._of_class(class_id) for class_id in self._class_ids()}
        total = sum(counts.values(), Counter())
        return {**_with_rate(total), "classes": {BY_ID[c].name: _with_rate(n) for c, n in counts.items()}}

    def _of_class(self, class_id: int) -> Counter[str]:
        counts = Counter[str]()
        for (predicted, true), times in self._meetings.items():
            counts["objects"] += times * (true == class_id)
            counts["missing"] += times * (true == class_id and predicted == NOTHING)
            counts["delete"] += times * (predicted == class_id and true == NOTHING)
            counts["stay"] += times * (predicted == true == class_id)
            counts["wrong_class"] += times * (predicted == class_id and true not in (class_id, NOTHING))
        counts["reshape"] = self._reshaped[class_id]
        counts["stay"] -= self._reshaped[class_id]
        counts["joins"], counts["cuts"] = self._joins[class_id], self._cuts[class_id]
        return counts

    def _class_ids(self) -> list[int]:
        return sorted({class_id for meeting in self._meetings for class_id in meeting} - {NOTHING})

    def _follow(self, overlap: Overlap, p: npt.NDArray[np.intp], t: npt.NDArray[np.intp]) -> None:
        class_of = dict(zip(overlap.truth.track_ids.tolist(), overlap.truth.class_ids.tolist(), strict=True))
        for link in self._links.follow(overlap, p, t):
            (self._cuts if link.kind == CUT else self._joins)[class_of[link.true]] += 1


class Link(NamedTuple):
    """A predicted track that is to be cut, or to be joined to another, to be a true one from here on."""

    kind: str  # CUT or JOIN
    predicted: int  # track ids
    true: int


class Links:
    """Which true track each predicted one of a recording is on."""

    def __init__(self) -> None:
        self._object_of: dict[int, int] = {}  # true track that a predicted one is on
        self._begun: set[int] = set()  # true tracks that have a piece

    def follow(self, overlap: Overlap, p: npt.NDArray[np.intp], t: npt.NDArray[np.intp]) -> list[Link]:
        """What is to be done with tracks, given the pairs of a frame; objects without a track are no matter."""
        links = []
        for found, true in zip(
            overlap.predicted.track_ids[p].tolist(), overlap.truth.track_ids[t].tolist(), strict=True
        ):
            if not found or not true or self._object_of.get(found) == true:
                continue
            if found in self._object_of:
                links.append(Link(CUT, found, true))
            if true in self._begun:
                links.append(Link(JOIN, found, true))
            self._object_of[found] = true
            self._begun.add(true)
        return links


NAMES = ("objects", "stay", "reshape", "delete", "missing", "wrong_class", "joins", "cuts")


def _with_rate(counts: Counter[str]) -> dict[str, float]:
    edits = sum(counts[name] for name in NAMES[2:])
    rate = edits / counts["objects"] if counts["objects"] else float("nan")
    return {name: counts[name] for name in NAMES} | {"edits": edits, "edits_per_object": rate}


def paired(iou: npt.NDArray[np.float64], is_right: npt.NDArray[np.bool_]) -> Pairs:
    """Predictions and true objects (K,) that are one object; `is_right` (P, T) says where classes agree."""
    p, t = assign(np.where(is_right & (iou >= HALF), iou, 0))
    others = np.where(~is_right & (iou >= HALF), iou, 0)
    others[p], others[:, t] = 0, 0
    more_p, more_t = assign(others)
    return np.append(p, more_p), np.append(t, more_t)


def is_ignored(overlap: Overlap) -> npt.NDArray[np.bool_]:
    """Whether each prediction lies mostly where objects of its class do not count: (P,)."""
    ignored = np.zeros(len(overlap.predicted), np.bool_)
    for class_id in np.unique(overlap.predicted.class_ids) if len(overlap.regions) else ():
        of_class = overlap.predicted.class_ids == class_id
        ignored |= of_class & in_ignored_regions(overlap, int(class_id))
    return ignored
