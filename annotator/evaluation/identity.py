"""IDF1: how much of the objects the best one-to-one pairing of whole tracks covers (Ristani et al., 2016)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from annotator.evaluation.matching import HALF, TrackedFrame


class Identity:
    """IDF1, IDP and IDR over frames, added one by one, and sequences. Memory follows the pairs of tracks."""

    def __init__(self) -> None:
        self._together = Counter[tuple[int, int]]()  # frames in which two tracks overlap by half or more
        self._right = self._truths = self._predictions = 0

    def add(self, frame: TrackedFrame) -> None:
        """Count a frame."""
        t, p = np.nonzero(frame.iou >= HALF)
        self._together.update(zip(frame.truth_ids[t].tolist(), frame.predicted_ids[p].tolist(), strict=True))
        self._truths += len(frame.truth_ids)
        self._predictions += len(frame.predicted_ids)

    def end_sequence(self) -> None:
        """Identities of the frames added from here on are others."""
        self._right += sum(map(_best_total, _components(self._together)))
        self._together.clear()

    def result(self) -> dict[str, float]:
        """IDF1, IDP, IDR in [0, 1], and objects under the right identity (IDTP), of the sequences ended."""
        return {
            "IDF1": self._right / max(1, (self._truths + self._predictions) / 2),
            "IDP": self._right / max(1, self._predictions),
            "IDR": self._right / max(1, self._truths),
            "IDTP": self._right,
            "IDFP": self._predictions - self._right,
            "IDFN": self._truths - self._right,
        }


Weights = dict[tuple[int, int], int]


def _components(weights: Mapping[tuple[int, int], int]) -> Iterator[Weights]:
    """The pairs in groups that have no track in common: tables stay small however many tracks there are."""
    if not weights:
        return
    truth_of, t = np.unique([truth for truth, _ in weights], return_inverse=True)
    found_of, p = np.unique([found for _, found in weights], return_inverse=True)
    n = len(truth_of) + len(found_of)
    graph = coo_array((np.ones(len(t)), (t, len(truth_of) + p)), (n, n))
    group = connected_components(graph, directed=False)[1][t]
    pairs = list(weights)
    order = np.argsort(group, kind="stable").tolist()
    for _, members in groupby(order, key=lambda k: group[k]):
        yield {pairs[k]: weights[pairs[k]] for k in members}


def _best_total(weights: Weights) -> int:
    """The largest total weight of one-to-one pairs."""
    if len(weights) == 1:
        return next(iter(weights.values()))
    rows = {truth: k for k, truth in enumerate(dict.fromkeys(truth for truth, _ in weights))}
    columns = {found: k for k, found in enumerate(dict.fromkeys(found for _, found in weights))}
    table = np.zeros((len(rows), len(columns)))
    for (truth, found), weight in weights.items():
        table[rows[truth], columns[found]] = weight
    return int(table[linear_sum_assignment(-table)].sum())
