"""Ground truth and predictions that are wrong in every way, equal on every machine: the seed says which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np

from annotator.labels import BY_ID, INSTANCE_CLASSES
from tests.helpers.builders import REAL_DATA

ROAD, BUILDING, SKY, CARAVAN = 7, 11, 23, 29
STUFF = (ROAD, BUILDING, SKY, 8, 21)
VOID = (0, 1, 3, 4, 9, 15, 29, 30)
SIZE = (192, 320)


@dataclass(frozen=True)
class Predicted:
    mask: np.ndarray  # (H, W) bool
    class_id: int
    score: float


@dataclass(frozen=True)
class Scene:
    """A frame of a case."""

    stem: str  # CITY_SEQ_FRAME
    ids: np.ndarray  # (H, W) uint16 instance ids
    predicted: list[Predicted]
    distances: dict[int, tuple[float, float]]  # metres and confidence, by instance id


def scenes(case: str) -> Iterator[Scene]:
    """The frames of a case, one at a time."""
    for place, (stem, ids) in enumerate(CASES[case]()):
        random = Random(f"{case} {place}")
        yield Scene(stem, ids, predictions(ids, random), distances(ids, random))


def drawn(
    seed: int, count: int, class_ids: tuple[int, ...] = INSTANCE_CLASSES
) -> Iterator[tuple[str, np.ndarray]]:
    for place in range(count):
        yield f"drawn_{seed:06d}_{place:06d}", draw(Random(f"scene {seed} {place}"), class_ids)


def draw(random: Random, class_ids: tuple[int, ...]) -> np.ndarray:
    """A street of ellipses: stuff, void, groups, instances of all sizes over each other."""
    ids = np.zeros(SIZE, np.uint16)
    ids[:60], ids[60:110], ids[110:] = SKY, BUILDING, ROAD
    for label in (
        *random.sample(STUFF, 3),
        *random.sample(VOID, 5),
        *random.sample(class_ids, min(len(class_ids), 3)),
    ):
        ids[ellipse(random, 8, 40)] = label
    ids[-8:] = 1  # ego vehicle
    for k in range(30):
        class_id = random.choice((*class_ids, *class_ids, CARAVAN))
        ids[ellipse(random, 2, 30)] = class_id * 1000 + k
    return ids


def official(folder: str) -> Iterator[tuple[str, np.ndarray]]:
    for file in sorted((REAL_DATA / folder).rglob("*_gtFine_instanceIds.png")):
        yield file.name.removesuffix("_gtFine_instanceIds.png"), cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


DRAWN: dict[str, Callable[[], Iterator[tuple[str, np.ndarray]]]] = {
    "drawn, all classes": lambda: drawn(1, 6),
    "drawn, cars and persons": lambda: drawn(2, 4, (24, 26)),
    "drawn, one frame": lambda: drawn(3, 1),
    "drawn, many": lambda: drawn(4, 12),
}
REAL: dict[str, Callable[[], Iterator[tuple[str, np.ndarray]]]] = {
    "frankfurt": lambda: official("frankfurt_gt"),
    "aachen": lambda: official("cityscapes"),
}
CASES = {**DRAWN, **REAL}


def predictions(ids: np.ndarray, random: Random) -> list[Predicted]:
    """Every instance treated in some way, and false alarms, with scores of which some are equal."""
    size = ids.shape
    instances = [int(i) for i in np.unique(ids) if i >= 1000 and i // 1000 in INSTANCE_CLASSES]
    found = []
    for place, i in enumerate(instances):
        true, class_id = ids == i, i // 1000
        others = [other for other in instances[place + 1 :] if other // 1000 == class_id]
        match random.choice(WAYS):
            case "kept":
                found.append((true, class_id))
            case "shifted":
                found.append((shifted(true, random.randint(-6, 6), random.randint(-9, 9)), class_id))
            case "eroded":
                found.append((cv2.erode(true.astype(np.uint8), np.ones((3, 3))) > 0, class_id))
            case "dilated":
                found.append((cv2.dilate(true.astype(np.uint8), np.ones((5, 5))) > 0, class_id))
            case "split":
                middle = int(np.median(np.nonzero(true)[1])) + random.randint(-8, 8)
                left = true & (np.arange(size[1]) < middle)
                found += [(left, class_id), (true & ~left, class_id)]
            case "merged":
                found.append((true | (ids == others[0]) if others else true, class_id))
            case "relabelled":
                found.append((true, random.choice(INSTANCE_CLASSES)))
            case "doubled":
                found += [(true, class_id), (shifted(true, 1, 1), class_id), (shifted(true, 0, -2), class_id)]
            case "exactly at an overlap":
                found.append((first_pixels(true, random.choice((10, 11, 12, 13, 14, 16, 18, 19))), class_id))
            case "dropped":
                pass
    for label in INSTANCE_CLASSES:
        if (ids == label).any():  # a group
            found += [(shifted(ids == label, random.randint(-9, 9), 0), label), (ids == label, label)]
    scale = size[0] / SIZE[0]
    found += [
        (ellipse(random, 3 * scale, 30 * scale, size), random.choice(INSTANCE_CLASSES)) for _ in range(10)
    ]
    found += [
        (np.isin(ids, VOID), 26),
        (np.zeros(size, bool), 24),
        (ids == ROAD, ROAD),
        (ids == SKY, CARAVAN),
    ]
    return [Predicted(mask, class_id, score(random)) for mask, class_id in found]


WAYS = (
    *("kept", "shifted", "shifted", "eroded", "dilated", "split", "merged", "dropped"),
    *("relabelled", "doubled", "exactly at an overlap"),
)


def score(random: Random) -> float:
    exact = random.random()
    return round(exact, 1) if random.random() < 0.3 else exact


def distances(ids: np.ndarray, random: Random) -> dict[int, tuple[float, float]]:
    """Metres and confidence of everything; of some it is not known."""
    return {
        int(i): (random.uniform(1, 150), random.random()) if random.random() < 0.9 else (-1.0, 0.0)
        for i in np.unique(ids)
    }


def ellipse(random: Random, least: float, most: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.ogrid[: size[0], : size[1]]
    centre_y, centre_x = random.uniform(0, size[0]), random.uniform(0, size[1])
    rows, columns = random.uniform(least, most), random.uniform(least, most)
    return ((y - centre_y) / rows) ** 2 + ((x - centre_x) / columns) ** 2 < 1


def shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """The mask moved; what leaves the frame is lost."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = mask[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved


def first_pixels(mask: np.ndarray, twentieths: int) -> np.ndarray:
    """A part of the mask that overlaps it by that many twentieths, where its area allows it exactly."""
    part = np.zeros(mask.size, bool)
    pixels = np.flatnonzero(mask)
    part[pixels[: len(pixels) * twentieths // 20]] = True
    return part.reshape(mask.shape)


def write(scenes: Iterator[Scene], folder: Path) -> None:
    """FOLDER/gt and FOLDER/pred as the official script reads them, and FOLDER/distances.json."""
    for scene in scenes:
        (folder / "gt").mkdir(parents=True, exist_ok=True)
        (folder / "pred" / "masks").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "gt" / f"{scene.stem}_gtFine_instanceIds.png"), scene.ids)
        lines = []
        for k, one in enumerate(scene.predicted):
            name = f"masks/{scene.stem}_{k}_{BY_ID[one.class_id].name}.png"
            cv2.imwrite(str(folder / "pred" / name), one.mask.astype(np.uint8) * 255)
            lines.append(f"{name} {one.class_id} {one.score!r}\n")
        (folder / "pred" / f"{scene.stem}.txt").write_text("".join(lines))
