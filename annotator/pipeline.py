"""annotate(): recordings in, label files out. Three verbs, detect, associate, publish, share the store."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from annotator.clustering import instances_of
from annotator.errors import AnnotatorError, OutputError, SourceError, UsageError
from annotator.events import Event, FramesLabelled, RunStarted, SourceEnded, SourceStarted, StepStarted
from annotator.fingerprint import fingerprint, identity
from annotator.labels import BY_ID
from annotator.model.network import RawMaps
from annotator.optical_flow import OpticalFlow
from annotator.options import DetectionOptions, Job, TrackingOptions
from annotator.publishing import publish, unpublish
from annotator.run import TRACEBACK_NAME, Run
from annotator.runtime import Runtime, load_runtime
from annotator.store import EDITED, Store
from annotator.store import FILE_NAME as STORE_NAME
from annotator.tracking import associate
from annotator.video import Batch, Loader, Source, find_sources

Item = TypeVar("Item")


def annotate(job: Job, runtime: Runtime | None = None) -> Generator[Event, None, None]:
    """Label every pending source of a job; one bad source never ends the run.

    `runtime` runs the network; without it the job's weights are loaded. Close the generator to stop: what is
    labelled stays, and the same job goes on from there. Raises UsageError before anything is labelled,
    OutputError when labels can't be written.
    """
    sources = find_sources(job.inputs)
    runtime = runtime or load_runtime(job.weights, job.device, job.detection.precision)
    check_classes(job.detection, runtime)
    with Run(job.out, about(job, runtime), sources) as run:
        if not job.overwrite:
            check_stores(run, sources, runtime, job.detection)
        yield RunStarted(run)
        for source in sources:
            run.started(source)
            worked = True
            try:
                worked = yield from label(source, run, runtime, job)
                run.done(source, worked)
            except OutputError:
                raise  # nothing more can be written
            except Exception as error:
                run.failed(source, explain(error, source, run.folder(source)))
            yield SourceEnded(run.record(source), worked)


def label(source: Source, run: Run, runtime: Runtime, job: Job) -> Generator[Event, None, bool]:
    """Take one source through the three steps; False when nothing was left to do."""
    folder = run.folder(source)
    shaped_by = fingerprint_of(source, runtime, job.detection)
    if job.overwrite:
        unpublish(folder)
    with Store.open(folder, shaped_by, job.overwrite) as store:
        try:
            detected = yield from detect(source, runtime, store, job.detection, job.batch_size)
            tracked = yield from track(source, store, job.tracking)
            published = yield from publish(source, store, folder, job.formats, job.publishing)
        finally:
            run.count(source, store)
    return detected or tracked or published


def detect(
    source: Source, runtime: Runtime, store: Store, options: DetectionOptions, batch_size: int
) -> Generator[Event, None, bool]:
    """Fill the store with the instances of every frame that it lacks."""
    if store.note("detected"):
        return False
    yield SourceStarted(source.name, expected_frames(source, options))
    frames, gaps, last, flow = store.frame_count, 0, store.next_index() - 1, OpticalFlow()
    first = max(options.start, last)  # the last one is read again, so that nothing behind it gets lost
    with Loader(source, runtime.device, batch_size, first, options.end, options.every) as batches:
        for batch, maps in with_maps(unseen(batches, last, flow), runtime, options.scale):
            found = list(map(flow.measured, batch.images, instances_of(maps, batch.refs, options)))
            fresh_gaps = source.gaps[gaps:]
            store.add(found, fresh_gaps)
            gaps += len(fresh_gaps)
            frames += len(found)
            yield FramesLabelled(source.name, frames, len(found), sum(map(len, found)))
    store.add([], source.gaps)
    if store.frame_count == 0:
        raise SourceError(f"{source.path}: no frame to label; look at --start and --end, or at the file")
    store.set_note("detected", True)
    return True


def track(source: Source, store: Store, options: TrackingOptions) -> Generator[Event, None, bool]:
    """Follow the instances of the whole recording, unless that is done with these options, or people edited tracks."""
    tracked = store.note("tracked")
    if tracked == asdict(options) or (tracked and EDITED in tracked):
        return False
    yield StepStarted(source.name, "associate")
    associate(store, options)
    return True


def check_classes(options: DetectionOptions, runtime: Runtime) -> None:
    """Raise UsageError when a class is asked for that the weights don't know."""
    known = runtime.checkpoint.spec.class_ids
    unknown = [BY_ID[i].name for i in options.class_ids or () if i not in known]
    if unknown:
        names = ", ".join(BY_ID[i].name for i in known)
        raise UsageError(f"--classes {unknown[0]}: these weights don't know this class; they know {names}")


