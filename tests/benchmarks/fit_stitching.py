"""Grow the trees that say which tracklets are one object: python -m tests.benchmarks.fit_stitching

KITTI MOTS truth and rendered drives, degraded to what a detector might give, are tracked by the trees as they are; all
pairs of tracklets that this compares, and whether they are one object, are what new trees learn from. Half of the
sequences is held back in turn, and tracks of the held half are scored, before trees of all are written; --halves FOLDER
keeps the trees of the halves for bench_tracking.
Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from scipy.optimize import linear_sum_assignment

from annotator.evaluation.overlap import Overlap
from annotator.evaluation.tracks import TrackMetrics, disjoint
from annotator.formats import mots
from annotator.instances import Instances, Truth
from annotator.masks import areas, encode_label_map, iou
from annotator.options import TrackingOptions
from annotator.synthetic import Street
from annotator.tracking import stitching
from annotator.tracking.association import linked, tick_of
from annotator.tracking.flow import Flow
from annotator.tracking.forest import FILE, Forest, forest
from annotator.tracking.observations import Floats, Observed
from annotator.tracking.stretch import tracklets_of
from annotator.tracking.tracklets import joined
from tests.benchmarks.bench_tracking import DEGRADE, HALVES, TRUTH, trees_without

SEEDS = {0: (21,), 1: (21, 22, 31, 32), 2: (21, 22, 31, 32)}  # of noise, by level; bench_tracking has others
DRIVES = range(11, 21)  # seeds of rendered drives
DRIVE_FRAMES, DRIVE_SIZE, DRIVE_SEEDS = 100, (384, 768), 2  # seeds of noise
WEIGHTS = {0: 2.0, 1: 1.0, 2: 1.0}  # of pairs, by level
RENDERED = 0.3  # of pairs of rendered drives
TREES, LEAVES, RATE, SHRINKAGE = 200, 15, 0.06, 5.0
ROUNDS = 2  # trees learn from pairs that trees of the round before have left
CUES = 32
LEAST_IOU = 0.1  # of an instance with its object

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Recording:
    """A sequence of some level, with what association knows before it stitches."""

    name: str
    level: int
    truth: Sequence[Truth]
    found: Sequence[Instances]
    objects: Sequence[npt.NDArray[np.int64]]  # of each frame: (N,) the object of each instance, 0 = none
    observed: Sequence[Observed]
    ticks: Floats
    tracklets: Sequence[list[tuple[int, int]]]
    flow: Flow

    @classmethod
    def read(cls, truth_path: Path, found_path: Path, level: int) -> Recording:
        """A sequence from MOTS texts."""
        truth = list(mots.read_truth(truth_path))
        given = {each.frame.index: each for each in mots.read(found_path)}
        found = [given.get(k) or Instances.of(each.instances.frame) for k, each in enumerate(truth)]
        observed, ticks = [Observed.of(each, 0) for each in found], np.arange(len(found), dtype=float)
        tracklets, flow = tracklets_of(observed, ticks, TrackingOptions().min_track)
        objects = [_objects(of, each.instances) for of, each in zip(found, truth, strict=True)]
        return cls(truth_path.stem, level, truth, found, objects, observed, ticks, tracklets, flow)

    def pairs(self, trees: Forest | None) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """(K, C) cues of all pairs that are compared on the way to tracks, and (K,) whether they are one object."""
        tracks = list(self.tracklets)
        judge = stitching.Judge(tracks, self.observed, self.ticks, self.flow)
        longest = 10 * TrackingOptions().max_gap
        parts = []
        for least in stitching.LEAST:
            first, second = stitching.pairs_of(tracks, self.ticks, longest)
            if not len(first):
                break
            _, pairs = judge.candidates(tracks, first, second)
            ends, begins = (
                np.array([self.objects[track[side][0]][track[side][1]] for track in tracks])
                for side in (-1, 0)
            )
            starts = np.array([track[0][0] for track in tracks])[pairs.second]
            is_one = (ends[pairs.first] == begins[pairs.second]) & (ends[pairs.first] > 0)
            nearest = np.full(len(tracks), len(self.found))  # where each object is seen next
            np.minimum.at(nearest, pairs.first[is_one], starts[is_one])
            is_asked = (ends[pairs.first] > 0) | (begins[pairs.second] > 0)
            is_asked &= ~is_one | (starts == nearest[pairs.first])
            parts.append((pairs.cues[is_asked], is_one[is_asked]))
            if trees is not None:
                gain = trees.odds(pairs.cues) + pairs.alike - least
                tracks = joined(tracks, stitching.chosen(pairs.first, pairs.second, gain))
        none = np.zeros((0, CUES)), np.zeros(0, np.bool_)
        cues, is_one = zip(none, *parts, strict=True)
        return np.concatenate(cues), np.concatenate(is_one)


def _objects(found: Instances, truth: Instances) -> npt.NDArray[np.int64]:
    """(N,) the object of each instance of a frame, 0 = none."""
    overlap = iou(found.masks, truth.masks) * (found.class_ids[:, None] == truth.class_ids[None])
    objects = np.zeros(len(found), np.int64)
    for row, column in np.transpose(linear_sum_assignment(overlap, maximize=True)):
        if overlap[row, column] >= LEAST_IOU:
            objects[row] = truth.track_ids[column]
    return objects


def recordings(truth: Path, seeds: dict[int, tuple[int, ...]], folder: Path) -> Iterator[Recording]:
    """All sequences of a folder at every level."""
    for level, of_level in seeds.items():
        for seed in of_level:
            found = folder / f"{truth.name}_{level}_{seed}"
            degrade: list[Any] = [
                sys.executable,
                DEGRADE,
                truth,
                found,
                "--level",
                str(level),
                "--seed",
                str(seed),
            ]
            subprocess.run(degrade, check=True)
            for path in sorted(truth.glob("*.txt")):
                yield Recording.read(path, found / path.name, level)


def render(folder: Path) -> None:
    """Write the truth of rendered drives as MOTS: riders as persons, and nothing on two wheels."""
    folder.mkdir()
    classes = {24: 2, 25: 2, 26: 1, 27: 1, 28: 1, 31: 1}
    for seed in DRIVES:
        street, lines = Street(seed, DRIVE_SIZE), []
        for index in range(DRIVE_FRAMES):
            drawn = street.frame(index)
            for track_id, mask in encode_label_map(drawn.label_map).items():
                kind = classes.get(drawn.classes[track_id])
                if kind and areas([mask])[0] >= 30:
                    height, width = mask["size"]
                    object_id = 1000 * kind + track_id
                    lines.append(f"{index} {object_id} {kind} {height} {width} {mask['counts'].decode()}\n")
        (folder / f"drive{seed}.txt").write_text("".join(lines))


def grown(of: Sequence[Recording], trees: Forest | None) -> Arrays:
    """New trees, from the pairs that the old ones meet."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    parts = [(each, *each.pairs(trees)) for each in of]
    cues = np.concatenate([cues for _, cues, _ in parts]).astype(np.float32)
    is_one = np.concatenate([is_one for _, _, is_one in parts])
    weights = [WEIGHTS[each.level] * (RENDERED if each.name.startswith("drive") else 1) for each in of]
    weight = np.repeat(weights, [len(is_one) for _, _, is_one in parts])
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        l2_regularization=SHRINKAGE,
        early_stopping=False,
        random_state=0,
    )
    return _arrays(model.fit(cues, is_one, weight))


