"""spatialemb-cvat against a small CVAT server: what arrives there, what comes back, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from annotator.cvat_server.tasks import FILE
from annotator.evaluation.diff import diff
from annotator.instances import Instances
from annotator.options import EditJob
from annotator.pipeline.edit import edit
from annotator.store import Store
from cli.cvat import _Sent
from tests.helpers.builders import add_recording, frame_ref
from tests.helpers.commands import Answer, Run, assert_one_sentence
from tests.helpers.cvat_runs import BUS, CAR, FRAMES, OURS, PERSON, SIZE, labelled, only_task
from tests.helpers.fake_cvat import FakeCvat
from tests.helpers.fake_detector import draw, write_video

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

pytest_plugins = ["tests.helpers.cvat_runs"]


# ---- push


def test_a_recording_becomes_a_task_with_its_video_labels_and_tracks(
    run: Path, server: FakeCvat, cvat: Run
) -> None:
    answer = cvat("push", run, "--url", server.url)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "drive: task 1: 12 frames and their tracks are there\n"
    task = only_task(server)
    assert (task.frames, task.size) == (list(range(FRAMES)), SIZE)
    assert sorted(track.label for track in task.tracks) == ["car", "person"]
    assert task.spec["overlap"] == 0
    assert {label["name"] for label in task.spec["labels"]} >= {"car", "person", "bicycle"}


def test_a_task_has_the_frames_that_are_labelled(tmp_path: Path, server: FakeCvat, cvat: Run) -> None:
    video = write_video(tmp_path / "drive.mp4", 20)
    add_recording(tmp_path / "run", "drive", video, [labelled(k) for k in range(3, 16, 3)])
    assert cvat("push", tmp_path / "run", "--url", server.url, "--segment-size", 4).returncode == 0
    task = only_task(server)
    assert task.frames == [3, 6, 9, 12, 15]
    assert task.spec["segment_size"] == 4
    assert [(track.label, track.job) for track in task.tracks] == [
        ("car", 0),
        ("person", 0),
        ("car", 1),
        ("person", 1),
    ]


def test_images_become_a_task_of_images(tmp_path: Path, server: FakeCvat, cvat: Run) -> None:
    (tmp_path / "frames").mkdir()
    names = [f"{k}.png" for k in (10, 9, 8)]
    for name in names:
        cv2.imwrite(str(tmp_path / "frames" / name), draw(0, SIZE))
    found = [labelled(k, name) for k, name in enumerate(names)]
    add_recording(tmp_path / "run", "frames", tmp_path / "frames", found)
    assert cvat("push", tmp_path / "run", "--url", server.url).returncode == 0
    assert {name: len(shapes) for name, shapes in only_task(server).images.items()} == dict.fromkeys(names, 2)
    assert cvat("pull", tmp_path / "run", "--url", server.url, "--out", tmp_path / "back").returncode == 0
    assert diff(tmp_path / "run", tmp_path / "back").total("kept") == 6


def test_what_is_there_is_not_sent_again_and_what_changed_here_is(
    run: Path, server: FakeCvat, cvat: Run
) -> None:
    cvat("push", run, "--url", server.url)
    assert cvat("push", run, "--url", server.url).stdout == "drive: task 1: is there already\n"
    assert only_task(server).imports == 1
    edit(EditJob(run, delete=(8,)))
    assert cvat("push", run, "--url", server.url).returncode == 0
    assert [track.label for track in only_task(server).tracks] == ["car"]


def test_what_people_edited_is_left_alone_unless_told(run: Path, server: FakeCvat, cvat: Run) -> None:
    cvat("push", run, "--url", server.url)
    only_task(server).tracks[0].label = "bus"
    edit(EditJob(run, delete=(8,)))
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "drive: people edited task 1", "pull them first, or use --replace")
    assert only_task(server).tracks[0].label == "bus"
    assert cvat("push", run, "--url", server.url, "--replace").returncode == 0
    assert [track.label for track in only_task(server).tracks] == ["car"]


def test_doubts_are_sent_and_come_back_without_harm(run: Path, server: FakeCvat, cvat: Run) -> None:
    cvat("push", run, "--url", server.url)
    sent = [key.attributes["doubt"] for track in only_task(server).tracks for key in track.keyframes.values()]
    assert sent
    assert all(0 <= int(doubt) <= 100 for doubt in sent)
    assert cvat("pull", run, "--url", server.url, "--out", run.parent / "back").returncode == 0
    assert diff(run, run.parent / "back").total("kept") == 2 * FRAMES
    assert cvat("push", run, "--url", server.url).stdout == "drive: task 1: is there already\n"


def test_a_project_that_was_made_without_doubt_takes_the_rest(run: Path, server: FakeCvat, cvat: Run) -> None:
    old = [
        {**label, "attributes": [each for each in label["attributes"] if each["name"] != "doubt"]}
        for label in OURS
    ]
    server.projects[1] = {"name": "old", "labels": old}
    assert cvat("push", run, "--url", server.url, "--project", "old").returncode == 0
    assert len(only_task(server).tracks) == 2


def test_a_push_that_broke_off_goes_on(run: Path, server: FakeCvat, cvat: Run) -> None:
    for broken in (("POST", "/data/"), ("POST", "/annotations/"), ("GET", "/annotations/")):
        server.trouble = lambda method, path, broken=broken: (
            400 if method == broken[0] and path.endswith(broken[1]) else None
        )
        assert cvat("push", run, "--url", server.url).returncode == 1
    server.trouble = lambda method, path: None
    assert cvat("push", run, "--url", server.url).returncode == 0
    task = only_task(server)
    assert (len(task.frames), len(task.tracks)) == (FRAMES, 2)


def test_what_arrived_although_sending_broke_off_is_not_written_over(
    run: Path, server: FakeCvat, cvat: Run
) -> None:
    """The server took the tracks, its answer was lost, and people began to work."""
    server.trouble = lambda method, path: 400 if "/requests/" in path and only_task(server).imports else None
    assert cvat("push", run, "--url", server.url).returncode == 1
    server.trouble = lambda method, path: None
    only_task(server).tracks[0].label = "bus"
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "sending to task 1 broke off, and it has annotations", "use --replace")
    assert only_task(server).tracks[0].label == "bus"
    assert cvat("push", run, "--url", server.url, "--replace").returncode == 0
    assert sorted(track.label for track in only_task(server).tracks) == ["car", "person"]


@pytest.mark.parametrize("options", [(), ("--segment-size", 5)])
def test_what_arrived_although_sending_broke_off_is_known_again(
    run: Path, server: FakeCvat, cvat: Run, options: tuple[object, ...]
) -> None:
    """The server was killed while it imported, ended it nevertheless, and nobody worked on it since."""
    push = ("push", run, "--url", server.url, *options)
    server.trouble = lambda method, path: 400 if "/requests/" in path and only_task(server).imports else None
    assert cvat(*push).returncode == 1
    server.trouble = lambda method, path: None
    imports = only_task(server).imports
    assert cvat(*push).stdout == "drive: task 1: is there already\n"
    assert only_task(server).imports == imports
    server.trouble = lambda method, path: 400 if "/requests/" in path else None
    edit(EditJob(run, delete=(8,)))
    assert cvat(*push).returncode == 1  # and again, with what changed here
    server.trouble = lambda method, path: None
    edit(EditJob(run, relabel=((3, BUS),)))
    assert cvat(*push).returncode == 0
    assert {track.label for track in only_task(server).tracks} == {"bus"}


def test_an_import_that_never_happened_is_made_up_for(run: Path, server: FakeCvat, cvat: Run) -> None:
    """The server was killed while it imported, and has what was there before."""
    cvat("push", run, "--url", server.url)
    edit(EditJob(run, delete=(8,)))
    for dies in (("POST", "/annotations/"), ("GET", "/requests/")):
        tracks = list(only_task(server).tracks)
        server.trouble = lambda method, path, dies=dies: (
            503 if method == dies[0] and dies[1] in path else None
        )
        assert_one_sentence(cvat("push", run, "--url", server.url), "the same command goes on")
        only_task(server).tracks = tracks
    server.trouble = lambda method, path: None
    assert cvat("push", run, "--url", server.url).returncode == 0
    assert [track.label for track in only_task(server).tracks] == ["car"]


def test_objects_keep_their_identities_across_the_jobs_of_a_task(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    assert cvat("push", run, "--url", server.url, "--segment-size", 5).returncode == 0
    assert cvat("pull", run, "--url", server.url, "--out", tmp_path / "back").returncode == 0
    untouched = diff(run, tmp_path / "back")
    assert (untouched.changed, untouched.total("kept")) == ([], 2 * FRAMES)
    with Store.read(run / "drive") as ours, Store.read(tmp_path / "back" / "drive") as theirs:
        for found, back in zip(ours.instances(), theirs.instances(), strict=True):
            assert sorted(found.track_ids.tolist()) == sorted(back.track_ids.tolist())


def test_frames_that_people_deleted_are_no_empty_frames(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    assert cvat("push", run, "--url", server.url).returncode == 0
    only_task(server).deleted = {4, 5}
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "back")
    assert "2 frames deleted in CVAT" in answer.stdout
    with Store.read(tmp_path / "back" / "drive") as back:
        assert [ref.index for ref in back.frames()] == [*range(4), *range(6, FRAMES)]
    only_task(server).tracks.clear()  # then only the server knows
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "again")
    assert "2 frames deleted in CVAT" in answer.stdout


def test_how_far_an_upload_is_gets_told_when_it_is_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.cvat.SECONDS_BETWEEN_LINES", 0.0)
    sent = _Sent()
    sent.update(900, 900)
    sent.update(1_000_000, 2_500_000)
    assert capsys.readouterr().err == "sent 1.0 of 2.5 MB\n"


@pytest.mark.parametrize("name", ["push", "pull"])
def test_two_at_once_do_not_hinder_each_other(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path, name: str
) -> None:
    """The second is begun while the first asks the server; it leaves all as it is."""
    cvat("push", run, "--url", server.url)
    out = ["--out", tmp_path / "back"] if name == "pull" else []
    edit(EditJob(run, delete=(8,)))
    seconds: list[Answer] = []

    def begin_another(method: str, path: str) -> None:
        if path in ("/api/tasks/1/annotations/", "/api/tasks/1/dataset/export") and not seconds:
            command_line = [
                sys.executable,
                "-m",
                "cli.cvat",
                name,
                str(run),
                "--url",
                server.url,
                *map(str, out),
            ]
            seconds.append(subprocess.run(command_line, capture_output=True, text=True))

    server.trouble = begin_another
    first = cvat(name, run, "--url", server.url, *out)
    assert (first.returncode, first.stderr) == (0, "")
    (second,) = seconds
    assert second.returncode == 1
    assert_one_sentence(second, "another command is", "wait for it")
    assert not list(tmp_path.rglob(".cvat.lock"))


def test_a_recording_with_nothing_in_it_says_so(tmp_path: Path, server: FakeCvat, cvat: Run) -> None:
    video = write_video(tmp_path / "empty.mp4", 3)
    found = [Instances.of(frame_ref(k, SIZE), [], [], []) for k in range(3)]
    add_recording(tmp_path / "run", "empty", video, found)
    answer = cvat("push", tmp_path / "run", "--url", server.url)
    assert answer.stdout == "empty: task 1: 3 frames are there, with nothing labelled in them\n"


def test_a_run_of_the_first_frame_alone_is_sent(tmp_path: Path, server: FakeCvat, cvat: Run) -> None:
    video = write_video(tmp_path / "drive.mp4", 5)
    add_recording(tmp_path / "run", "drive", video, [labelled(0)])
    assert cvat("push", tmp_path / "run", "--url", server.url).returncode == 0
    assert only_task(server).frames == [0]
    assert cvat("pull", tmp_path / "run", "--url", server.url, "--out", tmp_path / "back").returncode == 0
    assert diff(tmp_path / "run", tmp_path / "back").total("kept") == 2


def test_images_that_cvat_cannot_tell_apart_are_refused(tmp_path: Path, server: FakeCvat, cvat: Run) -> None:
    (tmp_path / "frames").mkdir()
    names = ["a.jpg", "a.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / "frames" / name), draw(0, SIZE))
    found = [labelled(k, name) for k, name in enumerate(names)]
    add_recording(tmp_path / "run", "frames", tmp_path / "frames", found)
    answer = cvat("push", tmp_path / "run", "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "a: 2 images are called so but for their suffix")


def test_a_task_that_somebody_deleted_is_made_anew(run: Path, server: FakeCvat, cvat: Run) -> None:
    cvat("push", run, "--url", server.url)
    server.tasks[5] = server.tasks.pop(1)  # another's now
    answer = cvat("pull", run, "--url", server.url, "--out", run.parent / "back")
    assert answer.returncode == 1
    assert_one_sentence(answer, "drive: task 1 is not on", "spatialemb-cvat push makes it anew")
    answer = cvat("push", run, "--url", server.url)
    assert answer.stdout == (
        "drive: task 6: 12 frames and their tracks are there (task 1 was not there any more)\n"
    )


def test_a_server_that_is_busy_is_asked_again(run: Path, server: FakeCvat, cvat: Run) -> None:
    busy = {"left": 2}

    def trouble(method: str, path: str) -> int | None:
        if method == "GET" and path == "/api/tasks/1" and busy["left"]:
            busy["left"] -= 1
            return 503
        return None

    server.trouble = trouble
    assert cvat("push", run, "--url", server.url).returncode == 0


def test_one_bad_recording_does_not_end_the_run(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    add_recording(run, "gone", tmp_path / "gone.mp4", [labelled(0)])
    short = write_video(tmp_path / "short.mp4", 5)
    add_recording(run, "short", short, [labelled(k) for k in range(FRAMES)])
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert answer.stdout == "drive: task 1: 12 frames and their tracks are there\n"
    gone, too_short = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert "gone.mp4: is not there any more" in gone
    assert "CVAT counts 5 frames in it, and 12 are labelled" in too_short
    assert list(server.tasks) == [1]
    assert [path.parent.name for path in run.rglob(FILE)] == ["drive"]


# ---- pull


def corrected(server: FakeCvat) -> None:
    """People make the car a bus, end the person at frame 6, and draw another car."""
    task = only_task(server)
    car, person = sorted(task.tracks, key=lambda track: track.label)
    car.label = "bus"
    first = person.keyframes[0]
    person.keyframes = {0: first, 6: type(first)(first.points, True, first.attributes)}
    drawn = type(first)(
        [(30.0, 2.0), (40.0, 2.0), (40.0, 12.0), (30.0, 12.0)], False, {"uid": "", "score": ""}
    )
    task.tracks.append(
        type(car)("car", "0", {4: drawn, 8: type(first)(drawn.points, True, drawn.attributes)})
    )


def test_corrections_come_back_into_a_run_with_the_frames_that_were_sent(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    cvat("push", run, "--url", server.url)
    corrected(server)
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "corrected")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("drive: 12 frames, 22 instances, 3 tracks -> ")
    with Store.read(run / "drive") as ours, Store.read(tmp_path / "corrected" / "drive") as theirs:
        assert list(theirs.frames()) == list(ours.frames())
        classes = [
            dict(zip(f.track_ids.tolist(), f.class_ids.tolist(), strict=True)) for f in theirs.instances()
        ]
    assert classes[5] == {3: BUS, 8: PERSON, 1: CAR}
    assert [8 in of_frame for of_frame in classes] == [True] * 6 + [False] * 6
    for back in (tmp_path / "corrected", tmp_path / "corrected" / "drive" / "cvat_export.zip"):
        found = diff(run, back)
        edits = [found.total(kind) for kind in ("relabelled", "deleted", "added", "kept")]
        assert edits == [12, 6, 4, 6]


def test_what_is_there_is_fetched_again_only_when_told(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    cvat("push", run, "--url", server.url)
    pull = ("pull", run, "--url", server.url, "--out", tmp_path / "back")
    assert cvat(*pull).returncode == 0
    corrected(server)
    assert "is there already; --overwrite" in cvat(*pull).stdout
    assert diff(run, tmp_path / "back").changed == []
    assert cvat(*pull, "--overwrite").returncode == 0
    assert diff(run, tmp_path / "back").changed


def test_labels_of_other_names_can_be_mapped(run: Path, server: FakeCvat, cvat: Run, tmp_path: Path) -> None:
    cvat("push", run, "--url", server.url)
    only_task(server).tracks[0].label = "taxi"
    pull = ("pull", run, "--url", server.url, "--out", tmp_path / "back")
    answer = cvat(*pull)
    assert answer.returncode == 1
    assert_one_sentence(answer, "label 'taxi' is no Cityscapes class")
    assert not (tmp_path / "back" / "drive").exists()
    answer = cvat(*pull, "--map", "taxi=car", "--map", "cab=car")
    assert (answer.returncode, answer.stderr) == (0, "warning: --map cab=car: no label is called so\n")


def test_an_export_of_another_recording_is_refused(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    cvat("push", run, "--url", server.url)
    only_task(server).size = (96, 128)
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "back")
    assert answer.returncode == 1
    assert_one_sentence(answer, "is of another recording: its frames are 128x96")
    assert not list((tmp_path / "back").iterdir())  # what is refused leaves nothing


def test_what_was_never_sent_cannot_be_fetched(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "back")
    assert answer.returncode == 2
    assert_one_sentence(answer, "nothing of it was sent to", "push it first")


def test_labels_that_are_no_run_are_refused(run: Path, cvat: Run, server: FakeCvat, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text("{}")
    answer = cvat("push", tmp_path / "coco.json", "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, "is COCO JSON; make a run of it with spatialemb-convert --to run")


def test_a_single_image_becomes_a_task(tmp_path: Path, server: FakeCvat, cvat: Run) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), draw(0, SIZE))
    add_recording(tmp_path / "run", "photo", tmp_path / "photo.png", [labelled(0, "photo.png")])
    assert cvat("push", tmp_path / "run", "--url", server.url).returncode == 0
    assert list(only_task(server).images) == ["photo.png"]
