"""A path is recognised by what it holds, and read frame by frame."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from annotator.errors import OutputError, SourceError, UnreadableError, UsageError, unreadable
from annotator.files import find_files
from annotator.formats import labelme, yolo, zips
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import IDENTITY_MAP, ClassMap
from annotator.formats.image_files import start_of
from annotator.formats.names import (
    BOM,
    CVAT_LABELS,
    GENERAL,
    INSTANCE_IDS,
    PART,
    POLYGONS,
    RESULTS,
    frame_stem,
)
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth, Instances
from annotator.options import AS_WRITTEN, ReadingOptions
from annotator.store import FILE_NAME as STORE
from annotator.store import Store

RUN = "run.json"
KNOWN = (
    "a folder that spatialemb-annotate wrote, Cityscapes *_gtFine_instanceIds.png or *_polygons.json, benchmark results"
    " (a text file a frame), COCO JSON or results, CVAT XML (or the zip of an export), labelme JSON, YOLO text or MOTS"
    " text"
)
LOOKED_AT = 1 << 16  # bytes of a JSON in a folder
COCO_LIST = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')
IMG_SIZE = re.compile(rb'"img(?:Height|Width)"\s*:')  # of Cityscapes polygons
VIA = re.compile(rb'"_via_\w+"|"regions"\s*:\s*[\[{]')
MOTS_LINE = re.compile(rb"\d+\s+-?\d+\s+\d+\s+\d+\s+\d+\s+\S")

Size = tuple[int, int]  # (H, W)


class Kind(Enum):
    """A kind of labels."""

    RUN = "labels of this tool"
    CITYSCAPES = "Cityscapes instanceIds"
    RESULTS = "Cityscapes results"
    COCO = "COCO JSON"
    COCO_RESULTS = "COCO results"
    CVAT = "CVAT XML"
    POLYGONS = "Cityscapes polygons"
    LABELME = "labelme JSON"
    YOLO = "YOLO text"
    MOTS = "MOTS text"  # which says nothing of frames without objects


@dataclass(frozen=True)
class RecordingLabels:
    """The labels of one recording, as they lie on disk."""

    name: str  # of the recording
    path: Path
    kind: Kind

    classes: ClassMap = IDENTITY_MAP  # what labels with other names are
    skip_bad: bool = False  # leave out entries that are no labels
    images: Path | None = None  # of labels that don't hold the size of their images
    skipped: Counter[str] = field(default_factory=Counter, compare=False, repr=False)  # by the latest reading

    def instances(self, size: Size | None = None) -> Iterator[Instances]:
        """The instances of every frame; `size` is that of frames of which the labels don't tell it."""
        if self.kind is Kind.RUN:
            return _read_store(self.path)
        if self.kind is Kind.RESULTS:
            from annotator.formats import cityscapes_results

            self.skipped.clear()
            return cityscapes_results.read(self.path, size, self.skipped)
        if self.kind is Kind.YOLO:
            from annotator.formats import yolo

            bad = self._bad_entries()
            return yolo.read(self.path, self.classes, self.skipped, bad, self.images, size)
        if self.kind in WITH_NAMES:
            return _with_names(self.kind).read(self.path, self.classes, self.skipped, self._bad_entries())
        if self.kind is Kind.MOTS:
            from annotator.formats import mots

            return mots.read(self.path, self._bad_entries())
        return _files(self.kind).read(self.path)

    def truth(self) -> Iterator[GroundTruth]:
        """The same as truth, with what is not labelled."""
        if self.kind is Kind.RUN:
            return map(GroundTruth, _read_store(self.path))
        if self.kind is Kind.YOLO:
            from annotator.formats import yolo

            return yolo.read_truth(self.path, self.classes, self.skipped, self._bad_entries(), self.images)
        if self.kind in WITH_NAMES:
            return _with_names(self.kind).read_truth(
                self.path, self.classes, self.skipped, self._bad_entries()
            )
        if self.kind is Kind.MOTS:
            from annotator.formats import mots

            return mots.read_truth(self.path, self._bad_entries())
        if self.kind is Kind.RESULTS:
            from annotator.formats import cityscapes_results

            self.skipped.clear()
            return cityscapes_results.read_truth(self.path, self.skipped)
        return _files(self.kind).read_truth(self.path)

    def _bad_entries(self) -> BadEntries:
        """A collector for a new reading, which counts anew what is left out."""
        self.skipped.clear()
        return BadEntries(self.skip_bad, self.skipped)

    def frame_names(self) -> FrameNames:
        """What its frames are called, in their order; nothing where only their places tell them apart."""
        if self.kind is Kind.RUN:
            return _store_names(self)
        if self.kind is Kind.YOLO:
            from annotator.formats import yolo

            return FrameNames((yolo.names(self.path, self.images),))
        names = _files(self.kind).names(self.path)
        if self.kind not in (Kind.COCO, Kind.COCO_RESULTS):
            return FrameNames((names,) if names else ())
        from annotator.formats import coco_reader

        return FrameNames((names,), coco_reader.by_number(self.path))


