"""What Ray costs: frames a second of two workers on two cores, against twice those of one worker on one core.

python -m tests.benchmarks.bench_fleet [ROUNDS]

Workers have a thread each. A cluster has as many cores as workers, for all that it does: finishing recordings and
driving, too. Rounds alternate, so that whatever else the machine does hits both; run it on a quiet machine with at
least two cores, on Linux. The exit code is 1 when the median of the rounds' ratios is below 0.85.
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
COPIES = 8
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
    cores = sorted(os.sched_getaffinity(0))
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for k in range(COPIES):
            (folder / "in" / f"drive_{k}.mp4").symlink_to(DRIVE)
        for k in range(rounds):
            speeds = []
            for workers in (1, 2):
                os.sched_setaffinity(0, cores[:workers])  # what a cluster begins has the same
                ray.init("local", num_cpus=workers, log_to_driver=False, include_dashboard=False)
                try:
                    speeds.append(frames_per_second(folder / "in", folder / f"{k}_{workers}", workers))
                finally:
                    ray.shutdown()
            one, two = speeds
            ratios.append(two / (2 * one))
            print(f"one {one:.2f} frames/s, two {two:.2f} frames/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median {statistics.median(ratios):.3f} (at least {LEAST})")
    return int(statistics.median(ratios) < LEAST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
