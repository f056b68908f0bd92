"""Commands are quiet about their decisions unless they are asked to tell them."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import pytest

from annotator.store import Store
from cli import annotate, convert, cvat, evaluate, fleet, quantize, review, shell, track, train
from tests.helpers.builders import add_recording
from tests.store.test_store import found

MODULES = (annotate, convert, cvat, evaluate, fleet, quantize, review, track, train)


def commands(command: click.Command) -> list[click.Command]:
    """The command, or all below a group."""
    if isinstance(command, click.Group):
        return [each for sub in command.commands.values() for each in commands(sub)]
    return [command]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_command_takes_v(module: object) -> None:
    for command in commands(module.command):  # type: ignore[attr-defined]
        flags = {flag for option in command.params for flag in option.opts}
        assert {"-v", "--verbose"} <= flags, command.name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    add_recording(tmp_path / "run", "drive", Path("/data/drive.mp4"), [found(0)])
    with Store.read(tmp_path / "run" / "drive") as store:
        assert store.progress.detected
    return tmp_path / "run"


def test_decisions_are_told_on_stderr_when_asked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(run), "--to", "coco", "--out", str(run.parent / "out")]
    assert shell.run(convert.command, [*arguments, "-v"]) == 0
    told = capsys.readouterr()
    assert f"annotator.formats.sniffing: {run}: holds labels of this tool, recordings: 1\n" in told.err
    assert "annotator.pipeline.publish: drive: coco written: coco.json\n" in told.err
    assert "locked" not in told.err
    assert shell.run(convert.command, [*arguments, "--overwrite"]) == 0
    assert capsys.readouterr() == (told.out, "")
    assert shell.run(convert.command, ["edit", str(run), "-vv"]) == 0
    assert f"annotator.files: {run / '.lock'}: locked\n" in capsys.readouterr().err


def test_nothing_of_it_stays_behind(run: Path) -> None:
    log = logging.getLogger("annotator")
    before = list(log.handlers), log.level
    assert shell.run(convert.command, ["check", str(run), "-vv"]) in (0, 1)
    assert (list(log.handlers), log.level) == before
