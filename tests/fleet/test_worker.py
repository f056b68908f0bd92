"""What workers of a cluster do, without one: chunks of a recording, put together, are what one process makes of it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from annotator.files import FileLock
from annotator.fleet.listing import LocalRecording
from annotator.fleet.scratch import scratch_of
from annotator.fleet.tasks import SharedFolder, Task
from annotator.fleet.worker import Detected, Worker, unproven
from annotator.options import AnnotationJob, Attempts, DetectionOptions, EngineOptions, StorageOptions
from annotator.pipeline.annotate import annotate
from annotator.video.container import Video
from tests.faults.videos import garble_packet
from tests.helpers.fake_detector import ToyRuntime, install, loader_of, write_video
from tests.pipeline.test_annotate import label_files


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


def in_chunks(job: AnnotationJob, video: Path) -> list[Detected]:
    """Label a video as the driver has workers do it; what they said of its chunks, in the order they did them."""
    workers = [Worker(job, loader_of(ToyRuntime())) for _ in range(2)]
    task = Task(LocalRecording(Video(video, video.stem)), SharedFolder(job.out / video.stem))
    plan = workers[0].plan(task, Attempts())
    waiting = deque(plan.spans)
    said: list[Detected] = []
    chunks: list[Detected] = []
    while waiting:
        found = workers[len(said) % 2].detect(task, waiting.pop())
        said.append(found)
        chunks.append(found)
        if not waiting and (again := unproven(chunks)):
            chunks = [chunk for chunk in chunks if chunk not in again]
            waiting.extend(replace(chunk.span, enters=False, is_anew=True) for chunk in again)
    assert workers[0].finish(task, plan, tuple(chunks), 0.0).changed
    return said


def job(tmp_path: Path, video: Path, out: str, every: int = 1) -> AnnotationJob:
    return AnnotationJob(
        (video,),
        tmp_path / out,
        detection=DetectionOptions(start=2, every=every),
        engine=EngineOptions("ray", chunk_frames=12),
        batch_size=3,
        formats=("coco", "cvat", "mots"),
    )


@pytest.mark.parametrize("every", [1, 3])
def test_chunks_begin_at_keyframes(tmp_path: Path, every: int) -> None:
    video = write_video(tmp_path / "drive.mp4", frames=90, codec="libx264", b_frames=2, group=7)
    said = in_chunks(job(tmp_path, video, "fleet", every), video)
    assert len(said) == (8 if every == 1 else 3)
    assert [chunk.has_entered for chunk in sorted(said, key=lambda chunk: chunk.span.start)] == [
        False,
        *[True] * (len(said) - 1),
    ]
    list(annotate(job(tmp_path, video, "alone", every)))
    assert label_files(tmp_path / "fleet") == label_files(tmp_path / "alone")


@pytest.mark.parametrize("number", [7, 40])
def test_damage_has_what_is_behind_it_decoded_from_the_start(tmp_path: Path, number: int) -> None:
    video = write_video(tmp_path / "drive.mp4", frames=90, codec="libx264", b_frames=2, group=7)
    garble_packet(video, number)
    list(annotate(job(tmp_path, video, "alone")))
    said = in_chunks(job(tmp_path, video, "fleet"), video)
    assert sum(chunk.span.is_anew for chunk in said) >= 1
    assert label_files(tmp_path / "fleet") == label_files(tmp_path / "alone")


def test_what_killed_workers_left_in_scratch_is_gone_behind_a_run(tmp_path: Path) -> None:
    job = AnnotationJob((tmp_path,), tmp_path / "out", storage=StorageOptions(tmp_path / "scratch"))
    worker, place = Worker(job, loader_of(ToyRuntime())), scratch_of(job)
    for folder in ("copies/read", "copies/left", "copies/fetched.part", "work/left"):
        (place / folder).mkdir(parents=True)
        (place / folder / "a.mp4").touch()
    (place / "work/left.lock").touch()
    reader = FileLock(place / "copies/read.lock", is_shared=True)
    reader.take()
    worker.tidy()
    assert list(place.rglob("*.mp4")) == [place / "copies/read/a.mp4"]
    reader.release()
    worker.tidy()
    assert not list(place.rglob("*.*"))
