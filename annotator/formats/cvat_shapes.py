"""Instances as CVAT draws them: a ring for every part, and the parts of an object in chains."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annotator import masks, polygons
from annotator.formats.survey import shortest
from annotator.instances import Instances
from annotator.polygons import Ring

HOLES = "holes filled"
SPECKS = "parts of under 1% of their instance"
SPECK = 0.01


class Shape(NamedTuple):
    """One part of an object in one frame."""

    frame: int  # index
    ring: Ring
    uid: str
    score: float
    z_order: int


def shapes_of(shown: Instances, losses: Counter[str]) -> list[list[Shape]]:
    """The parts of each of a frame's disjoint instances, largest first; specks and holes are counted."""
    depths = _depths(shown.masks)
    of_instance = []
    for k, mask in enumerate(shown.masks):
        parts = masks.split_parts(mask)
        areas = masks.areas(parts)
        large = [part for part, area in zip(parts, areas, strict=True) if area >= SPECK * areas.sum()]
        large = large or parts[:1]
        losses[SPECKS] += len(parts) - len(large)
        losses[HOLES] += sum(len(polygons.holes(part)) for part in large)
        track_id = int(shown.track_ids[k])
        uid = str(track_id) if track_id else f"frame{shown.frame.index}-{k}"
        score = shortest(shown.scores[k])
        rings = [polygons.simplify(ring) for part in large for ring in polygons.outer_rings(part)]
        of_instance.append([Shape(shown.frame.index, ring, uid, score, depths[k]) for ring in rings])
    return of_instance


def _depths(shown: tuple[masks.Rle, ...]) -> list[int]:
    """The z_order of disjoint masks: above every mask in one of whose holes it has pixels."""
    depths = [0] * len(shown)
    for k in np.argsort(-masks.areas(shown), kind="stable"):  # what surrounds is done before what is within
        if polygons.holes(shown[k]):
            size = (shown[k]["size"][0], shown[k]["size"][1])
            filled = masks.union([polygons.fill(ring, size) for ring in polygons.outer_rings(shown[k])], size)
            for inner in np.flatnonzero(masks.iou(shown, [filled])[:, 0] > 0):
                if inner != k:
                    depths[inner] = max(depths[inner], depths[k] + 1)
    return depths


def follow_parts(frames: Iterable[list[Shape]]) -> list[list[Shape]]:
    """Sort an object's parts, given frame by frame, into chains: one track each, and rings aligned along it.

    A part continues the chain that it overlaps most; one that overlaps none takes the first chain that is
    free, so that an object in one piece is one track however fast it moves.
    """
    chains: list[list[Shape]] = []
    for shapes in frames:
        overlap = _overlaps(shapes, [chain[-1] for chain in chains])
        chain_of: dict[int, int] = {}
        for i, j in sorted(np.argwhere(overlap > 0).tolist(), key=lambda pair: -overlap[*pair]):
            if i not in chain_of and j not in chain_of.values():
                chain_of[i] = j
        free = (j for j in range(len(chains) + len(shapes)) if j not in set(chain_of.values()))
        for i, shape in enumerate(shapes):
            j = chain_of[i] if i in chain_of else next(free)
            if j < len(chains):
                chains[j].append(shape._replace(ring=polygons.align(shape.ring, chains[j][-1].ring)))
            else:
                chains.append([shape])
    return chains


def _overlaps(shapes: list[Shape], others: list[Shape]) -> Any:
    """IoU of rings: (len(shapes), len(others))."""
    if len(shapes) == len(others) == 1:
        return np.ones((1, 1))
    corner = np.ceil(np.max([shape.ring.max(axis=0) for shape in [*shapes, *others]], axis=0))
    size = (int(corner[1]), int(corner[0]))
    fillings = [[polygons.fill(shape.ring, size) for shape in group] for group in (shapes, others)]
    return masks.iou(*fillings)


@dataclass(frozen=True)
class Spool:
    """Parts on disk: they come frame by frame and go object by object, so that memory holds one object."""

    db: sqlite3.Connection

    @classmethod
    @contextmanager
    def beside(cls, goal: Path) -> Iterator[Spool]:
        """An empty spool on the disk of `goal`, which is the one to have room; gone when the block ends."""
        path = goal.with_name(f".{goal.name}.parts")
        path.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.executescript(
                    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                    "CREATE TABLE parts (number, frame, part, class_id, uid, score, z_order, ring,"
                    " PRIMARY KEY (number, frame, part)) WITHOUT ROWID; BEGIN"
                )
                yield cls(db)
        finally:
            path.unlink(missing_ok=True)

    def add(self, number: int, class_id: int, shapes: Iterable[Shape]) -> None:
        """Put the parts of an object in a frame on disk."""
        rows = [
            (number, s.frame, k, class_id, s.uid, s.score, s.z_order, s.ring.astype("<f8").tobytes())
            for k, s in enumerate(shapes)
        ]
        self.db.executemany("INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def objects(self) -> Iterator[tuple[int, list[list[Shape]]]]:
        """The objects by number: class id, and the parts in each frame in order."""
        rows = self.db.execute("SELECT * FROM parts ORDER BY number, frame, part")
        for (_, class_id), of_object in groupby(rows, key=lambda row: (row[0], row[3])):
            yield class_id, [_shapes(of_frame) for _, of_frame in groupby(of_object, key=lambda row: row[1])]


def _shapes(rows: Iterable[tuple[Any, ...]]) -> list[Shape]:
    return [
        Shape(frame, np.frombuffer(ring, "<f8").reshape(-1, 2), uid, score, z_order)
        for _, frame, _, _, uid, score, z_order, ring in rows
    ]
