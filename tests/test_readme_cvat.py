"""What the README says of the way back from CVAT is done, line by line."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest

from annotator import masks
from annotator.formats.sniffing import read_labels
from annotator.instances import Instances
from annotator.labels import BY_NAME
from cli import shell
from tests.helpers.builders import add_recording, frame_ref
from tests.helpers.fake_cvat import TOKEN, FakeCvat, FakeTask, exported, take_annotations
from tests.helpers.fake_detector import write_video
from tests.test_readme import COMMANDS, README

SECTION = re.search(r"^## The way back from CVAT\n(.*?)^# ", README, re.DOTALL | re.MULTILINE)
assert SECTION
WITH_SERVER, BY_HAND = re.findall(r"```sh\n(.*?)```", SECTION[1], re.DOTALL)
SIZE = (48, 64)
LIVES = {12: range(12), 5: range(12), 3: range(5), 7: range(6, 12), 9: range(12), 10: range(12)}  # by track
CAR = BY_NAME["car"].id


def labelled(index: int) -> Instances:
    """A box for every track, each on a lane of its own."""
    there = [(lane, track) for lane, (track, life) in enumerate(LIVES.items()) if index in life]
    rles = []
    for lane, _ in there:
        pixels = np.zeros(SIZE, bool)
        pixels[8 * lane : 8 * lane + 7, 4 + index : 24 + index] = True
        rles.append(masks.encode(pixels))
    return Instances.of(
        frame_ref(index, SIZE), rles, [CAR] * len(rles), [0.9] * len(rles), track_ids=[t for _, t in there]
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README supposes to be there, which we are in."""
    monkeypatch.chdir(tmp_path)
    video = write_video(tmp_path / "drive.mp4", 12)
    add_recording(tmp_path / "labels", "drive", video, [labelled(k) for k in range(12)])
    return tmp_path


def run(lines: str, **replaced: str) -> None:
    for line in lines.splitlines():
        name, *arguments = shlex.split(line)
        arguments = [
            replaced.get("url", argument) if "://" in argument else argument for argument in arguments
        ]
        assert shell.run(importlib.import_module(COMMANDS[name]).command, arguments) == 0, line


def test_with_a_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", TOKEN)
    with FakeCvat() as server:
        run(WITH_SERVER, url=server.url)
    content = json.loads((folder / "diff.json").read_text())
    assert (content["frames"], content["edits"]["kept"]) == (12, 59)


def test_by_hand(folder: Path) -> None:
    assert (
        shell.run(
            importlib.import_module("cli.convert").command,
            ["labels", "--to", "cvat", "--out", ".", "--quiet"],
        )
        == 0
    )
    task = FakeTask({"name": "drive"}, list(range(12)), size=SIZE)
    assert take_annotations(task, Path("drive/cvat.xml").read_bytes(), "CVAT 1.1") == ""
    with zipfile.ZipFile("export.zip", "w") as archive:
        archive.writestr("annotations.xml", exported(1, task, "CVAT for video 1.1"))
    square = [[1, 1, 9, 1, 9, 9, 1, 9]]
    categories = [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "tree"}]
    annotations = [{"id": k, "image_id": 1, "category_id": k, "segmentation": square} for k in (1, 2)]
    images = [{"id": 1, "file_name": "a.png", "width": 20, "height": 20}]
    Path("other.json").write_text(
        json.dumps({"images": images, "categories": categories, "annotations": annotations})
    )
    run(BY_HAND)
    (found,) = (truth.instances for truth in read_labels(Path("sent/other/cvat.xml")))
    assert found.class_ids.tolist() == [BY_NAME["person"].id]
    tracks = {t for truth in read_labels(Path("by-hand")) for t in truth.instances.track_ids.tolist()}
    assert tracks == {12, 5, 13, 3}
