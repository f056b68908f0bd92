"""What tracking metrics see of one class in one frame, and how its objects are paired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from annotator.errors import LabelFileError
from annotator.evaluation.overlap import ANY_CLASS, Objects, Overlap
from annotator.frames import FrameRef

# As in TrackEval, an IoU that is this little below a threshold reaches it.
EPSILON = float(np.finfo(float).eps)
HALF = 0.5 - EPSILON
FEW = 5  # rows or columns among which all choices are tried
LARGE = 10_000  # entries of a table that is solved at once

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
    for class_id in sorted({*truth.class_ids.tolist(), *predicted.class_ids.tolist()}):
        t = np.flatnonzero(truth.class_ids == class_id)
        p = np.flatnonzero(predicted.class_ids == class_id)
        p = p[_count(overlap, class_id, p, iou[t[:, None], p])]
        frame = TrackedFrame(truth_ids[t], predicted_ids[p], iou[t[:, None], p])
        _require_unique_tracks(frame.truth_ids, overlap.frame, "truth")
        _require_unique_tracks(frame.predicted_ids, overlap.frame, "predictions")
        yield class_id, frame


def in_ignored_regions(overlap: Overlap, class_id: int) -> npt.NDArray[np.bool_]:
    """Whether more than half of each prediction lies in regions where objects of a class do not count: (P,)."""
    regions = (overlap.regions.class_ids == ANY_CLASS) | (overlap.regions.class_ids == class_id)
    return 2 * overlap.shared_with_regions[:, regions].sum(axis=1) > overlap.predicted.areas


def assign(gain: npt.NDArray[np.float64]) -> Pairs:
    """One-to-one pairs of largest total gain among those that gain anything: rows and columns, (K,) each.

    No gain is below 0.
    """
    rows, columns = np.nonzero(gain)
    if are_one_to_one(rows, columns):
        return rows, columns
    if gain.size > LARGE:
        return _assign_at_once(gain)
    # A pair that gains more than the best others of its row and its column together is in every best choice;
    # one that gains as much is in some.
    instead = _best_other(gain, axis=1) + _best_other(gain, axis=0)
    rows, columns = np.nonzero(gain > instead)
    if not len(rows):
        rows, columns = (of[:1] for of in np.nonzero((gain >= instead) & (gain > 0)))
    if not len(rows):
        return _assign_at_once(gain)
    rest_rows = np.delete(np.arange(len(gain)), rows)
    rest_columns = np.delete(np.arange(gain.shape[1]), columns)
    more_rows, more_columns = assign(gain[np.ix_(rest_rows, rest_columns)])
    return np.append(rows, rest_rows[more_rows]), np.append(columns, rest_columns[more_columns])


def are_one_to_one(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> bool:
    """Whether no row and no column is in two pairs."""
    return len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)


def _best_other(gain: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """The largest of the other entries along an axis, for each entry; 0 where there is no other."""
    best = gain.max(axis=axis, keepdims=True)
    is_best = gain == best
    second = np.where(is_best, 0, gain).max(axis=axis, keepdims=True)
    return np.where(is_best & (is_best.sum(axis=axis, keepdims=True) == 1), second, best)


def _assign_at_once(gain: npt.NDArray[np.float64]) -> Pairs:
    """`assign` where no pair stands out, or too many would have to be looked at one by one."""
    rows, columns = np.count_nonzero(gain.any(axis=1)), np.count_nonzero(gain.any(axis=0))
    if rows <= FEW:
        return _try_all(gain)
    if columns <= FEW:
        columns_of_rows, rows_of_columns = _try_all(gain.T)
        return rows_of_columns, columns_of_rows
    # Here, because importing it takes longer than most evaluations.
    from scipy.optimize import linear_sum_assignment

    chosen_rows, chosen_columns = linear_sum_assignment(-gain)
    real = gain[chosen_rows, chosen_columns] > 0
    return chosen_rows[real], chosen_columns[real]


def _try_all(gain: npt.NDArray[np.float64]) -> Pairs:
    """`assign` for few rows: column by column, the best choice for every set of rows."""
    best: dict[int, tuple[float, tuple[tuple[int, int], ...]]] = {0: (0.0, ())}  # by rows, a bit each
    for column in np.flatnonzero(gain.any(axis=0)).tolist():
        for taken, (total, pairs) in list(best.items()):
            for row in np.flatnonzero(gain[:, column]).tolist():
                more = taken | 1 << row
                if more != taken and total + gain[row, column] > best.get(more, (0.0,))[0]:
                    best[more] = (total + gain[row, column], (*pairs, (row, column)))
    _, pairs = max(best.values(), key=lambda choice: choice[0])
    return np.array([row for row, _ in pairs], np.intp), np.array([column for _, column in pairs], np.intp)


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
    for k in np.flatnonzero(ids == 0).tolist():
        ids[k] = -next(untracked)
    return ids


def _require_unique_tracks(ids: npt.NDArray[np.int64], frame: FrameRef, side: str) -> None:
    track_ids = ids.tolist()
    if len(set(track_ids)) < len(track_ids):
        twice = next(track_id for track_id in track_ids if track_ids.count(track_id) > 1)
        raise LabelFileError(
            f"frame {frame.name or frame.index}: track {twice} has two objects in the {side};"
            " an object is in one place at a time: give them tracks of their own"
        )
