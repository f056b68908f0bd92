"""All kinds of files that the tool takes in: sound ones made on the spot, and the commands that meet damaged ones.

`python -m tests.faults.front_door SOUND` makes the sound ones. With WORK and SEED behind it, it is a worker: it reads
numbers, damages an input for each, runs the commands over it in this process, and answers what went wrong, in a line
of JSON.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import click
import cv2
import numpy as np
import torch

from annotator.detection import Detector
from annotator.detection.openvino_runtime import OpenVinoRuntime, OpenVinoUnusable
from annotator.formats.cvat import reader as cvat_reader
from annotator.formats.cvat import track_reader
from annotator.formats.frames import table as frames_csv
from annotator.formats.mots import reader as mots_reader
from annotator.formats.registry import WRITABLE
from annotator.instances import Instances
from annotator.masks import encode
from annotator.model.checkpoint import QuantizedGraph, load_checkpoint, save_checkpoint
from annotator.model.network import SpatialEmbeddingNetwork, erfnet_spec
from annotator.pipeline.publish import publish_all
from annotator.store import Store
from annotator.training import datasets
from cli import annotate, convert, evaluate, shell, track
from tests.faults.mutations import damaged
from tests.helpers.builders import Labels, Recording, add_recording, blob, frame_ref, read_instances
from tests.helpers.fake_detector import ToyRuntime, loader_of

SIZE = (48, 64)
TYPED = re.compile(  # by Python, and not for a user
    r"Traceback|unexpected fault|NoneType|object of type|not supported between|object is not|has no attribute"
    r"|unhashable|invalid literal for|could not convert|not subscriptable|out of bounds for|positional argument"
    r"|unsupported operand|expected str,|codec can't|too large to convert|cannot convert float|argument must be"
)
Call = tuple[click.Command, list[Any]]


@dataclass(frozen=True)
class Door:
    """A kind of input."""

    share: int  # of all inputs
    make: Callable[[Path], object]  # a sound one, in an empty folder
    calls: Callable[[Path, Path, Random], Iterator[Call]]  # of the damaged one, a sound one, and by chance


# ---- sound inputs


def instances(names: bool) -> list[Instances]:
    """Three frames with a car and a person each."""
    found = []
    for k in range(3):
        ref = frame_ref(k, SIZE, f"ulm_000000_{k:06}.png" if names else "")
        drawn = [encode(blob(SIZE, 24, 20 + 4 * k, 9)), encode(blob(SIZE, 20, 50 - k, 6))]
        found.append(Instances.of(ref, drawn, [26, 24], [0.9, 0.6], [[1, 0], [0, 1]], [1, 2]))
    return found


def written(name: str) -> Callable[[Path], object]:
    """A sound input of a format that the tool writes."""
    return lambda folder: WRITABLE[name].write(Labels(instances(name != "mots")), Recording("ulm"), folder)


def zip_of(name: str, file: str) -> Callable[[Path], None]:
    """The same as an export of CVAT."""

    def make(folder: Path) -> None:
        written(name)(folder)
        with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(folder / file, {"cvat.xml": "annotations.xml"}.get(file, f"annotations/{file}"))
        for each in folder.iterdir():
            if each.suffix != ".zip":
                shutil.rmtree(each) if each.is_dir() else each.unlink()

    return make


def coco_results(folder: Path) -> None:
    """A list of results, for the images of sound labels."""
    found = [
        {
            "image_id": k + 1,
            "category_id": 3,
            "score": 0.5,
            "segmentation": {"size": list(SIZE), "counts": one.masks[0]["counts"].decode()},
        }
        for k, one in enumerate(instances(True))
    ]
    (folder / "results.json").write_text(json.dumps(found))


def coco_polygons(folder: Path) -> None:
    """COCO as other tools write it."""
    ring = [4, 4, 30, 5, 28.5, 30, 5, 31]
    content = {
        "images": [{"id": k, "file_name": f"a/{k}.jpg", "height": 48, "width": 64} for k in (1, 2)],
        "annotations": [
            {
                "id": k,
                "image_id": 1 + k % 2,
                "category_id": 1,
                "segmentation": [ring],
                "iscrowd": 0,
                "bbox": [4, 4, 26, 27],
            }
            for k in range(4)
        ],
        "categories": [{"id": 1, "name": "car", "supercategory": "vehicle"}],
    }
    (folder / "coco.json").write_text(json.dumps(content))


def results(folder: Path) -> None:
    """Results for the Cityscapes benchmark."""
    for k in range(2):
        cv2.imwrite(str(folder / f"m{k}.png"), blob(SIZE, 20, 20 + 9 * k, 8).astype(np.uint8) * 255)
    (folder / "ulm_000000_000019_leftImg8bit_pred.txt").write_text("m0.png 26 0.9\nm1.png 24 0.5\n")


def polygons(folder: Path) -> None:
    """Cityscapes polygons."""
    objects = [
        {"label": label, "polygon": [[3, 3], [30, 4], [29, 30], [3, 28]]}
        for label in ("car", "cargroup", "road", "out of roi", "person")
    ]
    content = {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": objects}
    (folder / "ulm_000000_000019_gtFine_polygons.json").write_text(json.dumps(content))


def labelme(folder: Path) -> None:
    """Files of labelme."""
    corners = [[3, 3], [30, 4], [29, 30]]
    shapes: list[dict[str, Any]] = [
        {"label": "car", "points": corners, "group_id": None, "shape_type": "polygon", "flags": {}},
        {"label": "car", "points": corners[:2], "group_id": 1, "shape_type": "rectangle", "flags": {}},
        {"label": "person", "points": corners[:2], "group_id": 2, "shape_type": "circle", "flags": {}},
    ]
    for name in "ab":
        content = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"{name}.jpg",
            "imageData": None,
        }
        (folder / f"{name}.json").write_text(json.dumps(content | {"imageHeight": 48, "imageWidth": 64}))


def yolo(folder: Path) -> None:
    """YOLO text, with images and names."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for name in "ab":
        cv2.imwrite(str(folder / "images" / f"{name}.png"), np.zeros((*SIZE, 3), np.uint8))
        (folder / "labels" / f"{name}.txt").write_text(
            "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n1 0.6 0.6 0.9 0.6 0.9 0.9\n" * 2
        )
    (folder / "data.yaml").write_text("path: .\ntrain: images\nnames:\n  0: car\n  1: person\n")


