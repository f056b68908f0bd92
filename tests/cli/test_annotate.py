"""spatialemb-annotate as a user meets it: exit codes, stdout, a sentence per fault; killed and run again."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotator.store.records import SourceRecord
from cli.annotate import command
from cli.progress import outcome
from tests.faults import empty_video, text_named_mp4
from tests.helpers.commands import Run, assert_one_sentence, in_process
from tests.helpers.fake_detector import install, write_video
from tests.helpers.forks import Forks
from tests.pipeline.test_annotate import label_files, run_json


@pytest.fixture
def annotate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command, with the toy in place of the network, in this process."""
    install(monkeypatch)
    return in_process(command, capsys)


@pytest.fixture(scope="module")
def killed_line(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """A line of the command, without its --out, that is killed or stopped amid its work."""
    video = write_video(tmp_path_factory.mktemp("killed") / "drive.mp4")
    return (video, "--format", "cityscapes,coco,cvat,mots", "--batch-size", 3)


@pytest.fixture(scope="module")
def undisturbed(
    killed_line: tuple[object, ...], toy_processes: Forks, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The label files of it when it is left alone."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert toy_processes.answer(*killed_line, "--out", out).returncode == 0
    return label_files(out)


def test_a_recording_is_labelled_and_the_second_time_all_is_done(tmp_path: Path, annotate: Run) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    first = annotate(video, "--out", out)
    assert (first.returncode, first.stderr.splitlines()[0]) == (0, "drive: labelling 24 frames")
    head, row = first.stdout.splitlines()
    assert head.split() == ["source", "frames", "gaps", "instances", "tracks", "seconds", "state"]
    assert row.split()[:4] == ["drive", "24", "0", "48"]  # five of them fill a gap
    assert row.endswith("done")
    again = annotate(video, "--out", out)
    assert again.returncode == 0
    assert "already done" in again.stdout
    assert "all is done" in again.stdout


@pytest.mark.parametrize("fault", ["KILL:4", "INT:3", "TERM:2"])
def test_killed_or_stopped_and_run_again_the_label_files_are_equal(
    tmp_path: Path,
    fault: str,
    killed_line: tuple[object, ...],
    undisturbed: dict[str, bytes],
    toy_processes: Forks,
) -> None:
    line = (*killed_line, "--out", tmp_path)
    stopped = toy_processes.answer(*line, TOY_FAULT=fault)
    assert stopped.returncode == (-signal.SIGKILL if fault == "KILL:4" else 130)
    assert set(label_files(tmp_path)) <= {
        ".lock",
        "drive/labels.sqlite-wal",
        "drive/labels.sqlite-shm",
    }
    if stopped.returncode == 130:
        assert_one_sentence(stopped, "interrupted", "goes on where it stopped")
        assert run_json(tmp_path)["state"] == "interrupted"
    assert toy_processes.answer(*line).returncode == 0
    assert label_files(tmp_path) == undisturbed


def test_one_bad_recording_of_three_gives_1_and_the_others_are_labelled(
    tmp_path: Path, annotate: Run
) -> None:
    a, c = write_video(tmp_path / "a.mp4"), write_video(tmp_path / "c.mp4")
    answer = annotate(a, text_named_mp4(tmp_path / "b.mp4"), c, "--out", tmp_path / "labels")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert str(tmp_path / "b.mp4") in answer.stderr
    assert [line.split()[-1] for line in answer.stdout.splitlines()[1:]] == ["done", "failed", "done"]
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["a", "c", "run.json"]


def test_nothing_but_bad_recordings_gives_3(tmp_path: Path, annotate: Run) -> None:
    bad = (empty_video(tmp_path / "a.mp4"), text_named_mp4(tmp_path / "b.mp4"))
    answer = annotate(*bad, "--out", tmp_path / "labels", "--quiet")
    assert (answer.returncode, answer.stdout) == (3, "")
    told = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 2
    assert all(str(path) in line for path, line in zip(bad, told, strict=True))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--classes", "dragon"], ["dragon"]),
        (["--classes", "train"], ["--classes train", "person, car"]),
        (["--format", "yolo"], ["yolo", "cityscapes, coco, cvat, mots"]),
        (["--every", "0"], ["--every"]),
        (["--every", "often"], ["--every"]),
        (["--device", "abacus"], ["--device"]),
        (["--colour", "red"], ["--colour"]),
    ],
)
def test_wrong_usage_gives_2_and_a_sentence(
    tmp_path: Path, wrong: list[str], words: list[str], annotate: Run
) -> None:
    answer = annotate(write_video(tmp_path / "drive.mp4"), "--out", tmp_path / "labels", *wrong)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert_one_sentence(answer, *words)
    assert not (tmp_path / "labels").exists()