@dataclass(frozen=True)
class LabelSet:
    """What a path holds."""

    path: Path
    kind: Kind
    labels: tuple[RecordingLabels, ...]  # by recording; at least one


def sniff(path: Path, reading: ReadingOptions = AS_WRITTEN) -> LabelSet:
    """What a path holds, by content. Raises UsageError when that can't be told, or it isn't there.

    `reading` says what becomes of labels of other names, and of what is no label.
    """
    classes = ClassMap.parse(reading.map)
    try:
        side = _recognise_folder(path) if path.is_dir() else _recognise_file(path)
    except OSError as error:
        raise unreadable(error, path) from error
    return replace(
        side,
        labels=tuple(
            replace(labels, classes=classes, skip_bad=reading.skip_bad, images=reading.image_folder)
            for labels in side.labels
        ),
    )


def _recognise_file(path: Path) -> LabelSet:
    if not path.is_file():
        raise UsageError(f"{path}: is not there; give {KNOWN}")
    if path.name in (RUN, STORE):
        return _recognise_folder(path.parent)
    start = _without_marks(start_of(path))
    if start.startswith(b"PK"):
        kind = _kind_of_zip(path)
    elif start.startswith(b"{"):
        kind = _kind_of_json(path, start)
    elif start.startswith(b"[") and start[1:].lstrip().startswith((b"{", b"]")):
        kind = Kind.COCO_RESULTS
    elif start.startswith(b"<"):
        kind = Kind.CVAT
    elif yolo.sniff(start):
        kind = Kind.YOLO
    elif MOTS_LINE.match(start) or (not start and path.suffix == ".txt"):
        kind = Kind.MOTS
    else:
        raise UsageError(f"{path}: its format can't be told; give {KNOWN}")
    return LabelSet(path, kind, (RecordingLabels(path.stem, path, kind),))


def _kind_of_json(path: Path, start: bytes) -> Kind:
    """What a JSON object holds, by its first keys."""
    if VIA.search(start):
        raise UnreadableError(
            f"{path}: annotations of VIA are not read; let VIA export them in COCO format (menu Annotation), and give"
            " that"
        )
    if path.name.endswith(POLYGONS) or IMG_SIZE.search(start):
        return Kind.POLYGONS
    return Kind.LABELME if labelme.sniff(start) else Kind.COCO


