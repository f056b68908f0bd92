"""What Ray costs: frames a second of two workers on two cores, against twice those of one worker on one core.

python -m tests.benchmarks.bench_fleet [ROUNDS]

Each run labels eight recordings of 80 frames, in chunks of 20, with the network that the tool ships. All processes of
a run (the driver, Ray's own, and workers of one thread each, which finish recordings too) are bound to as many cores
as it has workers. The clock runs from when all workers have begun until the last recording has its labels: what one
worker does alone at the end counts as two cores' time.

Frames are divided by time on the clock, so others must leave the cores alone. Each line tells what share of its cores
a run used and how much of them nobody did; the rest went to others. One and two workers alternate. The exit code is 1
when the median of the rounds' ratios is below 0.85. Needs Linux and two cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import ray

from annotator.fleet.engine import annotate
from annotator.options import AnnotationJob, EngineOptions
from annotator.pipeline.events import RunStarted, SourceEnded
from tests.helpers.fake_detector import ROOT
from tests.helpers.ray_cluster import NICENESS, family, workers

LEAST = 0.85
COPIES, FRAMES = 8, 80
DRIVE = ROOT / "examples" / "drive.mp4"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Times:
    """Seconds since whenever: on the clock, of processors that this run's processes had, that nobody wanted."""

    clock: float
    used: float
    idle: float

    @classmethod
    def now(cls, cores: list[int]) -> Times:
        """Those of some cores."""
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        idle = sum(int(line[4]) + int(line[5]) for line in lines if line[0] in {f"cpu{k}" for k in cores})
        return cls(time.monotonic(), sum(map(used_by, family())), idle / TICKS)

    def since(self, begun: Times) -> Times:
        """What passed."""
        return Times(self.clock - begun.clock, self.used - begun.used, self.idle - begun.idle)


def used_by(process: int) -> float:
    """Seconds of processors; 0 for one that is gone."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(state[11]) + int(state[12])) / TICKS


def wait_for_workers(count: int) -> None:
    """Until so many have begun: then they do nothing."""
    before = -1.0
    while len(ours := workers()) < count or before != (before := sum(map(used_by, ours))):
        time.sleep(1)


def label(inputs: Path, out: Path, count: int, cores: list[int]) -> tuple[float, str]:
    """Frames a second on the clock of a run with so many workers, and what it did with its cores."""
    job = AnnotationJob((inputs,), out, engine=EngineOptions("ray", workers=count, chunk_frames=20))
    frames = []
    for event in annotate(job):
        if isinstance(event, RunStarted):
            wait_for_workers(count)
            begun = Times.now(cores)
        elif isinstance(event, SourceEnded):
            assert event.record.state == "done", event.record.error
            frames.append(event.record.frames)
            took = Times.now(cores).since(begun)
    assert frames == COPIES * [FRAMES]
    there = took.clock * len(cores)
    return sum(frames) / took.clock, f"{took.used / there:.0%} used, {took.idle / there:.0%} idle"


def main(rounds: int) -> int:
    os.environ[NICENESS] = "0"
    cores = sorted(os.sched_getaffinity(0))
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for k in range(COPIES):
            shutil.copyfile(DRIVE, folder / "in" / f"drive_{k}.mp4")  # links to one file are one recording
        for k in range(rounds):
            speeds = []
            for count in (1, 2):
                os.sched_setaffinity(0, cores[:count])  # what a cluster begins has the same
                ray.init("local", num_cpus=count, log_to_driver=False, include_dashboard=False)
                try:
                    speed, use = label(folder / "in", folder / f"{k}_{count}", count, cores[:count])
                finally:
                    ray.shutdown()
                print(f"{count}: {speed:.2f} frames/s, {use}", flush=True)
                speeds.append(speed)
            one, two = speeds
            ratios.append(two / (2 * one))
            print(f"ratio {ratios[-1]:.3f}", flush=True)
    print(f"median {statistics.median(ratios):.3f} (at least {LEAST})")
    return int(statistics.median(ratios) < LEAST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
