"""The record of CVAT XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotator.formats.findings import Finding
from annotator.formats.interface import (
    Candidate,
    Format,
    Found,
    LabelReader,
    Reading,
    RecordingInfo,
    Written,
)
from annotator.formats.names import PART, name_in
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth
from annotator.options import DEFAULT_CVAT, CvatOptions

NAME = "cvat"


def _sniff(candidate: Candidate) -> Sequence[Found]:
    """XML, or the zip of an export; of a folder every file, or those that a recording is split into as one."""
    if candidate.start.startswith(b"<") or candidate.zip_suffix == ".xml":
        return candidate.as_one()
    xmls = candidate.xmls
    whole = dict.fromkeys(file.parent if PART.fullmatch(file.name) else file for file in xmls)
    names = {each: each if each.is_dir() else each.with_suffix("") for each in whole}
    return [Found(name_in(candidate.path, named), each) for each, named in names.items()]


def _read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.cvat import reader

    return reader.read(path, reading)


def _frame_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.cvat import reader

    names = reader.names(found.path)
    return FrameNames((names,) if names else ())


def _check(path: Path) -> Iterator[Finding]:
    from annotator.formats.cvat.check import check_cvat

    return check_cvat(path)


def _write(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    from annotator.formats.cvat import writer

    return writer.write(reader, source, folder, options or DEFAULT_CVAT)


def _estimate_size(reader: LabelReader, source: RecordingInfo, options: Any, instances: int) -> int:
    from annotator.formats.cvat import writer

    return writer.expected_size(reader, source, options, instances)


CVAT = Format(
    NAME,
    "CVAT XML",
    _sniff,
    _read,
    _frame_names,
    _check,
    "CVAT XML (or the zip of an export)",
    _write,
    ("cvat.xml", "cvat"),
    CvatOptions,
    _estimate_size,
    shows_doubts=True,
)
