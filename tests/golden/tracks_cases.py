"""Truth and predictions of tracks, equal on every machine: drawn by a seed, or KITTI MOTS with degraded copies."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycocotools.mask as coco
from scipy.optimize import linear_sum_assignment

from annotator.labels import BY_ID, INSTANCE_CLASSES
from tests.helpers.builders import REAL_DATA, SHARED
from tests.helpers.scenes import Scene, scene, write_mots

MOTS_NUMBERS = {26: 1, 24: 2}
MOTS_CLASSES = {BY_ID[class_id].name: number for class_id, number in MOTS_NUMBERS.items()}
SOME_OF_KITTI, ALL_OF_KITTI = ("00[01][237].txt", 2), ("*.txt", 1)  # sequences, and how degraded
KITTI_TRUTH = REAL_DATA / "mots" / "instances_txt"


class Case(NamedTuple):
    """A set of sequences, and the classes that are scored."""

    scenes: Callable[[], Iterator[Scene]]
    numbers: Mapping[int, int]  # of Cityscapes classes in the text

    @property
    def classes(self) -> dict[str, int]:
        """The classes by our name, with their number in the text."""
        return {BY_ID[class_id].name: number for class_id, number in self.numbers.items()}

    def write(self, folder: Path) -> None:
        """FOLDER/truth and FOLDER/predictions, for TrackEval."""
        for k, drawn in enumerate(self.scenes()):
            write_mots(folder, f"{k:04d}", drawn, dict(self.numbers))


def uneven() -> Iterator[Scene]:
    """Sequences in which a side, or both, hold nothing of a class."""
    full = scene(50, class_ids=(24,))
    cars = scene(51, class_ids=(26,))
    yield Scene(full.truth, cars.predictions)
    yield Scene(cars.truth, [found.select(np.arange(0)) for found in cars.predictions])
    yield scene(52)


DRAWN = {
    "cars and persons": Case(lambda: (scene(seed) for seed in range(3)), MOTS_NUMBERS),
    "crowded": Case(lambda: iter([scene(10, frames=40, objects=40)]), MOTS_NUMBERS),
    "sparse": Case(lambda: (scene(seed, objects=2) for seed in range(20, 24)), MOTS_NUMBERS),
    "no errors": Case(lambda: iter([scene(30, errors=0)]), MOTS_NUMBERS),
    "hardly any overlap": Case(lambda: iter([scene(40, errors=5)]), MOTS_NUMBERS),
    "a side without objects": Case(uneven, MOTS_NUMBERS),
    "eight classes": Case(
        lambda: (scene(seed, objects=24, class_ids=INSTANCE_CLASSES) for seed in range(60, 63)),
        {class_id: class_id for class_id in INSTANCE_CLASSES},
    ),
}


# ---- KITTI MOTS


def degraded(folder: Path, sequences: str, level: int) -> None:
    """FOLDER/truth and FOLDER/predictions: real sequences that match a pattern, and tracks with errors."""
    (folder / "truth").mkdir(parents=True)
    (folder / "predictions").mkdir()
    for path in sorted(KITTI_TRUTH.glob(sequences)):
        (folder / "truth" / path.name).write_bytes(path.read_bytes())
    degrade = [sys.executable, SHARED / "tools" / "degrade_mots.py", folder / "truth", folder / "detections"]
    subprocess.run([*degrade, "--level", str(level)], check=True)
    for path in sorted((folder / "detections").glob("*.txt")):
        (folder / "predictions" / path.name).write_text("".join(followed(path)))


@dataclass
class Follower:
    """Gives detections the track of what they overlap in the last frame that held anything."""

    before: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)  # track, class, mask
    tracks: Counter[str] = field(default_factory=Counter)

    def follow(self, found: list[tuple[str, dict[str, object]]]) -> list[int]:
        ids = [0] * len(found)
        if self.before and found:
            iou = np.array(
                coco.iou(
                    [mask for _, mask in found], [mask for *_, mask in self.before], [0] * len(self.before)
                )
            )
            for k, (name, _) in enumerate(found):
                iou[k, [name != other for _, other, _ in self.before]] = 0
            for k, j in zip(*linear_sum_assignment(-iou), strict=True):
                ids[k] = self.before[j][0] if iou[k, j] >= 0.3 else 0
        for k, (name, _) in enumerate(found):
            if not ids[k]:
                ids[k] = int(name) * 100_000 + self.tracks[name]
                self.tracks[name] += 1
        self.before = [(track, name, mask) for track, (name, mask) in zip(ids, found, strict=True)]
        return ids


def followed(path: Path) -> Iterator[str]:
    """The lines of detections `frame index class height width rle score`, with tracks and without scores."""
    lines = [line.split() for line in path.read_text().splitlines()]
    frames: dict[str, list[list[str]]] = {}
    for line in lines:
        frames.setdefault(line[0], []).append(line)
    follower = Follower()
    for frame, of_frame in frames.items():
        found = [
            (name, {"size": [int(height), int(width)], "counts": counts.encode()})
            for _, _, name, height, width, counts, _ in of_frame
        ]
        for track, (_, _, name, height, width, counts, _) in zip(
            follower.follow(found), of_frame, strict=True
        ):
            yield f"{frame} {track} {name} {height} {width} {counts}\n"
