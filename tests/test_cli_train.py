"""spatialemb-train: wrong use gets one sentence and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator.errors import EXIT_USAGE
from cli import shell
from cli.train import command


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mix", "other=1"], "other"),
        (["--mix", "mine=much"], "SOURCE=SHARE"),
        (["--mix", "mine=-1"], "positive"),
        (["--steps", "0"], "at least 1"),
        (["--learning-rate", "7"], "between 0 and 1"),
    ],
)
def test_wrong_usage_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    annotations = coco(tmp_path / "train.json")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    given = [str(annotations), str(tmp_path), "--out", str(tmp_path / "out"), *arguments]
    assert shell.run(command, given) == EXIT_USAGE
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_a_file_that_is_no_coco_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.json").write_text('{"images": 3}')
    given = [str(tmp_path / "train.json"), str(tmp_path), "--out", str(tmp_path / "out")]
    assert shell.run(command, given) == EXIT_USAGE
    assert "no COCO annotation file" in capsys.readouterr().err


def test_a_damaged_image_stops_the_training_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    given = [
        str(coco(tmp_path / "train.json")),
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
        "--batch-size",
        "1",
    ]
    assert shell.run(command, given) == EXIT_USAGE
    assert "a.png" in capsys.readouterr().err


def test_a_folder_without_the_images_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = coco(tmp_path / "train.json")
    (tmp_path / "elsewhere").mkdir()
    given = [str(annotations), str(tmp_path / "elsewhere"), "--out", str(tmp_path / "out")]
    assert shell.run(command, given) == EXIT_USAGE
    assert "not in" in capsys.readouterr().err
