"""Labelled images in memory and on disk, to train on: discs for persons, boxes for cars."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.training.images import LabelledImage
from tests.helpers.builders import blob

PERSON, RIDER, CAR, BICYCLE = 24, 25, 26, 33
ALL = frozenset(INSTANCE_CLASSES)
SIZE = (64, 96)


def labelled_image(
    objects: Sequence[tuple[int, npt.NDArray[np.bool_]]],
    groups: Sequence[int] = (),
    labelled: frozenset[int] = ALL,
    size: tuple[int, int] = SIZE,
) -> LabelledImage:
    """An image of flat colours, one for every object; later objects lie on top."""
    image = np.full((*size, 3), 90, np.uint8)
    label_map = np.zeros(size, np.int16)
    for k, (class_id, mask) in enumerate(objects, 1):
        image[mask] = (255, 9 * k % 256, 0) if class_id == CAR else (0, 9 * k % 256, 255)
        label_map[mask] = k
    return LabelledImage(
        image=image,
        label_map=label_map,
        class_ids=np.array([class_id for class_id, _ in objects], np.uint8),
        is_group=np.array([k in groups for k in range(len(objects))], bool),
        labelled=labelled,
    )


@dataclass(frozen=True)
class DrawnImages:
    """Three objects an image, by number."""

    count: int = 20

    def __len__(self) -> int:
        return self.count

    def classes(self, number: int) -> frozenset[int]:
        return frozenset()

    def image(self, number: int) -> LabelledImage:
        rng = np.random.default_rng(number)
        objects = []
        for k in range(3):
            y, x = rng.uniform(12, 52), 16 + 32 * k + rng.uniform(-4, 4)
            if rng.random() < 0.5:
                objects.append((PERSON, blob(SIZE, y, x, rng.uniform(6, 11))))
            else:
                rows, columns = np.indices(SIZE)
                objects.append((CAR, (abs(rows - y) < 8) & (abs(columns - x) < 13)))
        return labelled_image(objects)

    def pixel_counts(self) -> Mapping[int, tuple[int, int]]:
        return {PERSON: (5, 100), CAR: (10, 100)}


def write_coco(folder: Path, images: Sequence[LabelledImage], **changes: Any) -> Path:
    """These images as FOLDER/images/K.png and FOLDER/labels.json; returns the latter."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries, annotations = [], []
    for number, labelled in enumerate(images, 1):
        name = f"{number}.png"
        cv2.imwrite(str(folder / "images" / name), labelled.image[..., ::-1])
        height, width = labelled.label_map.shape
        entries.append({"id": number, "file_name": name, "height": height, "width": width})
        for k, class_id in enumerate(labelled.class_ids.tolist()):
            rle = masks.encode(labelled.label_map == k + 1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": class_id,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "area": int((labelled.label_map == k + 1).sum()),
                    "bbox": [0, 0, 1, 1],
                    "iscrowd": int(labelled.is_group[k]),
                }
            )
    categories = [{"id": k, "name": BY_ID[k].name} for k in (PERSON, CAR)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content | changes))
    return folder / "labels.json"
