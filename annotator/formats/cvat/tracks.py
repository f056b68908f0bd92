"""The video dialect of CVAT XML: objects as tracks of keyframes, every part of one a track of its own.

Frames come in once, in order. Keyframes wait on disk until all are known, and go object by object.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO
from xml.sax.saxutils import quoteattr

import numpy as np

from annotator import masks
from annotator.formats.cvat.keyframes import Keyframe, Keyframes
from annotator.formats.cvat.shapes import Shape, polygon
from annotator.labels import BY_ID

UNTRACKED = 1 << 40  # objects without a track are numbered from here, behind all track ids
MASKS = 1 << 20  # masks, each a track of its own, are numbered from here, behind the parts of an object


@dataclass
class _Part:
    """A part of an object through the frames."""

    keyframes: Keyframes
    last: Shape


@dataclass
class _Object:
    """An object while its shapes come in."""

    number: int
    class_id: int
    parts: list[_Part] = field(default_factory=list)


class Tracks:
    """The tracks of one file; `last` is the index of its last frame, `step` that from one to the next.

    In the frames `exact` every shape is a keyframe.
    """

    def __init__(
        self, spool: TrackBuffer, min_iou: float, step: int, last: int, exact: Container[int] = ()
    ) -> None:
        self.shapes = 0  # written so far
        self._spool = spool
        self._min_iou, self._step, self._last, self._exact = min_iou, step, last, exact
        self._alive: dict[int, _Object] = {}  # by track id
        self._untracked = 0

    def add(self, track_id: int, class_id: int, shapes: list[Shape]) -> None:
        """Go on with the parts of an object in a frame; track id 0 is for an object of this frame alone."""
        self._untracked += not track_id
        number = track_id or UNTRACKED + self._untracked
        of = self._alive.setdefault(number, _Object(number, class_id))
        for shape in (shape for shape in shapes if shape.is_mask):
            self._spool.add(of.number, class_id, MASKS + self.shapes, [Keyframe(shape, False)])
            self.shapes += 1
        self._follow(of, [shape for shape in shapes if not shape.is_mask])
        if not track_id:
            self.end([number])

    def end(self, track_ids: Iterable[int]) -> None:
        """Objects that will not be seen any more."""
        for number in track_ids:
            if number in self._alive:
                of = self._alive.pop(number)
                for place, part in enumerate(of.parts):
                    self._write(of, place, part.keyframes.end())

    def alive(self) -> list[int]:
        """Objects that may be seen again."""
        return list(self._alive)

    def _follow(self, of: _Object, shapes: list[Shape]) -> None:
        """Put every shape where its part is.

        A shape goes on with the part that it overlaps most; one that overlaps none takes the first part that is
        free, so that an object in one piece is one track however fast it moves.
        """
        place_of = _places(shapes, [part.last for part in of.parts])
        for shape, place in zip(shapes, place_of, strict=True):
            if place == len(of.parts):
                keyframes = Keyframes(self._min_iou, self._step, self._last, self._exact)
                of.parts.append(_Part(keyframes, shape))
            of.parts[place].last = shape
            self._write(of, place, of.parts[place].keyframes.add(shape))

    def _write(self, of: _Object, place: int, keyframes: Iterable[Keyframe]) -> None:
        self.shapes += self._spool.add(of.number, of.class_id, place, keyframes)


def _places(shapes: list[Shape], parts: list[Shape]) -> list[int]:
    """Which part each shape goes on with, given where the parts were; from len(parts) on they are new."""
    if len(shapes) == len(parts) == 1:
        return [0]
    overlap = masks.iou([shape.exact for shape in shapes], [part.exact for part in parts])
    place_of: dict[int, int] = {}
    for i, j in sorted(np.argwhere(overlap > 0).tolist(), key=lambda pair: -overlap[*pair]):
        if i not in place_of and j not in place_of.values():
            place_of[i] = j
    free = iter(sorted(set(range(len(parts) + len(shapes))) - set(place_of.values())))
    return [place_of[i] if i in place_of else next(free) for i in range(len(shapes))]


@dataclass(frozen=True)
class TrackBuffer:
    """The XML of shapes on disk: it comes frame by frame and goes track by track, so that memory holds one."""

    db: sqlite3.Connection

    @classmethod
    @contextmanager
    def beside(cls, goal: Path) -> Iterator[TrackBuffer]:
        """An empty spool on the disk of `goal`, which is the one to have room; gone when the block ends."""
        path = goal.with_name(f".{goal.name}.parts")
        path.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.executescript(
                    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                    "CREATE TABLE shapes (number, part, frame, class_id, xml, PRIMARY KEY (number, part, frame))"
                    " WITHOUT ROWID; BEGIN"
                )
                yield cls(db)
        finally:
            path.unlink(missing_ok=True)

    def add(self, number: int, class_id: int, part: int, keyframes: Iterable[Keyframe]) -> int:
        """Put shapes of a part of an object on disk; how many there were."""
        rows = [(number, part, shape.frame, class_id, _xml(shape, out)) for shape, out in keyframes]
        self.db.executemany("INSERT INTO shapes VALUES (?, ?, ?, ?, ?)", rows)
        return len(rows)

    def write(self, file: IO[str], groups_from: int | None = None) -> None:
        """Write the tracks, by object; those of one object are a group.

        Where other files go on with the objects, those with a track id are groups of that number, of one part too; and
        the groups of others are numbered from `groups_from`.
        """
        tracks, groups = 0, (groups_from or 1) - 1
        rows = self.db.execute("SELECT number, class_id, part, xml FROM shapes ORDER BY number, part, frame")
        for (number, class_id), of_object in groupby(rows, key=itemgetter(0, 1)):
            (parts,) = self.db.execute(
                "SELECT count(DISTINCT part) FROM shapes WHERE number = ?", (number,)
            ).fetchone()
            is_known = groups_from is not None and number < UNTRACKED
            groups += parts > 1 and not is_known
            group = number if is_known else groups
            group_id = f' group_id="{group}"' if parts > 1 or is_known else ""
            label = quoteattr(BY_ID[class_id].name)
            for _, of_part in groupby(of_object, key=itemgetter(2)):
                file.write(f'<track id="{tracks}" label={label} source="auto"{group_id}>\n')
                file.writelines(xml for *_, xml in of_part)
                file.write("</track>\n")
                tracks += 1


def _xml(shape: Shape, is_outside: bool) -> str:
    attributes = f'frame="{shape.frame}" keyframe="1" outside="{is_outside:d}" occluded="0"'
    return polygon(shape, attributes)
