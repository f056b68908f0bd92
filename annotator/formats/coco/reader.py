"""COCO as this tool writes it, and as CVAT, Label Studio, labelme and others export it: .json, or CVAT's .zip.

In what CVAT exports the uid tells identity, also of tracks that people cut; CVAT XML keeps such cuts. Its shapes lie
above those listed before them, and what lies within another one above that: COCO has no z_order.

Categories are known by name. A bare list of results has neither images nor categories: its category ids are those of
Cityscapes, its frames are numbered by image id, or, where that is a text, named by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annotator import masks
from annotator.errors import FormatError, LabelFileError
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import ClassMap
from annotator.formats.coco.index import (
    WITHOUT_MASKS,
    CocoIndex,
    Image,
    ObjectId,
    Record,
    attributes_of,
    called,
    key_of,
    object_id_of,
)
from annotator.formats.coco.segmentation import is_empty, segmentation_of
from annotator.formats.fields import flag, score_of
from annotator.formats.interface import Reading
from annotator.formats.object_ids import track_id, track_ids
from annotator.formats.summary import frame_without_time
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_ID, INSTANCE_CLASSES

CLAIM = "no COCO instance labels"
WITHIN = 0.95  # of a shape's pixels that another one has where it lies within that


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield the images of a file, by image id, with RLE or polygon masks, and crowds as regions of their class.

    Images whose ids are texts come by name as people count. An image may list in `labelled` the category ids that are
    labelled in it; by default it is those of the file. What has no mask is counted in `skipped`, annotations and
    images that are none go to `bad`. Memory holds the annotations of one image. Raises FormatError.
    """
    reading = reading or Reading()
    return reading.bad.sift(path, _truths(path, reading), CLAIM)


