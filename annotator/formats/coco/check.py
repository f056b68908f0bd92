"""What is wrong with COCO instance labels: records that don't fit each other, masks that are none.

Records are read one by one: categories in a first pass over the file, images and annotations in a second one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.class_map import IDENTITY_MAP
from annotator.formats.coco.index import key_of, object_id_of
from annotator.formats.coco.segmentation import is_empty, segmentation_of
from annotator.formats.fields import shown, whole
from annotator.formats.findings import ERROR, WARNING, DuplicateFinder, Finding, Said
from annotator.formats.json_stream import Element, JsonFile, NoList, loads
from annotator.limits import require_frame_size
from annotator.polygons import crosses_itself

Record = dict[str, Any]
RECORDS = {"images": "image", "annotations": "annotation"}
AREA_OFF = 1.5  # pixels by which an area may be off, as areas of polygons are
BOX_OFF = 1.5  # pixels by which a side of a box may be off


def check_coco(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a file, .json or a .zip with one."""
    content = _Content()
    try:
        with JsonFile.opened(path) as file:
            for place, said in content.of(_records(file)):
                yield Finding(said[0], f"{path}, {place}", said[1])
    except (OSError, ValueError) as error:
        yield Finding(ERROR, str(path), str(error))


def _records(file: JsonFile) -> Iterator[tuple[str, Any]]:
    """The head, then every image and every annotation, with the name of what each is."""
    head: Record = {}
    order: list[str] = []
    for element in file.elements():
        if isinstance(element, NoList):
            head[element.name] = loads(element.text)
        elif element.name == "categories":
            head.setdefault("categories", []).append(loads(element.text))
        elif element.name not in order:
            order.append(element.name)
    yield "head", {name: [] for name in file.lists} | head
    in_order = order.index("images") < order.index("annotations") if {*RECORDS} <= {*order} else True
    for names in [{*RECORDS}] if in_order else [{"images"}, {"annotations"}]:
        for element in file.elements():
            if isinstance(element, Element) and (element.name or "annotations") in names:
                yield RECORDS[element.name or "annotations"], loads(element.text)


@dataclass
class _Content:
    """What is known of a file so far."""

    categories: set[Any] = field(default_factory=set)
    sizes: list[tuple[int, tuple[int, int]]] = field(default_factory=list)  # from an image id on, while it is
    by_id: dict[Any, tuple[int, int]] = field(default_factory=dict)  # of images that are not in sequence
    count: int = 0  # images in sequence, from 1
    files: set[int] = field(default_factory=set)  # hashes of names
    ids: DuplicateFinder = field(default_factory=DuplicateFinder)  # of annotations
    tracks: dict[Any, set[Any]] = field(default_factory=lambda: defaultdict(set))  # in the image at hand
    image_at_hand: Any = None
    is_list: bool = False

    def of(self, records: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Said]]:
        """Check records in their order."""
        number = {"head": 0, "image": 0, "annotation": 0}
        for kind, record in records:
            number[kind] += 1
            named = record.get("id", number[kind]) if isinstance(record, dict) else number[kind]
            place = "head" if kind == "head" else f"{kind} {named}"
            if not isinstance(record, dict):
                yield place, (ERROR, "is no record")
                continue
            try:
                for said in {"head": self._head, "image": self._image, "annotation": self._annotation}[kind](
                    record
                ):
                    yield place, said
            except KeyError as error:
                yield place, (ERROR, f"{error} is missing")
            except ValueError as error:
                yield place, (ERROR, f"can't be understood ({error})")
            except (TypeError, AttributeError, OverflowError):  # which of its fields the reader would say
                yield place, (ERROR, "can't be understood (a field of it holds a value of another kind)")

    def _head(self, head: Record) -> Iterator[Said]:
        self.is_list = "" in head
        if self.is_list:
            return
        for name in RECORDS:
            if not isinstance(head.get(name), list):
                yield ERROR, f"{name} are no list" if name in head else f"there is no list of {name}"
        names: set[str] = set()
        for category in head["categories"]:
            if category["id"] in self.categories:
                yield ERROR, f"category {category['id']} is there twice"
            if not isinstance(category["id"], int) or category["id"] < 1:
                yield ERROR, f"category {category['id']}: ids begin at 1, 0 is taken for background"
            if category["name"] in names:
                yield ERROR, f"two categories are called {category['name']!r}"
            if not IDENTITY_MAP.knows(category["name"]):
                yield WARNING, f"category {category['name']!r} is no Cityscapes class; conversion needs `map`"
            self.categories.add(category["id"])
            names.add(category["name"])

    def _image(self, image: Record) -> Iterator[Said]:
        size = whole("height", image["height"]), whole("width", image["width"])
        require_frame_size(*size)
        if self._size_of(image["id"]) is not None:
            yield ERROR, "this image id is there twice"
        elif image["id"] == self.count + 1:
            self.count += 1
            if not self.sizes or self.sizes[-1][1] != size:
                self.sizes.append((self.count, size))
        else:
            self.by_id[image["id"]] = size
        if not isinstance(image.get("frame_index", 0), int):
            yield ERROR, f"frame_index {image['frame_index']!r} is no number"
        if not {*image.get("labelled", ())} <= self.categories:
            yield ERROR, "labelled names a category that is not there"
        name = image.get("file_name")
        if not name:
            yield ERROR, "no file_name: nothing tells which image it is"
        elif hash(name) in self.files:
            yield ERROR, f"two images have the file_name {name!r}"
        self.files.add(hash(name))

    def _size_of(self, image_id: Any) -> tuple[int, int] | None:
        if isinstance(image_id, int) and 1 <= image_id <= self.count:
            return next(size for first, size in reversed(self.sizes) if first <= image_id)
        return self.by_id.get(image_id)

    def _annotation(self, entry: Record) -> Iterator[Said]:
        if not self.is_list:
            if not self.ids.is_new(entry["id"]):
                yield ERROR, "this annotation id is there twice"
            yield from self._category(entry["category_id"])
        size = self._size_of(entry["image_id"])
        if size is None and (other := _otherwise(entry["image_id"], "its image_id")) is not None:
            size = self._size_of(other)
            if size is not None:
                yield WARNING, _said_otherwise("image_id", entry["image_id"], other)
        if size is None and not self.is_list:
            yield ERROR, f"image {entry['image_id']} is not there"
        yield from self._track(entry)
        score = entry.get("score")
        if score is not None and not (isinstance(score, (int, float)) and 0 <= score <= 1):
            yield ERROR, f"score {score!r} is no number from 0 to 1"
        if is_empty(entry.get("segmentation")):
            yield WARNING, "a box without a mask"
        elif size is not None:
            yield from _mask(entry, size)

    def _category(self, number: Any) -> Iterator[Said]:
        if number in self.categories:
            return
        other = _otherwise(number, "its category_id")
        if other is not None and other in self.categories:
            yield WARNING, _said_otherwise("category_id", number, other)
        else:
            yield ERROR, f"category {number} is not there"

    def _track(self, entry: Record) -> Iterator[Said]:
        """A track has one instance in an image; annotations of an image lie together, as a rule."""
        if entry["image_id"] != self.image_at_hand:
            self.tracks.clear()
            self.image_at_hand = entry["image_id"]
        own = entry.get("track_id")
        if own is None:
            return
        try:
            object_id = object_id_of(entry)
        except ValueError as error:
            yield ERROR, str(error).removeprefix("its ")
            return
        if isinstance(own, str):
            yield WARNING, f"track_id {own!r} is a text: other tools take numbers"
        if object_id is not None and object_id in self.tracks[entry["image_id"]]:
            yield ERROR, f"track {own} is there twice in image {entry['image_id']}"
        self.tracks[entry["image_id"]].add(object_id)


