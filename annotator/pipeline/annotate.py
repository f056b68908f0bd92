"""annotate(): recordings in, label files out. Three verbs, detect, associate, publish, share the store."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from annotator.detection import Detector
from annotator.errors import AnnotatorError, OutputError, RecordingOutputError, SourceError
from annotator.escape import encodable
from annotator.labels import BY_ID
from annotator.options import AnnotationJob, Attempts, DetectionOptions, TrackingOptions
from annotator.pipeline.events import (
    Event,
    FramesLabelled,
    RunStarted,
    SourceEnded,
    SourceStarted,
    SourceTaken,
    StepStarted,
)
from annotator.pipeline.publish import publish, unpublish
from annotator.pipeline.run import TRACEBACK_NAME, Named, Run
from annotator.review.preview import is_current, remove, write_preview
from annotator.store import FILE_NAME as STORE_NAME
from annotator.store import Edited, Store
from annotator.store.fingerprint import content_hash, fingerprint
from annotator.tracking import associate
from annotator.video import Findings, Loader, Source, find

log = logging.getLogger(__name__)

MOST_NAMED = 100  # paths of what was passed over, in run.json


def annotate(job: AnnotationJob, detector: Detector | None = None) -> Generator[Event, None, None]:
    """Label every pending source of a job; one bad source never ends the run.

    Without a `detector` the job's weights are loaded. Close the generator to stop: what is
    labelled stays, and the same job goes on from there. Raises UsageError before anything is labelled,
    OutputError when labels can't be written.

    >>> from pathlib import Path
    >>> from annotator import AnnotationJob, annotate
    >>> *_, last = annotate(AnnotationJob((Path("drive.mp4"),), out=Path("run"), formats=("coco",)))
    >>> last.record.state, last.record.frames
    ('done', 24)
    """
    findings = find(job.inputs)
    part = job.part
    sources = [source for source in findings.sources if part is None or part.holds(source.name)]
    detector = detector or Detector.load(job.weights, job.device, job.detection)
    with Run(job.out, run_metadata(job, detector, findings), sources, part) as run:
        if not job.overwrite:
            check_stores(run, sources, detector, job.past)
        yield RunStarted(run, tuple(findings.passed_over))
        for source in sources:
            if source.name not in job.past.ended:
                yield from attempt(source, run, bounded(source, run, detector, job))


def attempt(source: Named, run: Run, labelling: Generator[Event, None, bool]) -> Generator[Event, None, None]:
    """Take one source through `labelling`, which tells whether anything was left to do, and record how it went.

    Raises OutputError when nothing more can be written.
    """
    run.started(source)
    yield SourceTaken(source.name)
    worked = True
    try:
        worked = yield from labelling
        run.done(source, worked)
    except RecordingOutputError as error:
        run.failed(source, str(error))  # raises OutputError when nothing can be written at all
    except OutputError:
        raise  # nothing more can be written
    except Exception as error:
        run.failed(source, describe_failure(error, run.record(source).path, run.folder(source)))
    yield SourceEnded(run.record(source), worked)


def bounded(source: Source, run: Run, detector: Detector, job: AnnotationJob) -> Generator[Event, None, bool]:
    """Label a source that is within the bounds."""
    require_bounds(source, run.folder(source), job)
    return (yield from label(source, run, detector, job))


def label(source: Source, run: Run, detector: Detector, job: AnnotationJob) -> Generator[Event, None, bool]:
    """Take one source through the three steps; False when nothing was left to do."""
    folder = run.folder(source)
    shaped_by = fingerprint_of(source, detector)
    overwrite = job.overwrite and source.name not in job.past.begun
    if overwrite:
        unpublish(folder)
        remove(folder)
    with Store.open(folder, shaped_by, overwrite) as store:
        try:
            detected = yield from detect(source, detector, store, job.batch_size)
            tracked = yield from track(source, store, job.tracking)
            published = yield from publish(source, store, folder, job.formats, job.publishing)
            previewed = job.preview and (yield from preview(source, store, folder))
        finally:
            run.count(source, store)
    return detected or tracked or published or previewed


def detect(source: Source, detector: Detector, store: Store, batch_size: int) -> Generator[Event, None, bool]:
    """Fill the store with the instances of every frame that it lacks."""
    if store.progress.detected:
        log.info("%s: all %d frames are in the store already", source.name, store.frame_count)
        return False
    options = detector.options
    yield SourceStarted(source.name, expected_frames(source, options))
    frames, last = store.frame_count, store.next_index() - 1
    if frames:
        log.info("%s: goes on behind frame %d, with %d frames in the store", source.name, last, frames)
    first = max(options.start, last)  # the last one is read again, so that nothing behind it gets lost
    step = 1 if options.fill_every else options.every
    with Loader(source, detector.device, batch_size, first, options.end, step) as batches:
        for found in detector.stream(batches, after=last):
            store.add(found, batches.take_gaps(), carried=options.fill_every)
            frames += len(found)
            yield FramesLabelled(source.name, frames, len(found), sum(map(len, found)))
        store.add([], batches.take_gaps())
    if store.frame_count == 0:
        raise SourceError(f"{source.path}: no frame to label; look at `start` and `end`, or at the file")
    progress = store.progress.with_remarks("detect", tuple(source.remarks))
    # Times out of order can't be put in order without those of the frames between.
    goes_by_index = step > 1 and not source.is_in_order
    store.update(replace(progress, detected=True, goes_by_index=goes_by_index))
    return True


def track(source: Named, store: Store, options: TrackingOptions) -> Generator[Event, None, bool]:
    """Follow the instances of the whole recording, unless that is done with these options, or people edited tracks."""
    made_by = store.progress.tracking
    if made_by == options or isinstance(made_by, Edited):
        log.info("%s: its tracks are kept (%s)", source.name, made_by)
        return False
    yield StepStarted(source.name, "associate")
    associate(store, options)
    return True


def preview(source: Source, store: Store, folder: Path) -> Generator[Event, None, bool]:
    """Draw the labels over their recording, unless that is done with these labels."""
    if is_current(store, folder):
        return False
    yield StepStarted(source.name, "preview")
    return write_preview(store, source, folder)


def check_stores(run: Run, sources: Sequence[Source], detector: Detector, past: Attempts) -> None:
    """Raise UsageError, before hours of work, when a store that is there was made with other options."""
    for source in sources:
        if source.name in past.begun:
            continue
        try:
            if (run.folder(source) / STORE_NAME).is_file():
                with Store.read(run.folder(source)) as store:
                    store.check(fingerprint_of(source, detector))
        except (SourceError, RecordingOutputError, OSError):
            continue  # told when its turn comes


def require_bounds(source: Source, folder: Path, job: AnnotationJob) -> None:
    """Raise SourceError for a source that has killed its process too often, or is larger than is wished for."""
    deaths = job.past.deaths.get(source.name, ())
    if len(deaths) > job.faults.retries:
        times = "once" if len(deaths) == 1 else f"{len(deaths)} times"
        where = ""
        if trace := job.past.traces.get(source.name):
            where = f"; {folder / TRACEBACK_NAME} says where" * leave_trace(folder, trace)
        raise SourceError(
            f"{source.path}: given up, as it ended its process {times} (last: {deaths[-1]}){where}; check the file,"
            " and convert it or leave it out"
        )
    if job.faults.max_gb is not None:
        size = sum(path.stat().st_size for path in source.files) / 1e9
        if size > job.faults.max_gb:
            raise SourceError(
                f"{source.path}: has {size:.3g} GB, more than `max_gb` {job.faults.max_gb:g}; cut it into parts"
            )


def leave_trace(folder: Path, trace: str) -> bool:
    """Whether what says where a fault was could be written beside the labels."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRACEBACK_NAME).write_text(encodable(trace), encoding="utf-8")
    except OSError:
        return False
    return True


