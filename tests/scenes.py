"""Moving objects with exact truth, and predictions of them that err in every way a tracker does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.instances import Instances, Region, Truth
from tests.builders import frame_ref

Drawn = tuple[int, int, float, float, float, float]  # class, track, y, x, rows, columns


@dataclass(frozen=True)
class Scene:
    """A recording's truth, and what was predicted for it."""

    truth: Sequence[Truth]
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
    rng = np.random.default_rng(seed)
    height, width = size
    start = rng.uniform([0, 0], size, (objects, 2))
    speed = rng.normal(0, 0.015, (objects, 2)) * size
    shape = rng.uniform(0.05, 0.14, (objects, 2)) * height
    birth = rng.integers(-frames // 2, frames // 2, objects)
    death = birth + rng.integers(frames // 3, frames + 2, objects)
    class_of = rng.choice(np.asarray(class_ids), objects)
    track_of = np.arange(1, objects + 1)  # what the tracker calls each object
    ignored = np.zeros(size, bool)
    ignored[:, width - width // 6 :] = True
    truth, predictions = [], []
    for index in range(frames):
        real: list[Drawn] = []
        found: list[Drawn] = []
        if rng.random() < 0.3 * errors:  # two objects swap their tracks
            a, b = rng.choice(objects, 2)
            track_of[[a, b]] = track_of[[b, a]]
        for k in np.flatnonzero((birth <= index) & (index < death)):
            place, radii = (start[k] + index * speed[k]) % size, shape[k]
            if place[1] + radii[1] < width - width // 6:
                real.append((int(class_of[k]), int(k) + 1, *place, *radii))
            if rng.random() < 0.05 * errors:  # one goes on under a new track
                track_of[k] = track_of.max() + 1
            if rng.random() < 0.1 * errors:
                continue
            class_id = rng.choice(np.asarray(class_ids)) if rng.random() < 0.05 * errors else class_of[k]
            shift, scale = rng.normal(0, 0.12 * errors, 2) * radii, np.exp(rng.normal(0, 0.08 * errors, 2))
            found.append((int(class_id), int(track_of[k]), *(place + shift), *(radii * scale)))
        if rng.random() < 0.5 * errors:
            place, radii = rng.uniform([0, 0], size), rng.uniform(0.03, 0.1, 2) * height
            found.append((int(rng.choice(np.asarray(class_ids))), 10_000 + index // 3, *place, *radii))
        ref = frame_ref(index, size)
        region = Region(0, masks.encode(ignored))
        if errors:
            truth.append(Truth(_instances(ref.index, size, real, ~ignored), (region,)))
        else:
            truth.append(Truth(_instances(ref.index, size, found), ()))
        predictions.append(_instances(ref.index, size, found))
    return Scene(truth, predictions)


def write_mots(folder: Path, name: str, drawn: Scene, numbers: dict[int, int]) -> None:
    """Write FOLDER/truth/NAME.txt and FOLDER/predictions/NAME.txt; `numbers` are the classes in the text."""
    for side in ("truth", "predictions"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    with (folder / "truth" / f"{name}.txt").open("w") as file:
        for labelled in drawn.truth:
            file.writelines(_lines(labelled.instances, numbers))
            for region in labelled.ignored:
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
        _, _, y, x, rows, columns = drawn[k]
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
        seen.setdefault(drawn[k][1], k)
    chosen = sorted(seen.values())
    return Instances.of(
        frame_ref(index, size),
        [shown[k] for k in chosen],
        [drawn[k][0] for k in chosen],
        np.ones(len(chosen)),
        track_ids=[drawn[k][1] for k in chosen],
    )
