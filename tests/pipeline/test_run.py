"""run.json says how it went, whatever stood there before and however full the disk is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from annotator.errors import OutputError, UsageError
from annotator.evaluation.report import evaluate
from annotator.options import RUN_FOLDER, ConversionJob, EditJob, TrackingJob
from annotator.pipeline import run as runs
from annotator.pipeline.convert import convert
from annotator.pipeline.edit import edit
from annotator.pipeline.retrack import retrack
from annotator.pipeline.run import Run
from annotator.store.lock import LOCK_FILE
from annotator.store.records import SourceRecord, read_records
from tests.formats.test_comparison import IN_VIDEO, VIDEO, WRITERS, labelled
from tests.helpers.builders import Recording

DRIVE = Recording("drive", True, Path("/data/drive.mp4"))
STRANGE = {
    "nothing": "",
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe\x00",
    "null": "null",
    "a list": '[{"name": "drive"}]',
    "a number": "7",
    "deep": "[" * 100_000 + "]" * 100_000,
    "a number of many digits": '{"sources": ' + "9" * 10_000 + "}",
    "of another tool": '{"id": 3, "sources": {"a": 1}}',
    "sources that are none": '{"sources": [null, 7, [], {"name": 3, "path": 4}, {"name": "x"}]}',
    "odd entries": json.dumps(
        {
            "sources": [
                {
                    "name": "drive",
                    "path": "/data/drive.mp4",
                    "state": ["done"],
                    "frames": "many",
                    "gap_reasons": 7,
                    "losses": {"coco": [1]},
                    "seconds": None,
                    "fingerprint": "none",
                }
            ]
        }
    ),
    "a path that can be none": '{"sources": [{"name": "drive", "path": "a\\u0000b"}]}',
}


def put(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_a_strange_run_json_keeps_nobody_from_the_stores_beside_it(
    tmp_path: Path, content: str | bytes
) -> None:
    run = WRITERS["run"](tmp_path, IN_VIDEO, VIDEO)
    put(run / "run.json", content)
    assert evaluate(run, run, ("coco",)).figure("AP") == 1
    [converted] = convert(ConversionJob(run, "coco", tmp_path / "out"))
    assert converted.frames == 4
    assert edit(EditJob(run, delete=(1,)))
    put(run / "run.json", content)
    [tracked] = retrack(TrackingJob((run,), overwrite=True))
    assert tracked.frames == 4


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_a_strange_run_json_is_written_anew(tmp_path: Path, content: str | bytes) -> None:
    put(tmp_path / "run.json", content)
    with Run(tmp_path, {}, [DRIVE]):
        pass
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["state"] == "done"
    assert [source["name"] for source in written["sources"]] == ["drive"]


def test_what_can_be_understood_of_a_record_is_kept(tmp_path: Path) -> None:
    source = {"name": "drive", "path": "/data/drive.mp4", "state": "running", "frames": 7, "tracks": -1}
    put(tmp_path / "run.json", json.dumps({"sources": [source, None]}))
    assert read_records(tmp_path / "run.json") == {
        "drive": SourceRecord("drive", "/data/drive.mp4", state="interrupted", frames=7)
    }


def test_how_it_ended_is_written_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = runs.write_json

    def write_if_there_is_room(path: Path, content: object) -> None:
        if (tmp_path / LOCK_FILE).stat().st_size:  # what is reserved is all the room there is
            raise OutputError("the disk is full")
        write(path, content)

    def label_until_the_disk_is_full() -> None:
        with Run(tmp_path, {}, [DRIVE]) as run:
            monkeypatch.setattr(runs, "write_json", write_if_there_is_room)
            run.started(DRIVE)

    with pytest.raises(OutputError, match="full"):
        label_until_the_disk_is_full()
    written: dict[str, Any] = json.loads((tmp_path / "run.json").read_text())
    assert (written["state"], written["sources"][0]["state"]) == ("failed", "failed")
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_refused_conversion_leaves_nothing(tmp_path: Path) -> None:
    run = WRITERS["run"](tmp_path, IN_VIDEO, VIDEO)
    source = WRITERS["coco"](tmp_path / "other", type(IN_VIDEO)([labelled(k + 50) for k in range(4)]), VIDEO)
    out = tmp_path / "out"
    for to in (RUN_FOLDER, "cvat"):
        with pytest.raises(UsageError, match="no frame"):
            list(convert(ConversionJob(source, to, out, like=run)))
        assert not out.exists() or not list(out.rglob("*"))


def test_a_refused_conversion_leaves_a_run_that_was_there_as_it_was(tmp_path: Path) -> None:
    run = WRITERS["run"](tmp_path, IN_VIDEO, VIDEO)
    source = WRITERS["coco"](tmp_path / "other", type(IN_VIDEO)([labelled(k + 50) for k in range(4)]), VIDEO)
    shutil.copytree(run, out := tmp_path / "out")
    before = sorted(path.name for path in out.rglob("*"))
    with pytest.raises(UsageError, match="no frame"):
        list(convert(ConversionJob(source, RUN_FOLDER, out, like=run, overwrite=True)))
    assert sorted(path.name for path in out.rglob("*")) == before


def test_what_a_killed_run_of_very_many_recordings_knew_is_there(tmp_path: Path) -> None:
    many = [Recording(f"drive_{k:04}", True, Path(f"/data/{k}.mp4")) for k in range(2_000)]
    killed = Run(tmp_path, {}, many)
    killed.__enter__()
    written = (tmp_path / "run.json").stat().st_mtime_ns
    for k in range(5):
        killed.started(many[k])
        killed.failed(many[k], f"reason {k}")
    assert (tmp_path / "run.json").stat().st_mtime_ns == written, "it is not written whole for each of them"
    (tmp_path / "run.journal").open("ab").write(b'{"name": "drive_0005", "path"')  # torn
    killed._lock.release()
    with Run(tmp_path, {}, many) as run:
        run.failed(many[6], "reason 6")
        assert [run.record(many[k]).error for k in (0, 4, 5)] == ["reason 0", "reason 4", None]
    assert not (tmp_path / "run.journal").exists()
    records = read_records(tmp_path / "run.json")
    assert [records[many[k].name].error for k in (4, 6)] == ["reason 4", "reason 6"]
