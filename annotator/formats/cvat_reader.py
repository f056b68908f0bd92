"""CVAT XML as this tool writes it, and as CVAT exports it when people have corrected it.

In a video a track is one object, or several tracks of one group and one uid are: the parts of an object. It keeps
the number that its uid says, unless another object has it: a track that was cut leaves two tracks with one uid.
In images, which have no tracks in CVAT, the uid alone tells identity.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from annotator import masks, polygons
from annotator.errors import FormatError
from annotator.formats.survey import frame_without_time
from annotator.frames import FrameRef
from annotator.instances import Instances, Truth
from annotator.labels import BY_NAME
from annotator.polygons import Ring

NO_GROUP = ("", "0")
NO_TRACK = re.compile(r"frame\d+-\d+")  # the uid of an object that had none
TRACK_IDS = range(1, 1 << 31)
Object = tuple[Any, ...]  # what is equal in all shapes of an object


class Part(NamedTuple):
    """One shape of an object in one frame."""

    of: Object
    class_id: int
    score: float
    z_order: int
    mask: masks.Rle


def read(path: Path) -> Iterator[Instances]:
    """Yield the frames of a file, in order; scores that are not there are 1.

    Shapes are taken as they are, without interpolation between keyframes: exports hold every frame. What is
    neither polygon nor mask is left out. The file is held in memory.
    """
    with _faults(path):
        content = _Content.of(path)
        yield from content.instances()


def read_truth(path: Path) -> Iterator[Truth]:
    """Yield the frames as `read` does: all that a file shows is labelled."""
    return map(Truth, read(path))


def names(path: Path) -> list[str]:
    """The file of every image, in the order of `read`; frames of a video have none."""
    with _faults(path):
        return [image.attrib["name"] for image in elements(path, "image")]


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file that is no CVAT XML into sentences."""
    try:
        yield
    except (ParseError, DefusedXmlException) as error:
        raise FormatError(f"{path}: no XML that can be read ({error})") from error
    except KeyError as error:
        raise FormatError(f"{path}: no CVAT XML of instances ({error} is missing)") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"{path}: no CVAT XML of instances ({error})") from error


def elements(path: Path, *names: str) -> Iterator[Element]:
    """The elements of these names below the root, each whole, one in memory at a time."""
    root = None
    for event, element in iterparse(str(path), events=("start", "end"), forbid_dtd=True):
        if root is None:
            root = element
            if root.tag != "annotations":
                raise ValueError(f"its root is <{root.tag}>, not <annotations>")
        elif event == "end" and element.tag in names:
            yield element
            root.clear()


def ring_of(polygon: Element) -> Ring:
    """The ring of a polygon: (N, 2), 3 points or more."""
    ring = np.array([point.split(",") for point in polygon.attrib["points"].split(";")], np.float64)
    if ring.shape[1:] != (2,) or len(ring) < 3 or not np.all(np.isfinite(ring)):
        raise ValueError(f"a polygon of {len(ring)} points")
    return ring


