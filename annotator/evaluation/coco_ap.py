"""COCO AP of masks: matched and accumulated by pycocotools, from overlaps instead of annotations.

Its matching is fed one frame at a time. Of a frame only a row for each prediction stays, because accumulation
needs no more: it would take frames apart only to put their predictions in one line.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval

from annotator.evaluation.overlap import Overlap
from annotator.labels import BY_ID, INSTANCE_CLASSES

MOST_PER_FRAME = (1, 10, 100)  # predictions of a class that count
SIZES = ("", "s", "m", "l")  # all, below 32 x 32 pixels, below 96 x 96, above
THRESHOLDS = 10  # IoU 0.5, 0.55 ... 0.95
LEAST_IOU = 0.5
FRAME = (0, 0)  # image and category of all that is matched
ROW = np.dtype(
    [
        ("score", np.float64),
        ("place", np.uint16),  # among the predictions of its class in its frame
        ("matched", np.uint8, (4, 2)),  # for each size, a bit for each threshold
        ("ignored", np.uint8, (4, 2)),
    ]
)


class CocoAP:
    """AP and AR over frames, added one by one. A prediction takes 26 bytes, a frame none.

    Regions are crowds: of their class, or of every class.
    """

    def __init__(self, class_ids: Sequence[int] = INSTANCE_CLASSES) -> None:
        self._class_ids = tuple(class_ids)
        self._tallies = {class_id: _Tally() for class_id in self._class_ids}
        self._matcher = COCOeval(iouType="segm")

    def add(self, overlap: Overlap) -> None:
        """Count a frame."""
        for class_id in self._class_ids:
            self._tallies[class_id].add(overlap.of_class(class_id), self._matcher)

    def result(self) -> dict[str, Any]:
        """Figures in [0, 1]: {"AP", "AP50", "AP75", "APs", ..., "AR1", ..., "classes": {name: {"AP", ...}}}.

        nan where there is no truth; means leave such classes out.
        """
        tables = {most: self._accumulate(most) for most in MOST_PER_FRAME}
        every = range(len(self._class_ids))
        classes = {BY_ID[c].name: _figures(tables, [k]) for k, c in enumerate(self._class_ids)}
        return {**_figures(tables, every), "classes": classes}

    def _accumulate(self, most: int) -> dict[str, npt.NDArray[np.float64]]:
        """pycocotools' tables of precision (T, R, K, A, 1) and recall (T, K, A, 1)."""
        evaluation = COCOeval(iouType="segm")
        evaluation.evalImgs = [
            tally.as_one_frame(size, most) for tally in self._tallies.values() for size in range(len(SIZES))
        ]
        evaluation.params.imgIds, evaluation.params.catIds = [0], list(self._class_ids)
        evaluation.params.maxDets = [max(1, *(len(tally.rows) for tally in self._tallies.values()))]
        evaluation._paramsEval = evaluation.params
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        return evaluation.eval


@dataclass
class _Tally:
    """What became of all predictions of one class."""

    truths: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SIZES), np.int64))
    rows: bytearray = field(default_factory=bytearray)  # ROWs

    def add(self, overlap: Overlap, matcher: COCOeval) -> None:
        """Count what pycocotools matches in a frame that holds this class only."""
        areas, sizes = overlap.truth.areas[:, None], np.array(matcher.params.areaRng)  # (4, 2) pixels
        self.truths += np.sum((areas >= sizes[:, 0]) & (areas <= sizes[:, 1]), axis=0)
        if not len(overlap.predicted):
            return
        judged = _match(overlap, matcher)
        rows = np.zeros(len(judged[0]["dtScores"]), ROW)
        rows["score"], rows["place"] = judged[0]["dtScores"], np.arange(len(rows))
        for size, found in enumerate(judged):
            rows["matched"][:, size] = np.packbits(found["dtMatches"].T > 0, axis=1)
            rows["ignored"][:, size] = np.packbits(found["dtIgnore"].T, axis=1)
        self.rows += rows.tobytes()

    def as_one_frame(self, size: int, most: int) -> dict[str, Any]:
        """The judgement of all frames as pycocotools has it of one, with up to `most` predictions of each."""
        rows = np.frombuffer(self.rows, ROW)
        rows = rows[rows["place"] < most]
        return {
            "dtScores": rows["score"],
            "dtMatches": np.unpackbits(rows["matched"][:, size], axis=1, count=THRESHOLDS).T,
            "dtIgnore": np.unpackbits(rows["ignored"][:, size], axis=1, count=THRESHOLDS).T,
            "gtIgnore": np.zeros(self.truths[size]),
        }


