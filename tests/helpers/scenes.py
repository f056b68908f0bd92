"""Moving objects with exact truth, and predictions of them that err in every way a tracker does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.instances import GroundTruth, Instances, Region
from tests.helpers.builders import frame_ref


class Drawn(NamedTuple):
    """An ellipse."""

    class_id: int
    track: int
    y: float  # of its centre
    x: float
    rows: float  # half of its height and width
    columns: float

    def degraded(self, random: Random, track: int, class_ids: Sequence[int], errors: float) -> Drawn:
        """As an imperfect detector sees it."""
        return Drawn(
            random.choice(class_ids) if random.random() < 0.05 * errors else self.class_id,
            track,
            self.y + random.gauss(0, 0.12) * errors * self.rows,
            self.x + random.gauss(0, 0.12) * errors * self.columns,
            self.rows * (1 + random.uniform(-0.15, 0.15) * errors),
            self.columns * (1 + random.uniform(-0.15, 0.15) * errors),
        )


class Mover(NamedTuple):
    """An object that crosses the picture and comes in again on the other side."""

    start: Drawn
    speed: tuple[float, float]  # rows and columns a frame
    birth: int
    death: int

    @classmethod
    def some(cls, random: Random, frames: int, size: tuple[int, int], class_ids: Sequence[int]) -> Mover:
        y, x = random.uniform(0, size[0]), random.uniform(0, size[1])
        rows, columns = (random.uniform(0.05, 0.14) * size[0] for _ in range(2))
        birth = random.randrange(-frames // 2, frames // 2)
        return cls(
            Drawn(random.choice(class_ids), 0, y, x, rows, columns),
            (random.gauss(0, 0.015) * size[0], random.gauss(0, 0.015) * size[1]),
            birth,
            birth + random.randrange(frames // 3, frames + 2),
        )

    def at(self, index: int, track: int, size: tuple[int, int]) -> Drawn:
        y, x = (
            (self.start.y + index * self.speed[0]) % size[0],
            (self.start.x + index * self.speed[1]) % size[1],
        )
        return self.start._replace(track=track, y=y, x=x)


@dataclass(frozen=True)
class Scene:
    """A recording's truth, and what was predicted for it."""

    truth: Sequence[GroundTruth]
    predictions: Sequence[Instances]


def scene(
    seed: int,
    frames: int = 30,
    objects: int = 10,
    size: tuple[int, int] = (90, 160),
    class_ids: Sequence[int] = (24, 26),
    errors: float = 1.0,
) -> Scene:
    """A scene of ellipses, the same for the same arguments; without `errors` predictions equal truth.

    Predictions are shifted, resized, dropped, invented, given another class, and change or swap their tracks. The
    right sixth of the picture is an ignored region: what is there is predicted, and not in the truth.
    """
    random = Random(seed)
    movers = [Mover.some(random, frames, size, class_ids) for _ in range(objects)]
    tracks = list(range(1, objects + 1))  # what the tracker calls each object
    edge = size[1] - size[1] // 6
    ignored = np.zeros(size, bool)
    ignored[:, edge:] = True
    truth, predictions = [], []
    for index in range(frames):
        real: list[Drawn] = []
        found: list[Drawn] = []
        if random.random() < 0.3 * errors:  # two objects swap their tracks
            a, b = random.sample(range(objects), 2)
            tracks[a], tracks[b] = tracks[b], tracks[a]
        for k, mover in enumerate(movers):
            if not mover.birth <= index < mover.death:
                continue
            drawn = mover.at(index, k + 1, size)
            if drawn.x + drawn.columns < edge:
                real.append(drawn)
            if random.random() < 0.05 * errors:  # it goes on under a new track
                tracks[k] = max(tracks) + 1
            if random.random() >= 0.1 * errors:
                found.append(drawn.degraded(random, tracks[k], class_ids, errors))
        if random.random() < 0.5 * errors:
            y, x = random.uniform(0, size[0]), random.uniform(0, size[1])
            rows, columns = (random.uniform(0.03, 0.1) * size[0] for _ in range(2))
            found.append(Drawn(random.choice(class_ids), 10_000 + index // 3, y, x, rows, columns))
        predictions.append(_instances(index, size, found))
        if errors:
            region = Region(0, masks.encode(ignored))
            truth.append(GroundTruth(_instances(index, size, real, ~ignored), (region,)))
        else:
            truth.append(GroundTruth(predictions[-1]))
    return Scene(truth, predictions)


def write_mots(folder: Path, name: str, drawn: Scene, numbers: dict[int, int]) -> None:
    """Write FOLDER/truth/NAME.txt and FOLDER/predictions/NAME.txt; `numbers` are the classes in the text."""
    for side in ("truth", "predictions"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    with (folder / "truth" / f"{name}.txt").open("w") as file:
        for labelled in drawn.truth:
            file.writelines(_lines(labelled.instances, numbers))
            for region in labelled.ignore_regions:
                file.write(_line(labelled.instances.frame.index, 10_000, 10, region.mask))
    with (folder / "predictions" / f"{name}.txt").open("w") as file:
        for found in drawn.predictions:
            file.writelines(_lines(found, numbers))


def _lines(found: Instances, numbers: dict[int, int]) -> list[str]:
    return [
        _line(found.frame.index, int(track), numbers[int(class_id)], mask)
        for mask, class_id, track in zip(found.masks, found.class_ids, found.track_ids, strict=True)
    ]


def _line(index: int, track: int, number: int, mask: masks.Rle) -> str:
    height, width = mask["size"]
    return f"{index} {track} {number} {height} {width} {mask['counts'].decode()}\n"


def _instances(
    index: int, size: tuple[int, int], drawn: Sequence[Drawn], within: npt.NDArray[np.bool_] | None = None
) -> Instances:
    """The objects, the first on top, as disjoint masks; those of which less than 10 pixels show are left out."""
    label_map = np.zeros(size, np.int32)
    for k in reversed(range(len(drawn))):
        y, x, rows, columns = drawn[k][2:]
        top, left = max(0, int(y - rows)), max(0, int(x - columns))
        window = label_map[top : int(y + rows) + 2, left : int(x + columns) + 2]
        v, u = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
        window[((v - y) / rows) ** 2 + ((u - x) / columns) ** 2 <= 1] = k + 1
    if within is not None:
        label_map *= within
    shown = {
        k - 1: rle for k, rle in masks.encode_label_map(label_map).items() if masks.areas([rle])[0] >= 10
    }
    seen: dict[int, int] = {}  # of two objects that have one track, the one on top keeps it
    for k in shown:
        seen.setdefault(drawn[k].track, k)
    chosen = sorted(seen.values())
    return Instances.of(
        frame_ref(index, size),
        [shown[k] for k in chosen],
        [drawn[k].class_id for k in chosen],
        np.ones(len(chosen)),
        track_ids=[drawn[k].track for k in chosen],
    )