def run(folder: Path) -> None:
    """A run with a recording and its label files."""
    add_recording(folder, "drive", folder / "drive", instances(True))
    with Store.open(folder / "drive", {"weights": "c0ffee"}) as store:
        publish_all(store, Recording("drive", folder / "drive"), folder / "drive", "coco")


def images_and_run(folder: Path) -> None:
    """Images, and what labelling them made."""
    (folder / "images").mkdir()
    for k in range(2):
        image = np.full((*SIZE, 3), 96, np.uint8)
        image[20:40, 5 + k : 30 + k] = (20, 20, 230)
        cv2.imwrite(str(folder / "images" / f"{k}.png"), image)
    assert shell.run(annotate.command, _annotate(folder)) == 0


def frames(folder: Path) -> None:
    """The list of frames of a recording."""
    frames_csv.write(Labels(instances(True)), Recording("ulm"), folder)


def checkpoint(folder: Path, quantized: QuantizedGraph | None = None) -> None:
    """Weights of the smallest network."""
    torch.manual_seed(0)
    network = SpatialEmbeddingNetwork(erfnet_spec((26,), 2))
    save_checkpoint(folder / "w.safetensors", network, {"origin": "a test"}, quantized=quantized)


def checkpoint_with_graph(folder: Path) -> None:
    """The same with a graph of eight bits, or what stands for one: the image times two, as both of its outputs."""
    import openvino
    from openvino import opset13 as ops

    image = ops.parameter([1, 3, -1, -1], np.float32, name="image")
    twice = [ops.multiply(image, ops.constant(np.full((1, 3, 1, 1), 2, np.float32))) for _ in range(2)]
    openvino.save_model(openvino.Model(twice, [image], "graph"), folder / "g.xml", compress_to_fp16=False)
    graph = QuantizedGraph((folder / "g.xml").read_bytes(), (folder / "g.bin").read_bytes(), {"images": 1})
    for name in ("g.xml", "g.bin"):
        (folder / name).unlink()
    checkpoint(folder, graph)


