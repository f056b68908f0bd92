"""datumaro, an independent reader, sees what was written. DATUMARO_PYTHON names a Python that has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from annotator import masks
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.registry import WRITABLE
from annotator.options import CvatOptions
from tests.formats.test_all_formats import CAR, FOLDER, PERSON, VIDEO, instances
from tests.helpers.builders import Labels, Recording, blob

PYTHON = os.environ.get("DATUMARO_PYTHON", "")
SCRIPT = Path(__file__).parents[2] / "reference" / "datumaro_import.py"
pytestmark = pytest.mark.skipif(not PYTHON, reason="DATUMARO_PYTHON names no interpreter with datumaro")

SIZE = (120, 160)
LABELS = Labels(
    [
        instances(
            k,
            (blob(SIZE, 40, 40 + 4 * k, 25), CAR, 0.9, 1),
            (blob(SIZE, 80, 110 - 3 * k, 20) | blob(SIZE, 100, 30, 8), PERSON, 0.8, 2),
            size=SIZE,
        )
        for k in range(5)
    ]
)


def imported(folder: Path, kind: str) -> tuple[int, list[list[Any]]]:
    answer = subprocess.run([PYTHON, SCRIPT, folder, kind], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    count, found = json.loads(answer.stdout.splitlines()[-1])
    return count, found


def with_images(folder: Path, names: list[str]) -> None:
    """datumaro wants the images to be there."""
    (folder / "images").mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(folder / "images" / name), np.zeros((*SIZE, 3), np.uint8))


def areas(label_index: int) -> list[int]:
    return [int(masks.areas(found.masks)[label_index]) for found in LABELS.found]


def test_tracks_of_the_video_dialect(tmp_path: Path) -> None:
    cvat_writer.write(LABELS, VIDEO, tmp_path / "out", CvatOptions(keyframe_iou=1))
    (tmp_path / "in").mkdir()
    shutil.copy(tmp_path / "out" / "cvat.xml", tmp_path / "in")
    count, found = imported(tmp_path / "in", "cvat")
    assert count == 5
    cars = [entry for entry in found if entry[1] == "car"]
    assert [entry[2] for entry in cars] == pytest.approx(areas(0), rel=0.03)
    assert {entry[3]["track_id"] for entry in cars} == {0}
    assert all(entry[3]["keyframe"] and not entry[3]["outside"] for entry in found)
    persons = [entry for entry in found if entry[1] == "person"]
    assert len(persons) == 10
    assert {entry[3]["uid"] for entry in persons} == {"2"}
    assert {entry[4] for entry in persons} == {1}
    assert {entry[3]["track_id"] for entry in persons} == {1, 2}


def test_keyframes_are_imported_with_their_masks(tmp_path: Path) -> None:
    cvat_writer.write(LABELS, VIDEO, tmp_path / "out")
    (tmp_path / "in").mkdir()
    shutil.copy(tmp_path / "out" / "cvat.xml", tmp_path / "in")
    _, found = imported(tmp_path / "in", "cvat")  # datumaro does not interpolate
    cars = [entry for entry in found if entry[1] == "car"]
    written = [
        shape
        for track in ElementTree.parse(tmp_path / "in" / "cvat.xml").iterfind("track[@label='car']")
        for shape in track
    ]
    assert len(cars) == len(written) < 5
    keyframes = [areas(0)[int(shape.attrib["frame"])] for shape in written]
    assert [entry[2] for entry in cars] == pytest.approx(keyframes, rel=0.03)


def test_polygons_of_the_images_dialect(tmp_path: Path) -> None:
    WRITABLE["cvat"].write(LABELS, FOLDER, tmp_path / "out")
    with_images(tmp_path / "in", [ref.name for ref in LABELS.frames()])
    shutil.copy(tmp_path / "out" / "cvat.xml", tmp_path / "in")
    count, found = imported(tmp_path / "in", "cvat")
    assert count == 5
    assert [entry[2] for entry in found if entry[1] == "car"] == pytest.approx(areas(0), rel=0.03)
    assert sum(entry[1] == "person" for entry in found) == 10


@pytest.mark.parametrize("source", [VIDEO, FOLDER], ids=["video", "folder"])
def test_masks_of_coco(tmp_path: Path, source: Recording) -> None:
    WRITABLE["coco"].write(LABELS, source, tmp_path / "out")
    with_images(tmp_path / "in", [])
    (tmp_path / "in" / "annotations").mkdir()
    shutil.copy(tmp_path / "out" / "coco.json", tmp_path / "in" / "annotations" / "instances_drive.json")
    count, found = imported(tmp_path / "in", "coco")
    assert count == 5
    assert [entry[2] for entry in found if entry[1] == "car"] == areas(0)
    assert [entry[2] for entry in found if entry[1] == "person"] == areas(1)
