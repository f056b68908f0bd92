"""kill -9 at seeded random moments, of a run on this machine or of one on Ray; the resumed output must be the same.

python -m tests.benchmarks.kill_runs [--engine ray] [--runs 20] [--seed 0]

On Ray it is in turn the command itself and one of the workers that is killed; the command then goes on by itself, or is
called again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.helpers.fake_detector import ROOT, write_video
from tests.helpers.ray_cluster import two_raylets, workers
from tests.pipeline.test_annotate import label_files


def begin(folder: Path, out: Path, options: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.helpers.fake_detector", str(folder / "in"), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--quiet", "--format", "coco,cvat,mots", "--retries", "5", *options],
        cwd=ROOT,
        env=dict(os.environ),
        start_new_session=True,
    )


def main(runs: int, seed: int, options: list[str]) -> int:
    rng = random.Random(seed)
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k in range(4):
            write_video(folder / "in" / f"drive_{k}.mp4", frames=200, codec="libx264", b_frames=2)
        began = time.monotonic()
        assert begin(folder, folder / "undisturbed", options).wait() == 0
        took = time.monotonic() - began
        expected = label_files(folder / "undisturbed")
        print(f"undisturbed: {took:.1f} s, {len(expected)} label files", flush=True)
        for run in range(runs):
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            process = begin(folder, out, options)
            moment = rng.uniform(0.2, 1.0) * took
            time.sleep(moment)
            there = workers() if options and run % 2 else []
            with suppress(ProcessLookupError):
                if there:
                    os.kill(rng.choice(there), signal.SIGKILL)
                else:
                    os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            again = 0
            while code and again < 5:
                again += 1
                code = begin(folder, out, options).wait()
            same = code == 0 and label_files(out) == expected
            differing += not same
            print(
                f"{run + 1}: killed {'a worker' if there else 'the command'} after {moment:.1f} s,"
                f" called again {again} times: {'equal' if same else 'DIFFERENT'}",
                flush=True,
            )
    print(f"{runs - differing} of {runs} equal")
    return int(differing > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.engine == "local":
        sys.exit(main(asked.runs, asked.seed, []))
    with two_raylets() as cluster:
        on_ray = ["--engine", "ray", "--address", cluster.address, "--chunk-frames", "40"]
        sys.exit(main(asked.runs, asked.seed, on_ray))
