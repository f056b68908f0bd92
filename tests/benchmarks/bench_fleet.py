"""What Ray costs: frames a second of two workers on two cores, against twice those of one worker on one core.

python -m tests.benchmarks.bench_fleet [ROUNDS]

Each run labels eight recordings of 80 frames, in chunks of 20, with the network that the tool ships. All processes of
a run (the driver, Ray's own, and workers of one thread each, which finish recordings too) are bound to as many cores
as it has workers. The clock runs from when all workers have begun until the last recording has its labels: what one
worker does alone at the end counts as two cores' time.

Frames are divided by time on the clock, so others must leave the cores alone: each line tells what share of its cores
a run used, how much of them nobody did, and the rest went to others. For a machine that is shared each line also tells
how busy its cores would be if it had them alone, by `Watch`, and what a frame costs; both together give the ratio
but for what others do to the speed of a core. One and two workers alternate. The exit code is 1 when the median of the
rounds' ratios, on the clock, is below 0.85. Needs Linux and two cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
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
LOOK_S = 0.25
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


def state_of(folder: Path) -> list[str]:
    """What the system tells of a process or thread, from its state on; nothing of one that is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def used_by(process: int) -> float:
    """Seconds of processors."""
    return sum(map(int, state_of(Path(f"/proc/{process}"))[11:13])) / TICKS


def ready_threads(process: int) -> int:
    """Threads that run, or would."""
    return sum(state_of(thread)[:1] == ["R"] for thread in Path(f"/proc/{process}/task").glob("*"))


class Watch(threading.Thread):
    """Estimates how long a run takes with its cores to itself, while others use them, too.

    What workers use of processors between two looks takes as long as that, divided by those of their threads that
    could run, of which as many do as there are cores; where none could, all of the time between counts. So waiting for
    others counts nothing, and workers that wait for each other, or for their driver, count in full.
    """

    def __init__(self, processes: Sequence[int], cores: int) -> None:
        super().__init__()
        self._processes, self._cores = processes, cores
        self._is_over = threading.Event()
        self.seconds = self.used = 0.0

    def run(self) -> None:
        """Look until it is over."""
        before, used = time.monotonic(), sum(map(used_by, self._processes))
        while not self._is_over.wait(LOOK_S):
            ready = min(sum(map(ready_threads, self._processes)), self._cores)
            now, used_now = time.monotonic(), sum(map(used_by, self._processes))
            self.seconds += (used_now - used) / ready if ready else now - before
            self.used += used_now - used
            before, used = now, used_now

    def alone(self, used: float) -> float:
        """Seconds of a run that used so much of processors in all, on all of its cores at once beside workers."""
        self._is_over.set()
        self.join()
        return self.seconds + (used - self.used) / self._cores


def wait_for_workers(count: int) -> None:
    """Until so many have begun: then they do nothing."""
    before = -1.0
    while len(ours := workers()) < count or before != (before := sum(map(used_by, ours))):
        time.sleep(1)


def label(inputs: Path, out: Path, count: int, cores: list[int]) -> tuple[float, float]:
    """A run with so many workers: frames a second on the clock, and how busy its cores would be alone."""
    job = AnnotationJob((inputs,), out, engine=EngineOptions("ray", workers=count, chunk_frames=20))
    frames = []
    for event in annotate(job):
        if isinstance(event, RunStarted):
            wait_for_workers(count)
            watch = Watch(workers(), count)
            watch.start()
            begun = Times.now(cores)
        elif isinstance(event, SourceEnded):
            assert event.record.state == "done", event.record.error
            frames.append(event.record.frames)
            took = Times.now(cores).since(begun)
    assert frames == COPIES * [FRAMES]
    there = took.clock * len(cores)
    speed, busy = sum(frames) / took.clock, took.used / (count * watch.alone(took.used))
    print(
        f"{count}: {speed:.2f} frames/s, {took.used / there:.0%} of cores used, {took.idle / there:.0%} idle;"
        f" alone {busy:.1%} used, {took.used / sum(frames):.3f} processor seconds a frame",
        flush=True,
    )
    return speed, busy


def main(rounds: int) -> int:
    os.environ[NICENESS] = "0"
    cores = sorted(os.sched_getaffinity(0))
    ratios: list[tuple[float, float]] = []
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
                    speeds.append(label(folder / "in", folder / f"{k}_{count}", count, cores[:count]))
                finally:
                    ray.shutdown()
            (one, busy_one), (two, busy_two) = speeds
            ratios.append((two / (2 * one), busy_two / busy_one))
            print("ratio {:.3f}; of cores busy alone {:.3f}".format(*ratios[-1]), flush=True)
    ratio, busy = (statistics.median(each) for each in zip(*ratios, strict=True))
    print(f"median {ratio:.3f} (at least {LEAST}); of cores busy alone {busy:.3f}")
    return int(ratio < LEAST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
