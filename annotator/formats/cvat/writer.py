"""CVAT XML 1.1: tracks of polygons for a video, polygons by image for a folder; and the task's label file.

A CVAT polygon is one ring. So the parts of an object are tracks (or polygons) of their own, held together by
`group_id` and the attribute `uid`, and holes are filled unless other is asked for; what lies in a filled hole is drawn
above it (`z_order`). The uid of a tracked object is its track id. A track has keyframes where CVAT's interpolation
needs them, and is closed one step after each stretch in which it is seen. The files of a split recording are as the
jobs of a task: CVAT joins what they share, so an object has one group in all of them, and every shape is a keyframe
where one of them might go on with the other. The reader is in `cvat.reader`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol
from xml.sax.saxutils import escape, quoteattr

import orjson

from annotator.files import atomic_file, atomic_folder
from annotator.formats.cvat.check import check_cvat
from annotator.formats.cvat.shapes import Shape, polygon, shapes_of
from annotator.formats.cvat.tracks import TrackBuffer, Tracks
from annotator.formats.findings import verify_sound
from annotator.formats.interface import DoubtReader, LabelReader, RecordingInfo, Written
from annotator.formats.names import CVAT_LABELS
from annotator.formats.summary import LabelSummary, lost, text
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.labels import BY_ID, Label
from annotator.options import DEFAULT_CVAT, CvatOptions

FILE = "cvat.xml"
FOLDER = "cvat"  # of the files of a recording that is split
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
TAIL = "</annotations>\n"
LINE = "\n"  # between the values of an attribute
OVERLAP = 5  # frames that two files of a video have in common, as CVAT's jobs have
SAMPLE = 50  # frames by which the size of a long recording's file is judged


class Attribute(NamedTuple):
    """An attribute that shapes of every label have."""

    mutable: bool  # along a track
    drawn_by_hand: str  # its value in what people draw; that of a number must be one
    input_type: str = "text"
    values: tuple[str, ...] = ()  # of a number, as CVAT wants them: least, most, step, in whole numbers

    @property
    def all_values(self) -> tuple[str, ...]:
        """What CVAT is told of them; it refuses empty ones."""
        return self.values or (self.drawn_by_hand,)


ATTRIBUTES = {
    "uid": Attribute(False, ""),
    "score": Attribute(True, "1"),
    "review": Attribute(True, ""),
    "doubt": Attribute(True, "0", "number", ("0", "100", "1")),  # filters of CVAT compare numbers
}
NEEDED = ATTRIBUTES.keys() - {"doubt"}  # a hint, which labels made for earlier versions don't have


def write(
    reader: LabelReader, source: RecordingInfo, folder: Path, options: CvatOptions = DEFAULT_CVAT
) -> Written:
    """Write DIR/cvat.xml, or DIR/cvat/FIRST-LAST.xml if they are split, and DIR/cvat_labels.json."""
    goal, labels_goal = folder / (FOLDER if options.split_frames else FILE), folder / CVAT_LABELS
    losses, instances = Counter[str](), 0
    summary = LabelSummary.of(reader)
    shapes = _Shapes(summary, losses, options, reader.doubts if isinstance(reader, DoubtReader) else None)
    with (atomic_folder if options.split_frames else atomic_file)(goal) as temporary, ExitStack() as stack:
        to_come = _files(temporary, summary, source, options)
        open_: list[_File] = []
        for found in reader.instances():
            drawn = shapes.of(found)
            instances += len(drawn)
            index = found.frame.index
            for file in (
                file for file in tuple(open_) if file.frames[-1] < index
            ):  # which lacks its last frame
                file.finish()
                open_.remove(file)
            while to_come and to_come[0].frames.start <= index:
                open_.append(stack.enter_context(to_come.pop(0)))
            for file in open_:
                file.add(found.frame, drawn)
        for file in (*open_, *map(stack.enter_context, to_come)):
            file.finish()
        with atomic_file(labels_goal) as labels:
            labels.write_bytes(label_specification(summary.labels))
    return Written((goal, labels_goal), summary.frame_count, instances, +losses)


def expected_size(reader: LabelReader, source: RecordingInfo, options: CvatOptions, instances: int) -> int:
    """About how many bytes the XML of this many instances will have, judged by the first SAMPLE frames."""
    first = _First(reader)
    with TemporaryDirectory() as folder:
        written = write(first, source, Path(folder), replace(options, split_frames=None))
        size = (Path(folder) / FILE).stat().st_size
    return size * instances // max(written.instances, 1)


@dataclass(frozen=True)
class _First:
    """The first SAMPLE frames of labels."""

    reader: LabelReader

    def frames(self) -> Iterator[FrameRef]:
        return islice(self.reader.frames(), SAMPLE)

    def instances(self) -> Iterator[Instances]:
        return islice(self.reader.instances(), SAMPLE)


def label_specification(labels: Iterable[Label]) -> bytes:
    """The label file of a CVAT task ("Raw"): JSON with the attributes that the shapes carry."""

    def attribute(name: str, of: Attribute) -> dict[str, Any]:
        return {
            "name": name,
            "mutable": of.mutable,
            "input_type": of.input_type,
            "default_value": of.drawn_by_hand,
            "values": of.all_values,
        }

    specification = [
        {
            "name": label.name,
            "color": _color(label),
            "type": "any",
            "attributes": [attribute(name, of) for name, of in ATTRIBUTES.items()],
        }
        for label in labels
    ]
    return orjson.dumps(specification, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


# ---- shapes


class DrawnObject(NamedTuple):
    """An object in a frame."""

    track_id: int  # 0 = none
    class_id: int
    shapes: list[Shape]


@dataclass
class _Shapes:
    """What is drawn of frames that come in order."""

    summary: LabelSummary
    losses: Counter[str]
    options: CvatOptions
    doubts: Callable[[int], Sequence[float]] | None = None  # of a frame's instances, as far as that is known
    _seen: dict[int, int] = field(default_factory=dict)  # by track id: the last frame

    def of(self, found: Instances) -> list[DrawnObject]:
        shown, places = self.summary.published(found)
        doubts = None if self.doubts is None else self.doubts(found.frame.index)
        self.losses.update(lost(found, shown))
        looks = dict(zip(found.track_ids.tolist(), found.class_ids.tolist(), strict=True))
        drawn = []
        for k, shapes in enumerate(shapes_of(shown, self.losses, self.options)):
            track_id, class_id = int(shown.track_ids[k]), int(shown.class_ids[k])
            review = tuple(self._review(track_id, class_id, looks[track_id], found.frame.index))
            review = ("not found, filled in",) if shown.interpolated[k] else review
            doubt = None if doubts is None else round(100 * doubts[places[k]])
            shapes = [shape._replace(review=review, doubt=doubt) for shape in shapes]
            drawn.append(DrawnObject(track_id, class_id, shapes))
        return drawn

    def _review(self, track_id: int, class_id: int, looks_like: int, index: int) -> Iterator[str]:
        """What a person may want to look at."""
        if not track_id:
            return
        if looks_like != class_id:
            yield f"looks like {BY_ID[looks_like].name}"
        hidden = (index - self._seen.get(track_id, index)) // self.summary.step - 1
        if hidden > 0:
            yield f"same after {hidden} frames?"
        self._seen[track_id] = index


# ---- files


class _File(Protocol):
    """A file while it is written: to be entered, then given the frames that are in it, then finished."""

    frames: range

    def __enter__(self) -> _File: ...

    def __exit__(self, *_: object) -> None: ...

    def add(self, ref: FrameRef, drawn: list[DrawnObject]) -> None: ...

    def finish(self) -> None: ...


def _files(path: Path, summary: LabelSummary, source: RecordingInfo, options: CvatOptions) -> list[_File]:
    """The files to write, by their first frame: `path` itself, or in this folder."""
    is_split = options.split_frames is not None
    kind = partial(_Video, min_iou=options.keyframe_iou, is_split=is_split) if source.is_video else _Images
    frames = range(summary.first, summary.last + 1, summary.step)
    if not options.split_frames:
        return [kind(path, summary, source, frames)]
    overlap = OVERLAP if source.is_video else 0
    starts = range(0, max(len(frames) - overlap, 1), options.split_frames - overlap)
    stretches = [frames[start : start + options.split_frames] for start in starts]
    names = [f"{part.start:06d}-{part[-1] if part else 0:06d}.xml" for part in stretches]
    return [kind(path / name, summary, source, part) for name, part in zip(names, stretches, strict=True)]


class _Images:
    """The images dialect."""

    def __init__(self, path: Path, summary: LabelSummary, source: RecordingInfo, frames: range) -> None:
        self.frames = frames
        self._path, self._head = path, _meta(summary, source, frames)

    def __enter__(self) -> _Images:
        self._file = self._path.open("w", encoding="utf-8", newline="\n")
        self._file.write(HEAD + self._head)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, ref: FrameRef, drawn: list[DrawnObject]) -> None:
        name = quoteattr(text(ref.name))
        self._file.write(
            f'<image id="{ref.index}" name={name} width="{ref.size[1]}" height="{ref.size[0]}">\n'
        )
        for k, (_, class_id, shapes) in enumerate(drawn):
            label = quoteattr(BY_ID[class_id].name)
            group_id = f' group_id="{k + 1}"' if len(shapes) > 1 else ""
            for shape in shapes:
                self._file.write(polygon(shape, f'label={label} source="auto"{group_id} occluded="0"'))
        self._file.write("</image>\n")

    def finish(self) -> None:
        self._file.write(TAIL)
        self._file.close()
        verify_sound(check_cvat(self._path), self._path)


class _Video:
    """The video dialect."""

    def __init__(
        self,
        path: Path,
        summary: LabelSummary,
        source: RecordingInfo,
        frames: range,
        min_iou: float,
        is_split: bool,
    ) -> None:
        self.frames = frames
        self._path, self._head = path, _meta(summary, source, frames)
        self._survey, self._min_iou, self._is_split = summary, min_iou, is_split
        self._stack = ExitStack()

    def __enter__(self) -> _Video:
        self._spool = self._stack.enter_context(TrackBuffer.beside(self._path))
        last = self.frames[-1] if self.frames else -1
        exact = {*self.frames[: OVERLAP + 1], *self.frames[-OVERLAP:]} if self._is_split else ()
        self._tracks = Tracks(self._spool, self._min_iou, self.frames.step, last, exact)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, ref: FrameRef, drawn: list[DrawnObject]) -> None:
        for track_id, class_id, shapes in drawn:
            self._tracks.add(track_id, class_id, shapes)
        self._tracks.end(t for t in self._tracks.alive() if self._survey.tracks[t].last <= ref.index)

    def finish(self) -> None:
        self._tracks.end(self._tracks.alive())
        with self._path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(HEAD + self._head)
            groups_from = max(self._survey.tracks, default=0) + 1
            self._spool.write(file, groups_from if self._is_split else None)
            file.write(TAIL)
        self._stack.close()
        verify_sound(check_cvat(self._path), self._path)


def _meta(summary: LabelSummary, source: RecordingInfo, frames: range) -> str:
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>{of.mutable}</mutable><input_type>{of.input_type}</input_type>"
        f"<default_value>{of.drawn_by_hand}</default_value><values>{LINE.join(of.all_values)}</values></attribute>"
        for name, of in ATTRIBUTES.items()
    )
    labels = "".join(
        f"<label><name>{label.name}</name><color>{_color(label)}</color><type>any</type>"
        f"<attributes>{attributes}</attributes></label>\n"
        for label in summary.labels
    )
    height, width = summary.size
    return (
        f"<meta><task><name>{escape(text(source.name))}</name><size>{min(len(frames), summary.frame_count)}</size>"
        f"<mode>{'interpolation' if source.is_video else 'annotation'}</mode><overlap>0</overlap>\n"
        f"<start_frame>{frames.start}</start_frame><stop_frame>{frames[-1] if frames else -1}</stop_frame>"
        f"<frame_filter>step={summary.step}</frame_filter>\n<labels>\n{labels}</labels>\n"
        f"<original_size><width>{width}</width><height>{height}</height></original_size>"
        f"<source>{escape(text(source.path.name))}</source></task></meta>\n"
    )


def _color(label: Label) -> str:
    return "#{:02x}{:02x}{:02x}".format(*label.colour)