def check_stores(run: Run, sources: Sequence[Source], runtime: Runtime, options: DetectionOptions) -> None:
    """Raise UsageError, before hours of work, when a store that is there was made with other options."""
    for source in sources:
        if (run.folder(source) / STORE_NAME).is_file():
            try:
                with Store.read(run.folder(source)) as store:
                    store.check(fingerprint_of(source, runtime, options))
            except (SourceError, OSError):
                continue  # told when its turn comes


def fingerprint_of(source: Source, runtime: Runtime, options: DetectionOptions) -> dict[str, Any]:
    """All that shapes the labels of a source."""
    made_with = replace(options, precision=runtime.precision)
    return fingerprint(identity(source.files), runtime.checkpoint.sha256, made_with)


def expected_frames(source: Source, options: DetectionOptions) -> int | None:
    """How many frames there are to label, as far as the source can tell without decoding."""
    length = source.length_hint()
    if length is None:
        return None
    end = length if options.end is None else min(options.end, length)
    return max(0, -(-(end - options.start) // options.every))


def unseen(batches: Iterable[Batch], last: int, flow: OpticalFlow) -> Iterator[Batch]:
    """The batches without frames up to `last`, which the store has; pixels are followed from there."""
    for batch in batches:
        known = sum(ref.index <= last for ref in batch.refs)
        if known:
            flow.see(batch.images[known - 1])
        if known < len(batch):
            yield Batch(batch.refs[known:], batch.images[known:])


def with_maps(
    batches: Iterable[Batch], runtime: Runtime, scale: float | None
) -> Iterator[tuple[Batch, RawMaps]]:
    """Every batch and its maps; while they are made use of, a thread runs the network on the next batch."""
    with ThreadPoolExecutor(1, "network") as network:
        coming = ((batch, network.submit(runtime.maps, batch.images, scale)) for batch in batches)
        for batch, maps in one_ahead(coming):
            yield batch, maps.result()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each given out when the next one is there; what fails comes behind those before it."""
    ahead = deque[Item]()
    try:
        for item in items:
            ahead.append(item)
            if len(ahead) > 1:
                yield ahead.popleft()
    except Exception:
        yield from ahead
        raise
    yield from ahead


def about(job: Job, runtime: Runtime) -> dict[str, Any]:
    """What run.json says of the run as a whole."""
    checkpoint = runtime.checkpoint
    return {
        "weights": {
            "file": "default" if job.weights is None else str(job.weights),
            "sha256": checkpoint.sha256,
            "architecture": checkpoint.spec.architecture,
            "classes": [BY_ID[i].name for i in checkpoint.spec.class_ids],
        },
        "options": {
            "inputs": [str(path) for path in job.inputs],
            "formats": list(job.formats),
            "device": str(runtime.device),
            "precision": runtime.precision,
            "batch_size": job.batch_size,
            "detection": asdict(job.detection),
            "tracking": asdict(job.tracking),
            "publishing": asdict(job.publishing),
        },
    }


def explain(error: Exception, source: Source, folder: Path) -> str:
    """Why a source failed, in a sentence; a fault that nobody foresaw leaves its traceback in the folder."""
    if isinstance(error, AnnotatorError):
        return str(error)
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "allocate memory" in str(error):
        return f"{source.path}: not enough memory; use a smaller --batch-size or --scale"
    if isinstance(error, OSError):
        return f"{source.path}: can't be read ({error.strerror or error})"
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRACEBACK_NAME).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return f"{source.path}: failed unexpectedly ({kind})"
    return (
        f"{source.path}: failed unexpectedly ({kind}); {folder / TRACEBACK_NAME} says where, please report it"
    )
