"""Images with their objects, as training sees them: label maps, and the classes that each image labels."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from annotator import masks
from annotator.errors import UsageError
from annotator.instances import GroundTruth
from annotator.labels import INSTANCE_CLASSES
from annotator.model.preprocess import processed_size, resize
from annotator.synthetic import Street
from annotator.video.image_folder import decode

UNKNOWN = -1  # label of pixels that are neither background nor an object, and of those beyond the image

Size = tuple[int, int]  # (H, W)
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LabelledImage:
    """An image and its objects; groups are objects that are neither background nor an instance."""

    image: Pixels  # (H, W, 3) RGB
    label_map: npt.NDArray[np.int16]  # (H, W): UNKNOWN, 0 none, k + 1 the k-th object
    class_ids: npt.NDArray[np.uint8]  # (K,) Cityscapes ids
    is_group: npt.NDArray[np.bool_]  # (K,)
    labelled: frozenset[int]  # classes of which every object in the image is labelled


class LabelledImages(Protocol):
    """A set of labelled images, by number from 0."""

    def __len__(self) -> int:
        """How many there are."""

    def image(self, number: int) -> LabelledImage:
        """One image with its labels. Raises UsageError when it can't be read."""

    def classes(self, number: int) -> frozenset[int]:
        """Classes of which an image shows objects, as far as that is known without opening it."""

    def pixel_counts(self) -> Mapping[int, tuple[int, int]]:
        """Pixels that each class covers, and pixels of the images where it is labelled."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files with labels of any format that can be read."""

    truths: Sequence[GroundTruth]
    files: Sequence[Path]  # of each
    size: Size  # images are given at about the area of this one: the size at which the network processes them
    labelled: frozenset[int] | None = None  # classes labelled here, where the labels know no better
    skipped: Mapping[str, int] = field(default_factory=dict)  # of the labels, in words

    def __len__(self) -> int:
        return len(self.files)

    def image(self, number: int) -> LabelledImage:
        """One image with its labels, decoded anew."""
        pixels = self.pixels(number)
        label_map, class_ids, is_group = _painted(self.truths[number])
        size = processed_size(label_map.shape, None, self.size)
        return LabelledImage(
            image=_resized(pixels, size),
            label_map=_nearest(label_map, size),
            class_ids=class_ids,
            is_group=is_group,
            labelled=self._labelled(number),
        )

    def pixels(self, number: int) -> Pixels:
        """The image (H, W, 3) as it is on disk. Raises UsageError when it can't be read or has another size."""
        file, (height, width) = self.files[number], self.truths[number].instances.frame.size
        image = decode(file)
        if isinstance(image, str):
            raise UsageError(f"{file}: {image}; take it out of the training data or repair it")
        if image.shape[:2] != (height, width):
            raise UsageError(
                f"{file} has {image.shape[1]}x{image.shape[0]} pixels, but its labels {width}x{height}"
            )
        return image.copy()  # Pillow's can't be written to, which PyTorch insists on

    def truth(self, number: int) -> GroundTruth:
        """What an image should hold, of the classes that are labelled in it."""
        return replace(self.truths[number], class_ids=self._labelled(number))

    def classes(self, number: int) -> frozenset[int]:
        """Classes of which an image shows objects."""
        return frozenset(self.truths[number].instances.class_ids.tolist())

    def pixel_counts(self) -> Mapping[int, tuple[int, int]]:
        """Pixels that each class covers, and pixels of the images where it is labelled."""
        covered: Counter[int] = Counter()
        pixels: Counter[int] = Counter()
        for number, truth in enumerate(self.truths):
            found, labelled = truth.instances, self._labelled(number)
            height, width = found.frame.size
            pixels.update(dict.fromkeys(labelled, height * width))
            for class_id, area in zip(found.class_ids.tolist(), masks.areas(found.masks), strict=True):
                if class_id in labelled:
                    covered[class_id] += int(area)
        return {class_id: (covered[class_id], pixels[class_id]) for class_id in sorted(pixels)}

    def _labelled(self, number: int) -> frozenset[int]:
        known = self.truths[number].class_ids
        every = frozenset(INSTANCE_CLASSES) if known is None else known
        return every if self.labelled is None else every & self.labelled


