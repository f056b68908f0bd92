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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

from annotator import masks
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import ClassMap
from annotator.formats.cvat.elements import SHAPES, attribute, place_of, shape_of
from annotator.formats.cvat.object_ids import Key, ObjectMerger, key_of
from annotator.formats.cvat.shape_buffer import ShapeBuffer, ShapeRow
from annotator.formats.cvat.task_frames import TaskFrames
from annotator.formats.cvat.track_reader import Track, TrackReader
from annotator.formats.cvat.xml_stream import faults, parts
from annotator.formats.fields import shown, whole
from annotator.formats.interface import Reading
from annotator.formats.names import PART
from annotator.formats.object_ids import track_id, track_ids
from annotator.formats.summary import frame_without_time
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances
from annotator.limits import MOST_UNLABELLED, unlabelled

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


@dataclass
class _Image:
    """An image while its shapes come in."""

    ref: FrameRef
    object_ids: dict[Key, tuple[int, int]] = field(default_factory=dict)  # objects: number and track id
    taken: set[int] = field(default_factory=set)  # track ids


@dataclass
class _Content:
    """What the files of a recording hold: their elements come in, and when all are there, its frames go out."""

    spool: ShapeBuffer
    classes: ClassMap
    skipped: Counter[str]
    bad: BadEntries
    unknown: dict[str, None] = field(default_factory=dict)  # labels that are no classes
    task: TaskFrames = field(default_factory=TaskFrames)  # of video
    has_images: bool = False
    objects: ObjectMerger = field(default_factory=ObjectMerger)
    objects_of: dict[int, int] = field(default_factory=dict)  # of the objects that tracks are
    track_ids: dict[int, int] = field(default_factory=dict)  # of objects of a video
    elements: Iterator[int] = field(default_factory=count)  # in all files
    called: str = ""  # what tells the file at hand from others, behind places in it
    tracks: TrackReader = field(init=False)

    def __post_init__(self) -> None:
        self.tracks = TrackReader(self.spool, self.task, self.objects)

    def add(self, path: Path, called: str = "") -> None:
        """Read a file, the first or the next. Raises ValueError, KeyError and the like for what is wrong with it."""
        self.called = called
        track, image = Track("", "", 0), _Image(frame_without_time(0, (1, 1)))
        self.task.begin_file()
        for part in parts(path):
            element, number = part.element, next(self.elements)
            if element.tag == "meta":
                self.task.add(element)
            elif part.is_open and element.tag == "image":
                image = _Image(_image_ref(element))
                self.spool.add_image(image.ref)
                self.has_images = True
            elif part.is_open:
                if self.task.every and not any(self.task.size):
                    raise ValueError("its <meta> has no original_size, which is the size of its frames")
                self.tracks.end(track)
                track = Track(element.attrib["label"], element.attrib.get("group_id", ""), number)
            elif part.of is not None:
                with self._noted(part.of, element):
                    self._add_shape(element, number, image if part.of.tag == "image" else track)
            elif element.tag in SHAPES:
                self.skipped["shapes outside of tracks and images"] += 1
        self.tracks.end(track)
        self.objects.end_file(self.task.jobs)
        if not self.has_images and not self.task.is_known:
            raise ValueError("it names no frames")
        if track.label and not self.has_images and not self.task.every:
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
            self.bad.add(f"{error} is missing {place_of(of, element)}{self.called}")
        except ValueError as error:
            self.bad.add(f"{error} {place_of(of, element)}{self.called}")

    def close(self) -> None:
        """All files are read. Raises ValueError, or FormatError for labels, for what is wrong with them."""
        self.classes.ids_of(self.unknown)
        strange = self.spool.strange(None if self.has_images else self.task.every)
        if strange is not None:
            raise ValueError(f"it has shapes in frame {strange}, and no such frame")
        frames = self.task.every
        if not self.has_images and len(frames) > MOST_UNLABELLED:
            for before, frame in pairwise([frames.start - 1, *self.spool.labelled(), frames.stop]):
                if (frame - before) // frames.step > MOST_UNLABELLED:
                    raise ValueError(unlabelled(before, frame))
        self.objects_of = self.objects.join()
        self.track_ids = track_ids(self.objects.uids)

    def instances(self) -> Iterator[Instances]:
        """The frames in order."""
        video = (frame_without_time(index, self.task.size) for index in self.task.every)
        for ref in self.spool.images() if self.has_images else video:  # a video may be exported as images
            every = self.spool.of_frame(ref.index)
            if ref.index in self.tracks.deleted and not every:
                self.skipped[DELETED] += 1
                continue
            yield self._instances(ref, every)

    def _instances(self, ref: FrameRef, every: Sequence[ShapeRow]) -> Instances:
        """The objects of a frame; shapes of higher z_order are on top, and of equal ones the later, as in CVAT."""
        top_first = sorted(range(len(every)), key=lambda k: (-every[k].z_order, -k))
        visible = masks.visible([every[k].mask(ref.size) for k in top_first], ref.size)
        visible_of = dict(zip(top_first, visible, strict=True))
        rles: defaultdict[int, list[masks.Rle]] = defaultdict(list)
        first_rows: dict[int, ShapeRow] = {}
        for k, row in enumerate(every):
            object_id = self.objects_of.get(row.object_id, row.object_id)
            rles[object_id].append(visible_of[k])
            first_rows.setdefault(object_id, row)
        return Instances.of(
            ref,
            [masks.union(of_object, ref.size) for of_object in rles.values()],
            [row.class_id for row in first_rows.values()],
            [row.score for row in first_rows.values()],
            track_ids=[self.track_ids.get(object_id, row.track_id) for object_id, row in first_rows.items()],
        )

    def _add_shape(self, element: Element, number: int, within: _Image | Track) -> None:
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
            self.spool.add(shape_of(element, within.ref.index, of, class_id, within.ref.size).drawn)
        else:
            self.tracks.add(within, element, class_id)

    def _object_of_image(self, image: _Image, shape: Element, number: int) -> tuple[int, int]:
        """The number and the track id of the object that a shape is of."""
        uid = attribute(shape, "uid")
        key = key_of(shape.attrib.get("group_id", ""), uid, shape.attrib["label"], number)
        if key not in image.object_ids:
            number_of_uid = track_id(uid)
            is_free = number_of_uid not in image.taken
            image.object_ids[key] = (self.objects.new(), number_of_uid if is_free else 0)
            image.taken.add(number_of_uid)
        return image.object_ids[key]


def _image_ref(image: Element) -> FrameRef:
    called = shown(image.attrib["name"])
    number, height, width = (
        whole(f"the {key} of image {called}:", image.attrib[key]) for key in ("id", "height", "width")
    )
    return frame_without_time(number, (height, width), image.attrib["name"])