@dataclass
class _Content:
    """What a file holds."""

    frames: list[FrameRef] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    parts: defaultdict[int, list[Part]] = field(default_factory=lambda: defaultdict(list))  # by frame index
    uids: dict[Object, str] = field(default_factory=dict)  # of the tracks of a video
    track_ids: dict[Object, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> _Content:
        content = cls()
        images, has_meta = [], False
        for number, element in enumerate(elements(path, "meta", "image", "track")):
            if element.tag == "meta":
                content.add_meta(element)
                has_meta = True
            elif element.tag == "image":
                images.append(content.add_image(element))
            else:
                content.add_track(element, number)
        content.frames = images or content.frames  # a video may be exported as images, too
        if not images and not has_meta:
            raise ValueError("it names no frames")
        strange = content.parts.keys() - {ref.index for ref in content.frames}
        if strange:
            raise ValueError(f"it has shapes in frame {min(strange)}, and no such frame")
        content.number_tracks()
        return content

    def add_meta(self, meta: Element) -> None:
        """Learn the frames of a video and their size."""
        original = meta.find(".//original_size")
        if original is not None:
            self.size = (_int(original, "height"), _int(original, "width"))
        if meta.findtext(".//mode") == "interpolation" and _int(meta, ".//size"):
            step = int((meta.findtext(".//frame_filter") or "step=1").removeprefix("step="))
            first, last = _int(meta, ".//start_frame"), _int(meta, ".//stop_frame")
            self.frames = [frame_without_time(index, self.size) for index in range(first, last + 1, step)]

    def add_image(self, image: Element) -> FrameRef:
        size = (int(image.attrib["height"]), int(image.attrib["width"]))
        ref = frame_without_time(int(image.attrib["id"]), size, image.attrib["name"])
        taken = set()
        for number, shape in enumerate(image):
            if shape.tag not in ("polygon", "mask"):
                continue
            of = (ref.index, *_object(shape, _uid(shape), number))
            if of not in self.track_ids:
                track_id = _number(_uid(shape))
                self.track_ids[of] = 0 if track_id in taken else track_id
                taken.add(track_id)
            self.parts[ref.index].append(_part(shape, of, shape.attrib["label"], size))
        return ref

    def add_track(self, track: Element, number: int) -> None:
        shapes = [shape for shape in track if shape.tag in ("polygon", "mask")]
        if shapes:
            of = _object(track, _uid(shapes[0]), number)
            self.uids.setdefault(of, _uid(shapes[0]))
        for shape in shapes:
            if shape.attrib["outside"] == "0":
                part = _part(shape, of, track.attrib["label"], self.size)
                self.parts[int(shape.attrib["frame"])].append(part)

    def number_tracks(self) -> None:
        """Give every track of a video the number that its uid says, and the others numbers that are free."""
        taken = {0}
        for of, uid in self.uids.items():
            track_id = _number(uid)
            if track_id not in taken or NO_TRACK.fullmatch(uid):
                self.track_ids[of] = track_id
                taken.add(track_id)
        free = (track_id for track_id in count(1) if track_id not in taken)
        for of in self.uids.keys() - self.track_ids.keys():
            self.track_ids[of] = next(free)

    def instances(self) -> Iterator[Instances]:
        """The frames in order; shapes of higher z_order are on top."""
        for ref in self.frames:
            top_first = sorted(self.parts[ref.index], key=lambda part: -part.z_order)
            shown = masks.visible([part.mask for part in top_first], ref.size)
            rles: defaultdict[Object, list[masks.Rle]] = defaultdict(list)
            about: dict[Object, Part] = {}
            for part, mask in zip(top_first, shown, strict=True):
                rles[part.of].append(mask)
                about.setdefault(part.of, part)
            yield Instances.of(
                ref,
                [masks.union(of_object, ref.size) for of_object in rles.values()],
                [part.class_id for part in about.values()],
                [part.score for part in about.values()],
                track_ids=[self.track_ids[of] for of in about],
            )


def _object(grouped: Element, uid: str, number: int) -> Object:
    """What is equal in all shapes of an object: a group and a uid, or else the number of the element alone."""
    group = grouped.attrib.get("group_id", "")
    return (group, uid) if uid and group not in NO_GROUP else (number,)


def _part(shape: Element, of: Object, label: str, size: tuple[int, int]) -> Part:
    if label not in BY_NAME:
        raise ValueError(f"label {label!r} is no Cityscapes class")
    score = float(_attribute(shape, "score") or 1)
    z_order = int(shape.attrib.get("z_order", 0))
    mask = polygons.fill(ring_of(shape), size) if shape.tag == "polygon" else _mask(shape, size)
    return Part(of, BY_NAME[label].id, score, z_order, mask)


def _mask(shape: Element, size: tuple[int, int]) -> masks.Rle:
    """The mask of a <mask>: runs along the rows of its box, off first."""
    left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
    runs = np.array(shape.attrib["rle"].split(","), np.int64)
    if np.any(runs < 0) or runs.sum() != width * height:
        raise ValueError("a mask whose runs don't add up to its box")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return masks.encode_window(pixels, top, left, size)


def _uid(shape: Element) -> str:
    return _attribute(shape, "uid")


def _attribute(shape: Element, name: str) -> str:
    """The value of an attribute of a shape, "" if there is none."""
    return next((each.text or "" for each in shape.iter("attribute") if each.attrib["name"] == name), "")


def _number(uid: str) -> int:
    """The track id that a uid is, 0 if it is none."""
    return int(uid) if uid.isdecimal() and len(uid) < 11 and int(uid) in TRACK_IDS else 0


def _int(element: Element, name: str) -> int:
    return int(element.findtext(name) or "")