def test_inputs_that_are_not_there_give_2(tmp_path: Path, annotate: Run) -> None:
    answer = annotate(tmp_path / "nowhere.mp4", "--out", tmp_path / "labels")
    assert answer.returncode == 2
    assert_one_sentence(answer, "nowhere.mp4")
    assert annotate("--out", tmp_path / "labels").returncode == 2
    assert annotate(tmp_path / "nowhere.mp4").returncode == 2


def test_an_output_folder_that_cannot_be_written_gives_2(tmp_path: Path, annotate: Run) -> None:
    (tmp_path / "file").write_text("")
    answer = annotate(write_video(tmp_path / "drive.mp4"), "--out", tmp_path / "file" / "labels")
    assert answer.returncode == 2
    assert_one_sentence(answer, "labels", "--out")


def test_json_is_one_object_and_nothing_else_on_stdout(tmp_path: Path, annotate: Run) -> None:
    good, bad = write_video(tmp_path / "good.mp4"), text_named_mp4(tmp_path / "bad.mp4")
    answer = annotate(good, bad, "--out", tmp_path / "labels", "--json")
    summary = json.loads(answer.stdout)
    assert summary["exit_code"] == answer.returncode == 1
    by_name = {source["name"]: source for source in summary["sources"]}
    assert (by_name["good"]["state"], by_name["good"]["frames"], by_name["good"]["already_done"]) == (
        "done",
        24,
        False,
    )
    assert by_name["bad"]["state"] == "failed"
    assert str(bad) in by_name["bad"]["error"]
    again = json.loads(annotate(good, "--out", tmp_path / "labels", "--json").stdout)
    assert again["sources"][0]["already_done"]


def test_what_several_formats_could_not_hold_is_said_once() -> None:
    losses = {"cityscapes": {"hidden": 1}, "coco": {"hidden": 1}, "cvat": {"hidden": 1, "holes filled": 7}}
    record = SourceRecord("drive", "drive.mp4", "done", 80, instances=9, tracks=2, losses=losses)
    said = outcome(record, changed=True).split("; ")[1:]
    assert said == ["1 hidden (cityscapes, coco, cvat)", "7 holes filled (cvat)"]


def test_quiet_says_nothing(tmp_path: Path, annotate: Run) -> None:
    answer = annotate(write_video(tmp_path / "drive.mp4"), "--out", tmp_path / "labels", "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_nobody_reading_stdout_is_no_fault(tmp_path: Path, toy_processes: Forks) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone, (tmp_path / "said").open("w+") as said:
        assert toy_processes.run((video, "--out", out), gone, said).code == 0
        said.seek(0)
        assert "Error" not in said.read()
    assert (out / "drive" / "coco.json").exists()


def test_version_is_told(annotate: Run) -> None:
    from annotator import __version__

    assert annotate("--version").stdout == f"spatialemb-annotate {__version__}\n"


def test_a_terminal_gets_a_bar(tmp_path: Path, toy_processes: Forks) -> None:
    pty = pytest.importorskip("pty")  # not on Windows
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "120"}
    with ThreadPoolExecutor(1) as pool, (tmp_path / "said").open("w") as said:
        ended = pool.submit(toy_processes.run, (video, "--out", out), said, theirs, environment)
        ended.add_done_callback(lambda _: os.close(theirs))
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert ended.result().code == 0
    assert b"/24" in shown  # the bar is drawn ten times a second: the last state may be skipped
    assert b"drive: done: 24 frames" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO when the other side is closed
        return b""
