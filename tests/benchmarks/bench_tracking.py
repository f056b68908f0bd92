"""Tracks against other trackers and the bounds, on degraded KITTI MOTS: python -m tests.benchmarks.bench_tracking

For every level and seed, truth is degraded to what a detector might give; then spatialemb-track, the peers with tuned
settings, and the same detections with true identities (clean, gaps filled) are scored by TrackEval, all in one run.
TRACKEVAL_PYTHON names an interpreter with trackeval, trackers and supervision, in an environment of its own. `closed`
is how much of the way from the best peer to the bound our tracks go, figure by figure. The package's trees that stitch
were grown on these sequences, with other noise: --halves FOLDER tracks each sequence by trees that have never seen it,
as fit_stitching --halves FOLDER writes them. With --speed it measures frames per CPU second and memory on an endless
recording instead.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from safetensors.numpy import load_file

from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import encode_window
from annotator.options import TrackingJob, TrackingOptions
from annotator.pipeline.retrack import retrack
from annotator.tracking import association
from annotator.tracking.association import associate_frames
from annotator.tracking.boosting import BoostedTrees
from tests.helpers.builders import REAL_DATA, SHARED, frame_ref

TRUTH = REAL_DATA / "mots" / "instances_txt"
DEGRADE, SCORE = SHARED / "tools" / "degrade_mots.py", SHARED / "tools" / "score_mots.py"
PEERS: dict[str, dict[str, Any]] = {
    "bytetrack": {"lost_track_buffer": 15},
    "ocsort": {
        "high_conf_det_threshold": 0.5,
        "minimum_consecutive_frames": 1,
        "minimum_iou_threshold": 0.1,
    },
    "cbiou": {"minimum_consecutive_frames": 1, "minimum_iou_threshold_first_assoc": 0.1},
}
HALVES = (
    ("0001", "0004", "0011", "0015", "0017", "0020"),
    ("0000", "0003", "0005", "0009", "0012", "0019"),
)
BOUND, OURS = "oracle_filled", "spatialemb-track"
FIGURES = ("HOTA", "AssA", "IDF1", "DetA", "IDSW", "FP", "FN")
JUDGED = FIGURES[:3]


def score(predictions: Path, *options: str) -> dict[str, float]:
    """Figures by TrackEval, mean of car and pedestrian."""
    command: list[Any] = [os.environ["TRACKEVAL_PYTHON"], SCORE, TRUTH, predictions, *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(answer.stdout)["average"])


def track(found: Path, tracked: Path, halves: Path | None) -> None:
    """Track a folder of MOTS text by spatialemb-track, or by trees that have never seen the sequence."""
    if halves is None:
        command: list[Any] = [sys.executable, "-m", "cli.track", found, "--out", tracked, "--quiet"]
        subprocess.run(command, check=True)
        return
    for number, half in enumerate(HALVES):
        trees = BoostedTrees.from_arrays(load_file(trees_without(halves, number)))
        inputs = tuple(found / f"{name}.txt" for name in half)
        with patch.object(association, "stitching_trees", return_value=trees):
            list(retrack(TrackingJob(inputs, out=tracked, tracking=TrackingOptions())))


def trees_without(halves: Path, number: int) -> Path:
    """The file of trees that have not seen one of HALVES."""
    return halves / f"without-{number}.safetensors"


def figures(level: int, seed: int, folder: Path, halves: Path | None) -> dict[str, dict[str, float]]:
    """Figures of every tracker on one degraded copy."""
    found, tracked = folder / f"{level}_{seed}", folder / f"{level}_{seed}_tracked"
    degrade: list[Any] = [sys.executable, DEGRADE, TRUTH, found, "--level", str(level), "--seed", str(seed)]
    subprocess.run(degrade, check=True)
    track(found, tracked, halves)
    report = {OURS: score(tracked)}
    for name, settings in PEERS.items():
        report[name] = score(found, "--track", name, "--settings", json.dumps(settings))
    return report | {BOUND: score(found, "--track", BOUND)}


def show(level: int, seed: int, report: dict[str, dict[str, float]]) -> None:
    """A table, and how much of the way to the bound is gone."""
    print(f"level {level}, seed {seed}" + " " * 8 + "".join(f"{name:>8}" for name in FIGURES))
    for tracker, values in report.items():
        print(f"  {tracker:22}" + "".join(f"{values[name]:8.2f}" for name in FIGURES))
    closed = []
    for name in JUDGED:
        best = max(report[peer][name] for peer in PEERS)
        closed.append(f"{name} {(report[OURS][name] - best) / (report[BOUND][name] - best):.0%}")
    print(f"  closed: {', '.join(closed)}", flush=True)


# ---- speed and memory


def endless(frames: int, objects: int = 15, size: tuple[int, int] = (375, 1242)) -> Iterator[Instances]:
    """Objects that cross the picture again and again; one in ten is missed."""
    rng = np.random.default_rng(0)
    disc = np.hypot(*np.indices((60, 40)) - np.array([29.5, 19.5])[:, None, None]) < 28
    lefts, speed = rng.uniform(0, size[1] - 40, objects), rng.uniform(-8, 8, objects)
    tops = rng.uniform(0, size[0] - 60, objects).astype(int)
    for index in range(frames):
        lefts = (lefts + speed + rng.normal(0, 1, objects)) % (size[1] - 40)
        seen = np.flatnonzero(rng.random(objects) > 0.1)
        rles = [encode_window(disc, int(tops[k]), int(lefts[k]), size) for k in seen]
        ref: FrameRef = frame_ref(index, size)
        yield Instances.of(ref, rles, [26] * len(seen), rng.uniform(0.7, 1, len(seen)))


def measure(frames: int) -> None:
    """Frames per CPU second of association alone, and the memory that it takes."""
    made = 0.0

    def timed() -> Iterator[Instances]:
        nonlocal made
        scene = endless(frames)
        while True:
            began = time.process_time()
            found = next(scene, None)
            made += time.process_time() - began
            if found is None:
                return
            yield found

    began = time.process_time()
    instances = 0
    for index, each in enumerate(associate_frames(timed(), 0.1, TrackingOptions()), 1):
        instances += len(each.track_ids)
        if index in (frames // 10, frames):
            seconds = time.process_time() - began - made
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{index} frames, {instances / index:.1f} instances each: {index / seconds:.0f} frames per CPU"
                f" second, {peak:.0f} MiB at most",
                flush=True,
            )


def main() -> None:
    """Print tables as they are ready."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--levels", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--halves", type=Path, metavar="FOLDER")
    parser.add_argument("--speed", type=int, metavar="FRAMES")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if options.speed:
        measure(options.speed)
        return
    cases = [
        (level, seed)
        for level in options.levels
        for seed in options.seeds
        if level or seed == options.seeds[0]
    ]
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases:
            show(*case, figures(*case, Path(temporary), options.halves))


if __name__ == "__main__":
    main()