@dataclass(frozen=True)
class RenderedImages:
    """Frames of rendered streets: all classes labelled, masks exact."""

    streets: int = 40
    frames: int = 60  # of each street, half a second apart

    def __len__(self) -> int:
        return self.streets * self.frames

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
            is_group=np.zeros(len(ids), bool),
            labelled=frozenset(INSTANCE_CLASSES),
        )

    def classes(self, number: int) -> frozenset[int]:
        """None are known before it is rendered."""
        return frozenset()

    def pixel_counts(self) -> Mapping[int, tuple[int, int]]:
        """None: real images say how common a class is."""
        return {}


class CachedImages:
    """The same images, kept decoded in memory while they fit; the one that was longest unused goes first."""

    def __init__(self, images: LabelledImages, limit: int) -> None:
        """`limit`: bytes that may be kept."""
        self._images, self._limit = images, limit
        self._kept: OrderedDict[int, LabelledImage] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def image(self, number: int) -> LabelledImage:
        """One image with its labels."""
        if number not in self._kept:
            self._keep(number, self._images.image(number))
        self._kept.move_to_end(number)
        return self._kept[number]

    def classes(self, number: int) -> frozenset[int]:
        """Classes of which an image shows objects, as far as that is known without opening it."""
        return self._images.classes(number)

    def pixel_counts(self) -> Mapping[int, tuple[int, int]]:
        """Pixels that each class covers, and pixels of the images where it is labelled."""
        return self._images.pixel_counts()

    def _keep(self, number: int, labelled: LabelledImage) -> None:
        self._kept[number] = labelled
        self._bytes += _bytes(labelled)
        while self._bytes > self._limit and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _bytes(oldest)


def _bytes(labelled: LabelledImage) -> int:
    return labelled.image.nbytes + labelled.label_map.nbytes


@cache
def _street(seed: int) -> Street:
    return Street(seed)


def _painted(
    truth: GroundTruth,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Label map, classes, and which are groups: small objects in front of large ones, groups beneath all."""
    found = truth.instances
    order = np.argsort(masks.areas(found.masks), kind="stable")
    groups = [region for region in truth.ignore_regions if region.class_id]
    painted = [*(found.masks[k] for k in order), *(region.mask for region in groups)]
    label_map = masks.paint(painted, found.frame.size).astype(np.int16)
    if void := [region.mask for region in truth.ignore_regions if not region.class_id]:
        label_map[(label_map == 0) & masks.decode(masks.union(void, found.frame.size))] = UNKNOWN
    class_ids = [*found.class_ids[order], *(region.class_id for region in groups)]
    return label_map, np.array(class_ids, np.uint8), np.arange(len(painted)) >= len(order)


def _resized(image: Pixels, size: Size) -> Pixels:
    """An image as labelling would show it to the network."""
    if image.shape[:2] == size:
        return image
    pixels = resize(torch.from_numpy(image).permute(2, 0, 1)[None], size)[0]
    return np.ascontiguousarray((pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def _nearest(label_map: npt.NDArray[np.int16], size: Size) -> npt.NDArray[np.int16]:
    """The label beneath the centre of every pixel of the new size."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(label_map.shape, size, strict=True)
    )
    return label_map if label_map.shape == size else label_map[np.ix_(rows, columns)]


def even_indices(count: int, most: int) -> list[int]:
    """At most so many numbers below a count, evenly chosen, the first and the last among them."""
    return sorted({round(k) for k in np.linspace(0, count - 1, most)})


def subsample(images: ImageFiles, most: int) -> ImageFiles:
    """At most so many of the images, evenly chosen."""
    chosen = even_indices(len(images), most)
    return replace(images, truths=[images.truths[k] for k in chosen], files=[images.files[k] for k in chosen])
