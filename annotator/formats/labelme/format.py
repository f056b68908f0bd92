"""The record of labelme JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from annotator.formats.by_reading import check_by_reading
from annotator.formats.findings import Finding
from annotator.formats.interface import Candidate, Format, Found, Reading
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth


def _sniff(candidate: Candidate) -> Sequence[Found]:
    from annotator.formats.labelme import reader

    start = candidate.start
    is_one = (start.startswith(b"{") and reader.sniff(start)) or "labelme" in candidate.json_formats
    return candidate.as_one() if is_one else []


def _read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.labelme import reader

    return reader.read(path, reading)


def _frame_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.labelme import reader

    return FrameNames((reader.names(found.path),))


def _check(path: Path) -> Iterator[Finding]:
    return check_by_reading(path, _read)


LABELME = Format(
    "labelme",
    "labelme JSON",
    _sniff,
    _read,
    _frame_names,
    _check,
    "labelme JSON",
    has_tracks=False,
    is_file_an_image=True,
    check_reads=True,
)
