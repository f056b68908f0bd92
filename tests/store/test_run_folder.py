"""A run folder knows its recordings, whether the run, a part of it or one recording is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotator.errors import UsageError
from annotator.store import Recording, RunFolder
from tests.helpers.builders import add_recording
from tests.store.test_store import found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two recordings, one of them in a folder below."""
    folder = tmp_path / "run"
    for name in ("day_1/drive", "walk"):
        add_recording(folder, name, Path("/data", f"{name}.mp4"), [found(0)])
    sources = [{"name": "day_1/drive", "path": "/data/day_1/drive.mp4", "state": "done"}]
    content = {"weights": {"file": "default"}, "state": "done", "sources": sources}
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def test_recordings_are_named_by_where_they_lie_in_the_run(run: Path) -> None:
    for path in (run, run / "run.json"):
        opened = RunFolder.open(path)
        assert opened.folders == {"day_1/drive": run / "day_1" / "drive", "walk": run / "walk"}
    for path in (run / "day_1", run / "day_1" / "drive", run / "day_1" / "drive" / "labels.sqlite"):
        opened = RunFolder.open(path)
        assert opened.root == run
        assert opened.only() == "day_1/drive"


def test_the_path_of_a_recording_is_that_of_run_json_or_else_of_its_labels(run: Path) -> None:
    assert RunFolder.open(run).recordings == (
        Recording("day_1/drive", Path("/data/day_1/drive.mp4")),
        Recording("walk", run / "walk"),
    )


def test_metadata_is_what_the_next_run_does_not_write_itself(run: Path) -> None:
    assert RunFolder.open(run).metadata == {"weights": {"file": "default"}}


def test_labels_that_were_copied_alone_are_a_run_without_a_record(run: Path) -> None:
    (run / "run.json").unlink()
    opened = RunFolder.open(run / "walk")
    assert (opened.root, opened.only(), opened.is_recorded) == (run / "walk", "walk", False)
    with opened.store("walk") as store:
        assert store.frame_count == 1


def test_what_is_no_run_is_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is no run"):
        RunFolder.open(tmp_path / "empty")
    (tmp_path / "empty" / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="has labelled nothing yet"):
        RunFolder.open(tmp_path / "empty")
    with pytest.raises(UsageError, match="has 2 recordings; name the folder of one, as day_1/drive, walk"):
        RunFolder.open(run).only()


def test_two_recordings_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    run = tmp_path / "drive"
    for folder in (tmp_path, run):
        add_recording(folder, "drive", Path("/data/drive.mp4"), [found(0)])
    with pytest.raises(UsageError, match="two recordings in it are called drive"):
        RunFolder.open(run)
