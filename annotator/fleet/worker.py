"""What a process of a cluster does: look at a recording, detect in a chunk of it, finish it. It knows of no cluster."""

from __future__ import annotations

import logging
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from annotator.detection import Detector
from annotator.errors import SourceError
from annotator.fleet.scratch import Beat, Scratch
from annotator.fleet.tasks import Span, Task, chunk_folder
from annotator.fleet.vitals import activity, resident_bytes
from annotator.frames import Gap
from annotator.options import AnnotationJob, Attempts
from annotator.pipeline.annotate import (
    expected_frames,
    fingerprint_of,
    preview,
    require_bounds,
    track,
)
from annotator.pipeline.events import Event
from annotator.pipeline.publish import publish
from annotator.pipeline.run import counts_of, versions
from annotator.store import FILE_NAME as STORE_NAME
from annotator.store import Recording, Store
from annotator.store.records import SourceRecord
from annotator.video import Loader, Source
from annotator.video.container import Video
from annotator.video.decoding import Flaw
from annotator.video.seeking import PacketList, packets_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What there is to detect in a recording."""

    frames: int | None  # as far as the recording can tell
    spans: tuple[Span, ...]  # none where all is detected
    shaped_by: Mapping[str, Any]  # the fingerprint of its store
    is_video: bool


@dataclass(frozen=True)
class Detected:
    """What a chunk holds, beside the frames and instances of its store."""

    span: Span
    frames: int
    instances: int
    is_in_order: bool
    remarks: tuple[str, ...]
    gaps: tuple[Gap, ...]  # those behind its last frame: the store of no frame doesn't keep them
    is_as_listed: bool  # so that chunks behind it can begin at keyframes
    has_entered: bool  # it began at one itself


@dataclass(frozen=True)
class Finished:
    """What became of a recording."""

    changed: bool  # False: nothing was left to do
    counts: Mapping[str, Any]  # as `counts_of` has them


class Worker:
    """A process with a detector."""

    def __init__(self, job: AnnotationJob, load: Callable[..., Detector]) -> None:
        import torch

        threads = job.engine.worker_threads
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
        self._job = job
        self._detector = load(job.weights, job.device, job.detection)
        self._scratch = Scratch(job)
        self._listed: tuple[Any, PacketList | None] | None = None
        self._done, self._thread = 0, threading.get_native_id()

    def facts(self) -> Any:
        """What shapes labels here, in the form of a Detector's attributes; all workers must have the same."""
        runtime, spec = self._detector.runtime, self._detector.spec
        checkpoint = SimpleNamespace(
            sha256=runtime.checkpoint.sha256,
            head_sha256=runtime.checkpoint.head_sha256,
            spec=SimpleNamespace(architecture=spec.architecture, class_ids=spec.class_ids),
        )
        return SimpleNamespace(
            runtime=SimpleNamespace(
                checkpoint=checkpoint,
                device=str(runtime.device),
                name=runtime.name,
                precision=runtime.precision,
            ),
            made_with=self._detector.made_with,
        )

    def place(self) -> tuple[str, int, dict[str, str]]:
        """The machine, the process, and what is installed there."""
        return socket.gethostname(), os.getpid(), {**versions(), "python": platform.python_version()}

    def vitals(self) -> tuple[Any, int]:
        """What changes with every batch of frames and whenever the thread at work reads or writes; bytes of memory."""
        process = os.getpid()
        return (self._done, activity(process, self._thread)), resident_bytes(process)

    def tidy(self) -> None:
        """Leave nothing on this machine that nobody needs, also of workers that were killed."""
        self._scratch.clear()

    def _beat(self) -> None:
        self._done, self._thread = self._done + 1, threading.get_native_id()

    def plan(self, task: Task, past: Attempts) -> Plan:
        """Look at a recording and its labels so far. Raises SourceError, UsageError."""
        job = replace(self._job, past=past)
        with task.reading(self._scratch, self._beat) as source:
            with task.labels.folder(self._scratch) as folder:
                require_bounds(source, folder, job)
                shaped_by = fingerprint_of(source, self._detector)
                overwrite = job.overwrite and source.name not in past.begun
                if overwrite:
                    task.labels.forget()
                expected = expected_frames(source, job.detection)
                if task.labels.are_detected():
                    return Plan(expected, (), shaped_by, source.is_video)
                with Store.open(folder, shaped_by, overwrite) as store:
                    if store.progress.detected:
                        return Plan(store.frame_count, (), shaped_by, source.is_video)
                    known = store.next_index()
            spans = _spans(job, expected or 1, known)
            return Plan(expected, spans, shaped_by, source.is_video)

    def detect(self, task: Task, span: Span) -> Detected:
        """Detect in a chunk, into a store of its own, which goes on where it stopped. Raises SourceError."""
        with task.reading(self._scratch, self._beat) as source:
            shaped_by = fingerprint_of(source, self._detector)
            with task.labels.chunk(span, shaped_by, self._scratch) as folder:
                if isinstance(source, Video) and span.has_others:
                    source = replace(source, packets=self._packets_of(source.path), enters=span.enters)
                try:
                    return self._detect(source, folder, shaped_by, span)
                except Flaw as flaw:
                    log.info("%s: frame %d is decoded from the start: %s", task.name, span.start, flaw)
                    source, span = Video(source.path, source.name), replace(span, is_anew=True)
                    return self._detect(source, folder, shaped_by, span)

    def finish(self, task: Task, plan: Plan, chunks: tuple[Detected, ...], seconds: float) -> Finished:
        """`finish` a recording."""
        self._beat()
        return finish(task, self._job, plan, chunks, seconds, self._scratch, self._beat)

    def _packets_of(self, path: Path) -> PacketList | None:
        """The packets of the video that this process is at."""
        status = path.stat()
        mark = (path, status.st_size, status.st_mtime_ns)
        if self._listed is None or self._listed[0] != mark:
            self._listed = mark, packets_of(path)
        return self._listed[1]

    def _detect(self, source: Source, folder: Path, shaped_by: Mapping[str, Any], span: Span) -> Detected:
        options = self._detector.options
        with Store.open(folder, shaped_by, overwrite=span.is_anew) as store:
            # The frame before is seen again: how far things moved since is measured by it.
            after = max(store.next_index() - 1, span.start - options.every)
            if after < options.start:
                after = -1
            first = max(options.start, after)
            with Loader(
                source, self._detector.device, self._job.batch_size, first, span.end, options.every
            ) as batches:
                for found in self._detector.stream(batches, after=after):
                    store.add(found, batches.take_gaps())
                    self._beat()
                gaps = batches.take_gaps()
            store.add([], gaps)
            self._beat()
            return Detected(
                span,
                store.frame_count,
                store.instance_count,
                source.is_in_order,
                tuple(source.remarks),
                tuple(gaps),
                isinstance(source, Video) and source.is_as_listed,
                isinstance(source, Video) and source.entry_of(first) is not None,
            )


