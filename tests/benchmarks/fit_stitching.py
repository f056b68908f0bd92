"""Grow the package's trees that stitch: python -m tests.benchmarks.fit_stitching

KITTI MOTS truth and rendered drives, degraded to what a detector might give, are what `annotator.tracking.fit` learns
from. Half of the sequences is held back in turn, and tracks of the held half are scored, before trees of all are
written; --halves FOLDER keeps the trees of the halves for bench_tracking.
Needs scikit-learn: pip install -e ".[fit]"
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from annotator.evaluation.overlap import Overlap
from annotator.evaluation.tracks import TrackMetrics, disjoint
from annotator.instances import Instances
from annotator.masks import areas, encode_label_map
from annotator.options import TrackingOptions
from annotator.synthetic import Street
from annotator.tracking.association import associate_frames, step_seconds
from annotator.tracking.boosting import FILE, BoostedTrees
from annotator.tracking.fit import LabelledSequence, fit
from tests.benchmarks.bench_tracking import DEGRADE, HALVES, TRUTH, trees_without

SEEDS = {0: (21,), 1: (21, 22, 31, 32), 2: (21, 22, 31, 32)}  # of noise, by level; bench_tracking has others
DRIVES = range(11, 21)  # seeds of rendered drives
DRIVE_FRAMES, DRIVE_SIZE, DRIVE_SEEDS = 100, (384, 768), 2  # seeds of noise
WEIGHTS = {0: 2.0, 1: 1.0, 2: 1.0}  # of pairs, by level
RENDERED = 0.3  # of pairs of rendered drives


class Case(NamedTuple):
    """A sequence with the noise of some level."""

    level: int
    sequence: LabelledSequence


def cases(
    truth: Path, seeds: Mapping[int, tuple[int, ...]], folder: Path, weight: float = 1.0
) -> Iterator[Case]:
    """All sequences of a folder at every level."""
    for level, of_level in seeds.items():
        for seed in of_level:
            found = folder / f"{truth.name}_{level}_{seed}"
            noise = ["--level", str(level), "--seed", str(seed)]
            command: list[Any] = [sys.executable, DEGRADE, truth, found, *noise]
            subprocess.run(command, check=True)
            for path in sorted(truth.glob("*.txt")):
                read = LabelledSequence.read(path, found / path.name, weight * WEIGHTS[level])
                yield Case(level, read)


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


def fit_to(of: Sequence[Case]) -> dict[str, Any]:
    """Trees of all these."""
    return fit([case.sequence for case in of])


def figures(of: Sequence[Case], trees: BoostedTrees) -> str:
    """HOTA, AssA and IDF1 of tracks by some trees, mean of the classes, level by level."""
    text = []
    for level in sorted({case.level for case in of}):
        metrics = TrackMetrics()
        for sequence in (case.sequence for case in of if case.level == level):
            for tracked, truth in zip(_tracked(sequence, trees), sequence.truth, strict=True):
                metrics.add(Overlap.of(disjoint(tracked)[0], truth))
            metrics.end_sequence()
        classes = metrics.result()["classes"].values()
        means = (np.mean([values[name] for values in classes]) for name in ("HOTA", "AssA", "IDF1"))
        text.append(f"level {level}: " + " / ".join(f"{100 * mean:.1f}" for mean in means))
    return "; ".join(text)


def _tracked(sequence: LabelledSequence, trees: BoostedTrees) -> Iterator[Instances]:
    step_s = step_seconds(each.frame for each in sequence.found)
    every = associate_frames(sequence.found, step_s, TrackingOptions(), trees=trees)
    for found, links in zip(sequence.found, every, strict=True):
        kept = np.flatnonzero(links.track_ids)
        some = found.select(kept)
        yield Instances.of(
            found.frame,
            [
                *some.masks,
                *({"size": list(found.frame.size), "counts": added.counts} for added in links.added),
            ],
            [*some.class_ids, *(added.class_id for added in links.added)],
            [*some.scores, *(added.score for added in links.added)],
            track_ids=[*(links.track_ids[k] for k in kept), *(added.track_id for added in links.added)],
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
        street = list(cases(TRUTH, SEEDS, folder))
        print(f"{len(street)} sequences of KITTI MOTS", flush=True)
        render(folder / "drives")
        drive_seeds = {level: seeds[:DRIVE_SEEDS] for level, seeds in SEEDS.items()}
        drives = list(cases(folder / "drives", drive_seeds, folder, RENDERED))
        print(f"{len(drives)} rendered drives", flush=True)
    if not options.no_score:
        for number, half in enumerate(HALVES):
            trees = fit_to([case for case in street if case.sequence.name not in half] + drives)
            if options.halves:
                options.halves.mkdir(parents=True, exist_ok=True)
                save_file(trees, trees_without(options.halves, number))
            held = [case for case in street if case.sequence.name in half]
            print(f"held back {' '.join(half)}: {figures(held, BoostedTrees.from_arrays(trees))}", flush=True)
    save_file(fit_to(street + drives), options.out)


if __name__ == "__main__":
    main()
