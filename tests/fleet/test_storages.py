"""Storages beside S3: one in memory, for what all but S3 share, SFTP, and the web, which can only be read; reports."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from annotator.errors import UsageError
from annotator.fleet.engine import annotate
from annotator.fleet.report import report
from annotator.fleet.storage import Storage
from annotator.options import AnnotationJob, StorageOptions
from annotator.pipeline.events import SourceEnded
from cli.fleet import command
from tests.faults import text_named_mp4
from tests.helpers.commands import in_process
from tests.helpers.fake_detector import install, write_video
from tests.helpers.sftp_server import PASSWORD, sftp_server
from tests.pipeline.test_annotate import label_files

fsspec = pytest.importorskip("fsspec", reason="no library for storages is installed")


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


@pytest.fixture
def memory() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    yield "memory://fleet"
    files.rm("/fleet", recursive=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of files in tmp_path."""
    pytest.importorskip("aiohttp", reason="the extra http is not installed")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *_: None  # type: ignore[method-assign]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fill(tmp_path: Path) -> Path:
    for name in ("a", "day/b"):
        write_video(tmp_path / "in" / f"{name}.mp4", frames=8)
    text_named_mp4(tmp_path / "in" / "bad.mp4")
    return tmp_path / "in"


def run(tmp_path: Path, inputs: str, out: Path) -> dict[str, str]:
    job = AnnotationJob((Path(inputs),), out, storage=StorageOptions(tmp_path / "scratch"))
    return {e.record.name: e.record.state for e in annotate(job) if isinstance(e, SourceEnded)}


STATES = {"a": "done", "bad": "failed", "day/b": "done"}


def test_from_storage_to_storage_and_a_report_of_it(
    tmp_path: Path, memory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fsspec.filesystem("memory").put(str(fill(tmp_path)), "/fleet/in", recursive=True)
    assert run(tmp_path, f"{memory}/in", Path(f"{memory}/out")) == STATES
    assert run(tmp_path, f"{memory}/in", Path(f"{memory}/out")) == STATES
    answer = in_process(command, capsys)("report", f"{memory}/out", "--csv", tmp_path / "rows.csv")
    assert answer.returncode == 1
    assert "bad  failed" in answer.stdout
    assert "3 recordings: 2 done, 1 failed" in answer.stdout
    storage = Storage(f"{memory}/out")
    content = storage.read_json("fleet.json") or {}
    assert [row["name"] for row in content["recordings"]] == ["a", "bad", "day/b"]
    assert content["totals"]["frames"] == 16
    assert content["totals"]["seconds"] > 0
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert [(row["name"], row["state"]) for row in rows] == list(STATES.items())
    with pytest.raises(UsageError, match="no labels are here"):
        report(Path(f"{memory}/in"))


def test_a_web_server_is_read(tmp_path: Path, web: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    assert run(tmp_path, f"{web}/in", tmp_path / "labels") == STATES
    list(annotate(AnnotationJob((tmp_path / "in",), tmp_path / "alone")))
    assert label_files(tmp_path / "labels") == label_files(tmp_path / "alone")
    assert run(tmp_path, f"{web}/in/a.mp4", tmp_path / "one") == {"a": "done"}
    with pytest.raises(UsageError, match="can only be read"):
        run(tmp_path, f"{web}/in", Path(f"{web}/out"))
    for name, state in (("a", "_labels.json"), ("day/b", "_failed.json")):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / state).write_text(json.dumps({"record": {"frames": 8, "seconds": "odd"}}))
    answer = in_process(command, capsys)("report", f"{web}/out", "--csv", tmp_path / "rows.csv")
    assert answer.returncode == 1
    assert "a  done  8 frames" in answer.stdout
    assert not list((tmp_path / "out").glob("fleet.*"))
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 3


def test_sftp_is_read_and_written_also_when_its_server_was_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    with sftp_server(tmp_path, monkeypatch) as (address, connections):
        job = AnnotationJob(
            (Path(f"{address}/in"),), Path(f"{address}/out"), storage=StorageOptions(tmp_path / "scratch")
        )
        states = {}
        for event in annotate(job):
            if isinstance(event, SourceEnded):
                states[event.record.name] = event.record.state
                connections.break_all()
        assert states == STATES
        assert len(connections.transports) > 1
        ended = [event for event in annotate(job) if isinstance(event, SourceEnded)]
        assert {event.record.name for event in ended if event.changed} == {"bad"}
        assert report(Path(f"{address}/out")).states["done"] == 2
    list(annotate(AnnotationJob((tmp_path / "in",), tmp_path / "alone")))
    found = label_files(tmp_path / "out")
    assert {name: found.get(name) for name in label_files(tmp_path / "alone")} == label_files(
        tmp_path / "alone"
    )
    assert not [name for name, content in found.items() if PASSWORD.encode() in content]
