"""The records of COCO JSON and of bare lists of results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotator.formats.findings import Finding
from annotator.formats.image_files import text_start
from annotator.formats.interface import (
    Candidate,
    Format,
    Found,
    LabelReader,
    Reading,
    RecordingInfo,
    Written,
)
from annotator.formats.names import GENERAL, name_in
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth

LOOKED_AT = 1 << 16  # bytes of a JSON in a folder
COCO_LIST = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')


def _sniff(candidate: Candidate) -> Sequence[Found]:
    """Any JSON object that no format before has, and a zip with JSON in it; of a folder those that look like it."""
    if candidate.start.startswith(b"{") or candidate.zip_suffix == ".json":
        return candidate.as_one()
    files = filter(_is_coco, candidate.jsons)
    return [Found(_name(candidate.path, file), file, candidate.format_of(file)) for file in files]


def _sniff_results(candidate: Candidate) -> Sequence[Found]:
    start = candidate.start
    is_one = start.startswith(b"[") and start[1:].lstrip().startswith((b"{", b"]"))
    return candidate.as_one() if is_one else []


def _is_coco(file: Path) -> bool:
    """Whether a file of a folder, in which there may be any JSON, is COCO or a list of results."""
    start = text_start(file, LOOKED_AT)
    if start.startswith(b"["):
        return b'"image_id"' in start or start[1:].lstrip() == b"]"
    return start.startswith(b"{") and bool(COCO_LIST.search(start))


def _name(folder: Path, file: Path) -> str:
    """The name of a recording by its file: by the folder of a file with a general name, as coco.json."""
    named = file.with_suffix("")
    while named.name in GENERAL and named != folder:
        named = named.parent
    return name_in(folder, named)


def _read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.coco import reader

    return reader.read(path, reading)


def _frame_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.coco import reader

    return FrameNames((reader.names(found.path),), reader.by_number(found.path))


def _check(path: Path) -> Iterator[Finding]:
    from annotator.formats.coco.check import check_coco

    return check_coco(path)


def _write(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    from annotator.formats.coco import writer

    return writer.write(reader, source, folder)


COCO = Format(
    "coco",
    "COCO JSON",
    _sniff,
    _read,
    _frame_names,
    _check,
    "COCO JSON or results",
    _write,
    ("coco.json",),
)
COCO_RESULTS = Format("coco-results", "COCO results", _sniff_results, _read, _frame_names, _check)
