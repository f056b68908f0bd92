"""The figures of an evaluation as files, which appear whole or not at all."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path

from annotator.errors import UsageError
from annotator.escape import encodable, to_json
from annotator.evaluation.report import Report
from annotator.files import atomic_file

COLUMNS = ("part", "class", "metric", "value")


def write_json(report: Report, path: Path) -> None:
    """Write `Report.as_json`. Raises OutputError."""
    with atomic_file(path) as temporary:
        text = to_json(report.as_json(), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(report: Report, path: Path) -> None:
    """Write a line for every figure; the value is empty where it is not known. Raises OutputError."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for *names, value in report.rows():
            lines.writerow([*map(encodable, names), "" if math.isnan(value) else value])


def require_files(paths: Iterable[Path]) -> None:
    """Raise UsageError when files can't be put there: better before an evaluation than behind it."""
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file")
        _require_folder(path, path.parent)


def require_folder(path: Path) -> None:
    """Raise UsageError when files can't be put into a folder, which need not be there yet."""
    _require_folder(path, path)


def _require_folder(path: Path, folder: Path) -> None:
    there = next(above for above in (folder, *folder.absolute().parents) if above.exists())
    if not there.is_dir():
        raise UsageError(f"{path}: can't be written ({there} is no folder); choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: can't be written ({there} must not be written to); choose another place")