def _match(overlap: Overlap, matcher: COCOeval) -> list[dict[str, Any]]:
    """What pycocotools says of one class in one frame, for each size; asked only where sizes are mixed."""
    predicted, truth, crowds = overlap.predicted, overlap.truth.areas, overlap.regions.areas
    within = overlap.shared_with_regions / np.maximum(predicted.areas, 1)[:, None]
    iou = np.hstack([overlap.iou(), within])
    # Without the true objects that nothing overlaps enough: they would only make it slow.
    near = np.flatnonzero(np.any(iou >= LEAST_IOU, axis=0))
    true = _annotations(np.append(truth, crowds), is_crowd=np.arange(len(truth) + len(crowds)) >= len(truth))
    matcher._gts[FRAME] = [true[k] for k in near]
    matcher._dts[FRAME] = _annotations(predicted.areas, score=predicted.scores)
    matcher.ious[FRAME] = iou[:, near] if len(near) else []
    every = matcher.evaluateImg(*FRAME, matcher.params.areaRng[0], MOST_PER_FRAME[-1])
    areas = np.append(predicted.areas, truth[near[near < len(truth)]])
    judged = [every]
    for least, most in matcher.params.areaRng[1:]:
        is_of_size = (areas >= least) & (areas <= most)
        if is_of_size.all():
            judged.append(every)
        elif not is_of_size.any():
            judged.append({**every, "dtIgnore": np.ones_like(every["dtIgnore"])})
        else:
            judged.append(matcher.evaluateImg(*FRAME, [least, most], MOST_PER_FRAME[-1]))
    return judged


def _annotations(
    areas: npt.NDArray[np.int64],
    is_crowd: npt.NDArray[np.bool_] | None = None,
    score: npt.NDArray[np.floating[Any]] | None = None,
) -> list[dict[str, Any]]:
    """What pycocotools asks of annotations; the id may be anything but 0, which stands for no match there."""
    crowds = [False] * len(areas) if is_crowd is None else is_crowd.tolist()
    scores = [0] * len(areas) if score is None else score.tolist()
    return [
        {"id": 1, "area": area, "iscrowd": crowd, "ignore": crowd, "score": score}
        for area, crowd, score in zip(areas.tolist(), crowds, scores, strict=True)
    ]


def _figures(
    tables: dict[int, dict[str, npt.NDArray[np.float64]]], classes: Sequence[int]
) -> dict[str, float]:
    """All figures of some classes together."""
    precision = tables[MOST_PER_FRAME[-1]]["precision"][..., 0][:, :, classes]
    recall = {most: table["recall"][..., 0][:, classes] for most, table in tables.items()}
    return {
        **{f"AP{name}": _mean_of_known(precision[:, :, :, size]) for size, name in enumerate(SIZES)},
        "AP50": _mean_of_known(precision[0, :, :, 0]),
        "AP75": _mean_of_known(precision[5, :, :, 0]),
        **{f"AR{most}": _mean_of_known(recall[most][:, :, 0]) for most in MOST_PER_FRAME},
        **{f"AR{name}": _mean_of_known(recall[100][:, :, size]) for size, name in enumerate(SIZES) if name},
    }


def _mean_of_known(table: npt.NDArray[np.float64]) -> float:
    """The mean of all that is known; pycocotools writes -1 where nothing is."""
    known = table[table > -1]
    return float(known.mean()) if known.size else float("nan")
