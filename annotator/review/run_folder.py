"""The recordings of a run folder as its reviewers need them: all that is known of them stands in `run.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annotator.errors import UsageError
from annotator.files import find_files
from annotator.store import FILE_NAME as STORE
from annotator.store.records import SourceRecord

UNKNOWN = "unknown"  # state of a recording that no run.json tells of


@dataclass(frozen=True)
class LabelledRecording:
    """A recording of a run: labelled, or failed."""

    name: str
    folder: Path  # of its labels
    has_labels: bool
    record: SourceRecord | None  # None: `run.json` doesn't tell of it

    @property
    def source_path(self) -> Path | None:
        """Where the recording was read from, None when that isn't known."""
        return Path(self.record.path) if self.record else None


def recordings_of(run: Path, records: Mapping[str, SourceRecord]) -> list[LabelledRecording]:
    """The recordings of a run folder, or the one whose folder is given, with their `records` by name.

    Raises UsageError when there is none.
    """
    if (run / STORE).is_file():
        return [LabelledRecording(run.absolute().name, run, True, _record_of(run, records))]
    folders = [file.parent for file in find_files(run, STORE)] if run.is_dir() else []
    labelled = {folder.relative_to(run).as_posix(): folder for folder in folders}
    names = sorted({*labelled, *records})
    if not names:
        raise UsageError(f"{run}: holds no labels of this tool; name a folder that spatialemb-annotate wrote")
    return [LabelledRecording(name, run / name, name in labelled, records.get(name)) for name in names]


def _record_of(folder: Path, records: Mapping[str, SourceRecord]) -> SourceRecord | None:
    """The record of a recording whose folder is given: names are paths from the run's folder."""
    parts = folder.absolute().parts
    for name, record in records.items():
        within = tuple(name.split("/"))
        if parts[-len(within) :] == within:
            return record
    return None
