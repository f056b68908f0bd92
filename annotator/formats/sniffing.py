"""A path is told by what it holds: every format is asked."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotator.errors import OutputError, SourceError, UnreadableError, UsageError, unreadable
from annotator.formats.class_map import ClassMap
from annotator.formats.interface import Candidate, Format, Found
from annotator.formats.label_set import LabelSet, RecordingLabels
from annotator.formats.registry import ALL, FORMATS, KNOWN
from annotator.formats.zips import ZipError
from annotator.instances import GroundTruth
from annotator.options import AS_WRITTEN, ReadingOptions
from annotator.store import FILE_NAME as STORE
from annotator.store.lock import RUN_FILE

log = logging.getLogger(__name__)

VIA = re.compile(rb'"_via_\w+"|"regions"\s*:\s*[\[{]')


def sniff(path: Path, reading: ReadingOptions = AS_WRITTEN) -> LabelSet:
    """What a path holds, by content. Raises UsageError when that can't be told, or it isn't there.

    `reading` says what becomes of labels of other names, and of what is no label.
    """
    classes = ClassMap.parse(reading.map)
    path = path.parent if path.name in (RUN_FILE, STORE) and path.is_file() else path
    try:
        first, found = _ask(path)
    except OSError as error:
        raise unreadable(error, path) from error
    labels = tuple(
        RecordingLabels(
            each.name,
            each.path,
            FORMATS[each.format or first.name],
            classes,
            reading.skip_bad,
            reading.image_folder,
        )
        for each in found
    )
    log.info("%s: holds %s, recordings: %d", path, labels[0].format.title, len(labels))
    return LabelSet(path, labels[0].format, labels)


def read_labels(path: Path) -> Iterator[GroundTruth]:
    """Yield every frame that a path holds labels of, recording by recording, with what is not labelled in it.

    `path` is whatever `sniff` knows. Frames have an index, and a name where they are images. Track ids are those of one
    recording. Raises UsageError when it isn't known, FormatError or SourceError when it can't be read.
    """
    for labels in sniff(path).labels:
        yield from labels.truth()


@contextmanager
def bad_input() -> Iterator[None]:
    """Labels that can't be read or compared end an evaluation as wrong usage does: turn their faults into that."""
    try:
        yield
    except UsageError:
        raise
    except (SourceError, OutputError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise unreadable(error) from error


def _ask(path: Path) -> tuple[Format, list[Found]]:
    """The format of a path, and the recordings that it holds."""
    candidate = Candidate(path, _format_of)
    if not candidate.is_folder and not path.is_file():
        raise UsageError(f"{path}: is not there; give {KNOWN}")
    if candidate.start.startswith(b"{") and VIA.search(candidate.start):
        raise UnreadableError(
            f"{path}: annotations of VIA are not read; let VIA export them in COCO format (menu Annotation), and give"
            " that"
        )
    try:
        for each in ALL:
            if found := each.sniff(candidate):
                return each, list(found)
    except ZipError as error:
        raise UsageError(f"{path}: {error}") from error
    if candidate.is_folder:
        raise UsageError(f"{path}: holds no labels that are known; give {KNOWN}")
    if candidate.is_zip:
        raise UsageError(f"{path}: a zip without CVAT XML or COCO JSON; unpack it and give the folder")
    raise UsageError(f"{path}: its format can't be told; give {KNOWN}")


def _format_of(file: Path) -> str:
    """The name of the format of a file in a folder."""
    return _ask(file)[0].name
