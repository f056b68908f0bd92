"""What tracking metrics see of one class in one frame, and how its objects are paired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from annotator.errors import FormatError
from annotator.evaluation.overlap import ANY_CLASS, Objects, Overlap
from annotator.frames import FrameRef

EPSILON = float(
    np.finfo(float).eps
)  # an IoU that is this little below a threshold reaches it, as in TrackEval
HALF = 0.5 - EPSILON

Pairs = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]  # rows and columns


@dataclass(frozen=True)
class TrackedFrame:
    """The T true and P predicted objects of one class in one frame; predictions that do not count are left out."""

    truth_ids: npt.NDArray[np.int64]  # (T,) no two equal
    predicted_ids: npt.NDArray[np.int64]  # (P,) no two equal
    iou: npt.NDArray[np.float64]  # (T, P)


def tracked_frames(overlap: Overlap, untracked: count[int]) -> Iterator[tuple[int, TrackedFrame]]:
    """The classes that occur in a frame, each with its objects.

    As in KITTI MOTS, a prediction that is paired with no true object and lies in ignored regions by more than
    half does not count. An object without a track is a track of its own, numbered -n by the next n `untracked`.
    Raises FormatError when two objects of a class in the frame have one track.
    """
    predicted, truth, iou = overlap.predicted, overlap.truth, overlap.iou().T
    truth_ids = _identities(truth, untracked)
    predicted_ids = _identities(predicted, untracked)
    for class_id in np.union1d(truth.class_ids, predicted.class_ids).tolist():
        t = np.flatnonzero(truth.class_ids == class_id)
        p = np.flatnonzero(predicted.class_ids == class_id)
        p = p[_count(overlap, class_id, p, iou[t][:, p])]
        _insist_on_one(truth_ids[t], overlap.frame, "truth")
        _insist_on_one(predicted_ids[p], overlap.frame, "predictions")
        yield class_id, TrackedFrame(truth_ids[t], predicted_ids[p], iou[t][:, p])


def in_ignored_regions(overlap: Overlap, class_id: int) -> npt.NDArray[np.bool_]:
    """Whether more than half of each prediction lies in regions where objects of a class do not count: (P,)."""
    regions = np.isin(overlap.regions.class_ids, (ANY_CLASS, class_id))
    return 2 * overlap.shared_with_regions[:, regions].sum(axis=1) > overlap.predicted.areas


def assign(gain: npt.NDArray[np.float64]) -> Pairs:
    """One-to-one pairs of largest total gain among those that gain anything: rows (K,) and columns (K,)."""
    rows, columns = np.nonzero(gain)
    if are_one_to_one(rows, columns):
        return rows, columns
    rows, columns = linear_sum_assignment(-gain)
    real = gain[rows, columns] > 0
    return rows[real], columns[real]


def are_one_to_one(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> bool:
    """Whether no row and no column is in two pairs."""
    return len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)


def _count(
    overlap: Overlap, class_id: int, p: npt.NDArray[np.intp], iou: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether each of the predictions `p` of a class counts: (P,). `iou` (T, P) is with its true objects."""
    if not len(overlap.regions):
        return np.ones(len(p), np.bool_)
    counts = ~in_ignored_regions(overlap, class_id)[p]
    counts[assign(np.where(iou >= HALF, iou, 0))[1]] = True
    return counts


def _identities(objects: Objects, untracked: count[int]) -> npt.NDArray[np.int64]:
    ids = objects.track_ids.astype(np.int64)
    for k in np.flatnonzero(ids == 0):
        ids[k] = -next(untracked)
    return ids


def _insist_on_one(ids: npt.NDArray[np.int64], frame: FrameRef, side: str) -> None:
    seen, times = np.unique(ids, return_counts=True)
    if np.any(times > 1):
        raise FormatError(
            f"frame {frame.name or frame.index}: track {seen[times > 1][0]} has two objects in the {side};"
            " an object is in one place at a time: give them tracks of their own"
        )
