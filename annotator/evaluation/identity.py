"""IDF1: how much of the objects the best one-to-one pairing of whole tracks covers (Ristani et al., 2016)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from annotator.evaluation.matching import HALF, TrackedFrame, assign


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
        self._right += sum(map(_best_total, _groups(self._together)))
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


def _groups(weights: Mapping[tuple[int, int], int]) -> Iterator[Weights]:
    """The pairs in groups that have no track in common: tables stay small however many tracks there are."""
    pairs_of: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for truth, found in weights:
        pairs_of["truth", truth].append((truth, found))
        pairs_of["found", found].append((truth, found))
    while pairs_of:
        group: Weights = {}
        tracks = [next(iter(pairs_of))]
        while tracks:
            for truth, found in pairs_of.pop(tracks.pop(), ()):
                group[truth, found] = weights[truth, found]
                tracks += [("truth", truth), ("found", found)]
        yield group


def _best_total(weights: Weights) -> int:
    """The largest total weight of one-to-one pairs."""
    rows = {truth: k for k, truth in enumerate(dict.fromkeys(truth for truth, _ in weights))}
    columns = {found: k for k, found in enumerate(dict.fromkeys(found for _, found in weights))}
    table = np.zeros((len(rows), len(columns)))
    for (truth, found), weight in weights.items():
        table[rows[truth], columns[found]] = weight
    return int(table[assign(table)].sum())
