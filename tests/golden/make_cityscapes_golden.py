"""Write tests/golden/cityscapes_ap.json with the official script: python -m tests.golden.make_cityscapes_golden

CITYSCAPES_PYTHON names an interpreter with it, in an environment of its own:
    python -m venv FOLDER && FOLDER/bin/pip install "cityscapesScripts==2.3.*" "numpy<2.3"
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.golden.cityscapes_cases import CASES, Scene, scenes, write

PYTHON = os.environ.get("CITYSCAPES_PYTHON", "")
GOLDEN = Path(__file__).parent / "cityscapes_ap.json"
SCRIPT = Path(__file__).parents[1] / "reference" / "cityscapes_official.py"
OUR_NAMES = {
    "ap": "AP",
    "ap50%": "AP50",
    "ap100m": "AP100m",
    "ap50m": "AP50m",
    "ap50%50m": "AP50_50m",
}
Figures = dict[str, Any]  # {"AP", "AP50", ..., "classes": {name: {"AP", "AP50", ...}}}, None for nan


def official_figures(frames: list[Scene], with_distances: bool) -> Figures:
    """What the official script says of these frames."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(iter(frames), folder)
        command = [PYTHON, SCRIPT, folder]
        if with_distances:
            distances = folder / "distances.json"
            distances.write_text(json.dumps({frame.stem: frame.distances for frame in frames}))
            command.append(distances)
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        averages = json.loads(answer.stdout.splitlines()[-1])["averages"]
    classes = averages.pop("classes")
    return {**renamed(averages), "classes": {name: renamed(figures) for name, figures in classes.items()}}


def renamed(figures: Mapping[str, float]) -> Figures:
    """Figures of a class, or of all ("allAp50%")."""
    ours = {name: OUR_NAMES[name.replace("allAp", "ap")] for name in figures}
    return {ours[name]: None if math.isnan(value) else value for name, value in figures.items()}


def main() -> None:
    golden: dict[str, Figures] = {}
    for case in CASES:
        frames = list(scenes(case))
        golden[case] = {
            "predictions": sum(len(frame.predicted) for frame in frames),
            "everywhere": official_figures(frames, with_distances=False),
            "with distances": official_figures(frames, with_distances=True),
        }
        print(case, golden[case]["predictions"], golden[case]["everywhere"]["AP"])
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
