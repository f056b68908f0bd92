"""Names of files are bytes: whatever they are, a recording is labelled, and no command fails or sends them raw."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from PIL import Image

import cli.annotate
import cli.convert
import cli.evaluate
import cli.review
import cli.track
from annotator import masks
from annotator.instances import Instances
from tests.helpers.builders import add_recording, frame_ref, mask
from tests.helpers.commands import Answer, in_process
from tests.helpers.fake_detector import draw, install, write_video

ODD_NAMES = {
    "not UTF-8": os.fsdecode(b"caf\xe9 \xff"),
    "control": "a\x1b[31mred\x07\x9bb",
    "lines": "two\nlines\r",
    "emoji": "🚗 drive 🇩🇪",
    "composed": "Zürich",
    "decomposed": "Zu\u0308rich",
    "dash": "--out",
    "japanese": "日" * 78,
    "long": "L" * 230,
    "quotes": '"it\'s" <&> %20 $x',
    "tag": "[red]x[bold]",
}
BOX = masks.encode(mask(*["....######"] * 8))
Commands = Callable[..., Answer]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Run a command; what it says has no character that a terminal would obey or UTF-8 can't hold."""
    install(monkeypatch)

    def run(command: click.Command, *arguments: object) -> Answer:
        answer = in_process(command, capsys)(*arguments)
        said = answer.stdout + answer.stderr
        assert said.encode()
        assert not [char for char in said if not char.isprintable() and char != "\n"]
        return answer

    return run


def images(folder: Path, name: str, count: int = 6) -> Path:
    """A folder of images of this name, each called by it too."""
    folder = folder / name
    folder.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(draw(k)).save(
            os.fsencode(folder / f"{k}{name[: 200 // len(os.fsencode(name)[:1])][:60]}.png")
        )
    return folder


def test_whatever_they_are_called_recordings_go_through_all_commands(tmp_path: Path, run: Commands) -> None:
    plain = write_video(tmp_path / "plain.mp4", frames=4)
    sources = [images(tmp_path / "images", name, count=4) for name in ODD_NAMES.values()]
    for name in ODD_NAMES.values():
        sources.append(tmp_path / f"{name}.mp4")
        shutil.copy(plain, sources[-1])
    out = tmp_path / "out"
    done = run(
        cli.annotate.command, *sources, "--out", out, "--json", "--format", "cityscapes,coco,cvat,mots"
    )
    assert done.returncode == 0, done.stderr
    for records in (
        json.loads(done.stdout)["sources"],
        json.loads((out / "run.json").read_text())["sources"],
    ):
        assert {record["path"] for record in records} == set(map(str, sources))
        assert all(record["instances"] >= 4 for record in records)
    assert run(cli.annotate.command, *sources, "--out", out).returncode == 0
    checked = run(cli.convert.command, "check", out)
    assert checked.returncode == 0, checked.stdout
    assert run(cli.track.command, out, "--min-track", 1).returncode == 0
    for to in ("cityscapes", "coco", "cvat", "mots", "run"):
        converted = run(cli.convert.command, out, "--to", to, "--out", tmp_path / f"to {to}")
        assert converted.returncode == 0, converted.stderr
    scored = run(cli.evaluate.command, out, out, "--json", tmp_path / "e.json", "--csv", tmp_path / "e.csv")
    assert scored.returncode == 0, scored.stderr
    assert json.loads((tmp_path / "e.json").read_text())
    assert run(cli.convert.command, "diff", out, tmp_path / "to run").returncode == 0
    looked_at = run(cli.review.command, out)
    assert looked_at.returncode == 0, looked_at.stderr
    for record in records:
        labels = out / record["name"]
        assert {"preview.mp4", "review.csv"} <= {path.name for path in labels.iterdir()}
        assert run(cli.convert.command, "edit", labels, "--relabel", "1=truck").returncode == 0


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=list(ODD_NAMES))
def test_labels_and_outputs_may_have_any_name(tmp_path: Path, run: Commands, name: str) -> None:
    add_recording(
        tmp_path / "out", "drive", tmp_path / "drive.mp4", [Instances.of(frame_ref(0), [BOX], [26], [0.9])]
    )
    odd = tmp_path / name
    answer = run(cli.convert.command, tmp_path / "out", "--to", "coco", "--out", odd)
    assert answer.returncode == 0, answer.stderr
    labels = tmp_path / f"{name}.json"
    (odd / "drive" / "coco.json").rename(labels)
    answer = run(cli.convert.command, labels, "--to", "run", "--out", tmp_path / "run")
    assert answer.returncode == 0, answer.stderr
    scored = run(cli.evaluate.command, labels, tmp_path / "out", "--json", tmp_path / f"{name}.figures")
    assert scored.returncode == 0, scored.stderr


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=list(ODD_NAMES))
def test_what_is_not_there_is_named_in_one_line(tmp_path: Path, run: Commands, name: str) -> None:
    for command, arguments in (
        (cli.annotate.command, (tmp_path / name, "--out", tmp_path / "out")),
        (cli.convert.command, (tmp_path / name, "--to", "coco", "--out", tmp_path / "out")),
        (cli.evaluate.command, (tmp_path / name, tmp_path)),
        (cli.track.command, (tmp_path / name,)),
    ):
        answer = run(command, *arguments)
        assert answer.returncode == 2
        assert len(answer.stderr.splitlines()) == 1
