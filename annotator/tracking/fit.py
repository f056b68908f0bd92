"""Grow the trees that stitch tracklets: python -m annotator.tracking.fit TRUTH DETECTIONS... --out TREES

TRUTH is a folder of MOTS text with the identities of objects, each DETECTIONS a folder of texts of the same names as a
detector gives them (`frame id class height width rle [score]`; ids don't matter). Detections are tracked by the trees
as they are; all pairs of tracklets that this compares, and whether they are one object, are what new trees learn from.
Needs scikit-learn: pip install "spatialemb-annotate[fit]"
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from scipy.optimize import linear_sum_assignment

from annotator.errors import AnnotatorError, ExitCode, UsageError
from annotator.files import atomic_file
from annotator.formats.interface import Reading
from annotator.formats.mots import reader as mots
from annotator.instances import GroundTruth, Instances
from annotator.masks import iou
from annotator.options import TrackingOptions
from annotator.tracking.arrays import Bools, Floats
from annotator.tracking.boosting import FILE, MAX_LEAVES, BoostedTrees, stitching_trees
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import CameraMotion
from annotator.tracking.pair_features import COUNT
from annotator.tracking.parameters import CONFIRMATION, STITCHING
from annotator.tracking.sequence import SequenceTracker
from annotator.tracking.stitching import Candidates, PairScorer, pairs_within, solve_assignment
from annotator.tracking.tracklets import Tracklet, merge_chains

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class FitParameters:
    """How trees are grown; chosen by hand, on sequences held back: `python -m tests.benchmarks.fit_stitching`."""

    trees: int = 200
    leaves: int = MAX_LEAVES - 1
    learning_rate: float = 0.06
    l2_regularization: float = 5.0
    rounds: int = 2  # trees learn from pairs that trees of the round before have left
    min_iou: float = 0.1  # of a detection with its object


FIT = FitParameters()


@dataclass(frozen=True)
class LabelledSequence:
    """A sequence of T frames whose objects are known, with what association knows before it stitches."""

    name: str
    weight: float  # of its pairs
    truth: Sequence[GroundTruth]
    found: Sequence[Instances]
    objects: Sequence[npt.NDArray[np.int64]]  # of each frame: (N,) the object of each instance, 0 = none
    frames: Sequence[Detections]
    times: Floats  # (T,) steps
    tracklets: Sequence[Tracklet]
    camera: CameraMotion

    @classmethod
    def read(cls, truth_path: Path, found_path: Path, weight: float = 1.0) -> LabelledSequence:
        """Read a sequence from MOTS texts; frames without detections may be missing in the second."""
        truth = list(mots.read(truth_path))
        detected = (each.instances for each in mots.read(found_path, Reading(only_instances=True)))
        given = {each.frame.index: each for each in detected}
        found = [given.get(k) or Instances.of(each.instances.frame) for k, each in enumerate(truth)]
        frames = [Detections.from_instances(each, 0) for each in found]
        times = np.arange(len(found), dtype=float)
        tracklets, camera = _tracker(stitching_trees()).tracklets(frames, times)
        objects = [_objects(of, each.instances) for of, each in zip(found, truth, strict=True)]
        return cls(truth_path.stem, weight, truth, found, objects, frames, times, tracklets, camera)

    def pairs(self, trees: BoostedTrees | None) -> tuple[Floats, Bools]:
        """List all pairs that are compared on the way to tracks; without trees, nothing is joined on it.

        Returns (K, COUNT) features and (K,) whether the two are one object, seen next.
        """
        tracks = list(self.tracklets)
        scorer = PairScorer(tracks, self.frames, self.times, self.camera, trees or stitching_trees())
        features, is_one = [np.zeros((0, COUNT))], [np.zeros(0, np.bool_)]
        for threshold in STITCHING.thresholds:
            first, second = pairs_within(tracks, self.times, _tracker(stitching_trees()).max_gap)
            if not len(first):
                break
            _, pairs = scorer.candidates(tracks, first, second)
            is_asked, are_one = self._judge(tracks, pairs)
            features.append(pairs.features[is_asked])
            is_one.append(are_one[is_asked])
            if trees is not None:
                gain = trees.log_odds(pairs.features) + pairs.affinity - threshold
                tracks = merge_chains(tracks, solve_assignment(pairs.first, pairs.second, gain))
        return np.concatenate(features), np.concatenate(is_one)

    def _judge(self, tracks: Sequence[Tracklet], pairs: Candidates) -> tuple[Bools, Bools]:
        """(K,) whether each pair is asked for, and whether it is one object.

        Pairs of false detections say nothing, nor do those that pass over where their object is seen next.
        """
        ends, begins = (
            np.array([self.objects[track[side][0]][track[side][1]] for track in tracks]) for side in (-1, 0)
        )
        starts = np.array([track[0][0] for track in tracks])[pairs.second]
        is_one = (ends[pairs.first] == begins[pairs.second]) & (ends[pairs.first] > 0)
        nearest = np.full(len(tracks), len(self.found))  # where each object is seen next
        np.minimum.at(nearest, pairs.first[is_one], starts[is_one])
        is_asked = (ends[pairs.first] > 0) | (begins[pairs.second] > 0)
        is_asked &= ~is_one | (starts == nearest[pairs.first])
        return is_asked, is_one


def _tracker(trees: BoostedTrees) -> SequenceTracker:
    """One as labelling has it by default."""
    options = TrackingOptions()
    return SequenceTracker(options.max_gap / CONFIRMATION.step_s, options.min_track, trees)


def _objects(found: Instances, truth: Instances) -> npt.NDArray[np.int64]:
    """(N,) the object of each instance of a frame, 0 = none."""
    overlap = iou(found.masks, truth.masks) * (found.class_ids[:, None] == truth.class_ids[None])
    objects = np.zeros(len(found), np.int64)
    for row, column in np.transpose(linear_sum_assignment(overlap, maximize=True)):
        if overlap[row, column] >= FIT.min_iou:
            objects[row] = truth.track_ids[column]
    return objects


def fit(sequences: Sequence[LabelledSequence]) -> Arrays:
    """Grow trees anew, round by round: arrays as `BoostedTrees.from_arrays` reads them.

    Raises UsageError without scikit-learn.
    """
    trees = stitching_trees() if FILE.exists() else None
    for _ in range(FIT.rounds):
        arrays = _grow(sequences, trees)
        trees = BoostedTrees.from_arrays(arrays)
    return arrays


def _grow(sequences: Sequence[LabelledSequence], trees: BoostedTrees | None) -> Arrays:
    """New trees, from the pairs that the old ones meet."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise UsageError('the fit needs scikit-learn: pip install "spatialemb-annotate[fit]"') from error
    parts = [each.pairs(trees) for each in sequences]
    features = np.concatenate([features for features, _ in parts]).astype(np.float32)
    is_one = np.concatenate([is_one for _, is_one in parts])
    weight = np.repeat([each.weight for each in sequences], [len(is_one) for _, is_one in parts])
    model = HistGradientBoostingClassifier(
        max_iter=FIT.trees,
        max_leaf_nodes=FIT.leaves,
        learning_rate=FIT.learning_rate,
        l2_regularization=FIT.l2_regularization,
        early_stopping=False,
        random_state=0,
    )
    return arrays_of(model.fit(features, is_one, weight))


