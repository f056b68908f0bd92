"""Recordings and labels in object storage, on a real S3 server that fails, is late, and goes away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from annotator.errors import OutputError, UsageError
from annotator.fleet import storage as storages
from annotator.fleet.address import shown, url_of
from annotator.fleet.engine import annotate
from annotator.fleet.listing import recordings
from annotator.fleet.storage import Storage
from annotator.options import AnnotationJob, DetectionOptions, StorageOptions
from annotator.pipeline.events import FramesLabelled, SourceEnded
from tests.faults import text_named_mp4
from tests.helpers.fake_detector import ToyRuntime, draw, install, write_video
from tests.helpers.s3_server import KEY, SECRET, Trouble, s3_server
from tests.pipeline.test_annotate import label_files

fsspec = pytest.importorskip("fsspec", reason="the extra s3 is not installed")
IN, OUT = Path("s3://fleet/in"), Path("s3://fleet/out")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trouble]:
    monkeypatch.setattr(storages, "FIRST_PAUSE_S", 0.01)
    with s3_server(monkeypatch) as trouble:
        yield trouble


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyRuntime:
    return install(monkeypatch)


def job(tmp_path: Path, *inputs: Path, out: Path = OUT, **others: Any) -> AnnotationJob:
    return AnnotationJob(inputs or (IN,), out, storage=StorageOptions(tmp_path / "scratch"), **others)


def fill(tmp_path: Path, *names: str) -> Path:
    """Recordings on this machine and in the bucket."""
    files = fsspec.filesystem("s3")
    for name in names:
        write_video(tmp_path / "in" / f"{name}.mp4", frames=8)
        files.put_file(str(tmp_path / "in" / f"{name}.mp4"), f"fleet/in/{name}.mp4")
    return tmp_path / "in"


def stored(folder: str = "fleet/out") -> dict[str, bytes]:
    files = fsspec.filesystem("s3", use_listings_cache=False)
    return {path[len(folder) + 1 :]: files.cat_file(path) for path in files.find(folder)}


def labels_of(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {
        k: v for k, v in objects.items() if not k.rpartition("/")[2].startswith("_") and "sqlite" not in k
    }


def ended(job: AnnotationJob) -> dict[str, tuple[str, bool]]:
    return {e.record.name: (e.record.state, e.changed) for e in annotate(job) if isinstance(e, SourceEnded)}


def assert_promises_are_kept(objects: dict[str, bytes]) -> None:
    """Every marker's files are there, as large as it says."""
    for key, content in objects.items():
        folder, _, name = key.rpartition("/")
        if name == "_labels.json":
            for file, size in json.loads(content)["files"].items():
                assert len(objects[f"{folder}/{file}"]) == size


def test_labels_are_those_of_one_machine_through_trouble_and_a_second_run_does_nothing(
    tmp_path: Path, server: Trouble, toy: ToyRuntime
) -> None:
    local = fill(tmp_path, "a", "day/b", "day/c")
    text_named_mp4(local / "bad.mp4")
    fsspec.filesystem("s3").put_file(str(local / "bad.mp4"), "fleet/in/bad.mp4")
    server.every = {"500": 5, "late": 23, "slow": 7}
    states = {"a": ("done", True), "bad": ("failed", True), "day/b": ("done", True), "day/c": ("done", True)}
    assert ended(job(tmp_path)) == states
    assert server.counts["500"] > 3
    assert server.counts["late"] > 0
    server.every = {}
    objects = stored()
    assert_promises_are_kept(objects)
    ended(AnnotationJob((local,), tmp_path / "labels"))
    assert labels_of(objects) == {
        k: v for k, v in label_files(tmp_path / "labels").items() if "traceback" not in k
    }
    failure = json.loads(objects["bad/_failed.json"])["record"]
    assert failure["error"].startswith("s3://fleet/in/bad.mp4: ")
    assert str(tmp_path) not in b"".join(labels_of(objects).values()).decode(errors="replace")
    assert not list((tmp_path / "scratch").rglob("*.mp4"))
    for secret in (SECRET, KEY):
        assert not any(secret.encode() in content for content in objects.values())
    batches, before = toy.batches, len(server.requests)
    states |= dict.fromkeys(("a", "day/b", "day/c"), ("done", False))
    assert ended(job(tmp_path)) == states
    assert toy.batches == batches
    written = [path for method, path in server.requests[before:] if method in ("PUT", "POST", "DELETE")]
    assert {path.rpartition("/")[2] for path in written} <= {"_failed.json"}


def test_a_storage_that_is_away_ends_the_run_with_a_sentence_and_it_goes_on_later(
    tmp_path: Path, server: Trouble, toy: ToyRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "TRIES", 2)
    fill(tmp_path, "a", "b")

    def label_until_it_is_away() -> None:
        for event in annotate(job(tmp_path)):
            if isinstance(event, FramesLabelled) and event.name == "b":
                server.is_down = True

    with pytest.raises(OutputError, match=r"s3://fleet/out/b/.*tried 2 times.*run the command again"):
        label_until_it_is_away()
    server.is_down = False
    assert "b/_labels.json" not in stored()
    assert_promises_are_kept(stored())
    batches = toy.batches
    assert ended(job(tmp_path)) == {"a": ("done", False), "b": ("done", True)}
    assert toy.batches == batches, "what was labelled is still in scratch"


