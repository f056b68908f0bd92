"""What a run looks like when it was in a CVAT task of several jobs, and nobody touched it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator import masks
from annotator.formats.cvat import writer as cvat_writer
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.options import CvatOptions
from tests.formats.test_all_formats import VIDEO
from tests.helpers.builders import Labels, blob, frame_ref, read_instances
from tests.helpers.fake_cvat import FakeTask
from tests.helpers.fake_cvat_formats import exported, take_annotations
from tests.reference.cvat_jobs import Track

CAR, PERSON, BUS = (BY_NAME[name].id for name in ("car", "person", "bus"))
SIZE = (60, 160)
FRAMES = 40


def drive(step: int = 1) -> Labels:
    """A drive in which everything happens that is hard at a border, wherever that is.

    1 is seen throughout; 2 goes and comes back; 3 is in two parts, first for some frames, then one of them alone; 4 has
    a hole; 5 is so seldom seen that whole jobs lack it; 6 comes late; and in every third frame something has no track.
    """
    frames = []
    for k in range(FRAMES):
        found = [(blob(SIZE, 10, 10 + k, 8), CAR, 0.9, 1)]
        if k % 14 < 9:
            found.append((blob(SIZE, 30, 20 + k, 7), PERSON, 0.8, 2))
        parts = blob(SIZE, 50, 60 + k // 2, 6)
        if k % 11 < 6:
            parts = parts | blob(SIZE, 50, 90 + k // 2, 9)
        found.append((parts, BUS, 0.7, 3))
        found.append((blob(SIZE, 12, 130, 10) & ~blob(SIZE, 12, 130, 4), CAR, 0.6, 4))
        if k in (0, 1, 2, 37, 38):
            found.append((blob(SIZE, 35, 120, 6), PERSON, 0.5, 5))
        if k > 25:
            found.append((blob(SIZE, 35, 140, 7), CAR, 0.5, 6))
        if k % 3 == 0:
            found.append((blob(SIZE, 36, 100, 5), PERSON, 0.4, 0))
        pixels, class_ids, scores, tracks = zip(*found, strict=True)
        ref = frame_ref(3 + step * k, SIZE)
        rles = [masks.encode(each) for each in pixels]
        frames.append(Instances.of(ref, rles, class_ids, scores, track_ids=tracks))
    return Labels(frames)


def task_of(labels: Labels, segment_size: int, overlap: int | None) -> FakeTask:
    indices = [ref.index for ref in labels.frames()]
    return FakeTask({"name": "a", "segment_size": segment_size, "overlap": overlap}, indices, size=SIZE)


def back_from(task: FakeTask, folder: Path) -> list[Instances]:
    path = folder / "annotations.xml"
    path.write_text(exported(1, task, "CVAT for video 1.1"))
    return list(read_instances("cvat", path))


def assert_same(back: list[Instances], sent: list[Instances], bound: float = 0.9) -> None:
    """The same objects are in the same frames, by identity and class, and look the same."""
    for ours, theirs in zip(sent, back, strict=True):
        assert ours.frame.index == theirs.frame.index
        identities = [sorted(zip(f.track_ids, f.class_ids, strict=True)) for f in (ours, theirs)]
        assert identities[0] == identities[1], f"in frame {ours.frame.index}"
        overlaps = masks.iou(ours.masks, theirs.masks).max(axis=1)
        assert overlaps.min() >= bound, f"in frame {ours.frame.index}"


@pytest.mark.parametrize("holes", ["fill", "mask"])
@pytest.mark.parametrize(("step", "segment_size"), [(1, 30), (1, 11), (1, 1), (3, 7)])
def test_objects_go_on_across_jobs_that_share_no_frame(
    tmp_path: Path, step: int, segment_size: int, holes: str
) -> None:
    labels = drive(step)
    file = cvat_writer.write(labels, VIDEO, tmp_path, CvatOptions(holes=holes)).files[0]
    task = task_of(labels, segment_size, overlap=0)
    assert take_annotations(task, file.read_bytes(), "CVAT 1.1") == ""
    assert_same(back_from(task, tmp_path), list(read_instances("cvat", file)))


@pytest.mark.parametrize(("step", "segment_size"), [(1, 30), (2, 15), (1, 11)])
def test_objects_go_on_across_jobs_that_share_frames(tmp_path: Path, step: int, segment_size: int) -> None:
    labels = drive(step)
    file = cvat_writer.write(labels, VIDEO, tmp_path).files[0]
    task = task_of(labels, segment_size, overlap=None)
    assert take_annotations(task, file.read_bytes(), "CVAT 1.1") == ""
    assert_same(back_from(task, tmp_path), list(read_instances("cvat", file)))


@pytest.mark.parametrize(("step", "segment_size"), [(1, 30), (2, 15), (1, 11)])
def test_files_of_a_split_recording_are_the_run_when_each_is_in_its_job(
    tmp_path: Path, step: int, segment_size: int
) -> None:
    labels = drive(step)
    folder = cvat_writer.write(labels, VIDEO, tmp_path, CvatOptions(split_frames=segment_size)).files[0]
    task = task_of(labels, segment_size, overlap=None)
    for job, file in enumerate(sorted(folder.iterdir())):
        assert take_annotations(task, file.read_bytes(), "CVAT 1.1", job) == ""
    assert_same(back_from(task, tmp_path), list(read_instances("cvat", folder)))


# ---- what people did in one of the jobs


def sent(folder: Path, segment_size: int = 10) -> FakeTask:
    labels = Labels(drive().found[:20])
    file = cvat_writer.write(labels, VIDEO, folder).files[0]
    task = task_of(labels, segment_size, overlap=0)
    assert take_annotations(task, file.read_bytes(), "CVAT 1.1") == ""
    return task


def of(task: FakeTask, uid: str, job: int) -> Track:
    (found,) = (
        track
        for track in task.tracks
        if track.job == job and next(iter(track.keyframes.values())).attributes["uid"] == uid
    )
    return found


def halves(track: Track, at: int) -> list[Track]:
    """What CVAT makes of a track that somebody splits: two without a group, the first of them closed."""
    key = next(iter(track.keyframes.values()))
    before = {f: k for f, k in track.keyframes.items() if f < at} | {at: replace(key, outside=True)}
    behind = {at: key} | {f: k for f, k in track.keyframes.items() if f > at}
    return [replace(track, group="0", keyframes=keyframes) for keyframes in (before, behind)]


def identities(back: list[Instances], class_id: int, place: float) -> list[int]:
    """By frame the identity of what lies around a height in the frame; 0 = nothing."""
    found = []
    for each in back:
        middle = masks.boxes_xywh(each.masks) @ np.array([[0], [1], [0], [0.5]])
        at = np.flatnonzero((each.class_ids == class_id) & (abs(middle[:, 0] - place) < 4))
        found.append(int(each.track_ids[at[0]]) if len(at) else 0)
    return found


@pytest.mark.parametrize("job", [0, 1])
def test_an_object_that_people_cut_in_one_job_stays_cut_and_goes_on_in_the_other(
    tmp_path: Path, job: int
) -> None:
    task = sent(tmp_path)
    whole = of(task, "1", job)
    task.tracks.remove(whole)
    task.tracks += halves(whole, at=3 + 10 * job + 5)
    found = identities(back_from(task, tmp_path), CAR, 10)
    behind = max(found)
    assert behind > 5
    assert found == [1] * 5 + [behind] * 15 if job == 0 else [1] * 15 + [behind] * 5


def test_groups_of_objects_without_a_uid_are_those_of_their_job(tmp_path: Path) -> None:
    """People draw an object in two parts in each of two jobs, and CVAT gives both the same group."""
    task = sent(tmp_path)
    model = next(iter(of(task, "1", 0).keyframes.values()))
    for job in (0, 1):
        for left in (5, 30):
            ring = [(left, 40), (left + 9, 40), (left + 9, 45), (left, 45)]
            key = replace(model, points=[(float(x), float(y)) for x, y in ring], attributes={"uid": ""})
            task.tracks.append(Track("car", "9", {3 + 10 * job: key}, job))
    found = identities(back_from(task, tmp_path), CAR, 42.5)
    assert found[0] != found[-1]
    assert found == [found[0]] * 10 + [found[-1]] * 10
    assert all(
        len(each) == len(sent_) + 1
        for each, sent_ in zip(back_from(task, tmp_path), back_from(sent(tmp_path), tmp_path), strict=True)
    )
