"""The record of YOLO text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from annotator.formats.by_reading import check_by_reading
from annotator.formats.findings import Finding
from annotator.formats.image_files import label_texts, text_start
from annotator.formats.interface import Candidate, Format, Found, Reading
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth


def _sniff(candidate: Candidate) -> Sequence[Found]:
    from annotator.formats.yolo import reader

    if candidate.is_folder:
        is_one = any(reader.sniff(text_start(file)) for file in label_texts(candidate.path))
    else:
        is_one = reader.sniff(candidate.start)
    return candidate.as_one() if is_one else []


def _read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.yolo import reader

    return reader.read(path, reading)


def _frame_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.yolo import reader

    return FrameNames((reader.names(found.path, reading.images),))


def _check(path: Path) -> Iterator[Finding]:
    return check_by_reading(path, _read)


YOLO = Format(
    "yolo",
    "YOLO text",
    _sniff,
    _read,
    _frame_names,
    _check,
    "YOLO text",
    is_file_an_image=True,
    check_reads=True,
)
