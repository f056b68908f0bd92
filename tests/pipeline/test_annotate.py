"""A run labels what it can, records what it can't, goes on where it stopped, and does nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from annotator.errors import ExitCode, FormatError, OutputError, UsageError
from annotator.files import FileLock
from annotator.formats.registry import WRITABLE
from annotator.options import AnnotationJob, CvatOptions, DetectionOptions, TrackingOptions
from annotator.pipeline import publish as publishing
from annotator.pipeline.annotate import annotate
from annotator.pipeline.events import FramesLabelled, SourceEnded
from annotator.store import Progress, Publication, Store
from annotator.tracking.times import rising
from tests.faults import FullDiskWriter, RaisingWriter, small_disk, text_named_mp4, videos
from tests.helpers.fake_detector import ToyDetector, ToyRuntime, draw, install, toy_checkpoint, write_video


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyRuntime:
    return install(monkeypatch)


ALL = ("cityscapes", "coco", "cvat", "mots")


def job(*inputs: Path, out: Path, **others: Any) -> AnnotationJob:
    return AnnotationJob(inputs=inputs, out=out, **others)


def label_files(folder: Path) -> dict[str, bytes]:
    """All label files below a folder; the store and run.json aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("labels.sqlite", "run.json")
    }


def run_json(out: Path) -> Any:
    return json.loads((out / "run.json").read_text())


def record(out: Path, name: str) -> Any:
    (found,) = (each for each in run_json(out)["sources"] if each["name"] == name)
    return found


def ended(job: AnnotationJob) -> dict[str, tuple[str, bool]]:
    return {e.record.name: (e.record.state, e.changed) for e in annotate(job) if isinstance(e, SourceEnded)}


def test_a_recording_becomes_label_files(tmp_path: Path, toy: ToyRuntime) -> None:
    out = tmp_path / "labels"
    events = list(annotate(job(write_video(tmp_path / "drive.mp4"), out=out, formats=ALL)))
    assert [e.frames for e in events if isinstance(e, FramesLabelled)] == [4, 8, 12, 16, 20, 24]
    names = {path.name for path in (out / "drive").iterdir()}
    assert names >= {"labels.sqlite", "frames.csv", "coco.json", "cvat.xml", "mots.txt"}
    assert {path.name for path in out.iterdir()} == {"drive", "run.json"}
    with Store.read(out / "drive") as store:
        assert (store.frame_count, store.instance_count) == (24, 24 + 24)  # five of them fill a gap
        assert store.track_count >= 2


def test_run_json_says_what_was_done_with_what(tmp_path: Path, toy: ToyRuntime) -> None:
    out = tmp_path / "labels"
    list(annotate(job(write_video(tmp_path / "drive.mp4"), out=out, detection=DetectionOptions(every=2))))
    run = run_json(out)
    assert run["state"] == "done"
    assert {"spatialemb-annotate", "python", "torch", "av"} <= run["versions"].keys()
    assert run["weights"]["sha256"] == "c0ffee"
    assert run["options"]["detection"]["every"] == 2
    (source,) = run["sources"]
    assert source["path"] == str(tmp_path / "drive.mp4")
    assert (source["state"], source["frames"], source["gaps"], source["error"]) == ("done", 12, 0, None)
    assert source["seconds"] > 0


def test_batch_size_does_not_change_a_byte(tmp_path: Path, toy: ToyRuntime) -> None:
    video = write_video(tmp_path / "drive.mp4")
    for size in (1, 5, 64):
        list(annotate(job(video, out=tmp_path / str(size), batch_size=size, formats=ALL)))
    assert label_files(tmp_path / "1") == label_files(tmp_path / "5") == label_files(tmp_path / "64")


def test_a_stopped_run_goes_on_and_ends_equal(tmp_path: Path, toy: ToyRuntime) -> None:
    video = write_video(tmp_path / "drive.mp4")
    asked = {"formats": ALL, "detection": DetectionOptions(start=1, every=3), "batch_size": 2}
    list(annotate(job(video, out=tmp_path / "undisturbed", **asked)))
    stopped = annotate(job(video, out=tmp_path / "stopped", **asked))
    while not isinstance(next(stopped), FramesLabelled):
        pass
    stopped.close()
    assert run_json(tmp_path / "stopped")["state"] == "interrupted"
    assert record(tmp_path / "stopped", "drive")["state"] == "interrupted"
    assert record(tmp_path / "stopped", "drive")["frames"] == 2
    batches_before = toy.batches
    list(annotate(job(video, out=tmp_path / "stopped", **asked)))
    assert (
        toy.batches - batches_before == 4
    )  # of 6 frames: the last known one was in a batch with the first of them
    assert label_files(tmp_path / "stopped") == label_files(tmp_path / "undisturbed")


