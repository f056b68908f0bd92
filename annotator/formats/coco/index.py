"""What a COCO file holds, by image: annotations lie in the file in any order, and are read image by image.

One pass over the file notes its images, and where each annotation stands. Notes are in a temporary database, so that
memory follows the number of categories and tracks. Ids are numbers or texts; the number 7 and the text "7" are one.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from annotator.formats.bad_entries import BadEntries
from annotator.formats.coco.segmentation import is_empty, size_of
from annotator.formats.fields import shown, whole
from annotator.formats.json_stream import Element, JsonFile, NoList, loads
from annotator.formats.object_ids import NO_TRACK, TRACK_IDS
from annotator.formats.spool import temporary_database
from annotator.limits import MOST_FRAMES, require_frame_size

OF_VIDEO = re.compile(r"frame_(\d{6,})\.\w+")  # as CVAT calls frames of a video
WITHOUT_MASKS = "boxes without a mask"
TWICE = "images that are listed twice"
LISTS = ("images", "categories", "annotations")
INTEGERS = range(-(1 << 63), 1 << 63)  # of SQLite
SCHEMA = (
    "CREATE TABLE images (place INTEGER PRIMARY KEY, key UNIQUE, number, name, natural, height, width, frame, video,"
    " labelled);"
    "CREATE TABLE annotations (image, place, at, length, PRIMARY KEY (image, place)) WITHOUT ROWID;"
)
Record = dict[str, Any]
ObjectId = int | tuple[str, str]  # a track id, or what tracks are called that have none


class Image(NamedTuple):
    """An image of a file."""

    key: str  # its id
    name: str
    frame: int  # index
    size: tuple[int, int]  # (H, W)
    labelled: list[str] | None  # keys of the categories that are labelled in it; None: of all


@dataclass
class CocoIndex:
    """The images of a file, and where their annotations are."""

    db: sqlite3.Connection
    file: JsonFile
    skipped: Counter[str]
    bad: BadEntries
    is_list: bool = False  # of results, which don't say what is labelled
    categories: dict[str, str] = field(default_factory=dict)  # names by key
    used: dict[str, None] = field(default_factory=dict)  # keys of categories that occur
    object_ids: dict[ObjectId, str] = field(
        default_factory=dict
    )  # tracks, and the uid that this tool gave them
    _twice: set[str] = field(default_factory=set)  # ids of several images

    @classmethod
    @contextmanager
    def opened(cls, path: Path, skipped: Counter[str], bad: BadEntries) -> Iterator[CocoIndex]:
        """The index of a file. Raises ValueError for what is no COCO as a whole, OutputError without room."""
        with JsonFile.opened(path) as file, temporary_database(SCHEMA) as db:
            index = cls(db, file, skipped, bad)
            index._read()
            yield index

    def images(self) -> Iterator[Image]:
        """The images: by id where ids are numbers, else by name as people count, else as they are listed."""
        count, *kinds = self.db.execute(
            "SELECT count(*), count(number), count(natural), count(video), count(DISTINCT video), count(frame),"
            " count(DISTINCT frame) FROM images"
        ).fetchone()
        numbers, names, videos, different_videos, frames, different_frames = kinds
        order = "number, place" if numbers == count else "natural, place" if names == count else "place"
        index = "video" if videos == count else "frame"
        different = different_videos if videos == count else different_frames if frames == count else 0
        if different < count:  # of several recordings: then numbers are places
            index = "NULL"
        query = f"SELECT key, name, {index}, height, width, labelled FROM images ORDER BY {order}"
        for place, (key, name, frame, height, width, labelled) in enumerate(self.db.execute(query)):
            yield Image(
                _text(key),
                _text(name) if name is not None else f"image {_text(key)}",
                place if frame is None else frame,
                (height, width),
                None if labelled is None else orjson.loads(labelled),
            )

    def annotations(self, key: str) -> Iterator[tuple[int, Record]]:
        """The annotations of an image and their places in the file, from 1, in their order."""
        query = "SELECT place, at, length FROM annotations WHERE image = ? ORDER BY place"
        for place, at, length in self.db.execute(query, (_bytes(key),)).fetchall():
            yield place, loads(self.file.at(at, length))

    # ---- the pass over the file

    def _read(self) -> None:
        counts = Counter[str]()
        adding = {
            "images": self._add_image,
            "categories": self._add_category,
            "annotations": self._add_annotation,
            "": self._add_annotation,
        }
        for element in self.file.elements():
            if isinstance(element, NoList):
                if element.name in LISTS:
                    raise ValueError(f"its {element.name} are {shown(loads(element.text))} instead of a list")
            elif element.name in adding:
                counts[element.name] += 1
                self._add(element, counts[element.name], adding[element.name])
        self.is_list = "" in self.file.lists
        lacking = [name for name in LISTS if name not in self.file.lists]
        if lacking and not self.is_list:
            raise ValueError(f"it has no list of {' and none of '.join(lacking)}")
        self._find_sizes()
        self._find_strangers()

    def _add(self, element: Element, place: int, add: Callable[[Record, Element, int], None]) -> None:
        record = loads(element.text)
        kind = {"images": "image", "categories": "category", "annotations": "annotation", "": "result"}
        if not isinstance(record, dict):
            self.bad.add(f"{kind[element.name]} {place} of the list is {shown(record)}")
            return
        with self.bad.entry(called(record, kind[element.name], place)):
            add(record, element, place)

    def _add_image(self, image: Record, element: Element, place: int) -> None:
        key, name = key_of(image.get("id"), "its id"), image.get("file_name")
        if name is not None and not isinstance(name, (str, int)):
            raise ValueError(f"its file_name is {shown(name)}")
        labelled = image.get("labelled")
        if labelled is not None:
            if not isinstance(labelled, list):
                raise ValueError(f"labelled is {shown(labelled)} instead of a list of category ids")
            labelled = orjson.dumps([key_of(number, "a category of labelled") for number in labelled])
        frame = image.get("frame_index")
        if frame is not None and not 0 <= (frame := whole("its frame_index", frame)) < MOST_FRAMES:
            raise ValueError(f"no frame has the index {frame}")
        name = str(name) if name not in (None, "") else None
        video = OF_VIDEO.fullmatch(name) if name else None
        number = int(video[1]) if video and len(video[1]) < 19 else None
        row = (*_id_and_name(image["id"], key, name), *_size(image), frame, number, labelled)
        try:
            self.db.execute(
                "INSERT INTO images (key, number, name, natural, height, width, frame, video, labelled)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        except sqlite3.IntegrityError:
            query = "SELECT name FROM images WHERE key = ?"
            [other] = self.db.execute(query, row[:1]).fetchone()
            if other is not None and other == row[2]:
                self.skipped[TWICE] += 1
                return
            self._twice.add(key)
            raise ValueError(
                f"its id is that of {shown(_text(other)) if other else 'another'} too, and nothing tells which of"
                " them annotations are of"
            ) from None

    def _add_category(self, category: Record, element: Element, place: int) -> None:
        key, name = key_of(category.get("id"), "its id"), category.get("name")
        if not isinstance(name, (str, int)):
            raise ValueError(f"its name is {shown(name)}")
        if self.categories.setdefault(key, str(name)) != str(name):
            raise ValueError(f"its id is that of {shown(self.categories[key])} too")

    def _add_annotation(self, entry: Record, element: Element, place: int) -> None:
        key = key_of(entry.get("image_id"), "its image_id")
        category = key_of(entry.get("category_id"), "its category_id")
        object_id = object_id_of(entry)
        if not element.name:
            self._add_image_of_result(entry, key)
        self.used.setdefault(category)
        if object_id is not None:
            self.object_ids.setdefault(object_id, str(attributes_of(entry).get("uid") or ""))
        row = (_bytes(key), place, element.at, len(element.text))
        self.db.execute("INSERT INTO annotations VALUES (?, ?, ?, ?)", row)

    def _add_image_of_result(self, entry: Record, key: str) -> None:
        """Results say themselves what images there are: by id, and by name where that is a text."""
        name, segmentation = entry.get("file_name"), entry.get("segmentation")
        if not isinstance(name, str) or not name:
            name = entry["image_id"] if isinstance(entry["image_id"], str) else None
        size = None if is_empty(segmentation) else size_of(segmentation)
        key_and_name = _id_and_name(entry["image_id"], key, name)
        frame = key_and_name[1] if isinstance(key_and_name[1], int) else None
        frame = frame if frame is not None and 0 <= frame < MOST_FRAMES else None
        self.db.execute(
            "INSERT INTO images (key, number, name, natural, frame, height, width) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET height = coalesce(height, excluded.height),"
            " width = coalesce(width, excluded.width), name = coalesce(name, excluded.name)",
            (*key_and_name, frame, *(size or (None, None))),
        )

    # ---- when all is known

    def _find_sizes(self) -> None:
        """Images that don't say their size have that of a mask of theirs; others are no images."""
        query = "SELECT key, name FROM images WHERE height IS NULL"
        for key, name in self.db.execute(query).fetchall():
            size, boxes, others = None, 0, 0
            for _, entry in self.annotations(_text(key)):
                is_box = is_empty(entry.get("segmentation"))
                boxes, others = boxes + is_box, others + (not is_box)
                with suppress(ValueError):
                    size = size or size_of(entry.get("segmentation"))
            if size:
                self.db.execute("UPDATE images SET height = ?, width = ? WHERE key = ?", (*size, key))
                continue
            image = _text(name or b"image " + key)
            if not self.is_list:
                self.bad.add(f"{image} has no height and width")
            elif others:
                why = "no RLE, and a list of results says nothing of the size of images"
                self.bad.add(f"{image}: a result is {why}")
            else:
                self.skipped[WITHOUT_MASKS] += boxes
            self.db.execute("DELETE FROM annotations WHERE image = ?", (key,))
            self.db.execute("DELETE FROM images WHERE key = ?", (key,))

    def _find_strangers(self) -> None:
        """Annotations of images that are not there, or of which there are two, are none."""
        keys = [(_bytes(key),) for key in self._twice]
        self.db.executemany("DELETE FROM images WHERE key = ?", keys)
        query = "SELECT image, place, at, length FROM annotations WHERE image NOT IN (SELECT key FROM images)"
        for key, place, at, length in self.db.execute(query):
            entry, image = loads(self.file.at(at, length)), _text(key)
            what = "which is the id of two images" if image in self._twice else "which is not there"
            self.bad.add(f"{called(entry, 'annotation', place)} is of image {image}, {what}")


