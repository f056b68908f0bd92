"""The paper's ablation, small: which bandwidth and which centre learn best in the same number of steps.

    python examples/ablation.py ablation/ --steps 500

Trains on rendered streets, scores on a rendered drive of another street, and prints a table in Markdown; takes
an hour on two CPU cores, goes on where it was stopped, and needs `pip install "spatialemb-annotate[train]"`.
"""

from __future__ import annotations

import argparse
import csv
import runpy
import sys
from dataclasses import replace
from pathlib import Path

from annotator.options import CropOptions, LossOptions, TrainingJob, TrainingOptions
from annotator.training.loop import train

MIX = """
[[training]]
rendered = {streets}

[[validation]]
labels = "truth"
images = "drive.mp4"
"""
# A raw sigma of 0.5 claims what lies within 26 pixels of the centre, 0.6 within 16, 0.7 within 10.
VARIANTS = {
    "fixed bandwidth, 26 pixels": {"n_sigma": 1, "fixed_sigma": 0.5},
    "fixed bandwidth, 16 pixels": {"n_sigma": 1, "fixed_sigma": 0.6},
    "fixed bandwidth, 10 pixels": {"n_sigma": 1, "fixed_sigma": 0.7},
    "learned circle": {"n_sigma": 1},
    "learned ellipse": {"n_sigma": 2},
    "learned ellipse, learned centre": {"n_sigma": 2, "loss": LossOptions(centre="embedding")},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--streets", type=int, default=4)
    parser.add_argument("--frames", type=int, default=80, help="of the drive to score on")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each, to see what is chance")
    parser.add_argument("--only", type=int, help="one variant, by number from 0")
    given = parser.parse_args()
    render(given.out, given.frames)
    (given.out / "mix.toml").write_text(MIX.format(streets=given.streets))
    base = TrainingOptions(
        steps=given.steps, batch_size=4, learning_rate=1e-3, crop=CropOptions(size=(192, 320), pasted=0)
    )
    print("| variant | AP | AP50 | person AP50 | car AP50 |", "|---|---|---|---|---|", sep="\n")
    for number, (name, changes) in enumerate(VARIANTS.items()):
        if given.only in (None, number):
            for seed in range(given.seeds):
                scores = trained(given.out, f"{number}_{seed}", replace(base, seed=seed, **changes))
                figures = (scores[key] for key in ("AP", "AP50", "person.AP50", "car.AP50"))
                print(f"| {name} |", " | ".join(f"{figure:.3f}" for figure in figures), "|", flush=True)


def render(out: Path, frames: int) -> None:
    """OUT/drive.mp4 and OUT/truth, by the example beside this one."""
    if not (out / "truth").exists():
        out.mkdir(parents=True, exist_ok=True)
        sys.argv = ["render_drive.py", str(out / "drive.mp4"), "--truth", str(out / "truth")]
        sys.argv += ["--frames", str(frames)]
        runpy.run_path(str(Path(__file__).with_name("render_drive.py")), run_name="__main__")


def trained(out: Path, name: str, options: TrainingOptions) -> dict[str, float]:
    """The scores after the last step."""
    job = TrainingJob(
        labels=out / "mix.toml",
        images=None,
        validation=out / "mix.toml",
        out=out / name,
        validate_every=options.steps,
        validation_images=40,
        device="cpu",
        options=options,
    )
    for progress in train(job):
        print(f"{name}: step {progress.step}, loss {progress.loss:.3f}", file=sys.stderr)
    with (job.out / "validation.csv").open(newline="") as file:
        *_, last = csv.DictReader(file)
    return {figure: float(value) for figure, value in last.items()}


if __name__ == "__main__":
    main()
