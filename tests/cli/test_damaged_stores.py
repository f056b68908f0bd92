"""Stores that are damaged or half written, met by every command: a sentence, and the others go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotator.store import Store
from cli import annotate, convert, evaluate, track
from tests.faults.stores import ASIDE, DAMAGES, leave_hot_journal
from tests.helpers.commands import Answer, assert_one_sentence, in_process
from tests.helpers.fake_detector import install, write_video

Commands = Callable[..., Answer]  # of the name and the arguments


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two videos, and a run of both."""
    folder = tmp_path_factory.mktemp("labelled")
    videos = [write_video(folder / f"{name}.mp4", frames=8) for name in ("drive", "healthy")]
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        arguments = [*map(str, videos), "--out", str(folder / "run"), "--min-track", "1", "--quiet"]
        assert annotate.shell.run(annotate.command, arguments) == 0
    return folder


@pytest.fixture
def folder(labelled: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(labelled, tmp_path / "labelled"))


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands over that run, by name."""
    install(monkeypatch)
    inputs = [folder / "drive.mp4", folder / "healthy.mp4"]
    here = folder / "run"
    commands: dict[str, tuple[Any, list[object]]] = {
        "annotate": (annotate.command, [*inputs, "--out", here, "--min-track", "1"]),
        "check": (convert.command, ["check", here]),
        "convert": (convert.command, [here, "--to", "coco", "--out", folder / "out"]),
        "convert to run": (convert.command, [here, "--to", "run", "--out", folder / "out"]),
        "edit": (convert.command, ["edit", here / "drive"]),
        "eval": (evaluate.command, [here, here]),
        "diff": (convert.command, ["diff", here, here]),
        "track": (track.command, [here, "--min-track", "1"]),
    }

    def act(name: str, *arguments: object) -> Answer:
        command, usual = commands[name]
        return in_process(command, capsys)(*usual, *arguments)

    return act


READING = ("check", "convert", "convert to run", "eval", "diff")
NAMES = (*READING, "edit", "track", "annotate")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_opens_what_a_killed_process_left(folder: Path, run: Commands, name: str) -> None:
    leave_hot_journal(folder / "run" / "drive")
    answer = run(name)
    assert (answer.returncode, "error" in answer.stderr) == (0, False), answer.stderr
    with Store.read(folder / "run" / "drive") as store:
        assert [ref.pts for ref in store.frames()] == sorted(ref.pts for ref in store.frames())
        assert store.frame_count == 8


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_told_and_the_other_recording_goes_on(
    folder: Path, run: Commands, damage: str
) -> None:
    DAMAGES[damage](folder / "run" / "drive")
    store = folder / "run" / "drive" / "labels.sqlite"
    for name in ("eval", "diff"):
        answer = run(name)
        assert answer.returncode == 2, name
        assert_one_sentence(answer, f"{store}: is damaged (", "use --overwrite")
    for name in ("convert", "convert to run", "track"):
        answer = run(name)
        assert answer.returncode == 1, name
        assert_one_sentence(answer, f"{store}: is damaged (", "use --overwrite")
        assert "healthy: 8 frames" in answer.stdout
        shutil.rmtree(folder / "out", ignore_errors=True)
    answer = run("edit")
    assert answer.returncode == 1
    assert_one_sentence(answer, f"{store}: is damaged (", "use --overwrite")
    answer = run("check")
    assert answer.returncode == 1
    assert f"error: {store.parent}: is damaged (" in answer.stdout


@pytest.mark.parametrize("damage", ASIDE)
def test_what_some_commands_need_is_told_by_them_and_by_check(
    folder: Path, run: Commands, damage: str
) -> None:
    ASIDE[damage](folder / "run" / "drive")
    answer = run("check")
    assert answer.returncode == 1
    assert f"error: {folder / 'run' / 'drive'}: is damaged (" in answer.stdout
    for name in NAMES:
        answer = run(name)
        said = answer.stdout + answer.stderr
        assert "unexpected" not in said, name
        assert not answer.returncode or "is damaged (" in said, name
        shutil.rmtree(folder / "out", ignore_errors=True)


@pytest.mark.parametrize("damage", ["text in place of it", "cut off", "a column has another name"])
def test_a_damaged_store_keeps_no_other_recording_from_being_labelled(
    folder: Path, run: Commands, damage: str
) -> None:
    DAMAGES[damage](folder / "run" / "drive")
    shutil.rmtree(folder / "run" / "healthy")
    answer = run("annotate")
    assert answer.returncode == 1
    assert "is damaged" in answer.stderr
    assert (folder / "run" / "healthy" / "coco.json").is_file()
    assert run("annotate", "--overwrite").returncode == 0
    assert run("check").returncode == 0


def test_overwriting_a_store_that_cannot_be_read_leaves_no_old_label_files(
    folder: Path, run: Commands
) -> None:
    assert run("annotate", "--format", "mots").returncode == 0
    DAMAGES["cut off"](folder / "run" / "drive")
    assert run("annotate", "--overwrite").returncode == 0
    assert not (folder / "run" / "drive" / "mots.txt").exists()


# ---- runs that are not finished


def interrupt(folder: Path) -> None:
    """Leave the recording as a kill amid its frames does."""
    with Store.read(folder) as store:
        made_with = store.fingerprint
    with Store.open(folder, made_with) as store:
        store.update(replace(store.progress, detected=False))


def untrack(folder: Path) -> None:
    """Leave the recording as a kill amid association does."""
    with Store.read(folder) as store:
        made_with = store.fingerprint
    with Store.open(folder, made_with) as store:
        store.update(replace(store.progress, tracking=None))


def fail(folder: Path) -> None:
    """Leave the recording as one that can't be read."""
    shutil.rmtree(folder)
    content = json.loads((folder.parent / "run.json").read_text())
    content["sources"][0] |= {"state": "failed", "frames": 0}
    (folder.parent / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["convert", "convert to run", "eval", "diff"])
@pytest.mark.parametrize(
    ("leave", "lacking"),
    [
        (interrupt, "drive (8 frames so far)"),
        (untrack, "drive (without its tracks)"),
        (fail, "drive (failed)"),
    ],
)
def test_half_a_run_is_not_taken_for_the_whole_unless_told(
    folder: Path, run: Commands, name: str, leave: Callable[[Path], None], lacking: str
) -> None:
    leave(folder / "run" / "drive")
    answer = run(name)
    assert answer.returncode == 2
    assert_one_sentence(answer, f"{folder / 'run'}: is not finished: {lacking};", "--unfinished")
    assert not list((folder / "out").glob("*/*"))
    assert run(name, "--unfinished").returncode == 0