def test_how_far_objects_moved_is_measured_across_an_interruption(tmp_path: Path, toy: ToyRuntime) -> None:
    video = write_video(tmp_path / "drive.mp4")
    for name in ("stopped", "undisturbed"):
        labelling = annotate(job(video, out=tmp_path / name, batch_size=5))
        if name == "stopped":
            while not isinstance(next(labelling), FramesLabelled):
                pass
            labelling.close()
            labelling = annotate(job(video, out=tmp_path / name, batch_size=3))
        list(labelling)
    stopped, undisturbed = (motions(tmp_path / name / "drive") for name in ("stopped", "undisturbed"))
    np.testing.assert_array_equal(stopped, undisturbed)
    assert np.isfinite(stopped[5]).any()  # the first frame behind the interruption


def motions(folder: Path) -> npt.NDArray[np.float32]:
    """(T, 2) how far the first instance of every frame moved."""
    with Store.read(folder) as store:
        return np.array(
            [found.displacement[0] if len(found) else (np.nan, np.nan) for found in store.detections()]
        )


def test_a_second_run_does_nothing(tmp_path: Path, toy: ToyRuntime) -> None:
    asked = job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels")
    assert ended(asked) == {"drive": ("done", True)}
    before, batches = record(tmp_path / "labels", "drive"), toy.batches
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "labels" / "drive").rglob("*")}
    assert ended(asked) == {"drive": ("done", False)}
    assert toy.batches == batches
    assert record(tmp_path / "labels", "drive") == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "labels" / "drive").rglob("*")} == times


def test_a_missing_label_file_is_published_again(tmp_path: Path, toy: ToyRuntime) -> None:
    asked = job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels")
    list(annotate(asked))
    before, batches = label_files(tmp_path / "labels"), toy.batches
    (tmp_path / "labels" / "drive" / "coco.json").unlink()
    assert ended(asked) == {"drive": ("done", True)}
    assert label_files(tmp_path / "labels") == before
    assert toy.batches == batches


