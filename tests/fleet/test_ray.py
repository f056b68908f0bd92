"""A real Ray cluster of two nodes: workers and a node are killed, and labels are those of one process."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from annotator.detection import Detector
from annotator.errors import UsageError
from annotator.fleet.cluster import connected, count_of_workers, require_same_versions
from annotator.fleet.engine import annotate
from annotator.fleet.tasks import Task
from annotator.fleet.worker import Worker, finish_alone
from annotator.options import AnnotationJob, DetectionOptions, EngineOptions, FaultOptions, StorageOptions
from annotator.pipeline.events import FramesLabelled, RunStarted, SourceEnded
from cli.annotate import command
from tests.faults import text_named_mp4
from tests.fleet.test_full_disk import goes_on_behind_a_full_disk
from tests.fleet.test_stored import assert_promises_are_kept, labels_of, stored
from tests.helpers.commands import in_process
from tests.helpers.fake_detector import ToyRuntime, loader_of, write_video
from tests.helpers.ray_cluster import two_raylets, workers
from tests.helpers.s3_server import Trouble, s3_server
from tests.helpers.small_disk import small_disk
from tests.pipeline.test_annotate import label_files

ray = pytest.importorskip("ray", reason="the extra fleet is not installed")
fsspec = pytest.importorskip("fsspec", reason="the extra s3 is not installed")
ray_engine = pytest.importorskip("annotator.fleet.ray_engine")
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")


@pytest.fixture(scope="module")
def server() -> Iterator[Trouble]:
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as trouble:
        yield trouble


@pytest.fixture(scope="module")
def cluster(server: Trouble) -> Iterator[Any]:
    with two_raylets() as cluster:
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Detector, "load", loader_of(ToyRuntime(fault="SEGV@80")))


def test_chunks_of_two_workers_are_put_together_as_one_process_would(tmp_path: Path, cluster: Any) -> None:
    video = write_video(tmp_path / "long.mp4", frames=400)
    asked = {
        "detection": DetectionOptions(start=3, every=2),
        "batch_size": 3,
        "formats": ("coco", "cvat", "mots"),
    }
    engine = EngineOptions("ray", chunk_frames=50)
    events = list(annotate(AnnotationJob((video,), tmp_path / "fleet", engine=engine, **asked)))
    assert sum(isinstance(event, FramesLabelled) for event in events) == 4
    list(annotate(AnnotationJob((video,), tmp_path / "alone", **asked)))
    assert label_files(tmp_path / "fleet") == label_files(tmp_path / "alone")
    assert contents(tmp_path / "fleet" / "long") == contents(tmp_path / "alone" / "long")
    again = annotate(AnnotationJob((video,), tmp_path / "fleet", engine=engine, **asked))
    (last,) = [event for event in again if isinstance(event, SourceEnded)]
    assert (last.record.state, last.changed) == ("done", False), "a second run does nothing"


def contents(folder: Path) -> dict[str, list[Any]]:
    """All rows of a store."""
    with closing(sqlite3.connect(folder / "labels.sqlite")) as store:
        return {
            table: store.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("meta", "frames", "instances", "gaps", "tracks")
        }


def test_what_is_stored_is_labelled_there_while_a_worker_is_killed(
    tmp_path: Path, server: Trouble, cluster: Any
) -> None:
    files = fsspec.filesystem("s3")
    for name, frames in (("a", 8), ("day/b", 9), ("long", 30)):
        path = write_video(tmp_path / "in" / f"{name}.mp4", frames=frames)
        files.put_file(str(path), f"fleet/in/{name}.mp4")
    text_named_mp4(tmp_path / "in" / "bad.mp4")
    files.put_file(str(tmp_path / "in" / "bad.mp4"), "fleet/in/bad.mp4")
    job = AnnotationJob(
        (Path("s3://fleet/in"),),
        Path("s3://fleet/out"),
        engine=EngineOptions("ray", chunk_frames=10),
        storage=StorageOptions(tmp_path / "scratch", scratch_gb=1e-3),
        formats=("coco", "cvat"),
    )
    server.every = {"500": 7, "slow": 11}
    states: dict[str, tuple[str, bool]] = {}
    is_killed = False
    for event in annotate(job):
        if isinstance(event, FramesLabelled) and event.name == "long" and not is_killed:
            os.kill(workers()[0], signal.SIGKILL)
            is_killed = True
        if isinstance(event, SourceEnded):
            states[event.record.name] = (event.record.state, event.changed)
    assert is_killed
    assert server.counts["500"] > 3
    server.every = {}
    assert states == {n: ("failed" if n == "bad" else "done", True) for n in ("a", "bad", "day/b", "long")}
    objects = stored()
    assert_promises_are_kept(objects)
    assert not [key for key in objects if "_chunks" in key]
    assert json.loads(objects["bad/_failed.json"])["record"]["error"].startswith("s3://fleet/in/bad.mp4: ")
    list(annotate(AnnotationJob((tmp_path / "in",), tmp_path / "alone", formats=("coco", "cvat"))))
    assert labels_of(objects) == label_files(tmp_path / "alone")
    assert not list((tmp_path / "scratch").rglob("*.mp4")), "copies are gone"
    assert not list((tmp_path / "scratch").rglob("*.sqlite"))
    before = len(server.requests)
    again = {e.record.name: e.changed for e in annotate(job) if isinstance(e, SourceEnded)}
    assert again == {"a": False, "bad": True, "day/b": False, "long": False}
    written = {path for method, path in server.requests[before:] if method in ("PUT", "POST", "DELETE")}
    assert {path.rpartition("/")[2] for path in written} <= {"_failed.json"}
    more = replace(job, formats=("coco", "cvat", "mots"), overwrite=False)
    assert {e.record.name: e.changed for e in annotate(more) if isinstance(e, SourceEnded)}["long"]
    assert "long/mots.txt" in stored()


def test_a_worker_and_a_node_are_killed_and_bad_recordings_do_not_matter(
    tmp_path: Path, cluster: Any
) -> None:
    for k in range(8):
        write_video(tmp_path / "in" / f"drive_{k}.mp4", frames=20 + k)
    for k in range(2):
        text_named_mp4(tmp_path / "in" / f"bad_{k}.mp4")
    write_video(tmp_path / "in" / "poison.mp4", size=(60, 80))
    job = AnnotationJob(
        (tmp_path / "in",),
        tmp_path / "fleet",
        engine=EngineOptions("ray", chunk_frames=10),
        faults=FaultOptions(retries=3),
        batch_size=2,
    )
    states: dict[str, str] = {}
    chunks = 0
    for event in annotate(job):
        if isinstance(event, FramesLabelled):
            chunks += 1
            if chunks == 3:
                os.kill(workers()[0], signal.SIGKILL)
            if chunks == 8:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        if isinstance(event, SourceEnded):
            assert event.record.name not in states, "nothing twice"
            states[event.record.name] = event.record.error or event.record.state
    assert sorted(states) == sorted(["bad_0", "bad_1", "poison", *(f"drive_{k}" for k in range(8))])
    assert "given up, as its process ended 4 times" in states.pop("poison")
    assert all("not a video" in states.pop(f"bad_{k}") for k in range(2))
    assert set(states.values()) == {"done"}
    for path in (tmp_path / "in").glob("[bp]*"):
        path.unlink()
    list(annotate(AnnotationJob((tmp_path / "in",), tmp_path / "alone")))
    found, alone = label_files(tmp_path / "fleet"), label_files(tmp_path / "alone")
    assert {name: content for name, content in found.items() if name.startswith("drive")} == alone


def test_workers_of_other_clusters_are_left_alone() -> None:
    name = "exec -a ray::Worker sleep 60"
    ours = subprocess.Popen(["bash", "-c", f"echo; {name}"], stdout=subprocess.PIPE)
    # One of a parent that is gone is of nobody here.
    other = subprocess.run(
        ["bash", "-c", f"bash -c '{name}' >&- 2>&- & echo $!"], stdout=subprocess.PIPE, check=True
    )
    try:
        until = time.monotonic() + 30
        while ours.pid not in workers() and time.monotonic() < until:
            time.sleep(0.05)
        assert ours.pid in (found := workers())
        assert int(other.stdout) not in found
    finally:
        ours.kill()
        ours.wait()
        os.kill(int(other.stdout), signal.SIGKILL)


def fail(*parts: Any) -> Any:
    raise AssertionError("not to be called")


class Harmed(Worker):
    """A worker that some recordings harm when they are finished."""

    def finish(self, task: Task, *parts: Any) -> Any:
        if task.name == "crashes":
            signal.raise_signal(signal.SIGSEGV)
        if task.name == "hangs":
            ctypes.PyDLL(None).pause()  # with the interpreter's lock
        if task.name == "grows":
            _kept = np.ones(1 << 28)  # 2 GiB
            time.sleep(600)
        return super().finish(task, *parts)


def test_workers_finish_recordings_within_the_same_bounds(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "Worker", Harmed)
    monkeypatch.setattr(ray_engine, "finish_alone", fail)  # no process is begun to finish in
    for name in ("a", "b", "crashes", "grows", "hangs"):
        write_video(tmp_path / "in" / f"{name}.mp4")
    job = AnnotationJob(
        (tmp_path / "in",),
        tmp_path / "fleet",
        engine=EngineOptions("ray"),
        faults=FaultOptions(retries=0, stall_minutes=0.5, memory_gb=2.0),
    )
    ended = [event.record for event in annotate(job) if isinstance(event, SourceEnded)]
    errors = {record.name: record.error for record in ended if record.state != "done"}
    assert all("its process ended once" in (error or "") for error in errors.values())
    assert sorted(errors) == ["crashes", "grows", "hangs"]
    assert "`stall_minutes`" in errors["hangs"]
    assert "`memory_gb`" in errors["grows"]
    assert {record.name for record in ended if record.state == "done"} == {"a", "b"}
    monkeypatch.setattr(ray_engine, "Worker", Worker)
    again = {e.record.name: e.record.state for e in annotate(job) if isinstance(e, SourceEnded)}
    assert set(again.values()) == {"done"}
    list(annotate(AnnotationJob((tmp_path / "in",), tmp_path / "alone")))
    assert label_files(tmp_path / "fleet") == label_files(tmp_path / "alone")


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    tmp_path: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--engine", "ray", "--address", cluster.address, "--chunk-frames", 30)
    with small_disk(tmp_path / "disk", megabytes=10) as disk:
        goes_on_behind_a_full_disk(in_process(command, capsys), tmp_path, disk, *options, recordings=16)


class Detecting(Worker):
    """A worker that finishes nothing."""

    finish = staticmethod(fail)


def finish_or_hang(job: AnnotationJob, task: Task, *parts: Any) -> Any:
    if task.name == "hangs":
        time.sleep(600)
    return finish_alone(job, task, *parts)


def test_where_a_gpu_detects_other_processes_finish_within_the_same_time(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "Worker", Detecting)
    monkeypatch.setattr(ray_engine, "finish_alone", finish_or_hang)
    node = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 << 20)
    for name in ("a", "b", "hangs"):
        write_video(tmp_path / "in" / f"{name}.mp4")
    job = AnnotationJob(
        (tmp_path / "in",),
        tmp_path / "fleet",
        engine=EngineOptions("ray"),
        faults=FaultOptions(retries=0, max_minutes=1.0),
    )
    ended = {e.record.name: e.record for e in annotate(job) if isinstance(e, SourceEnded)}
    cluster.remove_node(node)
    assert "(last: it took more than 1 minutes (`max_minutes`))" in (ended.pop("hangs").error or "")
    assert {record.state for record in ended.values()} == {"done"}
    list(annotate(AnnotationJob((tmp_path / "in" / "a.mp4",), tmp_path / "alone")))
    assert label_files(tmp_path / "alone").items() <= label_files(tmp_path / "fleet").items()


def test_seconds_of_recordings_are_those_that_workers_were_at_them(tmp_path: Path, cluster: Any) -> None:
    for k in range(4):
        write_video(tmp_path / "in" / f"{k}.mp4", frames=60)
    engine = EngineOptions("ray", workers=1, chunk_frames=20)
    began, seconds = 0.0, []
    for event in annotate(AnnotationJob((tmp_path / "in",), tmp_path / "fleet", engine=engine)):
        if isinstance(event, RunStarted):
            assert event.workers == 1
            began = time.monotonic()
        if isinstance(event, SourceEnded):
            seconds.append(event.record.seconds)
    assert 0 < sum(seconds) < time.monotonic() - began, "also where one waited while another was under work"


def test_more_workers_than_there_is_room_for_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = SimpleNamespace(cluster_resources=lambda: {"CPU": 4.0})
    for asked, said in ((None, 0), (2, 0), (5, 1)):
        engine = EngineOptions("ray", workers=asked, worker_threads=2)
        count, _ = count_of_workers(there, AnnotationJob((tmp_path,), tmp_path / "out", engine=engine))
        assert count == (asked or 2)
        assert len(caplog.records) == said
    assert "`workers` 5: the cluster has CPUs for 2; the others wait" in caplog.text


def crew_of(tmp_path: Path, **there: Any) -> Any:
    """Workers of a cluster that only says what is given here."""
    actor = SimpleNamespace(facts=SimpleNamespace(remote=object))
    kind = SimpleNamespace(remote=lambda *parts: actor)
    ray_there = SimpleNamespace(
        remote=lambda of: SimpleNamespace(options=lambda **needs: kind),
        available_resources=dict,
        cluster_resources=lambda: {"CPU": 2.0},
        kill=lambda actor: None,
        exceptions=ray.exceptions,
        **there,
    )
    return ray_engine._Crew(ray_there, AnnotationJob((tmp_path,), tmp_path / "out"), 2, {"num_cpus": 1.0})


def test_workers_that_do_not_begin_are_told_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []

    def wait(references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        waits.append(timeout)
        return [], references

    with pytest.raises(UsageError, match=r"no worker has begun in 600 s \(0 of 2 CPUs free\)"):
        crew_of(tmp_path, wait=wait).first_facts()
    assert waits == [60, 540]
    assert "no worker has begun yet (0 of 2 CPUs free)" in caplog.text


def test_workers_that_cannot_begin_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(reference: Any) -> Any:
        raise ray.exceptions.ActorUnschedulableError("startup repeatedly failed.\nSee raylet.err.")

    crew = crew_of(tmp_path, wait=lambda references, timeout: (references[:1], references[1:]), get=fail)
    with pytest.raises(UsageError, match=r"a worker can't begin \(See raylet.err.\)"):
        crew.first_facts()
    before = list(crew.members)
    assert not list(crew.idle())
    assert not [member for member in crew.members if member in before], "others take their places"
    assert "a worker could not begin (See raylet.err.)" in caplog.text


def test_no_cluster_at_an_address_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(address: str, **settings: Any) -> None:
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(ray, "init", refuse)
    job = AnnotationJob((tmp_path,), tmp_path, engine=EngineOptions("ray", address="10.0.0.1:6379"))
    with pytest.raises(UsageError, match=r"10.0.0.1:6379: no Ray cluster .* RAY_AUTH_TOKEN"), connected(job):
        pass


def test_a_token_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(address: str, **settings: Any) -> None:
        os.write(2, b"someone else\n")
        os.write(2, b"[W 7 7] gcs_client.cc:210: Unauthenticated: RPC error: InvalidAuthToken: missing\n" * 9)
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)
    job = AnnotationJob((tmp_path,), tmp_path, engine=EngineOptions("ray", address="10.0.0.1:6379"))
    with pytest.raises(UsageError, match="asks for a token, and the one here is missing"), connected(job):
        pass
    assert capfd.readouterr().err == "someone else\n"


def test_what_raylets_say_is_not_in_the_way_of_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **settings: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with connected(AnnotationJob((tmp_path,), tmp_path, engine=EngineOptions("ray"))):
        print("(raylet) A worker died")
    print("{}")
    assert capfd.readouterr().out == "{}\n"


def test_without_an_address_no_stale_cluster_is_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **settings: asked.append(address))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address, environment in (("there:1", "here:2"), (None, "here:2"), (None, "")):
        monkeypatch.setenv("RAY_ADDRESS", environment)
        with connected(AnnotationJob((tmp_path,), tmp_path, engine=EngineOptions("ray", address=address))):
            pass
    assert asked == ["there:1", "here:2", "local"]


def test_a_cluster_of_this_machine_has_room_for_the_workers_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **settings: asked.append(settings))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for engine in ({}, {"workers": 3, "worker_threads": 2}, {"workers": 2}, {"workers": 8, "address": "a:1"}):
        job = AnnotationJob((tmp_path,), tmp_path, engine=EngineOptions("ray", **engine))
        with connected(job):
            pass
    assert [settings.get("num_cpus") for settings in asked] == [None, 6, 2, None]


def test_machines_must_be_alike() -> None:
    here = {"python": "3.11.7", "torch": "2.4"}
    require_same_versions(here, ("node1", 7, here))
    with pytest.raises(UsageError, match=r"machine node1 has torch 2.5 \(here 2.4\); install the same"):
        require_same_versions(here, ("node1", 7, {"python": "3.11.7", "torch": "2.5"}))
