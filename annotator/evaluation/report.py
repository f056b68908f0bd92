"""Every figure of predictions against truth, in one pass over the frames: what `spatialemb-eval` shows."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from annotator.errors import UsageError
from annotator.evaluation.average_precision import CityscapesAP, Curve
from annotator.evaluation.edits import Edits
from annotator.evaluation.overlap import Overlap, is_background, judged, without_void
from annotator.evaluation.tracks import TrackMetrics, disjoint
from annotator.formats.comparison import Comparison, Counts, compare
from annotator.formats.label_set import LabelSet
from annotator.formats.sniffing import bad_input
from annotator.instances import GroundTruth, Instances
from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.options import AS_WRITTEN, METRICS, PAIRED_AS_NAMED, PairingOptions, ReadingOptions

if TYPE_CHECKING:
    from annotator.evaluation.boundary import BoundaryQuality
    from annotator.evaluation.coco_ap import CocoAP

ALL = "all"  # instead of a class: the figure of all classes together
CLASSES = "classes"  # the key of the figures of each
MOST_WORST = 10

Figures = dict[str, Any]  # by name; under CLASSES the same of each class by its name


@dataclass(frozen=True)
class WorstFrame:
    """A frame that needs many corrections, with disjoint masks of the classes that are judged."""

    recording: str
    edits: int  # objects to correct
    prediction: Instances
    truth: GroundTruth
    overlap: Overlap


@dataclass(frozen=True)
class Confusion:
    """How many predicted objects of each class (rows) are true ones of each (columns)."""

    names: tuple[str, ...]  # C classes that occur
    table: npt.NDArray[np.int64]  # (C + 1, C + 1); last row: missing, last column: to delete


@dataclass(frozen=True)
class Report:
    """The figures of an evaluation, and what else is to be drawn of it."""

    prediction: Path
    truth: Path
    counts: Counts  # frames
    only_predicted: tuple[str, ...]  # recordings that truth lacks
    only_true: tuple[str, ...]
    unread: Mapping[str, Mapping[str, int]]  # what labels of both sides hold that is none here, in words
    hidden_predicted: int  # objects that lost pixels to better ones, where masks must not overlap
    hidden_true: int
    unlabelled_frames: (
        int  # whose truth is objects and background alone, and background is void in Cityscapes
    )
    parts: Mapping[
        str, Figures
    ]  # by metric, in the order of METRICS; those that were not scored are not there
    curves: Mapping[str, Curve]  # precision over recall at an overlap of 0.5, by class with truth
    per_alpha: Mapping[
        str, Mapping[str, npt.NDArray[np.float64]]
    ]  # by class what HOTA is made of: (19,) each
    confusion: Confusion | None  # None without edits
    worst: tuple[WorstFrame, ...]  # at most ten that need corrections, worst first

    def as_json(self) -> Figures:
        """Everything but what is to be drawn, for JSON: fractions of 1, null for what is not known."""
        return _known(
            {
                "prediction": str(self.prediction),
                "truth": str(self.truth),
                "frames": self.counts.compared,
                "paired_by": self.counts.told_pairs(),
                "left_out": {
                    "predicted_frames": self.counts.only_predicted,
                    "true_frames": self.counts.only_true,
                    "predicted_recordings": list(self.only_predicted),
                    "true_recordings": list(self.only_true),
                },
                "unread": self.unread,
                "overlapping": {"predicted": self.hidden_predicted, "true": self.hidden_true},
                **self.parts,
            }
        )

    def rows(self) -> Iterator[tuple[str, str, str, float]]:
        """Part, class or ALL, name and value of every figure."""
        for part, figures in self.parts.items():
            of_classes = {ALL: figures, **figures[CLASSES]}
            for class_name, of_class in of_classes.items():
                for name, value in of_class.items():
                    if name != CLASSES:
                        yield part, class_name, name, value

    def figure(self, key: str) -> float:
        """A figure by name, as AP or car.AP: of the first part that has it; or by part, as coco.AP.

        Raises UsageError, naming those that there are, when there is none.
        """
        known: dict[str, float] = {}
        for part, class_name, name, value in self.rows():
            of_class = (
                [name] if class_name == ALL else [f"{class_name}.{name}", f"{CLASSES}.{class_name}.{name}"]
            )
            for short in of_class:
                known.setdefault(short, value)
                known[f"{part}.{short}"] = value
        if key not in known:
            there = ", ".join(dict.fromkeys(name for _, _, name, _ in self.rows()))
            raise UsageError(f"there is no figure {key!r} here; there are {there}, also as coco.AP or car.AP")
        return known[key]


def evaluate(
    prediction: Path,
    truth: Path,
    metrics: Collection[str] = (),
    reading: ReadingOptions = AS_WRITTEN,
    pairing: PairingOptions = PAIRED_AS_NAMED,
) -> Report:
    """Score predictions against truth, each whatever `sniff` knows, with some of METRICS.

    Without `metrics` all that apply: tracks only where both sides have identities. Labels are read once, frame by
    frame. Only the eight classes are judged, and of these what truth labels. Where masks must not overlap (tracks and
    edits) the best scored keeps the pixels. Raises UsageError for labels that can't be read or compared.

    >>> from pathlib import Path
    >>> from annotator import evaluate
    >>> report = evaluate(Path("labels"), Path("labels/drive/coco.json"), ["coco"])
    >>> round(report.figure("car.AP"), 3)
    1.0
    """
    comparison = compare(prediction, truth, reading, pairing)
    chosen = set(metrics or METRICS)
    if not _may_have_tracks(comparison):
        _refuse_tracks_by_name(comparison, metrics)
        chosen.discard("tracks")
    scoring = _Scoring(chosen, comparison.truth.format.is_cityscapes)
    with bad_input():
        for recording in comparison.recordings:
            for found, labelled in recording.frames():
                scoring.add(recording.name, found, labelled)
            scoring.end_sequence()
        comparison.require_compared()
    if "tracks" in chosen and not scoring.tracks.has_tracks:
        _refuse_tracks_by_name(comparison, metrics)
        chosen.discard("tracks")
    return scoring.report(comparison)


class _Metric(Protocol):
    """Anything that has figures in the end."""

    def result(self) -> Figures:
        """The figures."""


class _Scoring:
    """The metrics of an evaluation while frames come in."""

    def __init__(self, chosen: set[str], may_lack_background: bool) -> None:
        self._chosen = chosen
        self._may_lack_background = may_lack_background
        self.cityscapes, self.tracks, self.edits = CityscapesAP(), TrackMetrics(), Edits()
        self.coco: CocoAP | None = None
        self.boundary: BoundaryQuality | None = None
        # Imported when they are asked for: that takes longer than a small evaluation.
        if "coco" in chosen:
            from annotator.evaluation.coco_ap import CocoAP

            self.coco = CocoAP()
        if "boundary" in chosen:
            from annotator.evaluation.boundary import BoundaryQuality

            self.boundary = BoundaryQuality()
        self.hidden_predicted = self.hidden_true = self.unlabelled_frames = 0
        self._worst = _Worst()

    def add(self, recording: str, found: Instances, truth: GroundTruth) -> None:
        """Count a frame; of one recording in order."""
        labelled = frozenset(INSTANCE_CLASSES)
        if truth.class_ids is not None:
            labelled &= frozenset(truth.class_ids)
        truth = replace(truth, class_ids=labelled)
        overlap = Overlap.of(found, truth)
        is_unlabelled = self._may_lack_background and is_background(overlap)
        self.unlabelled_frames += is_unlabelled
        if "cityscapes" in self._chosen:
            self.cityscapes.add(overlap)
        if self.coco:
            self.coco.add(without_void(overlap) if is_unlabelled else overlap)
        if self.boundary:
            self.boundary.add(found, truth, overlap)
        if not self._chosen.isdisjoint(("tracks", "edits")):
            found, truth, overlap = self._disjoint(found, truth, overlap)
            overlap = without_void(overlap) if is_unlabelled else overlap
            self._add_disjoint(recording, found, truth, overlap)

    def _disjoint(
        self, found: Instances, truth: GroundTruth, overlap: Overlap
    ) -> tuple[Instances, GroundTruth, Overlap]:
        """What is judged of a frame, without overlaps within a side."""
        found, hidden_predicted = disjoint(judged(found, truth))
        true, hidden_true = disjoint(judged(truth.instances, truth))
        truth = replace(truth, instances=true)
        self.hidden_predicted += hidden_predicted
        self.hidden_true += hidden_true
        return found, truth, Overlap.of(found, truth) if hidden_predicted or hidden_true else overlap

    def _add_disjoint(self, recording: str, found: Instances, truth: GroundTruth, overlap: Overlap) -> None:
        if "tracks" in self._chosen:
            self.tracks.add(overlap)
        if "edits" in self._chosen:
            edits = self.edits.add(overlap)
            self._worst.add(WorstFrame(recording, edits, found, truth, overlap))

    def end_sequence(self) -> None:
        """Identities of the frames added from here on are others."""
        self.tracks.end_sequence()
        self.edits.end_sequence()

    def report(self, comparison: Comparison) -> Report:
        metrics: dict[str, _Metric | None] = {
            "cityscapes": self.cityscapes,
            "coco": self.coco,
            "tracks": self.tracks,
            "boundary": self.boundary,
            "edits": self.edits,
        }
        parts = {name: metric.result() for name, metric in metrics.items() if metric and name in self._chosen}
        return Report(
            prediction=comparison.prediction.path,
            truth=comparison.truth.path,
            counts=comparison.counts,
            only_predicted=comparison.only_predicted,
            only_true=comparison.only_true,
            unread=comparison.unread(),
            hidden_predicted=self.hidden_predicted,
            hidden_true=self.hidden_true,
            unlabelled_frames=self.unlabelled_frames,
            parts=parts,
            curves=self._curves(parts),
            per_alpha=self.tracks.per_alpha() if "tracks" in parts else {},
            confusion=self._confusion() if "edits" in parts else None,
            worst=self._worst.frames(),
        )

    def _curves(self, parts: Mapping[str, Figures]) -> dict[str, Curve]:
        classes = parts.get("cityscapes", {}).get(CLASSES, {})
        names = {BY_ID[class_id].name: class_id for class_id in INSTANCE_CLASSES}
        return {
            name: self.cityscapes.curve(names[name])
            for name, figures in classes.items()
            if not math.isnan(figures["AP"])
        }

    def _confusion(self) -> Confusion:
        class_ids, table = self.edits.confusion()
        return Confusion(tuple(BY_ID[class_id].name for class_id in class_ids), table)


class _Worst:
    """The frames that need most corrections; of equals those that came first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, WorstFrame]] = []  # the best of them first
        self._seen = 0

    def add(self, frame: WorstFrame) -> None:
        self._seen += 1
        if frame.edits:
            heapq.heappush(self._heap, (frame.edits, -self._seen, frame))
        if len(self._heap) > MOST_WORST:
            heapq.heappop(self._heap)

    def frames(self) -> tuple[WorstFrame, ...]:
        return tuple(frame for _, _, frame in sorted(self._heap, key=lambda entry: entry[:2], reverse=True))


def _may_have_tracks(comparison: Comparison) -> bool:
    """Whether identities can be in both sides; recordings that are pooled have lost theirs."""
    return _without_identities(comparison) is None and all(
        len(recording.predicted) == len(recording.true) == 1 for recording in comparison.recordings
    )


def _without_identities(comparison: Comparison) -> LabelSet | None:
    """A side of which the format holds none."""
    sides = (comparison.prediction, comparison.truth)
    return next((side for side in sides if not side.format.has_tracks), None)


def _refuse_tracks_by_name(comparison: Comparison, metrics: Collection[str]) -> None:
    """Raise UsageError when tracks were asked for by name, and there are none."""
    if "tracks" in metrics:
        side = _without_identities(comparison)
        where = f"{side.path} ({side.format.title})" if side else "one of the sides, recording by recording,"
        raise UsageError(f"`metrics` tracks: {where} holds no identities; leave tracks out")


def _known(value: Any) -> Any:
    """The same with None for nan, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _known(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
