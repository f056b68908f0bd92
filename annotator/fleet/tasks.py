"""A recording and where its labels go, as every machine of a cluster reaches them: a shared disk, or a storage."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from annotator.errors import OutputError
from annotator.escape import to_json
from annotator.fleet.listing import LocalRecording, StoredRecording
from annotator.fleet.markers import StoredLabels
from annotator.fleet.scratch import Beat, Scratch
from annotator.fleet.storage import Storage, StorageError
from annotator.fleet.stored import named
from annotator.pipeline.publish import unpublish
from annotator.review.preview import remove
from annotator.store import FILE_NAME as STORE_NAME
from annotator.store.records import DONE, SourceRecord
from annotator.video import Source

CHUNKS = ".chunks"  # in the folder of a recording, until it is finished
STORED_CHUNKS = "_chunks"  # the same in a storage


@dataclass(frozen=True)
class Span:
    """Frames start to end - 1 of a recording, at the steps of its run; to its end where that is None."""

    start: int
    end: int | None
    has_others: bool = (
        False  # chunks beside it, which may begin at keyframes if its frames are as packets list them
    )
    enters: bool = False  # at a keyframe; else decoding begins at the start of the recording
    is_anew: bool = False  # what was made of it before is of no use


class Labels(Protocol):
    """Where the labels of a recording go, and its chunks until they are put together."""

    def folder(self, scratch: Scratch) -> Any:
        """A context with the folder of this machine that labels are made in."""

    def chunk(self, span: Span, shaped_by: Mapping[str, Any], scratch: Scratch) -> Any:
        """A context with a folder for the store of a chunk, and what of it was made before; it is kept behind it."""

    def forget(self) -> None:
        """Remove all labels that are there."""

    def are_detected(self) -> bool:
        """Whether a storage has all detections, to be associated or published anew."""

    def gather(self, folder: Path, spans: Sequence[Span], shaped_by: Mapping[str, Any]) -> None:
        """See that a folder has the stores of these chunks; without any, the store that is there."""

    def keep(self, folder: Path, record: SourceRecord) -> None:
        """Labels in the folder are complete: bring them where they go, and let go of chunks."""


@dataclass(frozen=True)
class Task:
    """A recording to label."""

    recording: StoredRecording | LocalRecording
    labels: Labels

    @property
    def name(self) -> str:
        """Its name in the run."""
        return self.recording.name

    @property
    def path(self) -> Path:
        """Where it lies, for sentences."""
        return self.recording.path

    @property
    def address(self) -> str | None:
        """Where it lies elsewhere."""
        return getattr(self.recording, "address", None)

    @contextmanager
    def reading(self, scratch: Scratch, beat: Beat) -> Iterator[Source]:
        """The recording on this machine; faults of the block name it as it is called elsewhere."""
        if isinstance(self.recording, LocalRecording):
            yield self.recording.source
            return
        folder = scratch.place_of(self.recording)
        with named(self.recording, folder), scratch.copy(self.recording, beat) as source:
            yield source


def chunk_folder(folder: Path, span: Span) -> Path:
    """The folder of a chunk's store in that of its recording."""
    return folder / CHUNKS / f"{span.start:08}"


@dataclass(frozen=True)
class SharedFolder:
    """Labels in a folder of a disk that all machines share."""

    path: Path

    def folder(self, scratch: Scratch) -> Any:
        """The folder itself."""
        return nullcontext(self.path)

    def chunk(self, span: Span, shaped_by: Mapping[str, Any], scratch: Scratch) -> Any:
        """A folder in it."""
        return nullcontext(chunk_folder(self.path, span))

    def forget(self) -> None:
        """Remove label files, previews and chunks; the store is overwritten by whoever opens it."""
        unpublish(self.path)
        remove(self.path)
        shutil.rmtree(self.path / CHUNKS, ignore_errors=True)

    def are_detected(self) -> bool:
        """The store tells."""
        return False

    def gather(self, folder: Path, spans: Sequence[Span], shaped_by: Mapping[str, Any]) -> None:
        """They are there."""

    def keep(self, folder: Path, record: SourceRecord) -> None:
        """Labels are where they go."""
        shutil.rmtree(self.path / CHUNKS, ignore_errors=True)


@dataclass(frozen=True)
class InStorage:
    """Labels in a storage: made in folders of scratch, of which nothing is needed any more when a machine is lost."""

    there: StoredLabels
    overwrite: bool

    def folder(self, scratch: Scratch) -> Any:
        """A folder of scratch."""
        return scratch.work()

    @contextmanager
    def chunk(self, span: Span, shaped_by: Mapping[str, Any], scratch: Scratch) -> Iterator[Path]:
        """A folder of scratch, from which the store goes to the storage when the chunk is there."""
        key = self._key(span, shaped_by)
        with scratch.work() as folder:
            if not span.is_anew and self.there.out.one(key) is not None:
                self.there.out.fetch(key, -1, folder / STORE_NAME)
            yield folder
            if (folder / STORE_NAME).is_file():
                try:
                    self.there.out.put(folder / STORE_NAME, key)
                except StorageError as error:
                    raise OutputError(str(error)) from error

    def forget(self) -> None:
        """Remove the chunks of runs that were killed; labels are replaced when there are others."""
        place = f"{self.there.name}/{STORED_CHUNKS}"
        for stored in Storage(f"{self.there.out.url}/{place}").find():
            self.there.out.remove(f"{place}/{stored.key}")

    def are_detected(self) -> bool:
        """A marker that isn't to be overwritten says so."""
        return self.there.marker is not None and not self.overwrite

    def gather(self, folder: Path, spans: Sequence[Span], shaped_by: Mapping[str, Any]) -> None:
        """Fetch them."""
        out = self.there.out
        if not spans:
            out.fetch(f"{self.there.name}/{STORE_NAME}", -1, folder / STORE_NAME)
        for span in spans:
            key = self._key(span, shaped_by)
            if out.one(key) is not None:  # else it has no frame
                out.fetch(key, -1, chunk_folder(folder, span) / STORE_NAME)

    def keep(self, folder: Path, record: SourceRecord) -> None:
        """Upload them, the marker last; chunks go before it, so that a process that is killed leaves none."""
        shutil.rmtree(folder / CHUNKS, ignore_errors=True)
        self.there.upload(folder, replace(record, state=DONE), before_marker=self.forget)

    def _key(self, span: Span, shaped_by: Mapping[str, Any]) -> str:
        """Of a chunk of these options: those of others are not met."""
        digest = hashlib.sha256(to_json(shaped_by, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.there.name}/{STORED_CHUNKS}/{digest}-{span.start:08}.sqlite"
