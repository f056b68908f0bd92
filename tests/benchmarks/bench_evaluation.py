"""Cityscapes AP against the official script, side by side: python -m tests.benchmarks.bench_evaluation

Frames of 2048 x 1024 with 30 instances each, scored by the official script and by ours, from predictions as RLE
(coco.json) and as the benchmark's text and mask PNGs; truth is an instanceIds PNG a frame. CITYSCAPES_PYTHON names an
interpreter with cityscapesScripts, in an environment of its own: see tests/golden/make_cityscapes_golden.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from PIL import Image

from annotator import masks
from annotator.evaluation import Overlap
from annotator.evaluation.average_precision import CityscapesAP
from annotator.evaluation.boundary import BoundaryQuality
from annotator.evaluation.coco_ap import CocoAP
from annotator.formats.cityscapes import gtfine
from annotator.formats.coco import writer as coco_writer
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances
from annotator.labels import INSTANCE_CLASSES
from tests.golden.cityscapes_cases import shifted
from tests.golden.make_cityscapes_golden import OUR_NAMES, SCRIPT
from tests.helpers.builders import Labels, Recording, frame_ref, read_instances

SIZE = (1024, 2048)
# As often as in a street: half are cars, a third are persons.
CLASSES = (*INSTANCE_CLASSES, *[24] * 12, *[26] * 20, *[33] * 3, 25)

Scored = tuple[Instances, GroundTruth]


def draw(random: Random, instances: int) -> np.ndarray:
    """Instance ids (H, W) of a street: stuff and void in bands, groups, objects of a street's sizes."""
    ids = np.zeros(SIZE, np.uint16)
    for top, label in enumerate((23, 11, 21, 8, 7, 7, 7, 1)):
        ids[top * 128 :] = label
    for label in (4, 9, 15, 24, 26, 30):
        ids[outline(random, 40, 200)] = label
    for k in range(instances):
        ids[outline(random, 12, 130)] = random.choice(CLASSES) * 1000 + k
    return ids


