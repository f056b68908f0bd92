"""CVAT XML as this tool writes it, and as CVAT exports it when people have corrected it, as .xml or .zip.

In a video a track is one object, or several tracks of one group and one uid (or label, where people emptied it) are:
the parts of an object. It keeps the number that its uid says, unless another object has it: a track that was cut
leaves two tracks with one uid. In images, which have no tracks in CVAT, the uid alone tells identity. Exports list
every frame of a track, and what they skip was deleted; in other files shapes are interpolated between two keyframes,
and go on behind the last, as in CVAT. At the borders of a task's jobs CVAT cuts tracks, and here they go on by their
uid (`cvat.object_ids`). A folder of files FIRST-LAST.xml is one recording: what two of them show is taken from the
first, and a track goes on in the next by its uid.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from annotator import masks
from annotator.errors import LabelFileError
from annotator.filling import require_ring
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import ClassMap
from annotator.formats.cvat.interpolation import interpolate
from annotator.formats.cvat.object_ids import Key, ObjectMerger, Piece, key_of
from annotator.formats.cvat.shape_buffer import BLOCK, MASK, POLYGON, ShapeBuffer, ShapeRow
from annotator.formats.cvat.xml_stream import faults, parts, step_of
from annotator.formats.fields import score_of, shown, whole
from annotator.formats.interface import Reading
from annotator.formats.names import PART
from annotator.formats.object_ids import track_id, track_ids
from annotator.formats.summary import frame_without_time
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances
from annotator.limits import (
    LONGEST_BETWEEN,
    MOST_FRAMES,
    MOST_INTERPOLATED,
    MOST_UNLABELLED,
    require_frame_size,
    require_frames,
    unlabelled,
)
from annotator.polygons import Ring

SHAPES = ("polygon", "mask")
DELETED = "frames deleted in CVAT"
CLAIM = "no CVAT XML of instances"


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield the frames of a file, in order; scores that are not there are 1.

    What is neither polygon nor mask is left out, and counted in `skipped` by kind; shapes that are none go to `bad`.
    Shapes go by way of a temporary file: memory follows the number of tracks. Raises FormatError.
    """
    reading = reading or Reading()
    with ShapeBuffer.opened() as spool:
        content = _Content(spool, reading.classes, reading.skipped, reading.bad)
        for file in files(path):
            with faults(file):
                content.add(file, f" of {file.name}" if path.is_dir() else "")
        reading.bad.refuse(path, CLAIM)
        with faults(path):
            content.close()
            yield from map(GroundTruth, content.instances())


def names(path: Path) -> list[str]:
    """The file of every image, in the order of `read`; frames of a video have none."""
    found = []
    for file in files(path):
        with faults(file):
            opened = (part.element for part in parts(file) if part.is_open)
            found += [element.attrib["name"] for element in opened if element.tag == "image"]
    return found


def files(path: Path) -> list[Path]:
    """A file itself, or those that a recording is split into, in the order of their frames."""
    if not path.is_dir():
        return [path]
    found = [file for file in path.iterdir() if PART.fullmatch(file.name)]
    return sorted(found, key=lambda file: int(file.name.partition("-")[0]))


def ring_of(polygon: Element) -> Ring:
    """The ring of a polygon: (N, 2), 3 points or more."""
    pairs = [point.split(",") for point in polygon.attrib["points"].split(";")]
    if {len(pair) for pair in pairs} != {2}:
        raise ValueError(f"points {shown(polygon.attrib['points'])} that are no pairs of numbers")
    try:
        ring = np.array(pairs, np.float64)
    except ValueError:
        raise ValueError(f"points {shown(polygon.attrib['points'])} that are no numbers") from None
    require_ring(ring)
    return ring


@dataclass
class _Track:
    """A track of a video while its shapes come in."""

    label: str
    group: str
    number: int  # of the element in the file
    piece: Piece | None = None  # of an object, once it has a shape
    frame: int = -1  # of the shape before
    last: _Shape | None = None  # the shape before, if it is seen


class _Shape(NamedTuple):
    """One shape of a track."""

    is_keyframe: bool
    ring: Ring | None  # None: a mask
    drawn: ShapeRow


@dataclass
class _Image:
    """An image while its shapes come in."""

    ref: FrameRef
    object_ids: dict[Key, tuple[int, int]] = field(default_factory=dict)  # objects: number and track id
    taken: set[int] = field(default_factory=set)  # track ids


