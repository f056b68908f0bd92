"""Every command of the README and of .github/docs does what it says, on small files and with a toy for a network."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from annotator.detection import detector
from annotator.model.checkpoint import save_checkpoint
from annotator.model.embedding import Grid
from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import TrainingOptions
from annotator.pipeline import benchmark
from annotator.review import show
from annotator.training.initialization import spec_of
from cli import shell
from tests.helpers.builders import add_recording
from tests.helpers.fake_detector import CAR, PERSON, draw, install, write_video
from tests.helpers.labelled import SIZE, DrawnImages, write_coco
from tests.test_readme import COMMANDS, PAGES, README, SHELL
from tests.test_readme_cvat import labelled

# Beginnings of what is not run here, with the test that does run it, or why none does.
ELSEWHERE = {
    "pip install": "packages are installed by .ci/run",
    "python -m pytest": "this",
    "python examples/": "tests/test_examples.py",
    "python -m annotator.training.instance_head": "tests/training/test_instance_head.py",
    "spatialemb-quantize": "needs NNCF and minutes: tests/training/test_quantization.py",
    "spatialemb-cvat": "needs a server: tests/test_readme_cvat.py",
    "spatialemb-annotate s3://": "needs object storage: tests/fleet/test_stored.py, and test_ray.py with a cluster",
    "spatialemb-annotate /mnt/fleet/in": "needs a cluster: tests/fleet/test_ray.py",
    "spatialemb-convert export.zip": "needs an export of CVAT: tests/test_readme_cvat.py",
    "spatialemb-convert other.json": "tests/test_readme_cvat.py",
    "spatialemb-convert edit": "tests/test_readme_cvat.py",
}
SMALL = {  # options behind those of a line, which it has as large as they are in earnest
    "spatialemb-train": "--steps 2 --batch-size 2 --crop-size 64x96 --workers 0 --device cpu"
    " --weights small.safetensors --validate-every 2",
    "spatialemb-bench": "--frames 4",
}
FIRST = {  # a line that another one goes on from
    "spatialemb-eval labels/ val.json --metrics cityscapes,edits": (
        "spatialemb-annotate val/ --out labels/ --format coco --no-track"
    ),
}
LENGTH = 44  # frames of the video
LONG = re.compile(r"--start 100\b")  # what needs more
LINES = sorted({line.partition(" && ")[2] or line for line in SHELL.splitlines() if line.strip()})
RUN_HERE = [line for line in LINES if not line.startswith(tuple(ELSEWHERE))]


@pytest.fixture(scope="module")
def supposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages suppose to be there."""
    folder = tmp_path_factory.mktemp("supposed")
    drive = write_video(folder / "drive.mp4", LENGTH)
    short = write_video(folder / "short.mp4", 6)
    for name in ("phone.mov", "examples/drive.mp4", "drives/a.mp4", *(f"fleet/{k}.mp4" for k in range(12))):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(short, folder / name)
    (folder / "frames").mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / "frames" / f"frame_{k}.png"), draw(k)[..., ::-1])
    for name in ("labels", "truth", "corrected"):
        add_recording(folder / name, "drive", drive, [labelled(k) for k in range(LENGTH)])
    write_coco(folder, [DrawnImages().image(k) for k in range(4)]).rename(folder / "train.json")
    content = write_coco(folder / "val", [DrawnImages().image(k) for k in range(4, 7)]).read_text()
    (folder / "val" / "labels.json").unlink()
    for path in (folder / "val" / "images").iterdir():
        shutil.copy(path, folder / "val" / f"v{path.name}")
        path.rename(folder / "images" / f"v{path.name}")  # beside val.json
    (folder / "val" / "images").rmdir()
    (folder / "val.json").write_text(content.replace('"file_name": "', '"file_name": "v'))
    torch.manual_seed(0)
    spec = replace(
        spec_of(TrainingOptions()), class_ids=(PERSON, CAR), trained_size=SIZE, grid=Grid(2, 129, 1, 65)
    )
    save_checkpoint(folder / "small.safetensors", SpatialEmbeddingNetwork(spec), {}, torch.float32)
    convert = importlib.import_module("cli.convert").command
    assert shell.run(convert, [str(folder / "labels"), "--to", "mots", "--out", str(folder), "--quiet"]) == 0
    (folder / "drive" / "mots.txt").rename(folder / "detections.txt")
    return folder


@pytest.fixture
def folder(supposed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, which we are in, with a toy for the network."""
    shutil.copytree(supposed, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    install(monkeypatch)
    # The toy has no maps to fuse or to draw, and is of this process.
    monkeypatch.setattr(
        detector, "fused_maps", lambda runtime, images, scale, passes: runtime.maps(images, scale)
    )
    monkeypatch.setattr(show, "maps_picture", lambda maps, image, found: image)
    monkeypatch.setattr(benchmark, "_in_process", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr(benchmark, "load_checkpoint", lambda weights: SimpleNamespace(quantized=object()))
    monkeypatch.setattr(benchmark, "find_spec", lambda name: object())
    return tmp_path / "here"


def run(line: str) -> None:
    """Run it with exit code 0; afterwards there is what it was to write."""
    name, *arguments = shlex.split(line)
    if name == "spatialemb-annotate":
        shutil.rmtree("labels")  # of a run with other options
    command = importlib.import_module(COMMANDS[name]).command
    assert shell.run(command, [*arguments, *shlex.split(SMALL.get(name, ""))]) == 0
    for option, value in pairwise(arguments):
        if option in ("--out", "--json", "--plots") and not value.startswith("-"):
            assert Path(value).exists()


@pytest.mark.parametrize("line", RUN_HERE)
def test_a_command_does_its_work(line: str, folder: Path) -> None:
    if LONG.search(line):
        write_video(folder / "drive.mp4", 104)
    if line in FIRST:
        run(FIRST[line])
    run(line)


def test_the_lines_of_python_do_their_work(folder: Path) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(lines, {"image": np.ascontiguousarray(draw(0))})
    assert Path("labels").is_dir()


def test_each_line_that_is_run_elsewhere_says_where() -> None:
    unused = [start for start in ELSEWHERE if not any(line.startswith(start) for line in LINES)]
    assert not unused
    root = PAGES[0].parent
    for reason in ELSEWHERE.values():
        for path in re.findall(r"tests/\S+\.py", reason):
            assert (root / path).is_file(), path
