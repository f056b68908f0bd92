"""Figures of tracks against TrackEval, side by side: python -m tests.benchmarks.bench_tracks_evaluation

300 frames of 1242 x 375 with 20 masks each, as MOTS text: CPU seconds of whole processes, from the start of the
interpreter to the figures; ours is `spatialemb-eval --metrics tracks`. TRACKEVAL_PYTHON names an interpreter with
TrackEval, in an environment of its own: see tests/golden/make_trackeval_golden.py. TrackEval is run as its scripts run
it, which draw curves, and without output.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.golden.make_trackeval_golden import OUR_NAMES, SCRIPT, renamed
from tests.golden.tracks_cases import MOTS_CLASSES, MOTS_NUMBERS
from tests.helpers.scenes import scene, write_mots

SIZE = (375, 1242)
OURS = """
import json, sys
from cli import shell
from cli.evaluate import command

*sides, figures = sys.argv[1:]
shell.run(command, [*sides, "--metrics", "tracks", "--quiet", "--json", figures])
print(json.dumps(json.load(open(figures))["tracks"]))
"""


def timed(command: list[Any]) -> tuple[dict[str, Any], float]:
    """The JSON that a command prints last, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(answer.stdout.splitlines()[-1]), seconds


def agree(ours: dict[str, Any], official: dict[str, Any]) -> bool:
    """Whether all figures, of classes and their means, are equal to 1e-6."""
    return all(
        math.isclose((ours if name == "average" else ours["classes"][name])[figure], value, abs_tol=1e-6)
        for name, figures in official.items()
        for figure, value in renamed(figures).items()
        if figure in OUR_NAMES.values()
    )


def main() -> None:
    """Print CPU seconds of all, whether their figures agree, and how much faster ours are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    drawn = scene(1, frames=options.frames, objects=46, size=SIZE, errors=0.3)
    predicted, true = sum(map(len, drawn.predictions)), sum(len(truth.instances) for truth in drawn.truth)
    print(f"{options.frames} frames, {predicted / options.frames:.1f} predicted and", end=" ")
    print(f"{true / options.frames:.1f} true masks each; CPU seconds, the best of {options.repeat}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_mots(folder, "0000", drawn, MOTS_NUMBERS)
        trackeval = [os.environ["TRACKEVAL_PYTHON"], SCRIPT, folder / "truth", folder / "predictions"]
        commands = {
            "ours": [
                sys.executable,
                "-c",
                OURS,
                folder / "predictions",
                folder / "truth",
                folder / "figures",
            ],
            "TrackEval as its scripts run it": [*trackeval, json.dumps(MOTS_CLASSES), folder / "out"],
            "TrackEval without output": [*trackeval, json.dumps(MOTS_CLASSES)],
        }
        runs = [{name: timed(command) for name, command in commands.items()} for _ in range(options.repeat)]
    best = {name: min(run[name][1] for run in runs) for name in commands}
    ours, official = (runs[0][name][0] for name in list(commands)[:2])
    print(f"ours: {best['ours']:.3f}, HOTA {ours['HOTA']:.6f}, equal {agree(ours, official)}")
    for name in list(commands)[1:]:
        print(f"{name}: {best[name]:.3f}, {best[name] / best['ours']:.1f} times ours")


if __name__ == "__main__":
    main()