def outline(random: Random, least: float, most: float) -> np.ndarray:
    """An ellipse with a ragged edge."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    rows, columns = (np.exp(random.uniform(np.log(least), np.log(most))) for _ in range(2))
    centre_y, centre_x = random.uniform(200, 900), random.uniform(0, SIZE[1])
    angle = np.arctan2(y - centre_y, x - centre_x)
    rough = 1 + 0.15 * np.sin(5 * angle + random.random()) + 0.03 * np.sin(31 * angle)
    return ((y - centre_y) / rows) ** 2 + ((x - centre_x) / columns) ** 2 < rough


def predict(ids: np.ndarray, frame: FrameRef, random: Random, instances: int) -> Instances:
    """Objects near those of the frame, some twice, some of another class."""
    objects = [int(i) for i in np.unique(ids) if i >= 1000]
    chosen = objects + random.choices(objects, k=instances - len(objects))
    rles = [masks.encode(shifted(ids == i, random.randint(-9, 9), random.randint(-12, 12))) for i in chosen]
    class_ids = [i // 1000 if random.random() < 0.9 else random.choice(CLASSES) for i in chosen]
    return Instances.of(
        frame, masks.visible(rles, SIZE), class_ids, [random.randrange(1000) / 1000 for _ in chosen]
    )


def make(folder: Path, frames: int, instances: int) -> None:
    """FOLDER/gt and FOLDER/pred for the official script, FOLDER/coco.json with the same predictions."""
    (folder / "gt").mkdir()
    (folder / "pred" / "masks").mkdir(parents=True)
    predictions = []
    for place in range(frames):
        random, stem = Random(place), f"drawn_000000_{place:06d}"
        ids = draw(random, instances)
        cv2.imwrite(str(folder / "gt" / f"{stem}_gtFine_instanceIds.png"), ids)
        predictions.append(predict(ids, frame_ref(place, SIZE, f"{stem}.png"), random, instances))
        lines = []
        for k, rle in enumerate(predictions[-1].masks):
            name = f"masks/{stem}_{k}.png"
            Image.fromarray(masks.decode(rle).astype(np.uint8) * 255).save(folder / "pred" / name)
            lines.append(f"{name} {predictions[-1].class_ids[k]} {predictions[-1].scores[k]}\n")
        (folder / "pred" / f"{stem}.txt").write_text("".join(lines))
    coco_writer.write(Labels(predictions), Recording(is_video=False), folder)


def from_rle(folder: Path) -> Iterator[Scored]:
    return zip(read_instances("coco", folder / coco_writer.FILE), gtfine.read(folder / "gt"), strict=True)


def from_pngs(folder: Path) -> Iterator[Scored]:
    return zip(read_instances("cityscapes-results", folder / "pred"), gtfine.read(folder / "gt"), strict=True)


def cityscapes_ap(pairs: Iterator[Scored]) -> dict[str, Any]:
    score = CityscapesAP()
    for prediction, truth in pairs:
        score.add(Overlap.of(prediction, truth))
    return score.result()


def all_of_masks(pairs: Iterator[Scored]) -> dict[str, Any]:
    """Cityscapes AP, COCO AP and boundaries together."""
    cityscapes_score, coco_score, boundaries = CityscapesAP(), CocoAP(), BoundaryQuality()
    for prediction, truth in pairs:
        overlap = Overlap.of(prediction, truth)
        cityscapes_score.add(overlap)
        coco_score.add(overlap)
        boundaries.add(prediction, truth, overlap)
    coco_score.result()
    boundaries.result()
    return cityscapes_score.result()


def timed(score: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """Figures and CPU seconds."""
    began = time.process_time()
    figures = score()
    return figures, time.process_time() - began


def official(folder: Path) -> tuple[dict[str, Any], float]:
    """Figures and CPU seconds of the official script, without the start of its interpreter."""
    command = [os.environ["CITYSCAPES_PYTHON"], SCRIPT, folder]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer["averages"], answer["seconds"]


def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether the figures of every class, and their means, are equal to 1e-9."""
    rows = [(ours, {"ap": theirs["allAp"], "ap50%": theirs["allAp50%"]})]
    rows += [(ours["classes"][name], figures) for name, figures in theirs["classes"].items()]
    return all(
        np.isclose(row[OUR_NAMES[name]], value, rtol=0, atol=1e-9, equal_nan=True)
        for row, figures in rows
        for name, value in figures.items()
    )


def peak_memory(pairs: Iterator[Scored]) -> float:
    """Most MB held at once while scoring."""
    tracemalloc.start()
    cityscapes_ap(pairs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    """Print CPU seconds of all, whether their figures agree, and how much faster ours are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--instances", type=int, default=30)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, options.frames, options.instances)
        print(
            f"{options.frames} frames of {SIZE[1]}x{SIZE[0]} with {options.instances} instances, CPU seconds a frame"
        )
        cityscapes_ap(islice(from_rle(folder), 2))  # warm
        theirs, slow = official(folder)
        print(
            f"official script                         {slow / options.frames:.4f}  AP {theirs['allAp']:.6f}"
        )
        for name, read, score in (
            ("RLE, Cityscapes AP", from_rle, cityscapes_ap),
            ("RLE, also COCO AP and boundaries", from_rle, all_of_masks),
            ("mask PNGs, Cityscapes AP", from_pngs, cityscapes_ap),
        ):
            ours, fast = timed(lambda read=read, score=score: score(read(folder)))
            print(
                f"ours, {name:33s} {fast / options.frames:.4f}  AP {ours['AP']:.6f}"
                f"  {slow / fast:5.1f} times faster, equal {agree(ours, theirs)}"
            )
        for name, read in (("RLE", from_rle), ("mask PNGs", from_pngs)):
            few, all_ = (peak_memory(islice(read(folder), count)) for count in (options.frames // 4, None))
            print(f"memory, {name}: {few:.1f} MB for a quarter of the frames, {all_:.1f} MB for all")


if __name__ == "__main__":
    main()