def _spans(job: AnnotationJob, expected: int, known: int) -> tuple[Span, ...]:
    """The chunks of a recording of so many frames, but for those that lie below frame `known`."""
    options = job.detection
    step = job.engine.chunk_frames * options.every
    behind = options.start + expected * options.every
    # Always at the same frames, so that chunks of a run that was killed are known again.
    starts = [k for k in range(options.start, behind, step) if k + step > known] or [behind]
    # The last one goes to the end: how many frames there are shows when they are decoded.
    ends = [*starts[1:], options.end]
    # The first one decodes what is before it too, so that every packet is decoded by one of them.
    return tuple(
        Span(a, b, has_others=len(starts) > 1, enters=a > starts[0])
        for a, b in zip(starts, ends, strict=True)
    )


def unproven(chunks: Iterable[Detected]) -> list[Detected]:
    """Chunks that began at a keyframe though one before them isn't as listed: their frames may have other numbers."""
    is_listed, found = True, []
    for chunk in sorted(chunks, key=lambda chunk: chunk.span.start):
        if chunk.has_entered and not is_listed:
            found.append(chunk)
        is_listed &= chunk.is_as_listed
    return found


def finish_alone(
    job: AnnotationJob, task: Task, plan: Plan, chunks: tuple[Detected, ...], seconds: float
) -> Finished:
    """`finish` a recording in a process that nothing else is done in."""
    scratch = Scratch(job)
    try:
        return finish(task, job, plan, chunks, seconds, scratch, lambda: None)
    finally:
        scratch.tidy()


def finish(
    task: Task,
    job: AnnotationJob,
    plan: Plan,
    chunks: tuple[Detected, ...],
    seconds: float,
    scratch: Scratch,
    beat: Beat,
) -> Finished:
    """Put chunks together, associate and publish; `seconds` were spent before. Raises what the verbs raise."""
    begun = time.monotonic()
    ordered = sorted(chunks, key=lambda chunk: chunk.span.start)
    changed = bool(chunks)
    named = Recording(task.name, task.path, plan.is_video)
    with task.labels.folder(scratch) as folder:
        task.labels.gather(folder, [chunk.span for chunk in ordered], plan.shaped_by)
        with Store.open(folder, plan.shaped_by) as store:
            if not store.progress.detected:
                _merge(store, task, folder, job, ordered, beat)
            changed |= _drain(track(named, store, job.tracking), beat)
            changed |= _drain(publish(named, store, folder, job.formats, job.publishing), beat)
            if job.preview:
                with task.reading(scratch, beat) as source:
                    changed |= _drain(preview(source, store, folder), beat)
            counts = counts_of(store)
        seconds = round(seconds + time.monotonic() - begun, 3)
        record = SourceRecord(task.name, task.address or str(task.path), seconds=seconds, **counts)
        task.labels.keep(folder, record)
    return Finished(changed, counts)


def _drain(step: Generator[Event, None, bool], beat: Beat) -> bool:
    """What a step returns, with a beat for whatever it tells on the way."""
    while True:
        try:
            next(step)
            beat()
        except StopIteration as end:
            return bool(end.value)


def _merge(
    store: Store, source: Task, folder: Path, job: AnnotationJob, chunks: list[Detected], beat: Beat
) -> None:
    """Fill the store of a recording with what its chunks hold."""
    for chunk in chunks:
        place = chunk_folder(folder, chunk.span)
        if not (place / STORE_NAME).is_file():
            store.add([], chunk.gaps)
            continue
        with Store.read(place) as part:
            last = store.next_index() - 1
            batch = []
            for found in part.detections():
                if found.frame.index > last:
                    batch.append(found)
                if len(batch) >= job.batch_size:
                    store.add(batch)
                    beat()
                    batch = []
            store.add(batch, part.gaps())
    if store.frame_count == 0:
        raise SourceError(f"{source.path}: no frame to label; look at `start` and `end`, or at the file")
    remarks = tuple(dict.fromkeys(remark for chunk in chunks for remark in chunk.remarks))
    is_in_order = all(chunk.is_in_order for chunk in chunks)
    progress = store.progress.with_remarks("detect", remarks)
    goes_by_index = job.detection.every > 1 and not is_in_order
    store.update(replace(progress, detected=True, goes_by_index=goes_by_index))
