"""Shapes on disk: they are read object by object and go frame by frame, so that memory holds one frame."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from annotator import masks, polygons
from annotator.formats.spool import temporary_database
from annotator.formats.summary import frame_without_time
from annotator.frames import FrameRef

POLYGON, MASK = range(2)
BLOCK = 1000  # rows written at once
SCHEMA = (
    "CREATE TABLE shapes (frame, number, object_id, track_id, class_id, score, z_order, kind, shape,"
    " PRIMARY KEY (frame, number)) WITHOUT ROWID;"
    "CREATE TABLE images (place INTEGER PRIMARY KEY, frame UNIQUE, height, width, name);"
)


class ShapeRow(NamedTuple):
    """One shape of an object in one frame."""

    frame: int  # index
    object_id: int  # number of the object, the same in all its shapes
    track_id: int  # from 1, 0 = none, or not known yet
    class_id: int
    score: float
    z_order: int
    kind: int
    shape: bytes  # POLYGON: (N, 2) float64 x and y; MASK: compressed counts in the frame

    def mask(self, size: tuple[int, int]) -> masks.Rle:
        """The mask in a frame of `size` (H, W)."""
        if self.kind == MASK:
            return {"size": list(size), "counts": self.shape}
        return polygons.fill(np.frombuffer(self.shape, "<f8").reshape(-1, 2), size)


@dataclass
class ShapeBuffer:
    """Shapes and images of a file, in a database that vanishes with its connection."""

    db: sqlite3.Connection
    _waiting: list[tuple[int | float | bytes, ...]]
    _count: int = 0

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[ShapeBuffer]:
        """An empty spool: in memory while it is small, then in a temporary file. Raises OutputError without room."""
        with temporary_database(SCHEMA) as db:
            yield cls(db, [])

    def add(self, drawn: ShapeRow) -> None:
        """Put a shape on disk, behind those of its frame that are there."""
        self._count += 1
        self._waiting.append((drawn.frame, self._count, *drawn[1:]))
        if len(self._waiting) == BLOCK:
            self._flush()

    def add_image(self, ref: FrameRef) -> None:
        """Put an image behind those that are there. Raises ValueError when its number is taken."""
        try:
            row = (ref.index, *ref.size, ref.name)
            self.db.execute("INSERT INTO images (frame, height, width, name) VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise ValueError(f"image {ref.index} is there twice") from None

    def images(self) -> Iterator[FrameRef]:
        """The images in order."""
        for frame, height, width, name in self.db.execute(
            "SELECT frame, height, width, name FROM images ORDER BY place"
        ):
            yield frame_without_time(frame, (height, width), name)

    def strange(self, frames: range | None) -> int | None:
        """A frame with shapes that is none of these, or of the images; None if there is none."""
        self._flush()
        if frames is None:
            query = "SELECT min(frame) FROM shapes WHERE frame NOT IN (SELECT frame FROM images)"
            return self.db.execute(query).fetchone()[0]
        where = "frame < ? OR frame >= ? OR (frame - ?) % ?"
        values = (frames.start, frames.stop, frames.start, frames.step)
        return self.db.execute(f"SELECT min(frame) FROM shapes WHERE {where}", values).fetchone()[0]

    def labelled(self) -> Iterator[int]:
        """The frames with shapes, in order."""
        self._flush()
        for (frame,) in self.db.execute("SELECT DISTINCT frame FROM shapes ORDER BY frame"):
            yield frame

    def of_frame(self, index: int) -> list[ShapeRow]:
        """The shapes of a frame, as they were added."""
        self._flush()
        query = (
            "SELECT frame, object_id, track_id, class_id, score, z_order, kind, shape FROM shapes"
            " WHERE frame = ? ORDER BY number"
        )
        return [ShapeRow(*row) for row in self.db.execute(query, (index,))]

    def _flush(self) -> None:
        if self._waiting:
            self.db.executemany("INSERT INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._waiting)
            self._waiting = []