def fingerprint_of(source: Source, detector: Detector) -> dict[str, Any]:
    """All that shapes the labels of a source."""
    checkpoint = detector.runtime.checkpoint
    return fingerprint(
        content_hash(source.files), checkpoint.sha256, checkpoint.head_sha256, detector.made_with
    )


def expected_frames(source: Source, options: DetectionOptions) -> int | None:
    """How many frames there are to label, as far as the source can tell without decoding."""
    length = source.length_hint()
    if length is None:
        return None
    end = length if options.end is None else min(options.end, length)
    seen = max(0, -(-(end - options.start) // options.every))
    return (seen - 1) * options.every + 1 if options.fill_every and seen else seen


def run_metadata(job: AnnotationJob, detector: Detector, findings: Findings) -> dict[str, Any]:
    """What run.json says of the run as a whole."""
    runtime, checkpoint = detector.runtime, detector.runtime.checkpoint
    return {
        "weights": {
            "file": "default" if job.weights is None else str(job.weights),
            "sha256": checkpoint.sha256,
            "head_sha256": checkpoint.head_sha256,
            "architecture": checkpoint.spec.architecture,
            "classes": [BY_ID[i].name for i in checkpoint.spec.class_ids],
        },
        "options": {
            "inputs": [str(path) for path in job.inputs],
            "formats": list(job.formats),
            "device": str(runtime.device),
            "runtime": runtime.name,
            "precision": runtime.precision,
            "batch_size": job.batch_size,
            "detection": asdict(job.detection),
            "tracking": asdict(job.tracking),
            "publishing": asdict(job.publishing),
        },
        "passed_over": [os.path.abspath(path) for path in findings.passed_over[:MOST_NAMED]],
        "passed_over_count": len(findings.passed_over),
    }


def describe_failure(error: Exception, path: str, folder: Path) -> str:
    """Why a source failed, in a sentence; a fault that nobody foresaw leaves its traceback in the folder."""
    if isinstance(error, AnnotatorError):
        return str(error)
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "allocate memory" in str(error):
        return f"{path}: not enough memory; use a smaller `batch_size` or `scale`"
    if isinstance(error, OSError):
        return f"{path}: can't be read ({error.strerror or error}); check that it is there and may be read"
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    if not leave_trace(folder, "".join(traceback.format_exception(error))):
        return f"{path}: failed unexpectedly ({kind})"
    return f"{path}: failed unexpectedly ({kind}); {folder / TRACEBACK_NAME} says where, please report it"
