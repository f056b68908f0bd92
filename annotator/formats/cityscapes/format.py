"""The records of Cityscapes: PNGs of instance ids, polygons, and results for the benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotator.formats.by_reading import check_by_reading
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
)
from annotator.formats.names import INSTANCE_IDS
from annotator.formats.names import POLYGONS as SUFFIX
from annotator.formats.names import RESULTS as RESULT_NAME
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth

IMG_SIZE = re.compile(rb'"img(?:Height|Width)"\s*:')  # of polygons


# ---- instanceIds


def _sniff_ids(candidate: Candidate) -> Sequence[Found]:
    return candidate.as_one() if candidate.files(f"*{INSTANCE_IDS}") else []


def _read_ids(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.cityscapes import gtfine

    return gtfine.read(path, reading)


def _ids_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.cityscapes import gtfine

    return FrameNames((gtfine.names(found.path),))


def _check_ids(path: Path) -> Iterator[Finding]:
    from annotator.formats.cityscapes.gtfine_check import check_cityscapes

    return check_cityscapes(path)


def _write_ids(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    from annotator.formats.cityscapes import gtfine

    return gtfine.write(reader, source, folder)


CITYSCAPES = Format(
    "cityscapes",
    "Cityscapes instanceIds",
    _sniff_ids,
    _read_ids,
    _ids_names,
    _check_ids,
    f"Cityscapes *{INSTANCE_IDS}",
    _write_ids,
    ("cityscapes",),
    has_tracks=False,
    is_cityscapes=True,
    check_reads=True,
)


# ---- polygons


def _is_polygons(path: Path, start: bytes) -> bool:
    return start.startswith(b"{") and (path.name.endswith(SUFFIX) or IMG_SIZE.search(start) is not None)


def _sniff_polygons(candidate: Candidate) -> Sequence[Found]:
    is_one = _is_polygons(candidate.path, candidate.start) or "cityscapes-polygons" in candidate.json_formats
    return candidate.as_one() if is_one else []


def _read_polygons(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.cityscapes import polygons

    return polygons.read(path, reading)


def _polygons_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.cityscapes import polygons

    return FrameNames((polygons.names(found.path),))


def _check_polygons(path: Path) -> Iterator[Finding]:
    return check_by_reading(path, _read_polygons)


def _write_polygons(reader: LabelReader, source: RecordingInfo, folder: Path, options: Any = None) -> Written:
    from annotator.formats.cityscapes import polygons

    return polygons.write(reader, source, folder)


POLYGONS = Format(
    "cityscapes-polygons",
    "Cityscapes polygons",
    _sniff_polygons,
    _read_polygons,
    _polygons_names,
    _check_polygons,
    f"Cityscapes *{SUFFIX}",
    _write_polygons,
    ("cityscapes_polygons",),
    has_tracks=False,
    is_cityscapes=True,
    is_file_an_image=True,
    check_reads=True,
)


# ---- results


def _sniff_results(candidate: Candidate) -> Sequence[Found]:
    texts = label_texts(candidate.path) if candidate.is_folder else []
    return candidate.as_one() if any(RESULT_NAME.fullmatch(file.name) for file in texts) else []


def _read_results(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    from annotator.formats.cityscapes import results

    return results.read(path, reading)


def _results_names(found: Found, reading: Reading) -> FrameNames:
    from annotator.formats.cityscapes import results

    return FrameNames((results.names(found.path),))


def _check_results(path: Path) -> Iterator[Finding]:
    return check_by_reading(path, _read_results)


RESULTS = Format(
    "cityscapes-results",
    "Cityscapes results",
    _sniff_results,
    _read_results,
    _results_names,
    _check_results,
    "benchmark results (a text file a frame)",
    has_tracks=False,
    is_file_an_image=True,
    check_reads=True,
)