def arrays_of(model: Any) -> Arrays:
    """Take the trees out of a fitted HistGradientBoostingClassifier, as `BoostedTrees.from_arrays` reads them."""
    trees = [predictors[0].nodes for predictors in model._predictors]
    shape = len(trees), max(map(len, trees))
    arrays: Arrays = {
        "cues": np.zeros(shape, np.uint8),
        "thresholds": np.zeros(shape, np.float32),
        "low": np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1)),
        "high": np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1)),
        "values": np.zeros(shape, np.float32),
        "constant": np.asarray(model._baseline_prediction, np.float32).reshape(1),
    }
    for tree, nodes in enumerate(trees):
        inner = np.flatnonzero(nodes["is_leaf"] == 0)
        arrays["cues"][tree, inner] = nodes["feature_idx"][inner]
        arrays["thresholds"][tree, inner] = nodes["num_threshold"][inner]
        arrays["low"][tree, inner] = nodes["left"][inner]
        arrays["high"][tree, inner] = nodes["right"][inner]
        leaves = np.flatnonzero(nodes["is_leaf"])
        arrays["values"][tree, leaves] = nodes["value"][leaves]
    return arrays


def main() -> None:
    """Grow trees from folders of MOTS text."""
    parser = argparse.ArgumentParser(
        prog="python -m annotator.tracking.fit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("truth", type=Path, metavar="TRUTH")
    parser.add_argument("detections", type=Path, nargs="+", metavar="DETECTIONS")
    parser.add_argument("--out", type=Path, required=True, metavar="TREES", help="a .safetensors file")
    options = parser.parse_args()
    try:
        sequences = _read_all(options.truth, options.detections)
        arrays = fit(sequences)
        with atomic_file(options.out) as unfinished:
            save_file(arrays, unfinished)
    except (AnnotatorError, OSError) as error:
        parser.exit(ExitCode.USAGE, f"error: {error}\n")


def _read_all(truth: Path, detections: Sequence[Path]) -> list[LabelledSequence]:
    paths = sorted(truth.glob("*.txt"))
    if not paths:
        raise UsageError(f"{truth}: holds no MOTS text (*.txt)")
    return [LabelledSequence.read(path, folder / path.name) for folder in detections for path in paths]


if __name__ == "__main__":
    main()