def _otherwise(number: Any, name: str) -> int | str | None:
    """An id that is a number as a text, and the other way round, as the reader lets them meet; else None."""
    key = key_of(number, name)
    if isinstance(number, str):
        return int(key) if key.isascii() and key.isdecimal() and str(int(key)) == key else None
    return key


def _said_otherwise(name: str, number: Any, other: int | str) -> str:
    return f"{name} {number!r} is meant to be {other!r}: other tools take them for two"


def _mask(entry: Record, size: tuple[int, int]) -> Iterator[Said]:
    segmentation = entry["segmentation"]
    if isinstance(segmentation, dict) and list(segmentation.get("size", ())) != list(size):
        yield ERROR, f"a mask of size {segmentation.get('size')} in an image of {list(size)}"
        return
    try:
        segmentation = segmentation_of(segmentation, size)
        rle = masks.to_rle(segmentation, size)
    except (FormatError, ValueError) as error:
        yield ERROR, str(error)
        return
    area = int(masks.areas([rle])[0])
    if area == 0:
        yield ERROR, "a mask without a pixel"
        return
    if (
        isinstance(segmentation, list)
        and len(segmentation) > 1
        and _has_rings_within(segmentation, size, area)
    ):
        yield WARNING, "a ring within another one: a polygon has no holes in COCO, it is filled"
    if isinstance(segmentation, list) and any(
        crosses_itself(np.reshape(ring, (-1, 2)).astype(np.float64)) for ring in segmentation
    ):
        yield WARNING, "a polygon that crosses itself"
    # Areas of polygons are said as geometry has them, not as pixels: they say little.
    if isinstance(segmentation, dict) and abs(entry.get("area", area) - area) > AREA_OFF:
        yield WARNING, f"area {entry['area']}, and its mask has {area} pixels"
    box = entry.get("bbox")
    if box is not None and not _is_box(box):
        yield WARNING, f"bbox {shown(box)} is no list of four numbers"
    elif box is not None and (
        np.abs(masks.boxes_xywh([rle])[0] - np.asarray(box, np.float64)).max() > BOX_OFF + 1
    ):
        yield WARNING, f"bbox {box} is not around its mask"


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(isinstance(side, (int, float)) for side in box)


def _has_rings_within(rings: list[Any], size: tuple[int, int], area: int) -> bool:
    """Whether rings share pixels."""
    return int(masks.areas([masks.to_rle([ring], size) for ring in rings]).sum()) > area