@dataclass
class _Content:
    """What a file holds."""

    spool: ShapeBuffer
    classes: ClassMap
    skipped: Counter[str]
    bad: BadEntries
    unknown: dict[str, None] = field(default_factory=dict)  # labels that are no classes
    frames: range = range(0)  # of a video, in all files so far
    before: range = range(0)  # those of the files before
    own: range = range(0)  # those of the file at hand
    jobs: list[range] = field(default_factory=list)  # frames of each in the file at hand
    size: tuple[int, int] = (0, 0)  # of a video
    has_meta: bool = False
    has_images: bool = False
    objects: ObjectMerger = field(default_factory=ObjectMerger)
    deleted: set[int] = field(default_factory=set)  # frames of a video
    made: int = 0  # bytes of shapes between keyframes
    is_export: bool = False  # of CVAT, which lists every frame of a track
    objects_of: dict[int, int] = field(default_factory=dict)  # of the objects that tracks are
    track_ids: dict[int, int] = field(default_factory=dict)  # of objects of a video
    elements: Iterator[int] = field(default_factory=count)  # in all files
    called: str = ""  # what tells the file at hand from others, behind places in it

    def add(self, path: Path, called: str = "") -> None:
        """Read a file, the first or the next. Raises ValueError, KeyError and the like for what is wrong with it."""
        self.called = called
        track, image = _Track("", "", 0), _Image(frame_without_time(0, (1, 1)))
        self.before, self.own, self.jobs = self.frames, range(0), []
        for part in parts(path):
            element, number = part.element, next(self.elements)
            if element.tag == "meta":
                self._add_meta(element)
            elif part.is_open and element.tag == "image":
                image = _Image(_image_ref(element))
                self.spool.add_image(image.ref)
                self.has_images = True
            elif part.is_open:
                if self.frames and not any(self.size):
                    raise ValueError("its <meta> has no original_size, which is the size of its frames")
                self._end(track)
                track = _Track(element.attrib["label"], element.attrib.get("group_id", ""), number)
            elif part.of is not None:
                with self._noted(part.of, element):
                    self._add_shape(element, number, image if part.of.tag == "image" else track)
            elif element.tag in SHAPES:
                self.skipped["shapes outside of tracks and images"] += 1
        self._end(track)
        self.objects.end_file(self.jobs)
        if not self.has_images and not self.has_meta:
            raise ValueError("it names no frames")
        if track.label and not self.has_images and not self.frames:
            raise ValueError(
                "it has tracks of a task of images, which CVAT exports for video without their names;"
                " export it as CVAT for images 1.1"
            )

    @contextmanager
    def _noted(self, of: Element, element: Element) -> Iterator[None]:
        """Note a shape that is none, with its place, and go on behind it."""
        try:
            yield
        except KeyError as error:
            self.bad.add(f"{error} is missing {_place(of, element)}{self.called}")
        except ValueError as error:
            self.bad.add(f"{error} {_place(of, element)}{self.called}")

    def close(self) -> None:
        """All files are read. Raises ValueError, or FormatError for labels, for what is wrong with them."""
        self.classes.ids_of(self.unknown)
        strange = self.spool.strange(None if self.has_images else self.frames)
        if strange is not None:
            raise ValueError(f"it has shapes in frame {strange}, and no such frame")
        if not self.has_images and len(self.frames) > MOST_UNLABELLED:
            for before, frame in pairwise([self.frames.start - 1, *self.spool.labelled(), self.frames.stop]):
                if (frame - before) // self.frames.step > MOST_UNLABELLED:
                    raise ValueError(unlabelled(before, frame))
        self.objects_of = self.objects.join()
        self.track_ids = track_ids(self.objects.uids)

    def instances(self) -> Iterator[Instances]:
        """The frames in order; shapes of higher z_order are on top, and of equal ones the later, as in CVAT."""
        video = (frame_without_time(index, self.size) for index in self.frames)
        for ref in self.spool.images() if self.has_images else video:  # a video may be exported as images
            every = self.spool.of_frame(ref.index)
            if ref.index in self.deleted and not every:
                self.skipped[DELETED] += 1
                continue
            top_first = sorted(range(len(every)), key=lambda k: (-every[k].z_order, -k))
            visible = masks.visible([every[k].mask(ref.size) for k in top_first], ref.size)
            shown = dict(zip(top_first, visible, strict=True))
            rles: defaultdict[int, list[masks.Rle]] = defaultdict(list)
            about: dict[int, ShapeRow] = {}
            for k, drawn in enumerate(every):
                object_id = self.objects_of.get(drawn.object_id, drawn.object_id)
                rles[object_id].append(shown[k])
                about.setdefault(object_id, drawn)
            yield Instances.of(
                ref,
                [masks.union(of_object, ref.size) for of_object in rles.values()],
                [drawn.class_id for drawn in about.values()],
                [drawn.score for drawn in about.values()],
                track_ids=[
                    self.track_ids.get(object_id, drawn.track_id) for object_id, drawn in about.items()
                ],
            )

    def _add_meta(self, meta: Element) -> None:
        """Learn the frames of a video and their size."""
        tasks = len(meta.findall(".//task"))
        if tasks > 1:
            raise ValueError(f"it is of {tasks} tasks; export them one by one")
        self.has_meta = True
        self.is_export = meta.find("dumped") is not None
        original = meta.find(".//original_size")
        if original is not None:
            size = (_int(original, "height"), _int(original, "width"))
            if any(size):  # a recording without frames has none
                require_frame_size(*size)
            if self.before and size != self.size:
                raise ValueError(
                    f"its frames are {size[1]}x{size[0]}, those before {self.size[1]}x{self.size[0]}"
                )
            self.size = size
        if meta.findtext(".//mode") == "interpolation" and _int(meta, ".//size"):
            step = step_of(meta)
            frames = range(_int(meta, ".//start_frame"), _int(meta, ".//stop_frame") + 1, step)
            self.own = frames
            self.frames = _continued(self.before, frames) if self.before else frames
            require_frames(self.frames.stop)
            places = sorted((_int(job, "start"), _int(job, "stop")) for job in meta.iterfind(".//segment"))
            jobs = (frames[start : stop + 1] for start, stop in places)
            self.jobs = [job for job in jobs if job]

    def _add_shape(self, element: Element, number: int, within: _Image | _Track) -> None:
        if element.tag not in SHAPES:
            if element.tag != "tag":
                self.skipped[f"shapes of the kind {element.tag!r}"] += 1
            return
        label = element.attrib["label"] if isinstance(within, _Image) else within.label
        if not self.classes.knows(label):
            self.unknown.setdefault(label)
            return
        class_id = self.classes.id_of(label)
        if class_id is None:
            self.skipped[f"shapes of the label {label!r}"] += 1
        elif isinstance(within, _Image):
            of = self._object_of_image(within, element, number)
            self.spool.add(_shape(element, within.ref.index, of, class_id, within.ref.size).drawn)
        else:
            self._add_to_track(within, element, class_id)

    def _add_to_track(self, track: _Track, element: Element, class_id: int) -> None:
        frame, is_seen = whole("frame", element.attrib["frame"]), element.get("outside", "0") == "0"
        if not 0 <= frame < MOST_FRAMES:
            raise ValueError("no frame has this number")
        if frame <= track.frame:
            raise ValueError(f"frame {frame} comes after frame {track.frame}")
        track.frame = frame
        if track.piece is None:
            uid = _attribute(element, "uid")
            key = key_of(track.group, uid, track.label, track.number)
            track.piece = self.objects.begun(key, uid, is_mask=element.tag == "mask")
        shape = _shape(element, frame, (track.piece.object_ids[0], 0), class_id, self.size)
        if track.last:
            for drawn in self._between(track.last, shape):
                self._add_to_video(drawn, track.piece)
        if is_seen:
            self._add_to_video(shape.drawn, track.piece)
        track.last = shape if is_seen else None

    def _add_to_video(self, drawn: ShapeRow, piece: Piece) -> None:
        piece.seen(drawn.frame, drawn.frame)
        if drawn.frame not in self.before:
            self.spool.add(drawn)

    def _between(self, before: _Shape, after: _Shape) -> Iterator[ShapeRow]:
        """What CVAT shows between two keyframes, of which the first is seen. A mask stays as it is.

        Where an export skips frames behind others that it lists, they were deleted from the task.
        """
        first, last = before.drawn.frame, after.drawn.frame
        missing = range(first + self.frames.step, last, self.frames.step)
        self._require_few(missing, max(len(before.drawn.shape), len(after.drawn.shape)))
        if self.is_export or not (before.is_keyframe and after.is_keyframe):
            self.deleted.update(frame for frame in missing if frame in self.frames)
            return
        if before.ring is None or after.ring is None:
            yield from (before.drawn._replace(frame=frame) for frame in missing)
            return
        for begin in range(0, len(missing), BLOCK):
            block = missing[begin : begin + BLOCK]
            rings = interpolate(
                before.ring, after.ring, [(frame - first) / (last - first) for frame in block]
            )
            for frame, ring in zip(block, rings, strict=True):
                yield before.drawn._replace(frame=frame, shape=ring.astype("<f8").tobytes())

    def _require_few(self, made: range, size: int) -> None:
        """Frames in which a shape of `size` bytes is made up are few enough. Raises ValueError, or FormatError."""
        if len(made) > LONGEST_BETWEEN:
            raise ValueError(
                f"{len(made):,} frames behind its keyframe {made.start - made.step} without another; up to"
                f" {LONGEST_BETWEEN:,} are filled in: set keyframes between, or outside where it is not seen"
            )
        self.made += len(made) * size
        if self.made > MOST_INTERPOLATED:
            raise LabelFileError(
                f"over {MOST_INTERPOLATED >> 30} GB of shapes between keyframes; export it from CVAT in parts"
            )

    def _object_of_image(self, image: _Image, shape: Element, number: int) -> tuple[int, int]:
        """The number and the track id of the object that a shape is of."""
        uid = _attribute(shape, "uid")
        key = key_of(shape.attrib.get("group_id", ""), uid, shape.attrib["label"], number)
        if key not in image.object_ids:
            number_of_uid = track_id(uid)
            is_free = number_of_uid not in image.taken
            image.object_ids[key] = (self.objects.new(), number_of_uid if is_free else 0)
            image.taken.add(number_of_uid)
        return image.object_ids[key]

    def _end(self, track: _Track) -> None:
        """A track has all its shapes. One that is never outside goes on to the end of the task, but for masks."""
        last = track.last
        if track.piece is None or last is None or not last.is_keyframe or last.ring is None or self.is_export:
            return
        following = range(track.frame + self.own.step, self.own.stop, self.own.step)
        self._require_few(following, len(last.drawn.shape))
        for frame in following:
            self._add_to_video(last.drawn._replace(frame=frame), track.piece)


