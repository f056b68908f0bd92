"""A disk of 10 MB fills up in the middle of a run: a sentence, the right exit code, and it goes on behind that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.annotate import command
from tests.helpers.commands import Run, assert_one_sentence, in_process
from tests.helpers.fake_detector import install, write_video
from tests.helpers.small_disk import small_disk
from tests.pipeline.test_annotate import label_files


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", megabytes=10) as folder:
        yield folder


def goes_on_behind_a_full_disk(
    annotate: Run, tmp_path: Path, disk: Path, *options: object, recordings: int = 6
) -> None:
    """Recordings whose labels don't fit on a disk, and then do, have those of a run that was never disturbed."""
    for k in range(recordings):
        write_video(tmp_path / "in" / f"drive_{k}.mp4", frames=60)
    formats = ("--format", "coco,cvat,mots")
    assert annotate(tmp_path / "in", "--out", tmp_path / "undisturbed", *formats).returncode == 0
    taken = sum(path.stat().st_size for path in (tmp_path / "undisturbed").rglob("*") if path.is_file())
    ballast = disk / "ballast"
    ballast.write_bytes(bytes((10 << 20) - 7 * taken // 10 - (1 << 17)))  # room for some of the labels
    out = disk / "out"
    full = annotate(tmp_path / "in", "--out", out, *formats, *options)
    assert full.returncode == 1, full.stderr
    assert_one_sentence(full, str(out), "can't be written", "make room")
    (record,) = out.glob("run*.json")
    states = [source["state"] for source in json.loads(record.read_text())["sources"]]
    assert "done" in states
    assert set(states) - {"done"}, "not all of them fit"
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    ballast.unlink()
    assert annotate(tmp_path / "in", "--out", out, *formats, *options).returncode == 0
    found, undisturbed = label_files(out), label_files(tmp_path / "undisturbed")
    records = {name for name in found | undisturbed if name.startswith("run.")}
    assert {name: found[name] for name in found.keys() - records} == {
        name: undisturbed[name] for name in undisturbed.keys() - records
    }


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch)
    goes_on_behind_a_full_disk(in_process(command, capsys), tmp_path, disk, "--shard", "1/1")
