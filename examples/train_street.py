"""Trains the model of street scenes on, in a time that is given: prepared so that it runs the first time on a lent GPU.

    python examples/train_street.py pack DATA pack.zip
    python examples/train_street.py compare DATA pack.zip --images 40
    python examples/train_street.py run pack.zip OUT --minutes 8 --device cuda

DATA has train.json, val.json and images/: COCO files whose images name their `source` and, in `labelled`, the
category ids that are labelled in them. `pack` writes it as one small file; whole cities of the training set are kept
aside, to choose weights by. `compare` says what packing costs: AP of the weights on images as they were and as they
are packed. `run` trains for so many minutes, loading and validations between included (the last validation comes
after), and leaves in OUT/results what is worth taking home: weights (averaged: the last, and the best by the cities
kept aside), figures as CSV, and curves. The same command goes on where it was stopped, until its minutes are used up.

On a machine that has PyTorch, torchvision, timm, OpenCV, SciPy and Pillow with AVIF, but no way to fetch packages,
bring the wheels of these with you: lightning-fabric, defusedxml, orjson, platformdirs, pycocotools, zlib-ng (4 MB).
There, in the root of the repository, with the wheels in .whl, the pack in .pack, and a folder for results in $OUT:

    python3 -m pip install -q --no-index --no-deps --no-compile --target /tmp/site .whl/*.whl
    export PYTHONPATH=.:/tmp/site PYTHONUNBUFFERED=1
    python3 examples/train_street.py run .pack/pack.zip /tmp/run --minutes 1.5 --device cuda --results $OUT/trial
    python3 examples/train_street.py run .pack/pack.zip /tmp/run2 --minutes 8 --device cuda --results $OUT/full

The first of these shows in two minutes whether all is there and how many crops a second are made.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, features

KEPT = ("ulm", "monchengladbach")  # cities of the training set to choose weights by
SHARES = {
    "Cityscapes": 0.78,
    "Penn-Fudan": 0.06,
    "COCO-street": 0.08,
    "COCO": 0.04,
    "CamVid-components": 0.04,
}
LEFT = {"id", "image_id", "category_id", "iscrowd", "area", "bbox", "segmentation"}  # of an annotation
RESULTS = ("last.safetensors", "best.safetensors", "training.csv", "validation.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    packing = commands.add_parser("pack", help="write the data set as one small file")
    packing.add_argument("data", type=Path)
    packing.add_argument("pack", type=Path)
    packing.add_argument("--format", choices=("avif", "webp"), default="avif")
    packing.add_argument("--quality", type=int, default=45, help="of images to train on")
    packing.add_argument("--quality-kept", type=int, default=60, help="of images to score with")
    packing.add_argument("--speed", type=int, default=8, help="of AVIF, 0 to 10; slower is smaller")
    packing.add_argument("--without-val", action="store_true", help="val stays at home: 7 MB less")
    packing.add_argument("--kept", nargs="*", default=KEPT, help="cities to choose weights by")
    packing.set_defaults(command=pack)
    comparing = commands.add_parser("compare", help="AP on images as they were and as they are packed")
    comparing.add_argument("data", type=Path)
    comparing.add_argument("pack", type=Path)
    comparing.add_argument("--weights", type=Path)
    comparing.add_argument("--images", type=int, default=40)
    comparing.set_defaults(command=compare)
    running = commands.add_parser("run", help="train for a time")
    running.add_argument("pack", type=Path)
    running.add_argument("out", type=Path)
    running.add_argument("--minutes", type=float, help="of the whole run")
    running.add_argument("--steps", type=int, help="instead of minutes")
    running.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    running.add_argument(
        "--results", type=Path, help="folder for what is worth taking home  [default: OUT/results]"
    )
    running.add_argument("--weights", type=Path, help="to start from  [default: the published ones]")
    running.add_argument(
        "--crop", type=int, nargs=2, metavar=("H", "W"), help="[default: 384 768, on a CPU 256 448]"
    )
    running.add_argument(
        "--scale", type=float, nargs=2, default=(0.8, 1.6), help="of crops, lowest and highest"
    )
    running.add_argument("--small", type=float, default=0.3, help="how much crops are drawn to small objects")
    running.add_argument("--batch", type=int, help="[default: 32, on a CPU 6]")
    running.add_argument("--learning-rate", type=float, help="[default: 0.001, on a CPU 0.0003]")
    running.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    running.add_argument("--validate-every", type=int, default=1500, help="steps")
    running.add_argument("--validation-images", type=int, default=100)
    running.add_argument(
        "--streets", type=int, default=0, help="rendered ones to train on, too, 60 images of each"
    )
    running.add_argument("--compile", action="store_true")
    running.add_argument("--seed", type=int, default=0)
    running.set_defaults(command=run)
    given = parser.parse_args()
    given.command(given)


# ---- packing


def pack(given: argparse.Namespace) -> None:
    """Write the pack: images by name, and train-SOURCE.json, kept.json and val.json beside them."""
    files = dict(split(given))
    with zipfile.ZipFile(given.pack, "w") as packed:
        for name, content in files.items():
            is_trained = name.startswith("train-")
            quality = given.quality if is_trained else given.quality_kept
            for image in content["images"]:
                source = given.data / "images" / image["file_name"]
                image["file_name"] = f"{Path(image['file_name']).stem}.{given.format}"
                packed.writestr(f"images/{image['file_name']}", coded(source, quality, given))
            text = json.dumps(content, separators=(",", ":"))
            packed.writestr(f"{name}.json", text, zipfile.ZIP_LZMA)
            print(
                f"{name}: {len(content['images'])} images, {len(content['annotations'])} objects", flush=True
            )
    print(f"{given.pack}: {given.pack.stat().st_size / 2**20:.1f} MiB")


def split(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """The COCO files of the pack, by name: training images by source, those of cities kept aside, and val."""
    for file in ("train",) if given.without_val else ("train", "val"):
        content = json.loads((given.data / f"{file}.json").read_text())
        images = defaultdict(list)
        for image in content["images"]:
            parts = image["file_name"].split("_")
            is_kept = parts[0] == "cityscapes" and parts[1] in given.kept
            source = image.get("source", "images")
            images["val" if file == "val" else "kept" if is_kept else f"train-{source}"].append(image)
        annotations = defaultdict(list)
        for annotation in content["annotations"]:
            lean = {key: value for key, value in annotation.items() if key in LEFT}
            annotations[annotation["image_id"]].append(lean)
        for name, of_file in sorted(images.items()):
            found = [annotation for image in of_file for annotation in annotations[image["id"]]]
            yield name, {"images": of_file, "annotations": found, "categories": content["categories"]}


def coded(path: Path, quality: int, given: argparse.Namespace) -> bytes:
    """An image as the pack has it."""
    out = io.BytesIO()
    faster = {"speed": given.speed} if given.format == "avif" else {}
    with Image.open(path) as image:
        image.convert("RGB").save(out, given.format, quality=quality, **faster)
    return out.getvalue()


def unpack(path: Path, folder: Path) -> list[str]:
    """The files of a pack in a folder, unless they are there; the names of its COCO files, without suffix."""
    with zipfile.ZipFile(path) as packed:
        names = packed.namelist()
        if any(name.endswith(".avif") for name in names) and not features.check("avif"):
            sys.exit(f"{path}: its images are AVIF, which Pillow can't read here; pack with --format webp")
        if not (folder / "whole").exists():
            packed.extractall(folder)
            (folder / "whole").touch()
    return [name.removesuffix(".json") for name in names if name.endswith(".json")]


def compare(given: argparse.Namespace) -> None:
    """Print AP on val as it was and as it is packed."""
    import tempfile

    from annotator.detection import Detector
    from annotator.training.datasets import DatasetSpec, open_files
    from annotator.training.images import subsample
    from annotator.training.validation import Validation

    detector = Detector.load(given.weights)
    with tempfile.TemporaryDirectory() as folder:
        unpack(given.pack, Path(folder))
        for name, where in (("as it was", given.data), ("packed", Path(folder))):
            source = DatasetSpec(where / "val.json", where / "images")
            images = subsample(open_files(source, detector.spec.trained_size, Path(folder)), given.images)
            figures = Validation([images]).score(detector)
            print(
                f"{name}: {len(images)} images, AP {figures['AP']:.4f}, AP50 {figures['AP50']:.4f}",
                flush=True,
            )


# ---- training


def run(given: argparse.Namespace) -> None:
    """Train, and lay out the results."""
    began = time.monotonic()
    from annotator.training.loop import train

    names = unpack(given.pack, given.out / "data")
    job = job_of(given, mix(given, names))
    for progress in train(job):
        scores = "".join(
            f", {name} {progress.scores[name]:.4f}" for name in ("AP", "AP50") if progress.scores
        )
        print(
            f"{time.monotonic() - began:.0f} s: step {progress.step} of {progress.steps}, loss {progress.loss:.4f},"
            f" {progress.crops_per_second:.1f} crops/s{scores}",
            flush=True,
        )
    results = given.results or given.out / "results"
    results.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        if (given.out / name).exists():
            shutil.copyfile(given.out / name, results / name)
    draw_curves(given.out, results / "curves.png")


def mix(given: argparse.Namespace, names: list[str]) -> Path:
    """A mix file of what the pack holds."""
    trained = {
        name: SHARES.get(name.removeprefix("train-"), 0.05) for name in names if name.startswith("train-")
    }
    lines = [
        f'[[training]]\nlabels = "{name}.json"\nimages = "images"\nshare = {share}'
        for name, share in trained.items()
    ]
    if given.streets:
        lines.append(f"[[training]]\nrendered = {given.streets}\nshare = 0.05")
    if "kept" in names:
        lines.append('[[validation]]\nlabels = "kept.json"\nimages = "images"')
    path = given.out / "data" / "mix.toml"
    path.write_text("\n".join(lines))
    return path


def job_of(given: argparse.Namespace, labels: Path) -> Any:
    """The training that is asked for: all layers learn, from the published weights on."""
    import torch

    from annotator.model.checkpoint import default_weights
    from annotator.options import CropOptions, TrainingJob, TrainingOptions

    if (given.minutes is None) == (given.steps is None):
        sys.exit("name either --minutes or --steps")
    is_gpu = given.device == "cuda" or (given.device == "auto" and torch.cuda.is_available())
    options = TrainingOptions(
        minutes=given.minutes,
        steps=given.steps or 1,
        batch_size=given.batch or (32 if is_gpu else 6),
        learning_rate=given.learning_rate or (1e-3 if is_gpu else 3e-4),
        frozen_stages=0,
        seed=given.seed,
        crop=CropOptions(
            size=tuple(given.crop or ((384, 768) if is_gpu else (256, 448))),
            scale=tuple(given.scale),
            small=given.small,
        ),
    )
    return TrainingJob(
        labels=labels,
        images=None,
        out=given.out,
        weights=given.weights or default_weights(),
        validation=labels if "[[validation]]" in labels.read_text() else None,
        device=given.device,
        workers=given.workers,
        save_every=250 if is_gpu else 50,
        validate_every=given.validate_every,
        validation_images=given.validation_images,
        compiled=given.compile,
        options=options,
    )


def draw_curves(out: Path, path: Path) -> None:
    """Loss and AP over the steps, where matplotlib is installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        return
    pyplot.switch_backend("agg")
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
    for axis, name, shown in zip(axes, ("training", "validation"), (("loss",), ("AP", "AP50")), strict=True):
        if (out / f"{name}.csv").exists():
            with (out / f"{name}.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            for column in shown:
                steps, values = zip(*((int(row["step"]), float(row[column])) for row in rows), strict=True)
                axis.plot(steps, values, label=column, marker="." if len(rows) < 50 else None)
            axis.legend()
        axis.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