def _without_marks(start: bytes) -> bytes:
    """The beginning of a text as UTF-8, which some tools begin with a mark, as they do UTF-16."""
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        start = start[: len(start) // 2 * 2].decode("utf-16", "ignore").encode("utf-8", "ignore")
    return start.removeprefix(BOM).lstrip()


def _kind_of_zip(path: Path) -> Kind:
    """What an export of CVAT holds; other zips are to be unpacked."""
    try:
        suffixes = {name[-5:].lower() for name in zips.names(path)}
    except zips.ZipError as error:
        raise UsageError(f"{path}: {error}") from error
    if any(suffix.endswith(".xml") for suffix in suffixes):
        return Kind.CVAT
    if ".json" in suffixes:
        return Kind.COCO
    raise UsageError(f"{path}: a zip without CVAT XML or COCO JSON; unpack it and give the folder")


@contextmanager
def bad_input() -> Iterator[None]:
    """Labels that can't be read or compared end an evaluation as wrong usage does: turn their faults into that."""
    try:
        yield
    except (SourceError, OutputError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise unreadable(error) from error


def _recognise_folder(path: Path) -> LabelSet:
    stores = [file.parent for file in find_files(path, STORE)]
    if stores:
        run = next((above for above in (path, *path.absolute().parents) if (above / RUN).is_file()), path)
        labels = [RecordingLabels(_relative(folder, run), folder, Kind.RUN) for folder in stores]
        return LabelSet(path, Kind.RUN, tuple(labels))
    if (path / RUN).is_file():
        raise UsageError(f"{path}: a run that has labelled nothing yet; label a recording first")
    if find_files(path, f"*{INSTANCE_IDS}"):
        return LabelSet(path, Kind.CITYSCAPES, (RecordingLabels(path.name, path, Kind.CITYSCAPES),))
    texts = yolo.labels_of(path)
    if any(yolo.sniff(_without_marks(start_of(file))) for file in texts):
        return LabelSet(path, Kind.YOLO, (RecordingLabels(path.name, path, Kind.YOLO),))
    if any(RESULTS.fullmatch(file.name) for file in texts):
        return LabelSet(path, Kind.RESULTS, (RecordingLabels(path.name, path, Kind.RESULTS),))
    xmls = [file for file in find_files(path, "*.xml") if sniff(file).kind is Kind.CVAT]
    jsons = [file for file in find_files(path, "*.json") if file.name != CVAT_LABELS]
    if texts and not xmls and not jsons:
        mots = [RecordingLabels(_relative(file.with_suffix(""), path), file, Kind.MOTS) for file in texts]
        return LabelSet(path, Kind.MOTS, tuple(mots))
    if xmls:
        whole = {file.parent if PART.fullmatch(file.name) else file: None for file in xmls}
        cvat = [
            RecordingLabels(_relative(each if each.is_dir() else each.with_suffix(""), path), each, Kind.CVAT)
            for each in whole
        ]
        return LabelSet(path, Kind.CVAT, tuple(cvat))
    if side := _of_json(path, jsons):
        return side
    raise UsageError(f"{path}: holds no labels that are known; give {KNOWN}")


def _of_json(path: Path, files: list[Path]) -> LabelSet | None:
    """What the JSON files of a folder hold: together a recording of an image each, or each a recording."""
    starts = {file: _without_marks(start_of(file)) for file in files}
    kinds = {_kind_of_json(file, start) for file, start in starts.items() if start.startswith(b"{")}
    for kind in (Kind.POLYGONS, Kind.LABELME):
        if kind in kinds:
            return LabelSet(path, kind, (RecordingLabels(path.name, path, kind),))
    labels = [
        RecordingLabels(_name_in(path, file), file, sniff(file).kind) for file in files if _is_coco(file)
    ]
    return LabelSet(path, labels[0].kind, tuple(labels)) if labels else None


def _is_coco(file: Path) -> bool:
    """Whether a file of a folder, in which there may be any JSON, is COCO or a list of results."""
    with file.open("rb") as opened:
        start = _without_marks(opened.read(LOOKED_AT))
    if start.startswith(b"["):
        return b'"image_id"' in start or start[1:].lstrip() == b"]"
    return start.startswith(b"{") and bool(COCO_LIST.search(start))


def _name_in(folder: Path, file: Path) -> str:
    """The name of a recording by its file: by the folder of a file with a general name, as coco.json."""
    named = file.with_suffix("")
    while named.name in GENERAL and named != folder:
        named = named.parent
    return _relative(named, folder)


def _relative(path: Path, folder: Path) -> str:
    """The name of a recording by where it lies in a folder, or is the folder."""
    relative = path.absolute().relative_to(folder.absolute()).as_posix()
    return path.absolute().name if relative == "." else relative


# ---- reading


WITH_NAMES = (
    Kind.COCO,
    Kind.COCO_RESULTS,
    Kind.CVAT,
    Kind.POLYGONS,
    Kind.LABELME,
)  # which name classes as they like


class NamedLabelFiles(Protocol):
    """What modules of formats that name classes have for reading."""

    def read(
        self, path: Path, classes: ClassMap, skipped: Counter[str] | None, bad: BadEntries | None
    ) -> Iterator[Instances]:
        """The instances of every frame."""

    def read_truth(
        self, path: Path, classes: ClassMap, skipped: Counter[str] | None, bad: BadEntries | None
    ) -> Iterator[GroundTruth]:
        """The same as truth, with what is not labelled."""


def _with_names(kind: Kind) -> NamedLabelFiles:
    match kind:
        case Kind.CVAT:
            from annotator.formats import cvat

            return cvat
        case Kind.POLYGONS:
            from annotator.formats import cityscapes_polygons

            return cityscapes_polygons
        case Kind.LABELME:
            from annotator.formats import labelme

            return labelme
    from annotator.formats import coco

    return coco


class LabelFiles(Protocol):
    """What modules of formats have for reading."""

    def read(self, path: Path) -> Iterator[Instances]:
        """The instances of every frame."""

    def read_truth(self, path: Path) -> Iterator[GroundTruth]:
        """The same as truth, with what is not labelled."""

    def names(self, path: Path) -> list[str]:
        """The file of every frame, in the same order; none where frames have no files."""


def _files(kind: Kind) -> LabelFiles:
    """The module of a kind: imported when it is met, because some take longer than a small evaluation."""
    match kind:
        case Kind.CITYSCAPES:
            from annotator.formats import cityscapes

            return cityscapes
        case Kind.RESULTS:
            from annotator.formats import cityscapes_results

            return cityscapes_results
        case Kind.COCO | Kind.COCO_RESULTS:
            from annotator.formats import coco

            return coco
        case Kind.CVAT:
            from annotator.formats import cvat

            return cvat
        case Kind.POLYGONS:
            from annotator.formats import cityscapes_polygons

            return cityscapes_polygons
        case Kind.LABELME:
            from annotator.formats import labelme

            return labelme
        case Kind.MOTS:
            from annotator.formats import mots

            return mots
    raise ValueError(f"{kind} is no file")


def _read_store(path: Path) -> Iterator[Instances]:
    with Store.read(path) as store:
        yield from store.instances()


def _store_names(labels: RecordingLabels) -> FrameNames:
    """Files of images, and the names that published labels have."""
    files, published = [], []
    with Store.read(labels.path) as store:
        for ref in store.frames():
            files.append(ref.name)
            published.append(frame_stem(labels, ref))
    return FrameNames((files, published))
