"""What may not be read is told by every command, in one sentence, and is never left out in silence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

import cli.annotate
import cli.convert
import cli.evaluate
import cli.track
from annotator import masks
from annotator.instances import Instances
from tests.helpers.builders import add_recording, frame_ref, mask
from tests.helpers.commands import assert_one_sentence, in_process
from tests.helpers.fake_detector import install, write_video
from tests.helpers.permissions import unreadable

BOX = masks.encode(mask(*["....######"] * 8))
COMMANDS = {
    "convert": (cli.convert.command, ["{path}", "--to", "coco", "--out", "{out}"]),
    "check": (cli.convert.command, ["check", "{path}"]),
    "eval": (cli.evaluate.command, ["{path}", "{path}"]),
    "track": (cli.track.command, ["{path}"]),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two recordings."""
    for name in ("day", "night"):
        found = [Instances.of(frame_ref(0), [BOX], [26], [0.9])]
        add_recording(tmp_path / "run", name, tmp_path / f"{name}.mp4", found)
    return tmp_path / "run"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recording_of_a_run_that_may_not_be_read_is_not_left_out(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    command, arguments = COMMANDS[name]
    with unreadable(run / "night"):
        answer = in_process(command, capsys)(
            *(argument.format(path=run, out=tmp_path / "out") for argument in arguments)
        )
    if name != "check":
        assert answer.returncode == 2
        assert_one_sentence(answer, "night", "read")
    assert answer.returncode in (1, 2)
    assert "night" in answer.stdout + answer.stderr
    assert "please report" not in answer.stdout + answer.stderr


def test_a_store_that_may_not_be_read_is_a_finding(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with unreadable(run / "night" / "labels.sqlite"):
        answer = in_process(cli.convert.command, capsys)("check", run)
    assert answer.returncode == 1
    assert "error: " in answer.stdout
    assert "night" in answer.stdout


@pytest.mark.parametrize("name", ["convert", "check", "eval"])
@pytest.mark.parametrize("closed", ["", "b", "b/x_000000_000001_gtFine_instanceIds.png"])
def test_labels_that_may_not_be_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, closed: str
) -> None:
    labels = tmp_path / "labels"
    for k, folder in enumerate("ab"):
        (labels / folder).mkdir(parents=True)
        file = labels / folder / f"x_000000_00000{k}_gtFine_instanceIds.png"
        cv2.imwrite(str(file), np.full((8, 10), 26000, np.uint16))
    command, arguments = COMMANDS[name]
    with unreadable(labels / closed):
        answer = in_process(command, capsys)(
            *(argument.format(path=labels, out=tmp_path / "out") for argument in arguments)
        )
    assert answer.returncode in ((1, 2) if name == "check" else (2,))
    assert "please report" not in answer.stdout + answer.stderr


def test_a_pipe_called_as_labels_are_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "x_000000_000000_gtFine_instanceIds.png")
    answer = in_process(cli.convert.command, capsys)(tmp_path, "--to", "coco", "--out", tmp_path / "out")
    assert answer.returncode == 2
    assert_one_sentence(answer, "a pipe", "no file")


def test_recordings_that_may_not_be_read_fail_and_the_others_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch)
    for name in ("a/1", "b/2", "3", "4"):
        write_video(tmp_path / "in" / f"{name}.mp4", frames=5)
    (tmp_path / "in" / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "in" / "disk").symlink_to("unmounted")
    os.mkfifo(tmp_path / "in" / "pipe.mp4")
    with unreadable(tmp_path / "in" / "a", tmp_path / "in" / "3.mp4"):
        answer = in_process(cli.annotate.command, capsys)(
            tmp_path / "in", "--out", tmp_path / "out", "--json"
        )
    assert answer.returncode == 1
    states = {source["name"]: source["state"] for source in json.loads(answer.stdout)["sources"]}
    failed = dict.fromkeys(("a", "3", "loop", "disk", "pipe"), "failed")
    assert states == {**failed, "b/2": "done", "4": "done"}
    assert "please report" not in answer.stderr


def test_what_is_passed_over_is_told_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch)
    write_video(tmp_path / "in" / "drive.mp4", frames=5)
    (tmp_path / "in" / "1.CR2").write_bytes(b"raw")
    (tmp_path / "in" / "notes.txt").write_text("dusk")
    answer = in_process(cli.annotate.command, capsys)(tmp_path / "in", "--out", tmp_path / "out", "--quiet")
    assert answer.returncode == 0
    assert answer.stderr == (
        "warning: passed over 1 pictures of kinds that can't be read here:"
        f" {tmp_path / 'in' / '1.CR2'} (save them as JPEG or PNG)\n"
    )
    recorded = json.loads((tmp_path / "out" / "run.json").read_text())
    assert recorded["passed_over"] == [str(tmp_path / "in" / "1.CR2")]
