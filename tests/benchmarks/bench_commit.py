"""The whole command against that of another commit: python -m tests.benchmarks.bench_commit CLIP [--against COMMIT]

What an option costs: the same with `--against HEAD --more=--OPTION`.
The other commit is checked out beside, in a worktree that is removed again; both run in turns on the same frames, each
in a process of its own, with the options of `--options`. Prints wall and CPU seconds a frame, and peak memory, of every
run, then the medians and their ratio. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BASELINE = "076cf6c"  # before OpenVINO, eight bits and all else of "fast on what people have"


class Run(NamedTuple):
    """What a run of the command took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Print what the command takes here and at another commit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--against", default=BASELINE, metavar="COMMIT")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="", help="of both, as one string")
    parser.add_argument("--more", default="", help="options of this checkout alone, as one string")
    chosen = parser.parse_args()
    runs: dict[str, list[Run]] = {"here": [], chosen.against: []}
    with tempfile.TemporaryDirectory(prefix="spatialemb-") as folder:
        other = Path(folder) / "other"
        git("worktree", "add", "--quiet", "--detach", str(other), chosen.against)
        try:
            options = ["--end", str(chosen.frames), *shlex.split(chosen.options)]
            sides = ("here", ROOT, shlex.split(chosen.more)), (chosen.against, other, list[str]())
            for k in range(chosen.rounds):
                for name, checkout, more in sides:
                    out = Path(folder) / f"{k}-{name}"
                    run = labelled(checkout, chosen.clip.resolve(), out, [*options, *more])
                    runs[name].append(run)
                    print(f"{name}: {described(run, chosen.frames)}", flush=True)
        finally:
            git("worktree", "remove", "--force", str(other))
    medians = {
        name: Run(*(statistics.median(each) for each in zip(*of, strict=True))) for name, of in runs.items()
    }
    for name, run in medians.items():
        print(f"median {name}: {described(run, chosen.frames)}")
    here, there = medians.values()
    print(
        f"CPU here: {here.cpu_s / there.cpu_s:.2f} of {chosen.against}, wall {here.wall_s / there.wall_s:.2f}"
    )


def described(run: Run, frames: int) -> str:
    """A run in words."""
    return (
        f"{1000 * run.cpu_s / frames:.0f} CPU ms and {1000 * run.wall_s / frames:.0f} ms a frame,"
        f" peak {run.peak_mb:.0f} MB"
    )


def labelled(checkout: Path, clip: Path, out: Path, options: list[str]) -> Run:
    """Label a clip by the code of a checkout."""
    command = "annotator.cli.annotate" if (checkout / "annotator" / "cli").is_dir() else "cli.annotate"
    script = f"import sys; sys.argv[0] = 'spatialemb-annotate'; from {command} import main; main()"
    arguments = [sys.executable, "-c", script, str(clip), "--out", str(out), *options]
    began = time.perf_counter()
    process = subprocess.Popen(
        arguments, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{checkout}: the command ended with {os.waitstatus_to_exitcode(status)}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def git(*arguments: str) -> None:
    """Run git in this checkout."""
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True)


if __name__ == "__main__":
    main()
