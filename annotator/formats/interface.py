"""What a label format is, what its writer reads and gives back, and what its reader is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from annotator.errors import FormatLimitError
from annotator.files import find_files
from annotator.formats import zips
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import IDENTITY_MAP, ClassMap
from annotator.formats.findings import Finding
from annotator.formats.image_files import text_start
from annotator.formats.names import CVAT_LABELS
from annotator.formats.pairing import FrameNames
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances

Size = tuple[int, int]  # (H, W)


class LabelReader(Protocol):
    """Labels of one recording, read again and again, frame by frame. A `Store` is one."""

    def frames(self) -> Iterator[FrameRef]:
        """Every labelled frame, in order, those without instances included."""

    def instances(self) -> Iterator[Instances]:
        """The instances of every labelled frame, in the same order."""


@runtime_checkable
class DoubtReader(LabelReader, Protocol):
    """Labels of which is known, too, how likely a person would change each of them."""

    def doubts(self, index: int) -> Sequence[float]:
        """The probabilities of the instances of the frame of this index, in their order."""


class RecordingInfo(Protocol):
    """What a writer needs to know of the recording. A `Source` is one."""

    @property
    def path(self) -> Path:
        """The video file, or the folder of images."""

    @property
    def name(self) -> str:
        """Its relative name, with `/` between folders."""

    @property
    def is_video(self) -> bool:
        """Whether frames are counted in one file, or are files themselves."""


@dataclass(frozen=True)
class Written:
    """What a writer published."""

    files: tuple[Path, ...]  # files and folders, each whole
    frames: int
    instances: int
    losses: Mapping[str, int]  # what the format could not hold, in words, and how many; empty when nothing


@dataclass(frozen=True)
class Reading:
    """What a reader is told beside the path, and where it counts what it skips."""

    classes: ClassMap = IDENTITY_MAP  # what labels with other names are
    bad: BadEntries = field(default_factory=BadEntries)
    skipped: Counter[str] = field(default_factory=Counter)
    images: Path | None = None  # of labels that don't hold the size of their images
    size: Size | None = None  # of frames of which neither labels nor images tell it
    only_instances: bool = False  # neither regions nor frames that the labels don't list are asked for


class Found(NamedTuple):
    """The labels of one recording, where `sniff` found them."""

    name: str  # of the recording
    path: Path
    format: str | None = None  # its name, where files of a folder are of several


@dataclass(frozen=True)
class Candidate:
    """A file or folder of which a format says whether it is one of its own."""

    path: Path
    format_of: Callable[
        [Path], str
    ]  # the name of the format of a file. Raises UsageError when it can't be told

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is one."""
        return self.path.is_dir()

    @cached_property
    def start(self) -> bytes:
        """The first bytes of a file, as UTF-8 and without white space before them; none of a folder."""
        return b"" if self.is_folder else text_start(self.path)

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip."""
        return self.start.startswith(b"PK")

    @cached_property
    def zip_suffix(self) -> str:
        """What a zip holds, .xml before .json; nothing of what is none. Raises ZipError."""
        names = [name.lower() for name in zips.names(self.path)] if self.is_zip else []
        return next((suffix for suffix in (".xml", ".json") if any(n.endswith(suffix) for n in names)), "")

    @cached_property
    def xmls(self) -> list[Path]:
        """The files of CVAT in a folder. Raises UsageError for one that is no labels at all."""
        return [file for file in self.files("*.xml") if self.format_of(file) == "cvat"]

    @cached_property
    def jsons(self) -> list[Path]:
        """The files of JSON in a folder that may be labels."""
        return [file for file in self.files("*.json") if file.name != CVAT_LABELS]

    @cached_property
    def json_formats(self) -> frozenset[str]:
        """The formats of the JSON objects in a folder, by name. Raises UsageError for one that can't be read."""
        objects = (file for file in self.jsons if text_start(file).startswith(b"{"))
        return frozenset(map(self.format_of, objects))

    def files(self, pattern: str) -> list[Path]:
        """The files of a folder, however deep; none of a file."""
        return find_files(self.path, pattern) if self.is_folder else []

    def as_one(self) -> list[Found]:
        """It is the labels of one recording."""
        return [Found(self.path.name if self.is_folder else self.path.stem, self.path)]


class Writer(Protocol):
    """Writes labels."""

    def __call__(
        self, reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None
    ) -> Written:
        """Write the labels of a recording into `folder`: whole, or not at all, and equal for equal labels.

        `options` are of the type that the format has; None: as usual. Pixels that several instances claim go to the
        best scored. Raises FormatError for labels that the format can't hold, OutputError when the files can't be
        written.
        """


class SizeEstimate(Protocol):
    """Judges how large a file will be."""

    def __call__(self, reader: LabelReader, source: RecordingInfo, options: Any, instances: int) -> int:
        """About how many bytes the file of this many instances will have. Raises as a writer does."""


def refuse_to_write(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    """Raise FormatError: the format is only read."""
    raise FormatLimitError(f"{folder}: labels of this format are only read; choose another")


@dataclass(frozen=True)
class Format:
    """A label format. Functions import what is heavy when they are called."""

    name: str  # as options, run.json and this registry call it
    title: str  # as people and stores are told of it
    # The recordings whose labels a path holds; none where it is of another format. Raises UsageError.
    sniff: Callable[[Candidate], Sequence[Found]]
    # Yields frames in order. Scores that the format doesn't keep are 1, tracks that it doesn't keep are 0; frames
    # without a time count one a second. Raises FormatError.
    read: Callable[[Path, Reading], Iterator[GroundTruth]]
    frame_names: Callable[[Found, Reading], FrameNames]  # what frames are called, in the order of `read`
    check: Callable[[Path], Iterator[Finding]]  # what would make an import fail, or change the labels
    described: str = ""  # how people are told that it can be given
    write: Writer = refuse_to_write
    outputs: tuple[str, ...] = ()  # what `write` leaves in the folder of a recording
    options: type[Any] | None = None  # a frozen record, of how it is written
    estimate_size: SizeEstimate | None = None  # where options and content make it much larger or smaller
    shows_doubts: bool = False  # whether `write` makes something of a DoubtReader
    has_tracks: bool = True
    is_cityscapes: bool = False  # labelled as Cityscapes is: void around, images in a tree of their own
    is_file_an_image: bool = False  # a folder of them is checked as one
    check_reads: bool = False  # a check reads all that there is, too
    lists_empty_frames: bool = True  # else a frame without a label has no object


def no_names(found: Found, reading: Reading) -> FrameNames:
    """The names of frames that have numbers alone."""
    return FrameNames()
