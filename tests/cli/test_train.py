"""spatialemb-train: wrong use gets one sentence and exit code 2."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest

from annotator.errors import ExitCode
from annotator.options import PRESETS, CropOptions, LossOptions, TrainingOptions
from cli import shell
from cli.options import options_from
from cli.train import command, recipe


def coco(path: Path, **changes: object) -> Path:
    """A COCO file of one image of 20 x 30 pixels with one car."""
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30, "source": "mine"}],
        "categories": [{"id": 26, "name": "car"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 26,
                "iscrowd": 0,
                "area": 100,
                "segmentation": [[5, 5, 15, 5, 15, 15]],
            }
        ],
    }
    path.write_text(json.dumps(content | changes))
    return path


def run(*arguments: object) -> int:
    return shell.run(command, ["--workers", "0", *map(str, arguments)])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    return coco(tmp_path / "train.json")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on stderr."""
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "at least 1"),
        (["--learning-rate", "7"], "between 0 and 1"),
        (["--crop-size", "8x8"], "--crop-size must be at least 32, not 8"),
        (["--crop-size", "large"], "'large' is not height and width, as 384x768"),
        (["--preset", "dragon"], "dragon"),
        (["--architecture", "dragon"], "dragon"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--validate", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_usage_is_told(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(labels, "--out", tmp_path / "out", *arguments) == ExitCode.USAGE
    assert said in told(capsys)


def test_a_file_that_is_no_coco_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.json").write_text('{"images": 3}')
    assert run(tmp_path / "train.json", "--out", tmp_path / "out") == ExitCode.USAGE
    assert "no COCO instance labels" in told(capsys)


def test_a_folder_that_is_no_data_set_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday").mkdir()
    assert run(tmp_path / "holiday", "--out", tmp_path / "out") == ExitCode.USAGE
    assert "holds no labels that are known" in told(capsys)


def test_a_damaged_image_stops_the_training_with_its_name(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    assert run(labels, "--out", tmp_path / "out", "--batch-size", "1") == ExitCode.USAGE
    assert "a.png: not an image" in told(capsys)


def test_a_folder_without_the_images_is_told(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert run(labels, tmp_path / "elsewhere", "--out", tmp_path / "out") == ExitCode.USAGE
    assert "are not in" in told(capsys)


def test_without_the_engine_the_error_says_what_brings_it(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert run(labels, "--out", tmp_path / "out") == ExitCode.USAGE
    assert 'pip install "spatialemb-annotate[train]"' in told(capsys)


def test_options_of_the_command_line_change_a_preset_and_defaults_do_not() -> None:
    asked: list[TrainingOptions] = []

    @click.command()
    @options_from(TrainingOptions, CropOptions, LossOptions)
    def ask(**values: Any) -> None:
        asked.append(recipe("paper", values))

    ask.main(["--batch-size", "8", "--crop-size", "256x320"], standalone_mode=False)
    ask.main(["--steps", "10"], standalone_mode=False)
    paper = PRESETS["paper"]
    assert asked[0] == replace(paper, batch_size=8, crop=replace(paper.crop, size=(256, 320)))
    assert asked[1] == replace(paper, steps=10, epochs=None)
