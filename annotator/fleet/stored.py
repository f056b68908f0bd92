"""Labelling what is stored elsewhere: fetched to scratch, labelled as ever, uploaded whole, with a marker last."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotator.detection import Detector
from annotator.errors import AnnotatorError, OutputError, RecordingOutputError, SourceError, UsageError
from annotator.escape import to_json
from annotator.fleet.address import url_of
from annotator.fleet.listing import StoredRecording, recordings
from annotator.fleet.storage import Storage, StorageError
from annotator.options import AnnotationJob
from annotator.pipeline.annotate import attempt, bounded, run_metadata
from annotator.pipeline.events import Event, RunStarted, SourceEnded, StepStarted
from annotator.pipeline.run import Run
from annotator.store import FILE_NAME as STORE_NAME
from annotator.store.fingerprint import fingerprint, named
from annotator.store.records import DONE, FAILED, SourceRecord
from annotator.video import Findings, Source, find

MARKER, FAILURE = (
    "_labels.json",
    "_failed.json",
)  # in the folder of a recording: what it holds, or why it has nothing
HIDDEN = (".tmp", ".old", ".part", "-wal", "-shm", "-journal")  # ends of names that are no labels


def is_stored(job: AnnotationJob) -> bool:
    """Whether anything of a job lies elsewhere."""
    return any(url_of(path) for path in (job.out, *job.inputs))


def annotate_stored(job: AnnotationJob, detector: Detector | None = None) -> Generator[Event, None, None]:
    """Label recordings of object storage, as `annotate` does; labels go to a folder, or to a storage.

    In a storage a recording has a marker when all of its labels are there; what has the marker of this job is done.
    Raises UsageError for addresses that can't be used and for labels made otherwise, OutputError when labels can't be
    written.
    """
    out = _output(job.out)
    inputs = [Storage(url) if (url := url_of(path)) else path for path in job.inputs]
    scratch = _scratch(job)
    detector = detector or Detector.load(job.weights, job.device, job.detection)
    work = scratch / "labels" if out else job.out
    shaped_by = asked_of(job, detector)
    with Run(work, run_metadata(job, detector, Findings([], [])), [], job.part) as run:
        yield RunStarted(run, ())
        for recording in _found(inputs, job):
            marker = out.read_json(f"{recording.name}/{MARKER}") if out else None
            known = _known(recording, marker, shaped_by, job)
            run.add(recording, known)
            if known is not None:
                yield SourceEnded(known, changed=False)
                continue
            task = _Task(recording, run, detector, job, scratch / "inputs", out, marker, shaped_by)
            yield from attempt(recording, run, task.labelling())
            _record_failure(run.record(recording), out)


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


def _output(path: Path) -> Storage | None:
    url = url_of(path)
    if url is None:
        return None
    out = Storage(url)
    if not out.is_writable:
        raise UsageError(
            f"`out` {out.name}: can only be read; name a folder or a storage that can be written"
        )
    return out


def _scratch(job: AnnotationJob) -> Path:
    """A folder of this machine for this job: the same one when it goes on."""
    own = hashlib.sha256(f"{job.out}\0{job.shard}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return (job.storage.scratch or Path(tempfile.gettempdir())) / f"spatialemb-{own}"


def _found(inputs: list[Storage | Path], job: AnnotationJob) -> Iterator[StoredRecording | _Local]:
    """The recordings of this shard, as they are listed."""
    part, names = job.part, set[str]()
    for place in inputs:
        is_empty = True
        found: Iterator[StoredRecording | _Local]
        found = map(_Local, find([place]).sources) if isinstance(place, Path) else recordings(place)
        for recording in found:
            is_empty = False
            if recording.name in names or recording.name in job.past.ended:
                continue
            names.add(recording.name)
            if part is None or part.holds(recording.name):
                yield recording
        if is_empty and isinstance(place, Storage):
            raise UsageError(f"{place.name}: holds no recordings; check the address")


@dataclass(frozen=True)
class _Local:
    """A recording of this machine, whose labels go elsewhere."""

    source: Source

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def path(self) -> Path:
        return self.source.path

    @property
    def size(self) -> int:
        return sum(file.stat().st_size for file in self.source.files)

    @property
    def version(self) -> str:
        return max((str(file.stat().st_mtime_ns) for file in self.source.files), default="")

    def fetch(self, folder: Path) -> Source:
        return self.source


def _known(
    recording: StoredRecording | _Local,
    marker: Mapping[str, Any] | None,
    shaped_by: Mapping[str, Any],
    job: AnnotationJob,
) -> SourceRecord | None:
    """The record of a recording that is done; None where there is work.

    Raises UsageError when its labels were made otherwise, and are not to be overwritten.
    """
    if marker is None or job.overwrite:
        return None
    before = marker.get("asked") or {}
    redone = ("tracking", "publishing", "formats", "preview")  # from the store, without detection
    changes = [
        f"{named(key)} {before.get(key, 'none')} (not {shaped_by.get(key, 'none')})"
        for key in {**before, **shaped_by}
        if key not in redone and before.get(key) != shaped_by.get(key)
    ]
    if marker.get("version") != recording.version:
        changes.append("another version of the recording")
    if changes:
        raise UsageError(
            f"{job.out}: {recording.name} was made with {', '.join(changes)}; use `overwrite` to start again,"
            " or another `out`"
        )
    if any(before.get(key) != shaped_by.get(key) for key in redone):
        return None
    known: dict[str, Any] = {
        k: v for k, v in marker.get("record", {}).items() if k in SourceRecord.__annotations__
    }
    return SourceRecord(**{**known, "name": recording.name, "state": DONE})


@dataclass(frozen=True)
class _Task:
    """What there is to do for one recording."""

    recording: StoredRecording | _Local
    run: Run
    detector: Detector
    job: AnnotationJob
    inputs: Path
    out: Storage | None
    marker: Mapping[str, Any] | None
    shaped_by: Mapping[str, Any]

    def labelling(self) -> Generator[Event, None, bool]:
        """Fetch, label, upload and tidy up."""
        folder = self.inputs / self.recording.name
        labels = self.run.folder(self.recording)
        try:
            self._require_room()
            yield StepStarted(self.recording.name, "fetch")
            source = self.recording.fetch(folder)
            if self.out is not None and self.marker is not None and not self.job.overwrite:
                self.out.fetch(f"{self.recording.name}/{STORE_NAME}", -1, labels / STORE_NAME)
            changed = yield from bounded(source, self.run, self.detector, self.job)
            if self.out is not None:
                yield StepStarted(self.recording.name, "upload")
                self._upload(labels, self.out)
                shutil.rmtree(labels, ignore_errors=True)
                changed = True
            return changed
        except StorageError as error:
            raise SourceError(str(error)) from error
        except (SourceError, RecordingOutputError) as error:
            raise type(error)(self._named(str(error), folder)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _named(self, sentence: str, folder: Path) -> str:
        """A sentence that names the recording, not the copy of it."""
        if isinstance(self.recording, _Local):
            return sentence
        for copy in (folder / Path(self.recording.key).name, folder):
            sentence = sentence.replace(str(copy), self.recording.address)
        return sentence

    def _require_room(self) -> None:
        """Raise SourceError for a recording that is larger than scratch may be, or is."""
        if isinstance(self.recording, _Local) or self.recording.size < 0:
            return
        self.inputs.mkdir(parents=True, exist_ok=True)
        bound, size = self.job.storage.scratch_gb, self.recording.size / 1e9
        free = shutil.disk_usage(self.inputs).free / 1e9
        address = self.recording.address
        if self.job.faults.max_gb is not None and size > self.job.faults.max_gb:
            raise SourceError(f"{address}: has {size:.3g} GB, more than `max_gb` {self.job.faults.max_gb:g}")
        if bound is not None and size > bound:
            raise SourceError(f"{address}: has {size:.3g} GB, more than `scratch_gb` {bound:g}; give it more")
        if size > free:
            raise SourceError(
                f"{address}: has {size:.3g} GB, and {self.inputs} has room for {free:.3g}; make room, or choose"
                " another `scratch`"
            )

    def _upload(self, labels: Path, out: Storage) -> None:
        """Put the labels into the storage: the old marker goes first, the new one comes last. Raises OutputError."""
        name = self.recording.name
        files = {
            path.relative_to(labels).as_posix(): path for path in sorted(labels.rglob("*")) if _is_label(path)
        }
        try:
            out.remove(f"{name}/{MARKER}")
            for file, path in files.items():
                out.put(path, f"{name}/{file}")
            for file in set((self.marker or {}).get("files", {})) - files.keys():
                out.remove(f"{name}/{file}")
            record = replace(self.run.record(self.recording), state=DONE)
            sizes = {file: path.stat().st_size for file, path in files.items()}
            marker = {"asked": self.shaped_by, "version": self.recording.version, "files": sizes}
            out.write_json(f"{name}/{MARKER}", {**marker, "record": asdict(record)})
            out.remove(f"{name}/{FAILURE}")
        except StorageError as error:
            raise OutputError(str(error)) from error


def _is_label(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and not path.name.endswith(HIDDEN)


def _record_failure(record: SourceRecord, out: Storage | None) -> None:
    """Leave word in the storage of a recording that failed, as far as it can be reached."""
    if out is not None and record.state == FAILED:
        with suppress(AnnotatorError):
            out.write_json(f"{record.name}/{FAILURE}", {"record": asdict(record)})