def test_another_format_is_written_from_the_store(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    list(annotate(job(video, out=out, formats=("coco",))))
    batches, coco = toy.batches, (out / "drive" / "coco.json").stat().st_mtime_ns
    assert not (out / "drive" / "mots.txt").exists()
    list(annotate(job(video, out=out, formats=("mots",))))
    assert (out / "drive" / "mots.txt").exists()
    assert (out / "drive" / "coco.json").stat().st_mtime_ns == coco
    assert toy.batches == batches


def test_other_tracks_renew_every_file_without_detecting_again(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    list(annotate(job(video, out=out, formats=("coco", "cvat"))))
    before, batches = label_files(out), toy.batches
    untracked = TrackingOptions(enabled=False)
    list(annotate(job(video, out=out, formats=("coco",), tracking=untracked)))
    assert toy.batches == batches
    assert record(out, "drive")["tracks"] == 0
    after = label_files(out)
    assert after["drive/coco.json"] != before["drive/coco.json"]
    assert after["drive/cvat.xml"] != before["drive/cvat.xml"], "no file may be left of other tracks"
    list(annotate(job(video, out=out, formats=("coco",))))
    assert label_files(out) == before


def test_other_options_are_refused_before_any_work(tmp_path: Path, toy: ToyRuntime) -> None:
    old, new, out = write_video(tmp_path / "old.mp4"), write_video(tmp_path / "new.mp4"), tmp_path / "labels"
    list(annotate(job(old, out=out)))
    before, batches = label_files(out), toy.batches
    other = DetectionOptions(every=2)
    with pytest.raises(UsageError, match=r"`every` 1 \(not 2\); use `overwrite` .* or another `out`"):
        list(annotate(job(new, old, out=out, detection=other)))
    assert toy.batches == batches
    assert label_files(out) == before
    list(annotate(job(old, out=out, detection=other, overwrite=True)))
    assert record(out, "old")["frames"] == 12


def test_other_weights_and_a_changed_recording_are_noticed(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    list(annotate(job(video, out=out)))
    with pytest.raises(UsageError, match="weights c0ffee"):
        list(annotate(job(video, out=out), ToyDetector(ToyRuntime(toy_checkpoint("decaf")))))
    write_video(video, frames=25)
    with pytest.raises(UsageError, match="recording"):
        list(annotate(job(video, out=out)))


def test_a_run_is_not_gone_on_with_when_an_instance_head_has_come_or_gone(
    tmp_path: Path, toy: ToyRuntime
) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    list(annotate(job(video, out=out)))
    with_head = toy_checkpoint()
    with_head.head_sha256 = "beef"
    with pytest.raises(UsageError, match=r"made with instance head none \(not beef\)"):
        list(annotate(job(video, out=out), ToyDetector(ToyRuntime(with_head))))
    list(annotate(job(video, out=out, overwrite=True), ToyDetector(ToyRuntime(with_head))))
    with pytest.raises(UsageError, match=r"made with instance head beef \(not none\)"):
        list(annotate(job(video, out=out)))


def test_a_run_is_not_gone_on_with_at_another_precision(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    list(annotate(job(video, out=out)))
    toy.precision = "bf16"  # as "auto" chooses on another machine
    with pytest.raises(UsageError, match=r"`precision` 32 \(not bf16\)"):
        list(annotate(job(video, out=out)))


def test_overwriting_leaves_no_file_of_the_run_before(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    list(annotate(job(video, out=out, formats=ALL)))
    (out / "drive" / "notes.txt").write_text("mine")
    list(
        annotate(job(video, out=out, formats=("coco",), detection=DetectionOptions(every=2), overwrite=True))
    )
    names = {path.name for path in (out / "drive").iterdir()}
    assert names == {"labels.sqlite", "frames.csv", "coco.json", "notes.txt"}


def test_one_bad_recording_does_not_end_the_run(tmp_path: Path, toy: ToyRuntime) -> None:
    a, b, c = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    write_video(a), text_named_mp4(b), write_video(c)
    out = tmp_path / "labels"
    assert ended(job(a, b, c, out=out)) == {"a": ("done", True), "b": ("failed", True), "c": ("done", True)}
    assert str(b) in record(out, "b")["error"]
    assert not (out / "b").exists()
    assert run_json(out)["state"] == "done"


def test_a_fault_that_nobody_foresaw_is_recorded_with_its_traceback(
    tmp_path: Path,
    toy: ToyRuntime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, asked = tmp_path / "labels", job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels")
    with monkeypatch.context() as patch:
        patch.setattr(toy, "maps", lambda images, scale: 1 // 0)
        assert ended(asked) == {"drive": ("failed", True)}
    assert "ZeroDivisionError" in record(out, "drive")["error"]
    assert "\n" not in record(out, "drive")["error"]
    assert "Traceback" in (out / "drive" / "traceback.txt").read_text()
    assert ended(asked) == {"drive": ("done", True)}
    assert not (out / "drive" / "traceback.txt").exists()


def test_too_little_memory_is_told_with_its_remedy(
    tmp_path: Path,
    toy: ToyRuntime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(images: Any, scale: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(toy, "maps", no_memory)
    list(annotate(job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels")))
    assert "smaller `batch_size`" in record(tmp_path / "labels", "drive")["error"]


def test_no_frame_to_label_is_a_fault(tmp_path: Path, toy: ToyRuntime) -> None:
    beyond = DetectionOptions(start=1000)
    list(annotate(job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels", detection=beyond)))
    assert "`start`" in record(tmp_path / "labels", "drive")["error"]


def test_a_class_that_the_weights_do_not_know_is_refused(tmp_path: Path, toy: ToyRuntime) -> None:
    train = DetectionOptions(classes=("car", "train"))
    with pytest.raises(UsageError, match=r"`classes` train: .* they know person, car"):
        list(annotate(job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels", detection=train)))
    assert not (tmp_path / "labels").exists()


def test_earlier_recordings_stay_in_run_json(tmp_path: Path, toy: ToyRuntime) -> None:
    out = tmp_path / "labels"
    list(annotate(job(write_video(tmp_path / "monday.mp4"), out=out)))
    list(annotate(job(write_video(tmp_path / "tuesday.mp4"), out=out)))
    assert [each["name"] for each in run_json(out)["sources"]] == ["monday", "tuesday"]


def test_equal_names_do_not_overwrite_each_other(tmp_path: Path, toy: ToyRuntime) -> None:
    left, right = (
        write_video(tmp_path / "left" / "drive.mp4"),
        write_video(tmp_path / "right" / "drive.mp4", frames=8),
    )
    list(annotate(job(left, right, out=tmp_path / "labels")))
    frames = {each["path"]: each["frames"] for each in run_json(tmp_path / "labels")["sources"]}
    assert frames == {str(left): 24, str(right): 8}
    assert len(list((tmp_path / "labels").rglob("coco.json"))) == 2


def test_other_options_of_cvat_write_its_files_again_and_no_others(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    ended(job(video, out=out, formats=("coco", "cvat")))
    before = {path.name: path.stat().st_mtime_ns for path in (out / "drive").iterdir()}
    again = job(video, out=out, formats=("coco", "cvat"), publishing=CvatOptions(split_frames=10))
    assert ended(again) == {"drive": ("done", True)}
    assert ended(again) == {"drive": ("done", False)}
    after = {path.name: path.stat().st_mtime_ns for path in (out / "drive").iterdir()}
    assert "cvat.xml" not in after, "what was written before is not left beside it"
    assert after["coco.json"] == before["coco.json"]
    assert (out / "drive" / "cvat").is_dir()


def test_a_folder_of_images_of_many_sizes_with_a_broken_one(tmp_path: Path, toy: ToyRuntime) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "labels"
    folder.mkdir()
    for k, size in enumerate([(48, 64), (48, 64), (60, 80), (48, 64)]):
        cv2.imwrite(str(folder / f"{k}.png"), draw(k, size)[..., ::-1])
    (folder / "2b.png").write_bytes(b"no image")
    assert ended(job(folder, out=out)) == {"pictures": ("done", True)}
    assert (record(out, "pictures")["frames"], record(out, "pictures")["gaps"]) == (4, 1)
    assert "2b.png" in record(out, "pictures")["gap_reasons"][0]
    with Store.read(out / "pictures") as store:
        assert [(frame.name, frame.size) for frame in store.frames()] == [
            ("0.png", (48, 64)),
            ("1.png", (48, 64)),
            ("2.png", (60, 80)),
            ("3.png", (48, 64)),
        ]


def test_a_video_whose_times_run_back_is_tracked_as_the_same_frames_with_times_that_rise(
    tmp_path: Path, toy: ToyRuntime
) -> None:
    """An AVI has no presentation times: B-frames get those of their packets, in the order of decoding."""
    counts = []
    for name in ("sound.mkv", "back.avi"):
        path = write_video(tmp_path / name, codec="libx264", b_frames=3)
        ended(job(path, out=tmp_path / "labels"))
        told = record(tmp_path / "labels", path.stem)
        counts.append((told["frames"], told["instances"], told["tracks"]))
    assert counts[0] == counts[1]
    assert record(tmp_path / "labels", "sound")["remarks"] == []
    [remark] = record(tmp_path / "labels", "back")["remarks"]
    assert "times run back or stand still" in remark
    lines = (tmp_path / "labels" / "back" / "frames.csv").read_text().splitlines()[1:]
    pts = [int(line.split(",")[1]) for line in lines]
    assert pts != sorted(pts), "frames.csv has the times of the file"


def test_of_every_third_frame_of_it_too(tmp_path: Path, toy: ToyRuntime) -> None:
    """The times of the frames between, which could put the others in order, are not in the store."""
    steps = []
    for name in ("sound.mkv", "back.avi"):
        path = write_video(tmp_path / name, 60, codec="libx264", b_frames=7)
        ended(job(path, out=tmp_path / "labels", detection=DetectionOptions(every=3)))
        with Store.read(tmp_path / "labels" / path.stem) as store:
            times = [moment.time_s for moment in rising(store.frames(), store.progress.goes_by_index)]
        steps.append(np.diff(times))
    assert steps[0] == pytest.approx(0.3)
    assert steps[1] / steps[1].mean() == pytest.approx(1)


def test_the_largest_video_of_a_file_is_labelled_and_that_is_told(tmp_path: Path, toy: ToyRuntime) -> None:
    path = videos.side_by_side(
        tmp_path / "drive.mkv",
        videos.write_video(tmp_path / "small.mkv", size=(24, 32)),
        videos.write_video(tmp_path / "large.mkv"),
    )
    ended(job(path, out=tmp_path / "labels"))
    assert record(tmp_path / "labels", "drive")["remarks"] == [
        "holds 2 video streams: the largest is labelled, stream 1 of 64x48; CVAT shows the first"
    ]


def test_a_cut_off_video_is_labelled_as_far_as_it_goes_and_resumes_equal(
    tmp_path: Path, toy: ToyRuntime
) -> None:
    video = write_video(tmp_path / "drive.avi", frames=60)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    list(annotate(job(video, out=tmp_path / "undisturbed")))
    whole = record(tmp_path / "undisturbed", "drive")
    assert whole["state"] == "done"
    assert 0 < whole["frames"] < 60
    assert whole["gaps"] >= 1
    stopped = annotate(job(video, out=tmp_path / "stopped"))
    while not isinstance(next(stopped), FramesLabelled):
        pass
    stopped.close()
    list(annotate(job(video, out=tmp_path / "stopped")))
    again = record(tmp_path / "stopped", "drive")
    assert (again["frames"], again["gap_reasons"]) == (whole["frames"], whole["gap_reasons"])
    assert label_files(tmp_path / "stopped") == label_files(tmp_path / "undisturbed")


def test_labels_among_the_recordings_are_no_recordings(tmp_path: Path, toy: ToyRuntime) -> None:
    write_video(tmp_path / "drives" / "monday.mp4")
    asked = job(tmp_path / "drives", out=tmp_path / "drives")
    assert ended(asked) == {"monday": ("done", True)}
    assert ended(asked) == {"monday": ("done", False)}


def test_a_full_disk_while_detecting_ends_the_run_and_keeps_what_is_done(
    tmp_path: Path,
    toy: ToyRuntime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short, long, out = (
        write_video(tmp_path / "a.mp4"),
        write_video(tmp_path / "b.mp4", frames=120),
        tmp_path / "out",
    )
    with monkeypatch.context() as patch:
        small_disk(patch, pages=12)
        with pytest.raises(OutputError, match="make room"):
            list(annotate(job(short, long, out=out)))
    assert (record(out, "a")["state"], record(out, "b")["state"]) == ("done", "failed")
    assert run_json(out)["state"] == "failed"
    assert 0 < record(out, "b")["frames"] < 120
    assert ended(job(short, long, out=out)) == {"a": ("done", False), "b": ("done", True)}
    list(annotate(job(short, long, out=tmp_path / "undisturbed")))
    assert label_files(out) == label_files(tmp_path / "undisturbed")


@pytest.mark.parametrize("place", ["b", "b/cityscapes"])
def test_where_one_recording_can_not_be_written_the_others_go_on(
    tmp_path: Path, toy: ToyRuntime, place: str
) -> None:
    out = tmp_path / "out"
    if "/" in place:
        (out / "b").mkdir(parents=True)
        (out / "b" / ".cityscapes.tmp").write_text("in the way")
    else:
        out.mkdir()
        (out / "b").write_text("in the way")
    videos = [write_video(tmp_path / f"{name}.mp4", frames=6) for name in "abc"]
    states = {name: state for name, (state, _) in ended(job(*videos, out=out)).items()}
    assert states == {"a": "done", "b": "failed", "c": "done"}
    assert "`out`" in record(out, "b")["error"]
    assert run_json(out)["state"] == "done"


def put_writer(patch: pytest.MonkeyPatch, name: str, writer: FullDiskWriter | RaisingWriter) -> None:
    patch.setitem(WRITABLE, name, replace(WRITABLE[name], write=writer.write))


def test_a_full_disk_while_publishing_ends_the_run(
    tmp_path: Path,
    toy: ToyRuntime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels")
    with monkeypatch.context() as patch:
        put_writer(patch, "coco", FullDiskWriter())
        with pytest.raises(OutputError, match=r"coco can't be written \(No space left on device\)"):
            list(annotate(asked))
    batches = toy.batches
    assert ended(asked) == {"drive": ("done", True)}
    assert toy.batches == batches


def test_a_format_that_cannot_hold_the_labels_does_not_keep_the_others_from_being_written(
    tmp_path: Path,
    toy: ToyRuntime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "labels"
    put_writer(monkeypatch, "cityscapes", RaisingWriter(FormatError("frame 3: 1001 cars")))
    assert ended(job(write_video(tmp_path / "drive.mp4"), out=out)) == {"drive": ("failed", True)}
    assert record(out, "drive")["error"] == "frame 3: 1001 cars"
    assert (out / "drive" / "coco.json").exists()
    assert (out / "drive" / "cvat.xml").exists()


def test_ctrl_c_is_recorded(tmp_path: Path, toy: ToyRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    put_writer(monkeypatch, "coco", RaisingWriter(KeyboardInterrupt()))
    a, b = write_video(tmp_path / "a.mp4"), write_video(tmp_path / "b.mp4")
    with pytest.raises(KeyboardInterrupt):
        list(annotate(job(a, b, out=tmp_path / "labels")))
    states = [each["state"] for each in run_json(tmp_path / "labels")["sources"]]
    assert states == ["interrupted", "pending"]
    assert ExitCode.INTERRUPTED == 130


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path, toy: ToyRuntime) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    first = annotate(job(video, out=out))
    next(first)
    with pytest.raises(UsageError, match="another run is writing here"):
        list(annotate(job(video, out=out)))
    first.close()
    assert ended(job(video, out=out)) == {"drive": ("done", True)}
    assert not (out / ".lock").exists()


def test_a_lock_whose_holder_is_gone_is_free(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("")
    lock = FileLock(tmp_path / ".lock")
    lock.take()
    with pytest.raises(UsageError):
        FileLock(tmp_path / ".lock").take()
    lock.release()
    assert not (tmp_path / ".lock").exists()


def test_gaps_between_the_frames_that_are_asked_for_are_known_after_an_interruption(
    tmp_path: Path, toy: ToyRuntime
) -> None:
    times = [k if k < 23 else k + 50 for k in range(45)]  # a pause before frame 23
    video = videos.write_video(tmp_path / "drive.mp4", len(times), times=times)
    asked = {"detection": DetectionOptions(every=10), "batch_size": 3}
    stopped = annotate(job(video, out=tmp_path / "stopped", **asked))
    while not isinstance(next(stopped), FramesLabelled):
        pass  # frames 0, 10 and 20
    stopped.close()
    for out in ("stopped", "undisturbed"):
        list(annotate(job(video, out=tmp_path / out, **asked)))
    gaps = [record(tmp_path / out, "drive")["gap_reasons"] for out in ("stopped", "undisturbed")]
    assert len(gaps[0]) == 1
    assert gaps[0] == gaps[1]


def test_a_recording_is_recorded_where_it_lies_from_wherever_a_run_is_started(
    tmp_path: Path, toy: ToyRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "here" / "drive.mp4")
    monkeypatch.chdir(tmp_path / "here")
    list(annotate(job(Path("drive.mp4"), out=Path("labels"))))
    assert record(Path("labels"), "drive")["path"] == str(tmp_path / "here" / "drive.mp4")
    Path("drive.mp4").rename(tmp_path / "drive.mp4")
    assert ended(job(tmp_path / "drive.mp4", out=Path("labels"))) == {"drive": ("done", False)}
    assert record(Path("labels"), "drive")["path"] == str(tmp_path / "drive.mp4")


@pytest.mark.parametrize("name", ["../victim", "{tmp}/victim", ".."])
def test_a_store_from_elsewhere_names_nothing_outside_of_its_folder_for_deletion(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "victim").mkdir()
    with Store.open(tmp_path / "drive", {}) as store:
        publication = Publication({name.format(tmp=tmp_path): 1})
        store.update(Progress(published={"coco": publication}))
    publishing.unpublish(tmp_path / "drive")
    assert (tmp_path / "victim").is_dir()
    assert (tmp_path / "drive").is_dir()


# ---- one batch ahead