def called(record: Record, kind: str, place: int) -> str:
    """What names a record: its id; of results and what has none its place, from 1."""
    number = record.get("id")
    if kind == "result":
        return f"result {place} (of image {shown(record.get('image_id'))})"
    is_id = isinstance(number, (int, str)) and not isinstance(number, bool)
    return (
        f"{kind} {number if isinstance(number, int) else shown(number)}"
        if is_id
        else f"{kind} {place} of the list"
    )


def key_of(number: Any, name: str) -> str:
    """A number or text that is an id, as a text. Raises ValueError for what is none."""
    if isinstance(number, str) and number:
        return number
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"{name} is {shown(number)}" if number is not None else f"{name} is missing")
    return str(number)


def object_id_of(entry: Record) -> ObjectId | None:
    """The track of an annotation: its track_id, a number or a name; or that of CVAT, which begins with 0.

    CVAT says the track of the largest part, and has one in each job; so there the uid that this tool gave goes before.
    Raises ValueError for what is none.
    """
    own = entry.get("track_id")
    if isinstance(own, str) and not own.strip().lstrip("-").isdecimal():
        return ("named", own) if own else None
    number = 0 if own is None else whole("its track_id", own)
    if number in TRACK_IDS:
        return number
    if number not in (0, -1):
        raise ValueError(f"its track_id {number} is no number of a track")
    of_cvat, uid = attributes_of(entry).get("track_id"), str(attributes_of(entry).get("uid") or "")
    if of_cvat in (None, "") or NO_TRACK.fullmatch(uid):
        return None
    return ("uid", uid) if uid else ("CVAT", key_of(of_cvat, "its attribute track_id"))


