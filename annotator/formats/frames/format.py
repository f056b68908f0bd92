"""The record of frames.csv, which is written beside all labels and never sniffed: it holds no instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotator.formats.by_reading import check_by_reading
from annotator.formats.findings import Finding
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
from annotator.instances import GroundTruth


def _sniff(candidate: Candidate) -> Sequence[Found]:
    return []


def _read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.frames import table

    return table.read(path)


def _check(path: Path) -> Iterator[Finding]:
    return check_by_reading(path, _read)


def _write(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    from annotator.formats.frames import table

    return table.write(reader, source, folder)


FRAMES = Format(
    "frames", "frames.csv", _sniff, _read, no_names, _check, write=_write, outputs=("frames.csv",)
)
