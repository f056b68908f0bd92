"""CLEAR MOT on masks: MOTSA, sMOTSA, MOTSP, identity switches (Voigtlaender et al., CVPR 2019), of one class.

In each frame predictions and true objects with an IoU of at least a half are paired one to one, those first that were
paired in the frame before. A true object that is paired with another track than the last time is a switch.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from annotator.evaluation.matching import HALF, Pairs, TrackedFrame, are_one_to_one, assign

MOSTLY, HARDLY = 0.8, 0.2  # shares of its frames: a true track found in more is MT, in less ML
KEPT = 1000.0  # what going on with a pair is worth, in IoU


class ClearMot:
    """CLEAR figures over frames, added in order, and sequences. Memory follows the number of true tracks."""

    def __init__(self) -> None:
        self._counts = Counter[str]()  # TP, FP, FN, IDS, Frag, MT, PT, ML of the sequences so far
        self._overlap = 0.0  # sum of IoU over pairs
        self._begin()

    def _begin(self) -> None:
        self._seen, self._found = (
            Counter[int](),
            Counter[int](),
        )  # frames of each true track, and pairs in them
        self._stretches = Counter[int]()  # runs of frames in which it is paired
        self._last: dict[int, int] = {}  # predicted track that it was last paired with
        self._before: dict[int, int] = {}  # the pairs of the last frame that held both truth and predictions

    def add(self, frame: TrackedFrame) -> None:
        """Count a frame."""
        self._seen.update(frame.truth_ids.tolist())
        t, p = self._pair(frame)
        self._overlap += float(frame.iou[t, p].sum())
        self._counts["TP"] += len(t)
        self._counts["FN"] += len(frame.truth_ids) - len(t)
        self._counts["FP"] += len(frame.predicted_ids) - len(t)
        # TrackEval forgets nothing over frames without truth or without predictions of the class.
        if not len(frame.truth_ids) or not len(frame.predicted_ids):
            return
        pairs = dict(zip(frame.truth_ids[t].tolist(), frame.predicted_ids[p].tolist(), strict=True))
        self._counts["IDS"] += sum(self._last.get(truth, found) != found for truth, found in pairs.items())
        self._found.update(pairs.keys())
        self._stretches.update(pairs.keys() - self._before.keys())
        self._last.update(pairs)
        self._before = pairs

    def end_sequence(self) -> None:
        """Identities of the frames added from here on are others."""
        shares = [self._found[track] / frames for track, frames in self._seen.items()]
        mostly, hardly = sum(s > MOSTLY for s in shares), sum(s < HARDLY for s in shares)
        self._counts.update(MT=mostly, ML=hardly, PT=len(shares) - mostly - hardly)
        self._counts["Frag"] += sum(stretches - 1 for stretches in self._stretches.values())
        self._begin()

    def result(self) -> dict[str, float]:
        """MOTSA, sMOTSA, MOTSP (at most 1, the first two also below 0) and counts, of the sequences ended."""
        n = self._counts
        truths = max(1, n["TP"] + n["FN"])
        figures = {
            "MOTSA": (n["TP"] - n["FP"] - n["IDS"]) / truths,
            "sMOTSA": (self._overlap - n["FP"] - n["IDS"]) / truths,
            "MOTSP": self._overlap / max(1, n["TP"]),
        }
        return figures | {name: n[name] for name in ("TP", "FP", "FN", "IDS", "Frag", "MT", "PT", "ML")}

    def _pair(self, frame: TrackedFrame) -> Pairs:
        reaches = frame.iou >= HALF
        t, p = np.nonzero(reaches)
        if are_one_to_one(t, p):
            return t, p
        before = np.array([self._before.get(truth, 0) for truth in frame.truth_ids.tolist()])
        continues = before[:, None] == frame.predicted_ids  # no track is 0
        return assign(np.where(reaches, frame.iou + KEPT * continues, 0))
