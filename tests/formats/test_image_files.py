"""Formats with a file an image, as other tools write them: every command takes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from annotator.errors import ExitCode
from annotator.evaluation.report import evaluate
from annotator.formats.sniffing import sniff
from annotator.training.image_lookup import frame_files
from cli import convert
from tests.helpers.commands import assert_one_sentence, in_process
from tests.helpers.label_files import (
    BOX,
    LEFT_HALF,
    SIZE,
    labelme,
    polygons,
    shape,
    truths,
    yolo,
)

MAKERS: dict[str, Callable[[Path], Path]] = {
    "polygons": lambda folder: polygons(folder, ("car", BOX)),
    "labelme": lambda folder: labelme(folder, shape("car", BOX)),
    "yolo": lambda folder: yolo(folder, a=f"0 {LEFT_HALF}"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_command_takes_them(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = MAKERS[name](tmp_path / "labels")
    run = in_process(convert.command, capsys)
    assert run("check", path).stdout == "nothing was found\n"
    answer = run(path, "--to", "coco", "--out", tmp_path / "out")
    assert answer.returncode == 0
    assert "1 frames, 1 instances" in answer.stdout
    assert evaluate(tmp_path / "out", path, ["coco"]).figure("car.AP") == pytest.approx(1)
    (labels,) = sniff(path).labels
    picture = "ulm_000000_000019_leftImg8bit.png" if name == "polygons" else "a.jpg"
    folder = path / "images" / "train" if name == "yolo" else path
    Image.new("RGB", (SIZE[1], SIZE[0])).save(folder / picture)
    refs = [truth.instances.frame for truth in labels.truth()]
    assert [file.stem for file in frame_files(labels, refs, None, tmp_path)] == [Path(picture).stem]


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_alone_is_recognized_too(name: str, tmp_path: Path) -> None:
    path = MAKERS[name](tmp_path / "labels")
    (file,) = (file for file in path.rglob("*") if file.suffix in (".json", ".txt"))
    assert sniff(file).format is sniff(path).format
    assert [len(truth.instances) for truth in truths(file)] == [1]


def test_a_folder_of_coco_files_is_a_recording_each(tmp_path: Path) -> None:
    content = {"images": [], "annotations": [], "categories": []}
    for name in ("day/drive/coco.json", "other.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "camera.json").write_text('{"focal": 3}')
    assert [labels.name for labels in sniff(tmp_path).labels] == ["day/drive", "other"]


def test_annotations_of_via_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "via.json").write_text('{"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": []}}')
    answer = in_process(convert.command, capsys)(
        tmp_path / "via.json", "--to", "coco", "--out", tmp_path / "out"
    )
    assert_one_sentence(answer, "via.json", "VIA", "COCO format")
    assert answer.returncode == ExitCode.USAGE
    answer = in_process(convert.command, capsys)("check", tmp_path / "via.json")
    assert "error: " in answer.stdout
    assert "VIA" in answer.stdout
    assert answer.returncode == ExitCode.SOME_FAILED
