"""The record of MOTS text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotator.formats.findings import Finding
from annotator.formats.image_files import label_texts
from annotator.formats.interface import (
    Candidate,
    Format,
    Found,
    LabelReader,
    Reading,
    RecordingInfo,
    Written,
    no_names,
)
from annotator.formats.names import name_in
from annotator.instances import GroundTruth

LINE = re.compile(rb"\d+\s+-?\d+\s+\d+\s+\d+\s+\d+\s+\S")


def _sniff(candidate: Candidate) -> Sequence[Found]:
    """Lines of it, or an empty text; of a folder all texts, where nothing else is there."""
    if not candidate.is_folder:
        is_one = LINE.match(candidate.start) or (not candidate.start and candidate.path.suffix == ".txt")
        return candidate.as_one() if is_one else []
    if candidate.xmls or candidate.jsons:
        return []
    return [
        Found(name_in(candidate.path, file.with_suffix("")), file) for file in label_texts(candidate.path)
    ]


def _read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.mots import reader

    return reader.read(path, reading)


def _check(path: Path) -> Iterator[Finding]:
    from annotator.formats.mots.check import check_mots

    return check_mots(path)


def _write(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    from annotator.formats.mots import writer

    return writer.write(reader, source, folder)


MOTS = Format(
    "mots",
    "MOTS text",
    _sniff,
    _read,
    no_names,
    _check,
    "MOTS text",
    _write,
    ("mots.txt",),
    lists_empty_frames=False,
)