def _truths(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    with _opened(path, reading.skipped, reading.bad) as index:
        content = _Content.of(index, reading.classes)
        for image in index.images():
            yield content.truth(image)


def names(path: Path) -> list[str]:
    """The file of every image, in the order of `read`; for a list of results, what it calls the images."""
    with _opened(path, Counter(), BadEntries(is_skipping=True)) as index:
        return [image.name for image in index.images()]


def by_number(path: Path) -> list[str]:
    """The number of every image, as a name that a list of results has for it too."""
    with _opened(path, Counter(), BadEntries(is_skipping=True)) as index:
        return [f"image {image.key}" for image in index.images()]


@contextmanager
def _opened(path: Path, skipped: Counter[str], bad: BadEntries) -> Iterator[CocoIndex]:
    """The index of a file; what is wrong with the file as a whole is turned into a sentence."""
    try:
        with CocoIndex.opened(path, skipped, bad) as index:
            yield index
    except (ValueError, FormatError) as error:
        raise LabelFileError(f"{path}: {CLAIM} ({error})") from error


class _Label(NamedTuple):
    """An annotation that can be read, but for its mask."""

    named: str
    class_id: int
    segmentation: Any
    score: float
    track_id: int
    is_crowd: bool
    is_of_cvat: bool


@dataclass(frozen=True)
class _Content:
    """What a file holds."""

    index: CocoIndex
    class_ids: dict[str, int | None]  # by category key, of those that are known or occur; None = left out
    track_ids: dict[ObjectId, int]

    @classmethod
    def of(cls, index: CocoIndex, classes: ClassMap) -> _Content:
        uids = {
            object_id: str(object_id) if isinstance(object_id, int) else uid
            for object_id, uid in index.object_ids.items()
        }
        numbers_first = dict(sorted(uids.items(), key=lambda item: not isinstance(item[0], int)))
        return cls(index, _class_ids(index, classes), track_ids(numbers_first))

    def truth(self, image: Image) -> GroundTruth:
        """What an image holds."""
        labels = list(self._labels(image))
        labels, rles = self._with_masks(labels, image.size)
        rles = _as_drawn(labels, rles, image.size)
        objects = [k for k, label in enumerate(labels) if not label.is_crowd]
        crowds = [k for k, label in enumerate(labels) if label.is_crowd]
        found = Instances.of(
            frame_without_time(image.frame, image.size, image.name),
            [rles[k] for k in objects],
            [labels[k].class_id for k in objects],
            [labels[k].score for k in objects],
            track_ids=[labels[k].track_id for k in objects],
        )
        regions = [Region(labels[k].class_id, rles[k]) for k in crowds]
        return GroundTruth(found, tuple(regions), None if self.index.is_list else self._labelled(image))

    def _labels(self, image: Image) -> Iterator[_Label]:
        kind = "result" if self.index.is_list else "annotation"
        there: set[ObjectId] = set()  # objects of CVAT
        for place, entry in self.index.annotations(image.key):
            named = called(entry, kind, place)
            category = key_of(entry["category_id"], "its category_id")
            if category not in self.class_ids:
                self.index.bad.add(f"{named} is of category {category}, which is not there")
            elif self.class_ids[category] is None:
                self.index.skipped[f"annotations of category {category}"] += 1
            elif is_empty(entry.get("segmentation")):
                self.index.skipped[WITHOUT_MASKS] += 1
            else:
                with self.index.bad.entry(named):
                    yield self._label(named, self.class_ids[category] or 0, entry, image, there)

    def _label(self, named: str, class_id: int, entry: Record, image: Image, there: set[ObjectId]) -> _Label:
        segmentation, is_of_cvat = segmentation_of(entry["segmentation"], image.size), _is_of_cvat(entry)
        number = self._track_id(entry, there)
        return _Label(named, class_id, segmentation, _score(entry), number, _is_crowd(entry), is_of_cvat)

    def _with_masks(
        self, labels: list[_Label], size: tuple[int, int]
    ) -> tuple[list[_Label], list[masks.Rle]]:
        """The labels whose masks can be read, and these."""
        try:
            return labels, masks.to_rles([label.segmentation for label in labels], size)
        except FormatError:  # one by one, to tell which
            kept: list[tuple[_Label, masks.Rle]] = []
            for label in labels:
                with self.index.bad.entry(label.named):
                    kept.append((label, masks.to_rle(label.segmentation, size)))
            return [label for label, _ in kept], [rle for _, rle in kept]

    def _labelled(self, image: Image) -> frozenset[int]:
        keys = self.class_ids if image.labelled is None else image.labelled
        if strange := [key for key in keys if key not in self.class_ids]:
            self.index.bad.add(f"{image.name}: labelled names category {strange[0]}, which is not there")
        return frozenset(c for key in keys if (c := self.class_ids.get(key)) is not None)

    def _track_id(self, entry: Record, there: set[ObjectId]) -> int:
        """This tool's own number, or by the uid that it gave, or by CVAT's track.

        What has the uid of another one in its image is a copy: an object of its own.
        """
        object_id = object_id_of(entry)
        if object_id is None:
            return track_id(str(attributes_of(entry).get("uid", "")))
        if object_id in there and not isinstance(object_id, int):
            object_id = ("copy", str(attributes_of(entry).get("track_id")))
            self.track_ids.setdefault(object_id, max(self.track_ids.values()) + 1)
        if _is_of_cvat(entry):
            there.add(object_id)
        return self.track_ids[object_id]


def _class_ids(index: CocoIndex, classes: ClassMap) -> dict[str, int | None]:
    """The class of every category that is known, or used."""
    names = index.categories
    if index.is_list:
        own = {str(number): BY_ID[number].name for number in INSTANCE_CLASSES}
        names = {key: own.get(key, key) for key in index.used}
    used = {key: name for key, name in names.items() if key in index.used or classes.knows(name)}
    ids = classes.ids_of(used.values())
    return {key: ids[name] for key, name in used.items()}


def _is_of_cvat(entry: Record) -> bool:
    """Whether CVAT exported it, which always says whether a shape is occluded."""
    return "occluded" in attributes_of(entry)


def _as_drawn(labels: list[_Label], rles: list[masks.Rle], size: tuple[int, int]) -> list[masks.Rle]:
    """What is visible of the shapes of CVAT; other masks as they are."""
    drawn = [k for k, label in enumerate(labels) if label.is_of_cvat and not label.is_crowd]
    shapes = [rles[k] for k in drawn]
    if masks.are_disjoint(shapes):
        return rles
    areas, overlap = masks.areas(shapes), masks.iou(shapes, shapes)
    depths = [0] * len(drawn)
    for outer in np.argsort(-areas, kind="stable"):  # what surrounds is done before what is within
        shared = overlap[outer] * (areas[outer] + areas) / (1 + overlap[outer])
        for inner in np.flatnonzero((shared >= WITHIN * areas) & (areas < areas[outer])):
            depths[inner] = max(depths[inner], depths[outer] + 1)
    top_first = sorted(range(len(drawn)), key=lambda k: (-depths[k], -k))
    visible = masks.visible([shapes[k] for k in top_first], size)
    found = list(rles)
    for k, rle in zip(top_first, visible, strict=True):
        found[drawn[k]] = rle
    return found


def _is_crowd(entry: Record) -> bool:
    """Whether it is a crowd; CVAT calls every painted mask one, and has attributes."""
    if isinstance(entry.get("attributes"), dict):
        return flag("its attribute is_crowd", attributes_of(entry).get("is_crowd"))
    return flag("iscrowd", entry.get("iscrowd"))


def _score(entry: Record) -> float:
    score = entry.get("score")
    return score_of(attributes_of(entry).get("score") or 1 if score is None else score)