def test_other_options_are_refused_or_redone_and_formats_are_added_without_detection(
    tmp_path: Path, server: Trouble, toy: ToyRuntime
) -> None:
    fill(tmp_path, "a")
    ended(job(tmp_path, formats=("coco",)))
    other = DetectionOptions(every=2)
    with pytest.raises(UsageError, match=r"`every` 1 \(not 2\).*`overwrite`"):
        ended(job(tmp_path, formats=("coco",), detection=other))
    batches = toy.batches
    assert ended(job(tmp_path, formats=("coco", "mots"))) == {"a": ("done", True)}
    assert toy.batches == batches
    assert {"a/coco.json", "a/mots.txt"} <= stored().keys()
    assert ended(job(tmp_path, formats=("mots",), detection=other, overwrite=True)) == {"a": ("done", True)}
    assert {k for k in stored() if k.startswith("a/")} == {
        *("a/_labels.json", "a/frames.csv", "a/labels.sqlite", "a/mots.txt"),
    }
    write_video(tmp_path / "in" / "a.mp4", frames=9)
    fsspec.filesystem("s3").put_file(str(tmp_path / "in" / "a.mp4"), "fleet/in/a.mp4")
    with pytest.raises(UsageError, match="another version of the recording"):
        ended(job(tmp_path, formats=("mots",), detection=other))


def test_labels_of_a_storage_go_to_a_folder_and_those_of_a_folder_to_a_storage(
    tmp_path: Path, server: Trouble, toy: ToyRuntime
) -> None:
    local = fill(tmp_path, "a")
    assert ended(job(tmp_path, out=tmp_path / "labels")) == {"a": ("done", True)}
    run = json.loads((tmp_path / "labels" / "run.json").read_text())
    assert run["sources"][0]["path"] == "s3://fleet/in/a.mp4"
    assert ended(job(tmp_path, local)) == {"a": ("done", True)}
    assert labels_of(stored()) == label_files(tmp_path / "labels")


def test_a_folder_of_images_is_one_recording(tmp_path: Path, server: Trouble, toy: ToyRuntime) -> None:
    files = fsspec.filesystem("s3")
    for k in range(3):
        cv2.imwrite(str(tmp_path / "image.png"), draw(k)[..., ::-1])
        files.put_file(str(tmp_path / "image.png"), f"fleet/in/night/{k}.png")
    assert ended(job(tmp_path)) == {"night_images": ("done", True)}
    assert b"2.png" in stored()["night_images/frames.csv"]


def test_what_is_too_large_for_scratch_fails_alone(tmp_path: Path, server: Trouble, toy: ToyRuntime) -> None:
    fill(tmp_path, "a")
    small = AnnotationJob((IN,), OUT, storage=StorageOptions(tmp_path / "scratch", scratch_gb=1e-6))
    (found,) = [event.record for event in annotate(small) if isinstance(event, SourceEnded)]
    assert "more than `scratch_gb`" in (found.error or "")


def test_listing_is_lazy_and_in_pages(server: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fsspec.filesystem("s3")
    monkeypatch.setattr(storages, "PAGE", 10)
    for k in range(35):
        files.pipe_file(f"fleet/many/{k:03}.mp4", b"x")
    server.requests.clear()
    listing = recordings(Storage("s3://fleet/many"))
    assert [next(listing).name for _ in range(10)] == [f"{k:03}" for k in range(10)]
    assert len(server.requests) < 5, "no more is asked for than is taken"
    assert len(list(listing)) == 25


def test_names_lead_nowhere_but_down_and_do_not_meet(server: Trouble) -> None:
    storage = Storage("s3://fleet/odd")
    for key in ("a.mp4", "a.avi", "x/a?.mp4", "x/a*.mp4", "x/b .mp4", "c../d.mp4"):
        fsspec.filesystem("s3").pipe_file(f"fleet/odd/{key}", b"x")
    names = [found.name for found in recordings(storage)]
    assert len(set(names)) == len(names) == 6
    assert {"a", "a_avi"} <= set(names)
    assert not any(part in ("", ".", "..") for name in names for part in name.split("/"))
    with pytest.raises(UsageError, match="elsewhere"):
        storage.path("../secret")


@pytest.mark.parametrize(
    ("inputs", "out", "words"),
    [
        ("s3://fleet/nothing", "s3://fleet/out", "s3://fleet/nothing: holds no recordings"),
        ("s3://nobody/in", "s3://fleet/out", "s3://nobody/in"),
        ("s3://me:hunter2@fleet/in", "s3://fleet/out", "s3://…@fleet/in: holds a password"),
        ("s3://fleet/in", "https://example.invalid/out", "can only be read"),
    ],
)
def test_addresses_that_can_not_be_used_are_wrong_usage(
    tmp_path: Path, server: Trouble, toy: ToyRuntime, inputs: str, out: str, words: str
) -> None:
    with pytest.raises(UsageError) as fault:
        ended(job(tmp_path, Path(inputs), out=Path(out)))
    assert words in str(fault.value)
    assert "hunter2" not in str(fault.value)


def test_paths_of_this_machine_are_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("drive.mp4", "/data/s3/x", "C:/videos", "a:b/c", "http:x"):
        assert url_of(Path(path)) is None
    assert url_of(Path("s3://bucket/a/b.mp4")) == "s3://bucket/a/b.mp4"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    said = shown(f"https://user:word@host/a.mp4?X-Amz-Signature=abc&x=1 says {SECRET}")
    assert said == "https://…@host/a.mp4?… says …"
