"""COCO as this tool writes it, and as CVAT, Label Studio, labelme and others export it: .json, or CVAT's .zip.

Categories are known by name. A bare list of results has neither images nor categories: its category ids are those of
Cityscapes, its frames are numbered by image id.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.bad_entries import BadEntries
from annotator.formats.classes import AS_NAMED, Classes
from annotator.formats.cvat_xml import member
from annotator.formats.fields import score_of
from annotator.formats.identity import track_id, track_ids
from annotator.formats.names import BOM
from annotator.formats.survey import frame_without_time
from annotator.instances import Instances, Region, Truth
from annotator.labels import BY_ID, INSTANCE_CLASSES

OF_VIDEO = re.compile(r"frame_(\d{6,})\.\w+")  # as CVAT calls frames of a video
CLAIM = "no COCO instance labels"
WITHOUT_MASKS = "boxes without a mask"
Record = dict[str, Any]


def read(
    path: Path,
    classes: Classes = AS_NAMED,
    left_out: Counter[str] | None = None,
    bad: BadEntries | None = None,
) -> Iterator[Instances]:
    """Yield the images of a file, by image id, with RLE or polygon masks; crowds left out.

    The whole file is held in memory. What has no mask is counted in `left_out`, annotations that are none go to
    `bad`. Raises FormatError.
    """
    return (truth.instances for truth in read_truth(path, classes, left_out, bad))


def read_truth(
    path: Path,
    classes: Classes = AS_NAMED,
    left_out: Counter[str] | None = None,
    bad: BadEntries | None = None,
) -> Iterator[Truth]:
    """Yield the images as `read` does, with crowds as regions of their class.

    An image may list in `labelled` the category ids that are labelled in it; by default it is those of the file.
    """
    bad = bad or BadEntries()
    return bad.sift(path, _truths(path, classes, Counter() if left_out is None else left_out, bad), CLAIM)


def _truths(path: Path, classes: Classes, left_out: Counter[str], bad: BadEntries) -> Iterator[Truth]:
    with _faults(path):
        content = _Content.of(_load(path), classes, left_out, bad)
        for place, image in enumerate(content.images):
            yield content.truth(place, image)


def names(path: Path) -> list[str]:
    """The file of every image, in the order of `read`; for a list of results, what it calls the images."""
    with _faults(path):
        return [_name(image) for image in _images(_load(path))]


def by_number(path: Path) -> list[str]:
    """The number of every image, as a name that a list of results has for it too."""
    with _faults(path):
        return [_numbered(image) for image in _images(_load(path))]


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file that is no COCO into sentences."""
    try:
        yield
    except KeyError as error:
        raise FormatError(
            f"{path}: no COCO instance labels of Cityscapes classes ({error} is odd)"
        ) from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise FormatError(f"{path}: no zip that can be read ({error})") from error
    except (TypeError, ValueError, AttributeError, OverflowError, FormatError) as error:
        raise FormatError(f"{path}: no COCO instance labels ({error})") from error


def _load(path: Path) -> Any:
    """The content of a file: a dictionary, or a list of results."""
    if not zipfile.is_zipfile(path):
        content = path.read_bytes()
    else:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(member(archive, ".json"))
    return orjson.loads(content.removeprefix(BOM))


def _images(content: Any) -> list[Record]:
    """The images by id. Those of a list of results are what their masks say."""
    if not isinstance(content, list):
        content["categories"]  # other JSON lacks them
        images = sorted(content["images"], key=lambda image: image["id"])
        in_video = [OF_VIDEO.fullmatch(str(image.get("file_name"))) for image in images]
        if all(in_video):
            images = [
                image | {"frame_index": int(n[1])} for image, n in zip(images, in_video, strict=True) if n
            ]
        numbers = {image.get("frame_index") for image in images}
        if len(numbers) < len(images):  # of several recordings: then numbers are places
            images = [image | {"frame_index": place} for place, image in enumerate(images)]
        return images
    sizes = {entry["image_id"]: _size_of_mask(entry) for entry in content}
    return [
        {"id": number, "height": size[0], "width": size[1], "frame_index": number}
        for number, size in sorted(sizes.items())
    ]


def _name(image: Record) -> str:
    return str(image.get("file_name") or _numbered(image))


def _numbered(image: Record) -> str:
    return f"image {image['id']}"


