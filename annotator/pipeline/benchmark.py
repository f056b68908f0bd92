"""Measure labelling: how fast it is with each runtime that is there, and where the CPU's time goes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import torch

from annotator.detection import Detector
from annotator.detection.optical_flow import OpticalFlow
from annotator.errors import UsageError
from annotator.model.checkpoint import load_checkpoint
from annotator.options import AnnotationJob, BenchmarkJob, DetectionOptions, TrackingOptions
from annotator.pipeline.annotate import annotate
from annotator.pipeline.publish import publish
from annotator.store import IMPORTED, Store
from annotator.synthetic import write_drive
from annotator.tracking import associate
from annotator.video import Loader, Source, find_sources

SAMPLE_SEED = 257  # of examples/drive.mp4
STAGES = ("decode", "network", "clustering", "flow", "store", "association", "publishing")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Speed:
    """How fast labelling is with one runtime."""

    runtime: str
    precision: str
    device: str
    frames: int
    frames_per_s: float  # of the whole command, by the clock
    cpu_s_per_frame: float  # of the whole command, on all cores
    idle_share: float  # of the time of the cores that this process may use, while the whole command ran
    stages: dict[str, float]  # CPU seconds a frame of each of STAGES, one after another
    peak_mb: float | None  # memory of the process; None where the system doesn't tell


def benchmark(job: BenchmarkJob) -> Iterator[Speed]:
    """Label a recording with each runtime and precision that is there, in a process of its own each.

    Raises UsageError for a clip that isn't there or holds no frame, CheckpointError for weights that can't be loaded.
    """
    with _clip(job) as clip:
        for runtime, precision in _runtimes(job):
            yield _in_process(measure, clip, job, DetectionOptions(runtime=runtime, precision=precision))


def measure(clip: Path, job: BenchmarkJob, options: DetectionOptions) -> Speed:
    """Label a clip as a whole, and then stage by stage."""
    options = DetectionOptions(runtime=options.runtime, precision=options.precision, end=job.frames)
    detector = Detector.load(job.weights, "auto", options)
    [source] = find_sources([clip])[:1]
    with tempfile.TemporaryDirectory(prefix="spatialemb-") as folder:
        whole = AnnotationJob((clip,), Path(folder) / "whole", weights=job.weights, detection=options)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in annotate(whole, detector):
            pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = _peak_mb()
        frames, stages = _stages(source, detector, Path(folder) / "stages", job.frames)
    return Speed(
        detector.runtime.name,
        detector.runtime.precision,
        str(detector.device),
        frames,
        frames / wall,
        cpu / frames,
        max(0.0, 1 - cpu / (wall * _cores())),
        {stage: stages[stage] / frames for stage in STAGES},
        peak,
    )


def _stages(source: Source, detector: Detector, folder: Path, end: int) -> tuple[int, dict[str, float]]:
    """How many frames there are, and the CPU seconds of each stage, all threads together."""
    spent = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, work: Callable[[], Result]) -> Result:
        began = time.process_time()
        result = work()
        spent[stage] += time.process_time() - began
        return result

    flow, frames, job = OpticalFlow(), 0, AnnotationJob((source.path,), folder)
    with (
        Store.open(folder, {"made": "by a benchmark"}) as store,
        Loader(source, detector.device, job.batch_size, end=end, prefetch=1) as loader,
    ):
        batches = iter(loader)
        while (batch := timed("decode", lambda: next(batches, None))) is not None:
            images, refs = batch.images, batch.refs
            maps = timed("network", lambda: detector.maps(images))  # noqa: B023 (called at once)
            found = timed("clustering", lambda: detector.instances(maps, refs))  # noqa: B023
            found = timed("flow", lambda: list(map(flow.with_displacement, images, found)))  # noqa: B023
            timed("store", lambda: store.add(found))  # noqa: B023
            frames += len(refs)
        if not frames:
            raise UsageError(f"{source.path}: has no frame that can be read")
        store.update(IMPORTED)
        timed("association", lambda: associate(store, TrackingOptions()))
        timed("publishing", lambda: list(publish(source, store, folder, job.formats)))
    return frames, spent


def _runtimes(job: BenchmarkJob) -> list[tuple[str, str]]:
    """The runtimes and precisions that there are for these weights here, the usual one first."""
    is_quantized = load_checkpoint(job.weights).quantized is not None
    if torch.cuda.is_available():
        return [("torch", "16"), ("torch", "bf16"), ("torch", "32")]
    openvino = [("openvino", "int8")] * is_quantized + [("openvino", "32")]
    return (openvino if find_spec("openvino") else []) + [("torch", "32")]


@contextmanager
def _clip(job: BenchmarkJob) -> Iterator[Path]:
    if job.clip is not None:
        yield job.clip
        return
    with tempfile.TemporaryDirectory(prefix="spatialemb-") as folder:
        drive = Path(folder) / "drive.mp4"
        write_drive(drive, SAMPLE_SEED, length=job.frames)
        yield drive


def _in_process(work: Callable[..., Result], *arguments: object) -> Result:
    """What work returns in a process of its own, whose memory is only its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _peak_mb() -> float | None:
    """The most memory that this process has had, in MB."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most / 1e6 if sys.platform == "darwin" else most / 1e3)