def authors(folder: Path) -> None:
    """Weights as the authors' training writes them."""
    body = SpatialEmbeddingNetwork(erfnet_spec((26,), 2)).body
    state = {f"module.{name}": tensor.half() for name, tensor in body.state_dict().items()}
    torch.save({"epoch": 3, "model_state_dict": state}, folder / "w.pth")


def training_mix(folder: Path) -> None:
    """A mix of two sets."""
    coco_polygons(folder)
    (folder / "a").mkdir()
    for k in (1, 2):
        cv2.imwrite(str(folder / "a" / f"{k}.jpg"), np.zeros((*SIZE, 3), np.uint8))
    (folder / "mix.toml").write_text(
        '[[training]]\nlabels = "coco.json"\nimages = "."\nshare = 0.7\nlabelled = ["car"]\n'
        'classes = { lorry = "truck" }\nskip_bad = true\n\n[[training]]\nrendered = 4\nshare = 0.1\n\n'
        '[[validation]]\nlabels = "coco.json"\nimages = "."\n'
    )


# ---- what meets them


def labels(name: str = "") -> Callable[[Path, Path, Random], Iterator[Call]]:
    """All commands that read labels; `name` is that of the file, or none for the folder."""

    def calls(folder: Path, sound: Path, rng: Random) -> Iterator[Call]:
        path, out = folder / name, folder.parent / "out"
        if rng.random() < 0.5:
            yield convert.command, ["check", path]
        to = rng.choice([*("coco", "cvat", "mots", "cityscapes", "run")])
        skip = ["--skip-bad"] * (rng.random() < 0.5)
        yield convert.command, [path, "--to", to, "--out", out, *skip]
        if rng.random() < 0.15:
            sides = [path, sound / name] if rng.random() < 0.5 else [sound / name, path]
            yield evaluate.command, [*sides, "--metrics", rng.choice(["cityscapes", "coco", "mots"]), *skip]
        if rng.random() < 0.05:
            yield convert.command, ["diff", sound / name, path, *skip]

    return calls


def of_run(folder: Path, sound: Path, rng: Random) -> Iterator[Call]:
    """All commands that work on runs."""
    out = folder.parent / "out"
    options: list[Call] = [
        (convert.command, ["check", folder]),
        (convert.command, [folder, "--to", rng.choice(["mots", "cvat", "cityscapes", "run"]), "--out", out]),
        (convert.command, ["edit", folder, "--relabel", "1=truck", "--cut", "2@1"]),
        (track.command, [folder]),
        (evaluate.command, [folder, sound]),
        (convert.command, ["diff", sound, folder]),
    ]
    yield from rng.sample(options, 2)


def of_images(folder: Path, sound: Path, rng: Random) -> Iterator[Call]:
    """Labelling once more."""
    yield annotate.command, _annotate(folder, *(["--overwrite"] * (rng.random() < 0.2)))


def _annotate(folder: Path, *more: str) -> list[Any]:
    return [str(folder / "images"), "--out", str(folder / "run"), "--format", "coco", "--quiet", *more]


def of_frames(folder: Path, sound: Path, rng: Random) -> Iterator[Call]:
    """The reader of frames.csv, which stands behind its writer."""
    yield _command(lambda: [*read_instances("frames", folder / frames_csv.FILE)]), []


def of_checkpoint(folder: Path, sound: Path, rng: Random) -> Iterator[Call]:
    """Loading, and the graph."""

    def load() -> None:
        (path,) = folder.iterdir()
        loaded = load_checkpoint(path)
        if loaded.quantized is not None:
            try:
                OpenVinoRuntime(loaded, "int8").maps(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), None)
            except OpenVinoUnusable as error:
                raise click.ClickException(str(error)) from error

    yield _command(load), []


def of_mix(folder: Path, sound: Path, rng: Random) -> Iterator[Call]:
    """Opening all sets of a mix."""

    def open_sets() -> None:
        sets = datasets.mix_of(folder / "mix.toml", None, folder / "mix.toml")
        for sources in (sets.training, sets.validation):
            datasets.open_parts(sources, SIZE, folder.parent / "kept")

    yield _command(open_sets), []


def _command(function: Callable[[], object]) -> click.Command:
    """What is no command by itself, as users meet it."""
    return click.Command("part", callback=lambda: function() and None)


