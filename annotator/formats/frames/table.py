"""frames.csv: which frame of the recording a label belongs to, and when it was.

Columns: index (0-based, as decoded), pts (ticks), time_s (seconds), width, height, file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from annotator.errors import LabelFileError
from annotator.files import atomic_file
from annotator.formats.fields import shown, whole
from annotator.formats.findings import verify
from annotator.formats.interface import LabelReader, RecordingInfo, Written
from annotator.formats.summary import text
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances
from annotator.limits import require_frames

FILE = "frames.csv"
COLUMNS = ["index", "pts", "time_s", "width", "height", "file"]
MICROSECOND = Fraction(1, 1_000_000)


def write(reader: LabelReader, source: RecordingInfo, folder: Path) -> Written:
    """Write DIR/frames.csv; `file` is the image, or the video that the frame is in."""
    goal, count = folder / FILE, 0
    with atomic_file(goal) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for ref in reader.frames():
                count += 1
                height, width = ref.size
                name = text(ref.name or source.path.name)
                lines.writerow([ref.index, ref.pts, f"{ref.time_s:.6f}", width, height, name])
        _check(temporary, count)
    return Written((goal,), count, 0, {})


def read(path: Path) -> Iterator[GroundTruth]:
    """Yield the frames, without instances. Times come back in microseconds, `file` as the frame's name."""
    for ref in _rows(path):
        yield GroundTruth(Instances.of(ref))


def _rows(path: Path) -> Iterator[FrameRef]:
    with path.open(encoding="utf-8", newline="") as file:
        try:
            lines = csv.DictReader(file, strict=True)
            if not set(COLUMNS) <= set(lines.fieldnames or ()):
                raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
            for row in lines:
                index, height, width = (whole(key, row[key]) for key in ("index", "height", "width"))
                require_frames(index + 1)
                yield FrameRef(
                    index=index,
                    pts=_microseconds(row["time_s"]),
                    time_base=MICROSECOND,
                    size=(height, width),
                    name=row["file"],
                )
        except UnicodeDecodeError as error:
            raise LabelFileError(f"{path}: no frames.csv of this tool (it is no text in UTF-8)") from error
        except (KeyError, TypeError, ValueError, OverflowError, csv.Error) as error:
            raise LabelFileError(f"{path}: no frames.csv of this tool ({error})") from error


def _microseconds(text: Any) -> int:
    try:
        return whole("time_s", round(float(text) / MICROSECOND))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"time_s {shown(text)} is no number of seconds") from None


def _check(path: Path, count: int) -> None:
    seen, last = 0, -1
    for ref in _rows(path):
        verify(ref.index > last, path, f"frame {ref.index} comes after frame {last}")
        seen, last = seen + 1, ref.index
    verify(seen == count, path, f"{seen} of {count} frames")
