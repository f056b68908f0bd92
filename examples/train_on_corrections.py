"""Trains on corrected labels.

    python examples/train_on_corrections.py corrected/coco.json training/ --weights start.safetensors

The images lie beside the labels, or in --images. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from annotator import TrainingJob, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--weights", type=Path, help="to start from")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, nargs=2, default=(256, 448), metavar=("HEIGHT", "WIDTH"))
    chosen = parser.parse_args()
    job = TrainingJob(chosen.labels, chosen.images, chosen.out, weights=chosen.weights)
    crop = replace(job.options.crop, size=tuple(chosen.crop))
    options = replace(job.options, steps=chosen.steps, batch_size=chosen.batch, crop=crop)
    for progress in train(replace(job, options=options)):
        print(f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}")
    print(f"python examples/label_folder.py drives/ labels/ --weights {chosen.out / 'last.safetensors'}")


if __name__ == "__main__":
    main()
