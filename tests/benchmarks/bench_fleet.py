"""What Ray costs: frames a second of two workers with a thread each, against twice those of one worker alone.

python -m tests.benchmarks.bench_fleet [ROUNDS]

Rounds alternate, so that whatever else the machine does hits both; run it on a quiet machine with at least two cores.
The exit code is 1 when the median of the rounds' ratios is below 0.85.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import ray

from annotator.fleet.engine import annotate
from annotator.options import AnnotationJob, EngineOptions
from annotator.pipeline.events import FramesLabelled, RunStarted, SourceEnded
from tests.helpers.fake_detector import ROOT
from tests.helpers.ray_cluster import NICENESS

LEAST = 0.85
COPIES = 4
DRIVE = ROOT / "examples" / "drive.mp4"


def frames_per_second(inputs: Path, out: Path, workers: int) -> float:
    """Of a run, without the time that its workers take to begin."""
    job = AnnotationJob((inputs,), out, engine=EngineOptions("ray", workers=workers, chunk_frames=20))
    began, frames = 0.0, 0
    for event in annotate(job):
        if isinstance(event, RunStarted):
            began = time.monotonic()
        elif isinstance(event, FramesLabelled):
            frames += event.fresh
        elif isinstance(event, SourceEnded):
            assert event.record.state == "done", event.record.error
    return frames / (time.monotonic() - began)


def main(rounds: int) -> int:
    os.environ[NICENESS] = "0"
    ray.init("local", num_cpus=2, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for k in range(COPIES):
            (folder / "in" / f"drive_{k}.mp4").symlink_to(DRIVE)
        frames_per_second(folder / "in", folder / "warm", 2)
        for k in range(rounds):
            one, two = (frames_per_second(folder / "in", folder / f"{k}_{n}", n) for n in (1, 2))
            ratios.append(two / (2 * one))
            print(f"one {one:.2f} frames/s, two {two:.2f} frames/s, ratio {ratios[-1]:.3f}", flush=True)
    ray.shutdown()
    print(f"median {statistics.median(ratios):.3f} (at least {LEAST})")
    return int(statistics.median(ratios) < LEAST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