def attributes_of(entry: Record) -> Record:
    """What CVAT and datumaro put there; without them nothing."""
    attributes = entry.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _id_and_name(
    number: Any, key: str, name: str | None
) -> tuple[bytes, int | str | None, bytes | None, bytes | None]:
    """An id as a key and as a number that can be sorted, a name as it is and as one that can be sorted."""
    value: int | str | None = None
    if not isinstance(number, str):
        value = int(number)
        value = value if value in INTEGERS else f"{len(key):05}{key}"  # texts come behind numbers
    return (
        _bytes(key),
        value,
        None if name is None else _bytes(name),
        None if name is None else _natural(name),
    )


def _natural(name: str) -> bytes:
    """A name whose order as bytes is that in which people count: numbers by their value."""

    def longest_last(digits: re.Match[str]) -> str:
        number = digits[0].lstrip("0")
        return f"{len(number):05}{number}"

    return _bytes(re.sub("[0-9]+", longest_last, name.casefold()))


def _size(image: Record) -> tuple[int | None, int | None]:
    """Height and width; None where one isn't said."""
    if not image.get("height") or not image.get("width"):
        return None, None
    height, width = whole("its height", image["height"]), whole("its width", image["width"])
    require_frame_size(height, width)
    return height, width


def _bytes(text: str) -> bytes:
    """A text for SQLite, which takes no half characters."""
    return text.encode("utf-8", "surrogatepass")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
