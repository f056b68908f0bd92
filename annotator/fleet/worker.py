"""What a process of a cluster does: look at a recording, detect in a chunk of it, finish it. It knows of no cluster."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from annotator.detection import Detector
from annotator.errors import SourceError
from annotator.frames import Gap
from annotator.options import AnnotationJob, Attempts
from annotator.pipeline.annotate import (
    expected_frames,
    fingerprint_of,
    preview,
    require_bounds,
    track,
)
from annotator.pipeline.publish import publish, unpublish
from annotator.pipeline.run import versions
from annotator.review.preview import remove
from annotator.store import FILE_NAME as STORE_NAME
from annotator.store import Store
from annotator.video import Loader, Source

CHUNKS = ".chunks"  # in the folder of a recording, until it is finished


@dataclass(frozen=True)
class Span:
    """Frames start to end - 1 of a recording, at the steps of its run; to its end where that is None."""

    start: int
    end: int | None


@dataclass(frozen=True)
class Plan:
    """What there is to detect in a recording."""

    frames: int | None  # as far as the recording can tell
    spans: tuple[Span, ...]  # none where all is detected


@dataclass(frozen=True)
class Detected:
    """What a chunk holds, beside the frames and instances of its store."""

    span: Span
    frames: int
    instances: int
    is_in_order: bool
    remarks: tuple[str, ...]
    gaps: tuple[Gap, ...]  # those behind its last frame: the store of no frame doesn't keep them


class Worker:
    """A process with a detector."""

    def __init__(self, job: AnnotationJob, load: Callable[..., Detector]) -> None:
        import torch

        threads = job.engine.worker_threads
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
        self._job = job
        self._detector = load(job.weights, job.device, job.detection)
        self._done = 0

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

    def beats(self) -> int:
        """A number that changes with every batch of frames."""
        return self._done

    def plan(self, source: Source, folder: Path, past: Attempts) -> Plan:
        """Look at a recording and its labels so far. Raises SourceError, UsageError."""
        job = replace(self._job, past=past)
        require_bounds(source, folder, job)
        shaped_by = fingerprint_of(source, self._detector)
        overwrite = job.overwrite and source.name not in past.begun
        if overwrite:
            unpublish(folder)
            remove(folder)
            shutil.rmtree(folder / CHUNKS, ignore_errors=True)
        with Store.open(folder, shaped_by, overwrite) as store:
            if store.progress.detected:
                return Plan(store.frame_count, ())
            options, known = job.detection, store.next_index()
        expected = expected_frames(source, options)
        step = job.engine.chunk_frames * options.every
        behind = options.start + (expected or 1) * options.every
        # Always at the same frames, so that chunks of a run that was killed are known again.
        starts = [k for k in range(options.start, behind, step) if k + step > known] or [behind]
        # The last one goes to the end: how many frames there are shows when they are decoded.
        return Plan(
            expected, tuple(Span(a, b) for a, b in zip(starts, [*starts[1:], options.end], strict=True))
        )

    def detect(self, source: Source, folder: Path, span: Span) -> Detected:
        """Detect in a chunk, into a store of its own, which goes on where it stopped. Raises SourceError."""
        options = self._detector.options
        with Store.open(_chunk(folder, span), fingerprint_of(source, self._detector)) as store:
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
                    self._done += 1
                gaps = batches.take_gaps()
            store.add([], gaps)
            self._done += 1
            return Detected(
                span,
                store.frame_count,
                store.instance_count,
                source.is_in_order,
                tuple(source.remarks),
                tuple(gaps),
            )


def _chunk(folder: Path, span: Span) -> Path:
    return folder / CHUNKS / f"{span.start:08}"


def finish(
    source: Source, folder: Path, job: AnnotationJob, facts: Any, chunks: tuple[Detected, ...]
) -> bool:
    """Put chunks together, associate and publish; False when nothing was left to do. Raises what the verbs raise."""
    worked = bool(chunks)
    with Store.open(folder, fingerprint_of(source, facts)) as store:
        if not store.progress.detected:
            _merge(store, source, folder, job, sorted(chunks, key=lambda chunk: chunk.span.start))
        for step in (
            track(source, store, job.tracking),
            publish(source, store, folder, job.formats, job.publishing),
            *([preview(source, store, folder)] if job.preview else []),
        ):
            while True:
                try:
                    next(step)
                except StopIteration as end:
                    worked |= bool(end.value)
                    break
    shutil.rmtree(folder / CHUNKS, ignore_errors=True)
    return worked


def _merge(store: Store, source: Source, folder: Path, job: AnnotationJob, chunks: list[Detected]) -> None:
    """Fill the store of a recording with what its chunks hold."""
    for chunk in chunks:
        place = _chunk(folder, chunk.span)
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
                    batch = []
            store.add(batch, part.gaps())
    if store.frame_count == 0:
        raise SourceError(f"{source.path}: no frame to label; look at `start` and `end`, or at the file")
    remarks = tuple(dict.fromkeys(remark for chunk in chunks for remark in chunk.remarks))
    is_in_order = all(chunk.is_in_order for chunk in chunks)
    progress = store.progress.with_remarks("detect", remarks)
    goes_by_index = job.detection.every > 1 and not is_in_order
    store.update(replace(progress, detected=True, goes_by_index=goes_by_index))
