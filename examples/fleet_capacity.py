"""How many workers a fleet needs, what an hour of video costs, and what chunks and retries cost when machines fail.

python examples/fleet_capacity.py --run labels/ --recordings 10000 --minutes 5 --days 3 --price 0.5

Seconds per frame come from a run (spatialemb-fleet report's figures) or from --seconds-per-frame. The simulation is of
recordings of unlike lengths (log-normal), workers of unlike speed, and workers that are lost, at a seeded random.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from dataclasses import dataclass
from pathlib import Path

FPS = 30


@dataclass(frozen=True)
class Fleet:
    """What there is to label, and with what."""

    recordings: int = 10_000
    minutes: float = 5.0  # of a recording, on average
    workers: int = 500
    seconds_per_frame: float = 0.05  # of one worker, all its work included
    hours_between_failures: float = 24.0  # of a worker, that is lost and begun again
    start_s: float = 90.0  # until a worker that was lost is there again
    chunk_frames: int = 1000  # 0: a recording is one piece
    skip_s: float = 0.002  # for a frame before a chunk, which is decoded to count it
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave."""

    hours: float  # until all is labelled
    busy: float  # part of the workers' time in which they did what counts, frames to skip included
    lost_hours: float  # of workers, done again after failures


def simulate(fleet: Fleet) -> Outcome:
    """Hand out pieces, the first to whoever is free; a worker that is lost gives its piece back."""
    dice = random.Random(fleet.seed)
    pieces: list[float] = []
    for _ in range(fleet.recordings):
        frames = int(fleet.minutes * 60 * FPS * dice.lognormvariate(-0.32, 0.8))  # of mean 1: some are long
        step = fleet.chunk_frames or max(frames, 1)
        pieces += [
            min(step, frames - k) * fleet.seconds_per_frame + k * fleet.skip_s for k in range(0, frames, step)
        ]
    speeds = [dice.lognormvariate(0, 0.15) for _ in range(fleet.workers)]  # stragglers
    free = [(0.0, k) for k in range(fleet.workers)]
    mean_s = fleet.hours_between_failures * 3600
    fails = [dice.expovariate(1 / mean_s) for _ in range(fleet.workers)]
    waiting, ends, useful, lost = pieces[::-1], 0.0, 0.0, 0.0
    while waiting:
        now, worker = heapq.heappop(free)
        if fails[worker] <= now:
            fails[worker] = now + dice.expovariate(1 / mean_s)
        piece = waiting.pop()
        end = now + piece / speeds[worker]
        if end > fails[worker]:
            lost += fails[worker] - now
            waiting.append(piece)
            end = fails[worker] + fleet.start_s
        else:
            useful += end - now
            ends = max(ends, end)
        heapq.heappush(free, (end, worker))
    return Outcome(ends / 3600, useful / (ends * fleet.workers) if ends else 1.0, lost / 3600)


def workers_for(fleet: Fleet, days: float) -> int:
    """Workers that label a fleet within some days, if a tenth of their time is lost."""
    work_s = fleet.recordings * fleet.minutes * 60 * FPS * fleet.seconds_per_frame
    return math.ceil(work_s / 0.9 / (days * 86_400))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="run whose times are taken")
    parser.add_argument("--seconds-per-frame", type=float, default=Fleet.seconds_per_frame)
    parser.add_argument("--recordings", type=int, default=Fleet.recordings)
    parser.add_argument("--minutes", type=float, default=Fleet.minutes, help="of a recording, on average")
    parser.add_argument("--workers", type=int, default=None, help="default: as many as --days needs")
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--price", type=float, default=1.0, help="of a worker for an hour")
    parser.add_argument("--hours-between-failures", type=float, default=Fleet.hours_between_failures)
    asked = parser.parse_args()
    seconds = asked.seconds_per_frame
    if asked.run is not None:
        from annotator.fleet.report import report

        rate = report(asked.run).frames_per_second
        if not rate:
            raise SystemExit(f"{asked.run}: nothing is labelled there yet")
        seconds = 1 / rate
    fleet = Fleet(
        asked.recordings,
        asked.minutes,
        seconds_per_frame=seconds,
        hours_between_failures=asked.hours_between_failures,
    )
    workers = asked.workers or workers_for(fleet, asked.days)
    hour = 3600 * FPS * seconds / 3600 * asked.price
    print(
        f"{seconds:.3f} s a frame: {hour:.2f} for an hour of video, {workers} workers for {asked.days:g} days"
    )
    print("chunk frames   hours   busy   worker hours done again")
    for chunk in (0, 10_000, 1_000, 100):
        found = simulate(Fleet(**{**fleet.__dict__, "workers": workers, "chunk_frames": chunk}))
        print(f"{chunk or 'whole':>12} {found.hours:7.2f} {found.busy:6.1%} {found.lost_hours:10.1f}")


if __name__ == "__main__":
    main()