def _arrays(model: Any) -> Arrays:
    """Trees as `Forest` reads them."""
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


def learnt(of: Sequence[Recording]) -> Arrays:
    """The trees of the last round."""
    trees = forest() if FILE.exists() else None
    for _ in range(ROUNDS):
        arrays = grown(of, trees)
        trees = Forest.of(arrays)
    return arrays


def figures(of: Sequence[Recording], trees: Forest) -> str:
    """HOTA, AssA and IDF1 of tracks by some trees, mean of the classes, level by level."""
    text = []
    with patch.object(stitching, "forest", lambda: trees):
        for level in sorted({each.level for each in of}):
            metrics = TrackMetrics()
            for each in of:
                if each.level == level:
                    for tracked, truth in zip(_tracked(each), each.truth, strict=True):
                        metrics.add(Overlap.of(disjoint(tracked)[0], truth))
                    metrics.end_sequence()
            classes = metrics.result()["classes"].values()
            means = (np.mean([values[name] for values in classes]) for name in ("HOTA", "AssA", "IDF1"))
            text.append(f"level {level}: " + " / ".join(f"{100 * mean:.1f}" for mean in means))
    return "; ".join(text)


def _tracked(recording: Recording) -> Iterator[Instances]:
    tick = tick_of(each.frame for each in recording.found)
    every = linked(recording.found, tick, TrackingOptions())
    for found, links in zip(recording.found, every, strict=True):
        kept = np.flatnonzero(links.track_ids)
        some = found.only(kept)
        yield Instances.of(
            found.frame,
            [*some.masks, *({"size": list(found.frame.size), "counts": made.counts} for made in links.made)],
            [*some.class_ids, *(made.class_id for made in links.made)],
            [*some.scores, *(made.score for made in links.made)],
            track_ids=[*(links.track_ids[k] for k in kept), *(made.track_id for made in links.made)],
        )


def main() -> None:
    """Score on halves held back, then write trees of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--no-score", action="store_true", help="write the trees, and don't score any")
    parser.add_argument("--halves", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        street = list(recordings(TRUTH, SEEDS, folder))
        print(f"{len(street)} sequences of KITTI MOTS", flush=True)
        render(folder / "drives")
        drive_seeds = {level: seeds[:DRIVE_SEEDS] for level, seeds in SEEDS.items()}
        drives = list(recordings(folder / "drives", drive_seeds, folder))
        print(f"{len(drives)} rendered drives", flush=True)
    if not options.no_score:
        for number, half in enumerate(HALVES):
            trees = learnt([each for each in street if each.name not in half] + drives)
            if options.halves:
                options.halves.mkdir(parents=True, exist_ok=True)
                save_file(trees, trees_without(options.halves, number))
            held = [each for each in street if each.name in half]
            print(f"held back {' '.join(half)}: {figures(held, Forest.of(trees))}", flush=True)
    save_file(learnt(street + drives), options.out)


if __name__ == "__main__":
    main()
