"""What is left of a run.json that disks, editors or other tools changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotator.escape import read_object
from annotator.options import EditJob
from annotator.pipeline.edit import edit
from annotator.store.lock import RUN_FILE as FILE_NAME
from annotator.store.records import SourceRecord, read_records
from tests.helpers.builders import add_recording
from tests.store.test_store import found

SOUND = {"name": "drive", "path": "/data/drive.mp4", "state": "done", "frames": 3}


def written(folder: Path, content: Any) -> Path:
    path = folder / FILE_NAME
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "[]", "7", "null", '"a"', "{}", {"sources": None}, {"sources": 3}], ids=str
)
def test_what_is_no_run_json_records_nothing(tmp_path: Path, content: Any) -> None:
    path = written(tmp_path, content)
    assert read_records(path) == {}
    assert isinstance(read_object(path), dict)


@pytest.mark.parametrize(
    "entry", [None, 3, [], {}, {"name": 3, "path": "a"}, {"name": "a"}, {"name": "", "path": "a"}]
)
def test_entries_that_name_no_source_are_passed_over(tmp_path: Path, entry: Any) -> None:
    records = read_records(written(tmp_path, {"sources": [entry, SOUND]}))
    assert list(records) == ["drive"]


@pytest.mark.parametrize(
    "name", ["state", "frames", "gap_reasons", "losses", "error", "seconds", "fingerprint"]
)
def test_fields_of_another_kind_are_as_unsaid(tmp_path: Path, name: str) -> None:
    odd = {"frames": "a", "seconds": "a"}.get(name, 3)
    unsaid = {key: value for key, value in SOUND.items() if key != name}
    record = read_records(written(tmp_path, {"sources": [SOUND | {name: odd}]}))["drive"]
    assert record == SourceRecord(**unsaid)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", ["[]", '"a"', "{", {"sources": [{"name": ["drive"], "path": ["a"]}]}], ids=str
)
def test_a_run_is_edited_whatever_became_of_its_run_json(tmp_path: Path, content: Any) -> None:
    add_recording(tmp_path, "drive", Path("/data/drive.mp4"), [found(0).with_tracks([1, 2])])
    path = written(tmp_path, content)
    list(edit(EditJob(tmp_path, delete=(1,))))
    assert list(read_records(path)) == ["drive"]
