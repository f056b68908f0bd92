"""Labelled images: COCO files, and rendered scenes, as label maps with the classes that each labels."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from annotator.errors import UsageError
from annotator.labels import INSTANCE_CLASSES
from annotator.masks import decode, to_rle
from annotator.synthetic import Street


@dataclass(frozen=True)
class LabelledImage:
    """An image and its objects; crowds are objects that are neither background nor an instance."""

    image: npt.NDArray[np.uint8]  # (H, W, 3) RGB
    label_map: npt.NDArray[np.int16]  # (H, W): 0 none, k + 1 the k-th object
    class_ids: npt.NDArray[np.uint8]  # (K,) Cityscapes ids
    crowd: npt.NDArray[np.bool_]  # (K,)
    labelled: frozenset[int]  # classes of which every object in the image is labelled


class LabelledImages(Protocol):
    """A data set: images by number, grouped by source."""

    def sources(self) -> dict[str, Sequence[int]]:
        """Numbers of the images of each source."""

    def image(self, number: int) -> LabelledImage:
        """One image with its labels."""

    def classes(self, number: int) -> frozenset[int]:
        """Classes of which an image shows objects, as far as that is known without opening it."""

    def class_shares(self) -> dict[int, float]:
        """Share of the pixels of each class, where it is labelled."""


@dataclass
class CocoImages:
    """A COCO file whose images may name their `source` and the category ids they label exhaustively (`labelled`)."""

    file: Path
    folder: Path  # of the images
    _images: list[dict[str, Any]] = field(init=False, repr=False)
    _objects: dict[int, list[dict[str, Any]]] = field(init=False, repr=False)
    _label_maps: dict[int, npt.NDArray[np.int16]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        try:
            content = json.loads(self.file.read_bytes())
            self._images = content["images"]
            self._categories = [category["id"] for category in content["categories"]]
            self._objects = defaultdict(list)
            for annotation in content["annotations"]:
                self._objects[annotation["image_id"]].append(annotation)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self.file} is no COCO annotation file ({error})") from error
        missing = [
            image["file_name"] for image in self._images if not (self.folder / image["file_name"]).is_file()
        ]
        if missing or not self._images:
            why = (
                f"{len(missing)} of its images are not in {self.folder}, {missing[0]} first"
                if missing
                else "it has none"
            )
            raise UsageError(f"{self.file}: no images to train on: {why}")
        for objects in self._objects.values():
            # Crowds lie beneath objects, large objects beneath the small ones in front of them.
            objects.sort(key=lambda annotation: (-annotation["iscrowd"], -annotation["area"]))

    def sources(self) -> dict[str, Sequence[int]]:
        """Numbers of the images of each source."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for number, image in enumerate(self._images):
            numbers[image.get("source", self.file.stem)].append(number)
        return dict(numbers)

    def image(self, number: int) -> LabelledImage:
        """One image with its labels; the label map is kept, the image is decoded anew."""
        entry = self._images[number]
        pixels = cv2.imread(str(self.folder / entry["file_name"]), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise UsageError(f"can't read the image {self.folder / entry['file_name']}")
        objects = self._objects[entry["id"]]
        if number not in self._label_maps:
            self._label_maps[number] = _paint(objects, (entry["height"], entry["width"]))
        return LabelledImage(
            image=pixels,
            label_map=self._label_maps[number],
            class_ids=np.array([annotation["category_id"] for annotation in objects], np.uint8),
            crowd=np.array([annotation["iscrowd"] for annotation in objects], bool),
            labelled=frozenset(entry.get("labelled", self._categories)),
        )

    def classes(self, number: int) -> frozenset[int]:
        """Classes of which an image shows objects."""
        return frozenset(
            annotation["category_id"] for annotation in self._objects[self._images[number]["id"]]
        )

    def class_shares(self) -> dict[int, float]:
        """Share of the pixels of each class, where it is labelled."""
        covered: Counter[int] = Counter()
        pixels: Counter[int] = Counter()
        for image in self._images:
            labelled = image.get("labelled", self._categories)
            pixels.update(dict.fromkeys(labelled, image["height"] * image["width"]))
            for annotation in self._objects[image["id"]]:
                if annotation["category_id"] in labelled:
                    covered[annotation["category_id"]] += annotation["area"]
        return {class_id: covered[class_id] / pixels[class_id] for class_id in sorted(pixels)}


def _paint(objects: Iterable[dict[str, Any]], size: tuple[int, int]) -> npt.NDArray[np.int16]:
    label_map = np.zeros(size, np.int16)
    for number, annotation in enumerate(objects, 1):
        label_map[decode(to_rle(annotation["segmentation"], size))] = number
    return label_map


@dataclass(frozen=True)
class RenderedImages:
    """Frames of rendered streets, by number: all classes labelled, masks exact."""

    streets: int = 40
    frames: int = 60  # of each street, half a second apart

    def sources(self) -> dict[str, Sequence[int]]:
        """All frames, as the source `rendered`."""
        return {"rendered": range(self.streets * self.frames)}

    def image(self, number: int) -> LabelledImage:
        """One rendered frame."""
        seed, step = divmod(number, self.frames)
        frame = _street(seed).frame(step * 5)
        ids = np.array(sorted(frame.classes), np.int64)
        lookup = np.zeros(int(frame.label_map.max()) + 1, np.int16)
        lookup[ids] = np.arange(1, len(ids) + 1)
        return LabelledImage(
            image=frame.image,
            label_map=lookup[frame.label_map],
            class_ids=np.array([frame.classes[int(k)] for k in ids], np.uint8),
            crowd=np.zeros(len(ids), bool),
            labelled=frozenset(INSTANCE_CLASSES),
        )

    def classes(self, number: int) -> frozenset[int]:
        """None are known before it is rendered."""
        return frozenset()

    def class_shares(self) -> dict[int, float]:
        """None: real images say how common a class is."""
        return {}


@cache
def _street(seed: int) -> Street:
    return Street(seed)


class CombinedImages:
    """Several data sets as one; class shares are those of the first that knows them."""

    def __init__(self, *parts: LabelledImages) -> None:
        self._parts = parts
        counts = [1 + max(max(numbers) for numbers in part.sources().values()) for part in parts]
        self._first = [0, *accumulate(counts)]

    def sources(self) -> dict[str, Sequence[int]]:
        """Numbers of the images of each source of every part."""
        return {
            name: [first + number for number in numbers]
            for part, first in zip(self._parts, self._first, strict=False)
            for name, numbers in part.sources().items()
        }

    def image(self, number: int) -> LabelledImage:
        """One image with its labels."""
        part, own_number = self._part_of(number)
        return part.image(own_number)

    def classes(self, number: int) -> frozenset[int]:
        """Classes of which an image shows objects, as far as its part knows."""
        part, own_number = self._part_of(number)
        return part.classes(own_number)

    def class_shares(self) -> dict[int, float]:
        """Share of the pixels of each class, where it is labelled."""
        shares: dict[int, float] = {}
        for part in reversed(self._parts):
            shares.update(part.class_shares())
        return shares

    def _part_of(self, number: int) -> tuple[LabelledImages, int]:
        part = bisect_right(self._first, number) - 1
        return self._parts[part], number - self._first[part]