DOORS = {
    "coco": Door(12, written("coco"), labels("coco.json")),
    "coco polygons": Door(12, coco_polygons, labels("coco.json")),
    "coco results": Door(6, coco_results, labels("results.json")),
    "coco zip": Door(5, zip_of("coco", "coco.json"), labels("export.zip")),
    "cvat": Door(14, written("cvat"), labels("cvat.xml")),
    "cvat zip": Door(6, zip_of("cvat", "cvat.xml"), labels("export.zip")),
    "mots": Door(8, written("mots"), labels("mots.txt")),
    "cityscapes": Door(8, written("cityscapes"), labels("cityscapes")),
    "results": Door(6, results, labels()),
    "polygons": Door(6, polygons, labels()),
    "labelme": Door(6, labelme, labels()),
    "yolo": Door(6, yolo, labels()),
    "run": Door(18, run, of_run),
    "images and run": Door(4, images_and_run, of_images),
    "frames": Door(3, frames, of_frames),
    "checkpoint": Door(4, checkpoint, of_checkpoint),
    "authors' checkpoint": Door(2, authors, of_checkpoint),
    "mix": Door(6, training_mix, of_mix),
}
if find_spec("openvino"):
    DOORS["checkpoint with graph"] = Door(3, checkpoint_with_graph, of_checkpoint)
DAMAGED = {"images and run": ("run.json", "labels.sqlite", "coco.json", "frames.csv"), "mix": ("mix.toml",)}


def make_sound(folder: Path) -> None:
    """A sound input of every kind, FOLDER/KIND/."""
    Detector.load = loader_of(ToyRuntime())  # type: ignore[method-assign]
    for name, door in DOORS.items():
        (folder / name).mkdir(parents=True)
        door.make(folder / name)


# ---- a worker


def main() -> None:
    """Make sound inputs; or answer what goes wrong with the inputs whose numbers come in."""
    sound = Path(sys.argv[1])
    if len(sys.argv) == 2:
        make_sound(sound)
        return
    work, seed = Path(sys.argv[2]), sys.argv[3]
    faulthandler.enable(all_threads=True)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what C code prints is no answer
    Detector.load = loader_of(ToyRuntime())  # type: ignore[method-assign]
    # Frames that are made up are work, if no fault: less of it is enough here.
    for module in (mots_reader, cvat_reader, track_reader):
        module.MOST_UNLABELLED = module.LONGEST_BETWEEN = 5_000  # type: ignore[attr-defined]
    answers.write(json.dumps("ready") + "\n")
    for line in sys.stdin:
        rng = Random(f"{seed}/{line.strip()}")
        answers.write(json.dumps(attempt(rng, sound, work)) + "\n")


def attempt(rng: Random, sound: Path, work: Path) -> dict[str, Any]:
    """Damage an input, in WORK/in, and run commands over it: its kind, and sentences of what is wrong."""
    name = rng.choices(list(DOORS), [door.share for door in DOORS.values()])[0]
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound / name, work / "in")
    (work / "kind").write_text(name)
    files = [file for file in sorted((work / "in").rglob("*")) if file.is_file()]
    if name in DAMAGED:
        files = [file for file in files if file.name in DAMAGED[name]]
    damaged(rng, rng.choice(files))
    wrong = []
    for command, arguments in DOORS[name].calls(work / "in", sound / name, rng):
        arguments = [str(argument) for argument in arguments]
        (work / "call").write_text(json.dumps([command.name, *arguments]))
        wrong += [f"{command.name} {' '.join(arguments)}: {what}" for what in faults_of(command, arguments)]
    return {"kind": name, "wrong": wrong}


def faults_of(command: click.Command, arguments: list[str]) -> Iterator[str]:
    """What a command does that none should, whatever it is given."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = shell.run(command, arguments)
    except BaseException as error:
        yield f"raised {type(error).__name__}: {error}"
        return
    said = err.buffer.getvalue().decode() + out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if found := TYPED.search(said):
        line = next(line for line in said.splitlines() if found.group() in line)
        yield f"says {line[:400]!r}"
    if code not in (0, 1, 2, 3):
        yield f"ends with {code}"
    if code >= 2 and sum(line.startswith("error: ") for line in said.splitlines()) != 1:
        yield f"ends with {code} and no sentence, or many: {said[:400]!r}"


if __name__ == "__main__":
    main()
