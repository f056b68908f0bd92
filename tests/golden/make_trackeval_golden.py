"""Write tests/golden/tracks.json with TrackEval: python -m tests.golden.make_trackeval_golden

TRACKEVAL_PYTHON names an interpreter with it, in an environment of its own:
    python -m venv FOLDER && FOLDER/bin/pip install "trackeval==1.3.*" pycocotools scipy
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.tracks_cases import DRAWN, MOTS_CLASSES, SOME_OF_KITTI, Case, degraded
from tests.helpers.builders import REAL_DATA

PYTHON = os.environ.get("TRACKEVAL_PYTHON", "")
GOLDEN = Path(__file__).parent / "tracks.json"
SCRIPT = Path(__file__).parents[1] / "reference" / "trackeval_mots.py"
PER_ALPHA = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")
EQUAL_NAMES = (*PER_ALPHA, "IDF1", "IDP", "IDR", "IDTP", "IDFP", "IDFN", "Frag", "MT", "PT", "ML")
OUR_NAMES = dict(zip(EQUAL_NAMES, EQUAL_NAMES, strict=True))
OUR_NAMES |= {"MOTA": "MOTSA", "sMOTA": "sMOTSA", "MOTP": "MOTSP", "IDSW": "IDS"}
OUR_NAMES |= {"CLR_TP": "TP", "CLR_FP": "FP", "CLR_FN": "FN"}
Figures = dict[str, Any]  # {name: figure}, and "HOTA per alpha"


def trackeval_figures(folder: Path, classes: Mapping[str, int]) -> dict[str, Figures]:
    """What TrackEval says of FOLDER/truth and FOLDER/predictions, by class, and on "average"."""
    command = [PYTHON, SCRIPT, folder / "truth", folder / "predictions", json.dumps(classes)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return {name: renamed(figures) for name, figures in json.loads(answer.stdout).items()}


def renamed(figures: Mapping[str, Any]) -> Figures:
    ours = {OUR_NAMES[name]: float(np.mean(figures[name])) for name in OUR_NAMES}
    return ours | {"HOTA per alpha": figures["HOTA"]}


def figures_of(case: Case) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory() as temporary:
        case.write(Path(temporary))
        return trackeval_figures(Path(temporary), case.classes)


def figures_of_real(sequences: str, level: int) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory() as temporary:
        degraded(Path(temporary), sequences, level)
        return trackeval_figures(Path(temporary), MOTS_CLASSES)


def main() -> None:
    assert REAL_DATA.is_dir(), f"the real sequences are not at {REAL_DATA}"
    golden = {name: figures_of(case) for name, case in DRAWN.items()}
    golden["some of KITTI"] = figures_of_real(*SOME_OF_KITTI)
    for name, figures in golden.items():
        print(name, {of: round(each["HOTA"], 3) for of, each in figures.items()})
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