@dataclass(frozen=True)
class _Content:
    """What a file holds."""

    images: list[Record]  # by id
    of_image: dict[Any, list[Record]]  # annotations by image id
    class_ids: dict[Any, int | None]  # by category id, of those that are known or occur; None = left out
    is_list: bool  # of results, which don't say what is labelled
    track_ids: dict[int, int]  # by the number of a track of CVAT
    left_out: Counter[str]
    bad: BadEntries

    @classmethod
    def of(cls, content: Any, classes: Classes, left_out: Counter[str], bad: BadEntries) -> _Content:
        images = _images(content)
        entries = content if isinstance(content, list) else content["annotations"]
        of_image: dict[Any, list[Record]] = {image["id"]: [] for image in images}
        for entry in entries:
            if entry["image_id"] not in of_image:
                bad.add(f"{_called(entry)} is of image {entry['image_id']}, which is not there")
                continue
            of_image[entry["image_id"]].append(entry)
        class_ids = _class_ids(content, {entry["category_id"] for entry in entries}, classes)
        uids: dict[int, str] = {}
        for entry in entries:
            if (number := _attributes(entry).get("track_id")) is not None:
                uids.setdefault(number, str(_attributes(entry).get("uid", "")))
        return cls(images, of_image, class_ids, isinstance(content, list), track_ids(uids), left_out, bad)

    def truth(self, place: int, image: Record) -> Truth:
        """What an image holds, given its place in the file."""
        entries = [entry for entry in self.of_image[image["id"]] if self._is_kept(entry)]
        size = _size(image, entries)
        entries, rles = self._with_masks(entries, size)
        class_ids = [self.class_ids[entry["category_id"]] or 0 for entry in entries]
        objects = [k for k, entry in enumerate(entries) if not _is_crowd(entry)]
        crowds = [k for k, entry in enumerate(entries) if _is_crowd(entry)]
        found = Instances.of(
            frame_without_time(image.get("frame_index", place), size, _name(image)),
            [rles[k] for k in objects],
            [class_ids[k] for k in objects],
            [_score(entries[k]) for k in objects],
            track_ids=[self._track_id(entries[k]) for k in objects],
        )
        regions = [Region(class_ids[k], rles[k]) for k in crowds]
        return Truth(found, tuple(regions), None if self.is_list else self._labelled(image))

    def _with_masks(
        self, entries: list[Record], size: tuple[int, int]
    ) -> tuple[list[Record], list[masks.Rle]]:
        """The entries that are labels, and their masks."""
        try:
            for entry in entries:
                _score(entry)
            return entries, masks.to_rles([entry["segmentation"] for entry in entries], size)
        except (FormatError, ValueError):  # one by one, to tell which
            kept: list[tuple[Record, masks.Rle]] = []
            for entry in entries:
                with self.bad.entry(_called(entry)):
                    _score(entry)
                    kept.append((entry, masks.to_rle(entry["segmentation"], size)))
            return [entry for entry, _ in kept], [rle for _, rle in kept]

    def _is_kept(self, entry: Record) -> bool:
        if self.class_ids[entry["category_id"]] is None:
            self.left_out[f"annotations of category {entry['category_id']}"] += 1
            return False
        if not entry.get("segmentation"):
            self.left_out[WITHOUT_MASKS] += 1
            return False
        return True

    def _labelled(self, image: Record) -> frozenset[int]:
        numbers = image.get("labelled", self.class_ids)
        return frozenset(c for number in numbers if (c := self.class_ids[number]) is not None)

    def _track_id(self, entry: Record) -> int:
        """This tool's own number, or by CVAT's track, or by the uid that this tool gave it."""
        if entry.get("track_id"):
            return int(entry["track_id"])
        attributes = _attributes(entry)
        if attributes.get("track_id") in self.track_ids:
            return self.track_ids[attributes["track_id"]]
        return track_id(str(attributes.get("uid", "")))


def _class_ids(content: Any, used: set[Any], classes: Classes) -> dict[Any, int | None]:
    """The class of every category that is known, or used."""
    if isinstance(content, list):
        own = {number: BY_ID[number].name for number in INSTANCE_CLASSES}
        return {number: classes.id_of(own.get(number, str(number))) for number in used}
    names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
    if not used <= names.keys():
        raise ValueError(f"category {min(used - names.keys())} is not there")
    return {
        number: classes.id_of(name) for number, name in names.items() if number in used or classes.knows(name)
    }


def _attributes(entry: Record) -> Record:
    """What CVAT and datumaro put there; without them nothing."""
    attributes = entry.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _is_crowd(entry: Record) -> bool:
    """Whether it is a crowd; CVAT calls every painted mask one, and has attributes."""
    if isinstance(entry.get("attributes"), dict):
        return bool(_attributes(entry).get("is_crowd"))
    return bool(entry.get("iscrowd"))


def _score(entry: Record) -> float:
    score = entry.get("score")
    if score is None:
        score = _attributes(entry).get("score") or 1
    return score_of(score)


def _size(image: Record, entries: Sequence[Record]) -> tuple[int, int]:
    """The size of an image, or of its masks where it doesn't say."""
    if image.get("height") and image.get("width"):
        return int(image["height"]), int(image["width"])
    for entry in entries:
        if isinstance(entry["segmentation"], dict):
            return _size_of_mask(entry)
    raise ValueError(f"{_name(image)} has no height and width")


def _size_of_mask(entry: Record) -> tuple[int, int]:
    if not isinstance(entry.get("segmentation"), dict):
        raise ValueError(
            f"{_called(entry)} is no RLE, and a list of results says nothing of the size of images"
        )
    height, width = entry["segmentation"]["size"]
    return int(height), int(width)


def _called(entry: Record) -> str:
    return f"annotation {entry['id']}" if "id" in entry else f"a result of image {entry.get('image_id')}"
