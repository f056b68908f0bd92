"""Labels in a storage: uploaded whole, with a marker last that says what is there and how it was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.errors import AnnotatorError, OutputError, UsageError
from annotator.escape import to_json
from annotator.fleet.address import url_of
from annotator.fleet.storage import Storage, StorageError
from annotator.options import AnnotationJob
from annotator.store.fingerprint import fingerprint, named
from annotator.store.records import DONE, FAILED, SourceRecord

if TYPE_CHECKING:
    from annotator.detection import Detector  # a report must not wait for torch

MARKER, FAILURE = (
    "_labels.json",
    "_failed.json",
)  # in the folder of a recording: what it holds, or why it has nothing
HIDDEN = (".tmp", ".old", ".part", "-wal", "-shm", "-journal")  # ends of names that are no labels


def output_of(path: Path) -> Storage | None:
    """The storage that labels go to; None for a folder. Raises UsageError."""
    url = url_of(path)
    if url is None:
        return None
    out = Storage(url)
    if not out.is_writable:
        raise UsageError(
            f"`out` {out.name}: can only be read; name a folder or a storage that can be written"
        )
    return out


def asked_of(job: AnnotationJob, detector: Detector) -> dict[str, Any]:
    """All that shapes labels but the recording itself, as a marker keeps it."""
    checkpoint = detector.runtime.checkpoint
    asked = {
        **fingerprint("", checkpoint.sha256, checkpoint.head_sha256, detector.made_with),
        "tracking": asdict(job.tracking),
        "publishing": asdict(job.publishing),
        "formats": sorted(job.formats),
        "preview": job.preview,
    }
    return dict(json.loads(to_json(asked)))


@dataclass(frozen=True)
class StoredLabels:
    """The labels of a recording in a storage, as they are and as they are to be."""

    out: Storage
    name: str
    asked: Mapping[str, Any]
    version: str  # of the recording
    marker: Mapping[str, Any] | None  # as it is there

    @classmethod
    def of(cls, out: Storage, name: str, asked: Mapping[str, Any], version: str) -> StoredLabels:
        """Look at what is there. Raises StorageError."""
        return cls(out, name, asked, version, out.read_json(f"{name}/{MARKER}"))

    def known(self, job: AnnotationJob) -> SourceRecord | None:
        """The record of a recording that is done; None where there is work.

        Raises UsageError when its labels were made otherwise, and are not to be overwritten.
        """
        if self.marker is None or job.overwrite:
            return None
        before = self.marker.get("asked") or {}
        redone = ("tracking", "publishing", "formats", "preview")  # from the store, without detection
        changes = [
            f"{named(key)} {before.get(key, 'none')} (not {self.asked.get(key, 'none')})"
            for key in {**before, **self.asked}
            if key not in redone and before.get(key) != self.asked.get(key)
        ]
        if self.marker.get("version") != self.version:
            changes.append("another version of the recording")
        if changes:
            raise UsageError(
                f"{job.out}: {self.name} was made with {', '.join(changes)}; use `overwrite` to start again,"
                " or another `out`"
            )
        if any(before.get(key) != self.asked.get(key) for key in redone):
            return None
        known: dict[str, Any] = {
            k: v for k, v in self.marker.get("record", {}).items() if k in SourceRecord.__annotations__
        }
        return SourceRecord(**{**known, "name": self.name, "state": DONE})

    def upload(
        self, labels: Path, record: SourceRecord, before_marker: Callable[[], None] = lambda: None
    ) -> None:
        """Put a folder of labels into the storage: the old marker goes first, the new one comes last.

        `before_marker` is called when all else is there. Raises OutputError.
        """
        name, out = self.name, self.out
        files = {
            path.relative_to(labels).as_posix(): path for path in sorted(labels.rglob("*")) if _is_label(path)
        }
        try:
            out.remove(f"{name}/{MARKER}")
            for file, path in files.items():
                out.put(path, f"{name}/{file}")
            for file in set((self.marker or {}).get("files", {})) - files.keys():
                out.remove(f"{name}/{file}")
            before_marker()
            sizes = {file: path.stat().st_size for file, path in files.items()}
            marker = {"asked": self.asked, "version": self.version, "files": sizes, "record": asdict(record)}
            out.write_json(f"{name}/{MARKER}", marker)
            out.remove(f"{name}/{FAILURE}")
        except StorageError as error:
            raise OutputError(str(error)) from error


def _is_label(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and not path.name.endswith(HIDDEN)


def record_failure(record: SourceRecord, out: Storage | None) -> None:
    """Leave word in the storage of a recording that failed, as far as it can be reached."""
    if out is not None and record.state == FAILED:
        with suppress(AnnotatorError):
            out.write_json(f"{record.name}/{FAILURE}", {"record": asdict(record)})
