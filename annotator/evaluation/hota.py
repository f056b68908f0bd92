"""HOTA, how well objects are detected and associated (Luiten et al., IJCV 2020), of one class.

At each of 19 overlaps alpha, predictions and true objects of a frame are paired one to one. DetA is the share of pairs
among all objects; AssA is, over pairs, how well the two tracks coincide; HOTA is the geometric mean of both.
Tracks that coincide throughout the sequence are paired with preference, so a sequence is gone through twice:
the overlaps of a frame rest in a spool, which goes to disk when it grows.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.evaluation.matching import EPSILON, TrackedFrame, assign

ALPHAS = np.arange(0.05, 0.99, 0.05)  # (19,) as TrackEval makes them
PAIR = np.dtype([("tracks", "<i4"), ("truth", "<u2"), ("predicted", "<u2"), ("iou", "<f8")])
IN_MEMORY = 1 << 24  # bytes of a spool


class Hota:
    """HOTA over frames, added one by one, and sequences. Memory follows the pairs of tracks that ever overlap."""

    def __init__(self) -> None:
        self._sequence = _Sequence()
        self._pairs = np.zeros(len(ALPHAS))  # at each alpha, over all sequences so far
        self._overlap = np.zeros(len(ALPHAS))  # sums of IoU over pairs
        self._association = np.zeros((3, len(ALPHAS)))  # sums over pairs: of AssA, AssRe, AssPr
        self._truths = self._predictions = 0

    def add(self, frame: TrackedFrame) -> None:
        """Count a frame."""
        self._sequence.add(frame)

    def end_sequence(self) -> None:
        """Identities of the frames added from here on are others."""
        sequence, self._sequence = self._sequence, _Sequence()
        matches, self_overlap = sequence.matches()
        truths, predictions = sequence.lengths()
        self._pairs += matches.sum(axis=0)
        self._overlap += self_overlap
        together = np.maximum(1, truths + predictions - matches)
        for k, of in enumerate((together, np.maximum(1, truths), np.maximum(1, predictions))):
            self._association[k] += (matches * (matches / of)).sum(axis=0)
        self._truths += sequence.truths.total()
        self._predictions += sequence.predictions.total()

    def per_alpha(self) -> dict[str, npt.NDArray[np.float64]]:
        """Every figure at each of ALPHAS: (19,) in [0, 1], over the sequences that have ended."""
        pairs, truths, predictions = self._pairs, self._truths, self._predictions
        association_accuracy, association_recall, association_precision = self._association / np.maximum(
            1, pairs
        )
        detection_accuracy = pairs / np.maximum(1, truths + predictions - pairs)
        return {
            "HOTA": np.sqrt(detection_accuracy * association_accuracy),
            "DetA": detection_accuracy,
            "AssA": association_accuracy,
            "LocA": np.maximum(1e-10, self._overlap) / np.maximum(1e-10, pairs),  # 1 without pairs
            "DetRe": pairs / max(1, truths),
            "DetPr": pairs / max(1, predictions),
            "AssRe": association_recall,
            "AssPr": association_precision,
        }

    def result(self) -> dict[str, float]:
        """Every figure as the mean over alphas."""
        return {name: float(figure.mean()) for name, figure in self.per_alpha().items()}


@dataclass
class _Sequence:
    """The overlaps of one sequence, waiting for its end."""

    truths: Counter[int] = field(default_factory=Counter)  # objects of each true track
    predictions: Counter[int] = field(default_factory=Counter)
    tracks: dict[tuple[int, int], int] = field(default_factory=dict)  # number of (true, predicted) track
    together: array[float] = field(default_factory=lambda: array("d"))  # by it: how much they overlap
    sizes: array[int] = field(default_factory=lambda: array("I"))  # overlaps in each frame that has any
    spool: SpooledTemporaryFile[bytes] | None = None  # None as long as nothing overlaps

    def add(self, frame: TrackedFrame) -> None:
        self.truths.update(frame.truth_ids.tolist())
        self.predictions.update(frame.predicted_ids.tolist())
        t, p = np.nonzero(frame.iou)
        if not len(t):
            return
        iou = frame.iou[t, p]
        shares = iou / (frame.iou.sum(axis=1)[t] + frame.iou.sum(axis=0)[p] - iou)
        ids = zip(frame.truth_ids[t].tolist(), frame.predicted_ids[p].tolist(), strict=True)
        numbers = [self.tracks.setdefault(pair, len(self.tracks)) for pair in ids]
        self.together.extend([0.0] * (len(self.tracks) - len(self.together)))
        for number, share in zip(numbers, shares.tolist(), strict=True):
            self.together[number] += share
        rows = np.empty(len(t), PAIR)
        rows["tracks"], rows["truth"], rows["predicted"], rows["iou"] = numbers, t, p, iou
        if self.spool is None:
            self.spool = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed when the sequence ends)
        self.spool.write(rows.tobytes())
        self.sizes.append(len(rows))

    def lengths(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """How long the two tracks of each pair are, true and predicted: (K, 1) each."""
        truths = np.array([self.truths[t] for t, _ in self.tracks], np.float64)
        predictions = np.array([self.predictions[p] for _, p in self.tracks], np.float64)
        return truths[:, None], predictions[:, None]

    def matches(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Over all frames: how often each pair of tracks is paired (K, 19), and the sums of IoU (19,)."""
        truths, predictions = self.lengths()
        together = np.array(self.together)
        alignment = together / (truths[:, 0] + predictions[:, 0] - together)
        # A pair counts at the alphas that its IoU reaches: one tally by how many, then sums from above.
        reached = np.zeros((len(self.tracks), len(ALPHAS) + 1), np.int32)
        overlap = np.zeros(len(ALPHAS) + 1)
        for rows in self.frames():
            gain = np.zeros((rows["truth"].max() + 1, rows["predicted"].max() + 1))
            gain[rows["truth"], rows["predicted"]] = alignment[rows["tracks"]] * rows["iou"]
            row_of = np.zeros(gain.shape, np.intp)
            row_of[rows["truth"], rows["predicted"]] = np.arange(len(rows))
            paired = rows[row_of[assign(gain)]]
            levels = np.searchsorted(ALPHAS - EPSILON, paired["iou"], side="right")
            reached[paired["tracks"], levels] += 1  # a pair of tracks meets once in a frame
            np.add.at(overlap, levels, paired["iou"])
        return _from_above(reached), _from_above(overlap)

    def frames(self) -> Iterator[npt.NDArray[np.void]]:
        """The overlaps again, frame by frame."""
        if self.spool is None:
            return
        with self.spool as spool:
            spool.seek(0)
            for size in self.sizes:
                yield np.frombuffer(spool.read(size * PAIR.itemsize), PAIR)


def _from_above(tally: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums of (..., 20) tallies of levels above 0, above 1, ...: (..., 19)."""
    return np.flip(np.cumsum(np.flip(tally, -1), axis=-1, dtype=tally.dtype), -1)[..., 1:]