def _continued(before: range, frames: range) -> range:
    """The frames of several files. Raises ValueError where some are missing between them."""
    if frames.step != before.step or (frames.start - before.start) % before.step:
        raise ValueError(f"its frames are not those of a step of {before.step} that files before have")
    if not before.start <= frames.start <= before[-1] + before.step:
        raise ValueError(f"it begins with frame {frames.start}, and the files before end with {before[-1]}")
    return range(before.start, max(before[-1], frames[-1]) + 1, before.step)


def _place(of: Element, element: Element) -> str:
    number, frame = (
        text if len(text) < 20 else shown(text) for text in (of.get("id", "?"), element.get("frame", ""))
    )
    return f"in {of.tag} {number}" + (f", frame {frame}" if frame else "")


def _image_ref(image: Element) -> FrameRef:
    called = shown(image.attrib["name"])
    number, height, width = (
        whole(f"the {key} of image {called}:", image.attrib[key]) for key in ("id", "height", "width")
    )
    return frame_without_time(number, (height, width), image.attrib["name"])


def _shape(element: Element, frame: int, of: tuple[int, int], class_id: int, size: tuple[int, int]) -> _Shape:
    score = score_of(_attribute(element, "score") or 1)
    ring = ring_of(element) if element.tag == "polygon" else None
    content = _counts(element, size) if ring is None else ring.astype("<f8").tobytes()
    z_order = whole("z_order", element.attrib.get("z_order", 0))
    kind = MASK if ring is None else POLYGON
    drawn = ShapeRow(frame, *of, class_id, score, z_order, kind, content)
    return _Shape(element.get("keyframe") == "1", ring, drawn)


def _counts(element: Element, size: tuple[int, int]) -> bytes:
    """The RLE of a <mask> in a frame of `size`; in the file are runs along the rows of its box, off first."""
    left, top, width, height = (whole(key, element.attrib[key]) for key in ("left", "top", "width", "height"))
    try:
        runs = np.array(element.attrib["rle"].split(","), np.int64)
    except (ValueError, OverflowError):
        raise ValueError(f"rle {shown(element.attrib['rle'])} that is no list of numbers") from None
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError("a mask that leaves the frame")
    is_of_box = min(width, height) >= 1 and runs.min() >= 0 and runs.max() <= width * height
    if not is_of_box or runs.sum() != width * height:
        raise ValueError("a mask whose runs don't add up to its box")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return bytes(masks.encode_window(pixels, top, left, size)["counts"])


def _attribute(shape: Element, name: str) -> str:
    """The value of an attribute of a shape, "" if there is none."""
    return next((each.text or "" for each in shape.iter("attribute") if each.get("name") == name), "")


def _int(element: Element, name: str) -> int:
    return whole(name, element.findtext(name) or "")
