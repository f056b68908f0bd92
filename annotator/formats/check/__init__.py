"""What would make an import of labels fail, or change them: a linter for all formats that are written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from annotator.errors import UnreadableError, UsageError, unreadable
from annotator.files import find_files
from annotator.formats import PLACES
from annotator.formats.check.by_reading import check_labelme, check_polygons, check_results, check_yolo
from annotator.formats.check.cityscapes import check_cityscapes
from annotator.formats.check.coco import check_coco
from annotator.formats.check.cvat import check_cvat
from annotator.formats.check.mots import check_mots
from annotator.formats.class_map import AS_FAR_AS_KNOWN
from annotator.formats.findings import ERROR, WARNING, Finding
from annotator.formats.names import CVAT_LABELS, INSTANCE_IDS, RESULTS
from annotator.formats.sniffing import Kind, RecordingLabels, bad_input, sniff
from annotator.store import FILE_NAME as STORE
from annotator.store import Store

__all__ = ["ERROR", "WARNING", "Finding", "check"]

CHECKS: dict[Kind, Callable[[Path], Iterator[Finding]]] = {
    Kind.CITYSCAPES: check_cityscapes,
    Kind.COCO: check_coco,
    Kind.COCO_RESULTS: check_coco,
    Kind.CVAT: check_cvat,
    Kind.MOTS: check_mots,
    Kind.POLYGONS: check_polygons,
    Kind.LABELME: check_labelme,
    Kind.YOLO: check_yolo,
    Kind.RESULTS: check_results,
}
A_FILE_AN_IMAGE = (Kind.POLYGONS, Kind.LABELME, Kind.YOLO, Kind.RESULTS)
READ_BY_CHECK = (Kind.CITYSCAPES, *A_FILE_AN_IMAGE)


def check(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a label file, a folder of them, or all label files of a run.

    Raises UsageError when it can't be told what the path holds, or it isn't there.
    """
    try:
        yield from _check(path)
    except OSError as error:
        raise unreadable(error, path) from error


def _check(path: Path) -> Iterator[Finding]:
    if path.is_dir() and not find_files(path, "*.sqlite"):
        yield from _check_folder(path)
        return
    try:
        side = sniff(path)
    except UnreadableError as error:
        if not path.is_file():
            raise
        yield Finding(ERROR, str(path), str(error).removeprefix(f"{path}: "))
        return
    for labels in side.labels:
        if labels.kind is Kind.RUN:
            yield from _check_store(labels.path)
            yield from _check_published(labels.path)
        else:
            yield from _check_labels(labels)


def _check_labels(labels: RecordingLabels) -> Iterator[Finding]:
    """Check labels of a recording; where nothing is wrong with its records, whether they can be read."""
    is_sound = True
    for finding in CHECKS[labels.kind](labels.path):
        is_sound &= finding.severity != ERROR
        yield finding
    if is_sound and labels.kind not in READ_BY_CHECK:
        try:
            with bad_input():
                for _ in replace(labels, classes=AS_FAR_AS_KNOWN).truth():
                    pass
        except UsageError as error:
            yield Finding(ERROR, str(labels.path), str(error).removeprefix(f"{labels.path}: "))


def _check_folder(path: Path) -> Iterator[Finding]:
    """Check every label file of a folder that is no run; those with an image each together."""
    with suppress(UsageError):  # which a file below says better
        if (kind := sniff(path).kind) in A_FILE_AN_IMAGE:
            yield from CHECKS[kind](path)
            return
    files = sorted(file for suffix in ("xml", "json", "txt") for file in find_files(path, f"*.{suffix}"))
    files = [file for file in files if file.name != CVAT_LABELS and not RESULTS.fullmatch(file.name)]
    if find_files(path, f"*{INSTANCE_IDS}"):
        yield from check_cityscapes(path)
    elif not files:
        sniff(path)  # which says what is lacking
    for file in files:
        try:
            yield from check(file)
        except UsageError as error:
            severity = ERROR if isinstance(error, UnreadableError) else WARNING
            yield Finding(severity, str(file), str(error).removeprefix(f"{file}: "))


def _check_store(folder: Path) -> Iterator[Finding]:
    """Check that all that is in a store can be read."""
    try:
        with bad_input(), Store.read(folder) as store:
            for rows in (store.gaps(), store.found(), store.instances()):
                for _ in rows:
                    pass
            _ = store.fingerprint, store.progress
    except UsageError as error:
        yield Finding(ERROR, str(folder), _without_paths(str(error), folder / STORE, folder))


def _without_paths(sentence: str, *paths: Path) -> str:
    for path in paths:
        sentence = sentence.removeprefix(f"{path}: ")
    return sentence


def _check_published(folder: Path) -> Iterator[Finding]:
    """Check the label files beside a store."""
    for file in sorted(folder.iterdir()):
        if any(file.name in places for places in PLACES.values()):
            yield from check(file)
