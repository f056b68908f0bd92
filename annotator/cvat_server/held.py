"""What a task holds, set against what was sent: whether an import ended, and whether people worked on it since."""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from annotator.formats.cvat.elements import SHAPES, ring_of
from annotator.formats.cvat.interpolation import interpolate
from annotator.formats.cvat.xml_stream import faults, parts, step_of
from annotator.polygons import Ring

NEAR = 0.1  # pixels that a vertex of an interpolated shape may lie elsewhere on the server
DRAWN = ("rle", "left", "top", "width", "height", "occluded", "z_order")  # of a shape, beside its points

Place = int | str  # a frame of a video, or the name of an image
Shape = tuple[Any, ...]


class Held(enum.Enum):
    """What a task holds."""

    ALL = "what was sent"
    PART = "what was sent, but in some jobs nothing"
    OTHER = "what somebody made of it, or made anew"


def held(export: Path, sent: Path) -> Held:
    """What a task holds, by its export, of what was `sent` to it: keyframes are compared, to two decimals.

    At borders of jobs, where CVAT makes keyframes of what it shows there, they must be where it would show them.
    Raises FormatError.
    """
    theirs, ours = _Content.of(export), _Content.of(sent)
    starts = sorted(theirs.starts)
    borders = {place for start in starts for place in (start - theirs.step, start)}
    empty = _jobs(ours.shapes, starts) - _jobs(theirs.shapes, starts)
    for place in theirs.shapes.keys() | ours.shapes.keys():
        if _job(place, starts) in empty:
            continue
        added = theirs.shapes[place] - ours.shapes[place]
        gone = ours.shapes[place] - theirs.shapes[place]
        if (added or gone) and place not in borders:
            return Held.OTHER
        if not all(_is_outside(shape) for shape in gone):
            return Held.OTHER
        if not all(_is_outside(shape) or ours.shows(shape, place) for shape in added):
            return Held.OTHER
    return Held.PART if empty else Held.ALL


def _jobs(shapes: dict[Place, Counter[Shape]], starts: list[int]) -> set[int]:
    """The jobs, by number, in which something is seen."""
    seen = (place for place, there in shapes.items() if not all(_is_outside(shape) for shape in there))
    return {_job(place, starts) for place in seen}


def _job(place: Place, starts: list[int]) -> int:
    """The number of the job that a frame is in; images are taken for one."""
    return bisect_right(starts, place) if isinstance(place, int) else 0


def _is_outside(shape: Shape) -> bool:
    return bool(shape[0])


@dataclass
class _Content:
    """The keyframes of a file, and how the tracks go between them."""

    shapes: defaultdict[Place, Counter[Shape]] = field(default_factory=lambda: defaultdict(Counter))
    tracks: defaultdict[Shape, list[list[tuple[int, Shape, Ring | None]]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by what is equal in all shapes of a track: its keyframes, in order
    starts: set[int] = field(default_factory=set)  # frames with which jobs begin, but for the first
    step: int = 1

    @classmethod
    def of(cls, path: Path) -> _Content:
        content = cls()
        with faults(path):
            for part in parts(path):
                if part.of is None and part.element.tag == "meta":
                    content._add_meta(part.element)
                elif part.of is not None and part.element.tag in SHAPES:
                    content._add(part.of, part.element)
        return content

    def _add_meta(self, meta: Element) -> None:
        self.step = step_of(meta)
        first = int(meta.findtext(".//start_frame") or 0)
        starts = sorted(int(segment.findtext("start") or 0) for segment in meta.iterfind(".//segment"))
        self.starts = {first + self.step * start for start in starts[1:]}

    def _add(self, of: Element, element: Element) -> None:
        shape = _shape(of, element)
        if of.tag != "track":
            self.shapes[of.attrib["name"]][shape] += 1
        elif element.get("keyframe") == "1":
            place = int(element.attrib["frame"])
            self.shapes[place][shape] += 1
            tracks = self.tracks[_of_track(shape)]
            if not tracks or tracks[-1][-1][0] >= place:
                tracks.append([])
            tracks[-1].append((place, shape, ring_of(element) if element.tag == "polygon" else None))

    def shows(self, shape: Shape, place: Place) -> bool:
        """Whether a track shows this shape in a frame between its keyframes, or behind the last."""
        return any(
            ring is not None and _is_near(ring, shape)
            for track in self.tracks[_of_track(shape)]
            for ring in _shown(track, place)
        )


def _shape(of: Element, element: Element) -> Shape:
    """All that people can change in a shape, and by which it is told from others."""
    attributes = {each.attrib["name"]: (each.text or "").strip() for each in element.iterfind("attribute")}
    score = attributes.get("score", "")
    points = element.get("points")
    return (
        element.get("outside", "0") == "1",
        of.get("label", element.get("label")),
        attributes.get("uid", ""),
        attributes.get("review", ""),
        float(score) if score.replace(".", "", 1).isdigit() else score,
        element.tag,
        *(element.get(name, "0").replace(" ", "") for name in DRAWN),
        None if points is None else tuple(np.round(ring_of(element), 2).ravel().tolist()),
    )


def _of_track(shape: Shape) -> Shape:
    return (*shape[1:3], shape[5])


def _shown(track: list[tuple[int, Shape, Ring | None]], place: Place) -> Iterator[Ring | None]:
    """The ring of a track in a frame, if it is seen there."""
    assert isinstance(place, int)
    behind = bisect_right([frame for frame, _, _ in track], place)
    if not behind or _is_outside(track[behind - 1][1]):
        return
    frame, _, ring = track[behind - 1]
    if behind == len(track) or frame == place or ring is None:
        yield ring
        return
    after, shape, target = track[behind]
    if _is_outside(shape) or target is None:
        yield ring
    else:
        yield interpolate(ring, target, [(place - frame) / (after - frame)])[0]


def _is_near(ring: Ring, shape: Shape) -> bool:
    points = np.array(shape[-1]).reshape(-1, 2)
    return len(points) == len(ring) and bool(np.abs(points - ring).max() <= NEAR)
