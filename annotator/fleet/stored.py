"""Labelling what is stored elsewhere: fetched to scratch, labelled as ever, uploaded whole, with a marker last."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from annotator.detection import Detector
from annotator.errors import RecordingOutputError, SourceError, UsageError
from annotator.fleet.address import url_of
from annotator.fleet.listing import LocalRecording, StoredRecording, recordings
from annotator.fleet.markers import StoredLabels, asked_of, output_of, record_failure
from annotator.fleet.scratch import require_room, scratch_of
from annotator.fleet.storage import Storage, StorageError
from annotator.options import AnnotationJob
from annotator.pipeline.annotate import attempt, bounded, run_metadata
from annotator.pipeline.events import Event, RunStarted, SourceEnded, StepStarted
from annotator.pipeline.run import Run
from annotator.store import FILE_NAME as STORE_NAME
from annotator.store.records import DONE
from annotator.video import Findings, find


def is_stored(job: AnnotationJob) -> bool:
    """Whether anything of a job lies elsewhere."""
    return any(url_of(path) for path in (job.out, *job.inputs))


def annotate_stored(job: AnnotationJob, detector: Detector | None = None) -> Generator[Event, None, None]:
    """Label recordings of object storage, as `annotate` does; labels go to a folder, or to a storage.

    In a storage a recording has a marker when all of its labels are there; what has the marker of this job is done.
    Raises UsageError for addresses that can't be used and for labels made otherwise, OutputError when labels can't be
    written.
    """
    out = output_of(job.out)
    inputs = places_of(job)
    scratch = scratch_of(job)
    detector = detector or Detector.load(job.weights, job.device, job.detection)
    work = scratch / "labels" if out else job.out
    asked = asked_of(job, detector)
    with Run(work, run_metadata(job, detector, Findings([], [])), [], job.part) as run:
        yield RunStarted(run, ())
        for recording in found(inputs, job):
            there = StoredLabels.of(out, recording.name, asked, recording.version) if out else None
            known = there.known(job) if there else None
            run.add(recording, known)
            if known is not None:
                yield SourceEnded(known, changed=False)
                continue
            task = _Task(recording, run, detector, job, scratch / "inputs", there)
            yield from attempt(recording, run, task.labelling())
            record_failure(run.record(recording), out)


def places_of(job: AnnotationJob) -> list[Storage | Path]:
    """Where the recordings of a job are. Raises UsageError for an address that can't be used."""
    return [Storage(url) if (url := url_of(path)) else path for path in job.inputs]


def found(inputs: list[Storage | Path], job: AnnotationJob) -> Iterator[StoredRecording | LocalRecording]:
    """The recordings of this shard, as they are listed. Raises UsageError for a place that has none."""
    part, names = job.part, set[str]()
    for place in inputs:
        is_empty = True
        listed: Iterator[StoredRecording | LocalRecording]
        listed = map(LocalRecording, find([place]).sources) if isinstance(place, Path) else recordings(place)
        for recording in listed:
            is_empty = False
            if recording.name in names or recording.name in job.past.ended:
                continue
            names.add(recording.name)
            if part is None or part.holds(recording.name):
                yield recording
        if is_empty and isinstance(place, Storage):
            raise UsageError(f"{place.name}: holds no recordings; check the address")


@contextmanager
def named(recording: StoredRecording | LocalRecording, copy: Path) -> Iterator[None]:
    """A block whose faults are of a recording: their sentences name it, not the copy of it in a folder."""
    try:
        yield
    except StorageError as error:
        raise SourceError(str(error)) from error
    except (SourceError, RecordingOutputError) as error:
        sentence = str(error)
        if isinstance(recording, StoredRecording):
            for path in (copy / Path(recording.key).name, copy):
                sentence = sentence.replace(str(path), recording.address)
        raise type(error)(sentence) from error


@dataclass(frozen=True)
class _Task:
    """What there is to do for one recording."""

    recording: StoredRecording | LocalRecording
    run: Run
    detector: Detector
    job: AnnotationJob
    inputs: Path
    there: StoredLabels | None  # None: labels go to a folder

    def labelling(self) -> Generator[Event, None, bool]:
        """Fetch, label, upload and tidy up."""
        folder = self.inputs / self.recording.name
        try:
            with named(self.recording, folder):
                return (yield from self._labelling(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _labelling(self, folder: Path) -> Generator[Event, None, bool]:
        labels, there = self.run.folder(self.recording), self.there
        if isinstance(self.recording, LocalRecording):
            source = self.recording.source
        else:
            require_room(self.recording, self.inputs, self.job)
            yield StepStarted(self.recording.name, "fetch")
            source = self.recording.fetch(folder)
        if there is not None and there.marker is not None and not self.job.overwrite:
            there.out.fetch(f"{self.recording.name}/{STORE_NAME}", -1, labels / STORE_NAME)
        changed = yield from bounded(source, self.run, self.detector, self.job)
        if there is not None:
            yield StepStarted(self.recording.name, "upload")
            seconds = self.run.elapsed(self.recording.name)
            there.upload(labels, replace(self.run.record(self.recording), state=DONE, seconds=seconds))
            shutil.rmtree(labels, ignore_errors=True)
            changed = True
        return changed
