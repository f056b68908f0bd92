"""spatialemb-cvat against a small CVAT server: what arrives there, what comes back, and what goes wrong."""

from __future__ import annotations

import base64
import html
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import cv2
import numpy as np
import pytest

from annotator import masks
from annotator.cvat import server as module
from annotator.cvat.secrets import Secret
from annotator.cvat.tasks import FILE, Task
from annotator.editing import edit
from annotator.evaluation.diff import diff
from annotator.formats.cvat import label_specification
from annotator.instances import Instances
from annotator.labels import BY_ID, BY_NAME, INSTANCE_CLASSES
from annotator.options import EditJob
from annotator.store import Store
from cli import shell
from cli.cvat import _Sent, command
from tests.builders import add_recording, frame_ref
from tests.commands import Answer, Run, assert_one_sentence, in_process
from tests.fake_cvat import TOKEN, FakeCvat, FakeTask
from tests.toy import draw, write_video

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

CAR, PERSON, BUS = (BY_NAME[name].id for name in ("car", "person", "bus"))
SIZE = (48, 64)
FRAMES = 12


def labelled(index: int, name: str = "") -> Instances:
    """A car that drives right and a person that stands."""
    car, person = np.zeros((2, *SIZE), bool)
    car[20:40, 2 + 2 * index : 22 + 2 * index] = True
    person[2:18, 50:58] = True
    return Instances.of(
        frame_ref(index, SIZE, name),
        [masks.encode(car), masks.encode(person)],
        [CAR, PERSON],
        [0.9, 0.5],
        track_ids=[3, 8],
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a recording of 12 frames."""
    video = write_video(tmp_path / "drive.mp4", FRAMES)
    add_recording(tmp_path / "run", "drive", video, [labelled(k) for k in range(FRAMES)])
    return tmp_path / "run"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCvat]:
    monkeypatch.setenv(module.TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "TRIES", 2)
    with FakeCvat() as running:
        yield running


@pytest.fixture
def cvat(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Run]:
    """Run the command in this process; whatever happens, nothing that it says has the token in it."""
    caplog.set_level(logging.DEBUG)
    said, run = [], in_process(command, capsys)

    def call(*arguments: object) -> Answer:
        answer = run(*arguments)
        said.append(answer.stdout + answer.stderr)
        return answer

    yield call
    assert TOKEN not in "".join(said) + caplog.text


@pytest.fixture
def pushed(tmp_path: Path, server: FakeCvat) -> Path:
    """A run that is known to be on the server."""
    add_recording(tmp_path / "run", "drive", tmp_path / "drive.mp4", [labelled(0)])
    Task(server.url, 1).write(tmp_path / "run" / "drive")
    return tmp_path / "run"


def keep_in_profile(url: str, token: str) -> None:
    """Save a token as CVAT's own command does."""
    from cvat_sdk.core.auth import AuthStore, ProfileEntry

    AuthStore().put_profile("work", ProfileEntry(url, token, "2026-01-01T00:00:00Z"))


def only_task(server: FakeCvat) -> FakeTask:
    (task,) = server.tasks.values()
    return task


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


def test_a_project_is_found_by_name_or_number_or_made(run: Path, server: FakeCvat, cvat: Run) -> None:
    assert cvat("push", run, "--url", server.url, "--project", "night drives").returncode == 0
    (project,) = server.projects.values()
    assert (project["name"], len(project["labels"])) == ("night drives", 8)
    assert only_task(server).spec["project_id"] == 1
    assert "labels" not in only_task(server).spec
    for again in ("night drives", "1"):
        (run / "drive" / FILE).unlink()
        assert cvat("push", run, "--url", server.url, "--project", again).returncode == 0
    assert len(server.projects) == 1
    answer = cvat("push", run, "--url", server.url, "--project", "7")
    assert answer.returncode == 2
    assert_one_sentence(answer, "--project 7", "has no project of this number")


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


def test_a_project_whose_labels_would_drop_identities_is_refused(
    run: Path, server: FakeCvat, cvat: Run
) -> None:
    server.projects[1] = {"name": "old", "labels": [{"name": "car", "attributes": []}]}
    answer = cvat("push", run, "--url", server.url, "--project", "old")
    assert answer.returncode == 2
    assert_one_sentence(answer, "--project old: its label car lacks the attribute", "cvat_labels.json")
    assert server.tasks == {}


OURS = json.loads(label_specification(BY_ID[class_id] for class_id in INSTANCE_CLASSES))
NO_CAR = [label for label in OURS if label["name"] != "car"]


def test_a_project_that_lacks_labels_gets_nothing(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.projects[1] = {"name": "people", "labels": NO_CAR}
    answer = cvat("push", run, "--url", server.url, "--project", "people")
    assert answer.returncode == 1
    assert_one_sentence(answer, "drive: can't go into project people: it lacks the label car, which")
    assert not [line for line in server.log if line.startswith("POST")]
    assert not (run / "drive" / FILE).exists()
    assert cvat("push", run, "--url", server.url).stdout.startswith("drive: task 1: ")


def test_only_labels_that_are_drawn_must_be_there(run: Path, server: FakeCvat, cvat: Run) -> None:
    names = ("car", "person")
    server.projects[1] = {"name": "few", "labels": [label for label in OURS if label["name"] in names]}
    assert cvat("push", run, "--url", server.url, "--project", "few").returncode == 0


def test_a_task_that_could_never_take_its_tracks_is_made_anew(run: Path, server: FakeCvat, cvat: Run) -> None:
    """As such a project trapped a recording before its labels were looked at."""
    server.projects[1] = {"name": "people", "labels": NO_CAR}
    for project in ("people", "1"):
        server.tasks[1] = FakeTask({"name": "drive", "project_id": 1}, list(range(FRAMES)))
        Task(server.url, 1).write(run / "drive")
        answer = cvat("push", run, "--url", server.url, "--project", project)
        assert_one_sentence(answer, "drive: can't go into project", "lacks the label car")
        assert server.tasks == {}
    server.tasks[1] = FakeTask({"name": "drive", "project_id": 1}, list(range(FRAMES)))
    Task(server.url, 1).write(run / "drive")
    answer = cvat("push", run, "--url", server.url, "--project", "all")
    assert "12 frames and their tracks are there (in the place of task 1)" in answer.stdout
    assert only_task(server).spec["project_id"] == 2


def test_a_task_that_lost_labels_since_is_kept_and_told(run: Path, server: FakeCvat, cvat: Run) -> None:
    cvat("push", run, "--url", server.url)
    only_task(server).spec["labels"] = NO_CAR
    edit(EditJob(run, delete=(8,)))
    answer = cvat("push", run, "--url", server.url, "--replace")
    assert answer.returncode == 1
    assert_one_sentence(answer, "drive: task 1 is on the server, but it lacks the label car")
    assert len(only_task(server).tracks) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--project", "new"), "but not in project new; leave --project out, or delete it there"),
        (("--project", "7 days"), "but not in project 7 days"),
        (("--segment-size", 4), "but with jobs of 5 frames; leave --segment-size out, or delete it there"),
    ],
)
def test_a_task_that_is_there_does_not_move(
    run: Path, server: FakeCvat, cvat: Run, options: tuple[str, ...], words: str
) -> None:
    server.projects[1] = {"name": "7 days", "labels": OURS}
    assert cvat("push", run, "--url", server.url, "--segment-size", 5).returncode == 0
    answer = cvat("push", run, "--url", server.url, *options)
    assert answer.returncode == 1
    assert_one_sentence(answer, "drive: task 1 is on the server, ", words)
    assert list(server.projects) == [1]
    again = cvat("push", run, "--url", server.url, "--segment-size", 5)
    assert again.stdout == "drive: task 1: is there already\n"


def test_a_job_size_beyond_the_recording_is_all_of_it(run: Path, server: FakeCvat, cvat: Run) -> None:
    for size in (100, 50, FRAMES):
        assert cvat("push", run, "--url", server.url, "--segment-size", size).returncode == 0


def test_how_far_an_upload_is_gets_told_when_it_is_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.cvat.SECONDS_BETWEEN_LINES", 0.0)
    sent = _Sent()
    sent.tell(900, 900)
    sent.tell(1_000_000, 2_500_000)
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


def test_tasks_are_made_in_the_organization_of_their_project(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.projects[1] = {"name": "team", "labels": OURS, "organization": 3}
    assert cvat("push", run, "--url", server.url, "--project", "team").returncode == 0
    assert only_task(server).spec["project_id"] == 1


def test_what_is_in_an_organization_is_fetched_and_sent_there(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    server.projects[1] = {"name": "team", "labels": OURS, "organization": 3}
    cvat("push", run, "--url", server.url, "--project", "team")
    assert cvat("pull", run, "--url", server.url, "--out", tmp_path / "back").returncode == 0
    edit(EditJob(run, delete=(8,)))
    assert cvat("push", run, "--url", server.url).returncode == 0
    server.trouble = lambda method, path: 403 if "organizations" in path else None
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "back", "--overwrite")
    assert answer.returncode == 1  # an organization that is closed to the token
    assert_one_sentence(answer, "drive: ", "the token was refused (403)")


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
    assert cvat(*pull, "--map", "taxi=car").returncode == 0


def test_an_export_of_another_recording_is_refused(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    cvat("push", run, "--url", server.url)
    only_task(server).size = (96, 128)
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "back")
    assert answer.returncode == 1
    assert_one_sentence(answer, "is of another recording: its frames are 128x96")
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["run.json"]


def test_what_was_never_sent_cannot_be_fetched(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    answer = cvat("pull", run, "--url", server.url, "--out", tmp_path / "back")
    assert answer.returncode == 2
    assert_one_sentence(answer, "nothing of it was sent to", "push it first")


# ---- tokens, and servers that are away


def test_without_a_token_nothing_is_asked(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, f"no token for {server.url}", module.TOKEN_VARIABLE, "cvat-cli profile")
    assert server.log == []


def test_the_token_may_be_in_cvats_own_configuration(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    from cvat_sdk.core.auth import AuthStore

    store = AuthStore()
    keep_in_profile(server.url, TOKEN)
    assert cvat("push", run, "--url", server.url).returncode == 0
    store.path.chmod(stat.S_IRUSR | stat.S_IROTH)
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, "permissions")


def test_a_token_that_is_refused_is_told_and_not_shown(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.TOKEN_VARIABLE, "wr0ng")
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, "the token was refused (401)")
    assert "wr0ng" not in answer.stderr
    server.trouble = lambda method, path: 403 if method == "POST" else None
    monkeypatch.setenv(module.TOKEN_VARIABLE, TOKEN)
    assert "may write" in cvat("push", run, "--url", server.url).stderr


ODD = {
    "line break": "abc123\nX-Other: def456",
    "carriage return": "abc123\rdef456",
    "other letters": "abc123\u043a\u043b\u044e\u0447def456",
    "umlaut": "abc123\u00fcdef456",
    "invisible": "abc123\u200bdef456",
    "byte order mark": "\ufeffabc123def456",
    "no UTF-8": "abc123\udcffdef456",
    "space": "abc123 def456",
    "escape": "abc123\x1b[31mdef456",
    "assignment": "export TOKEN=abc123 def456",
}


@pytest.mark.parametrize("token", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["push", "pull"])
@pytest.mark.parametrize("place", ["environment", "profile"])
def test_what_is_no_token_is_neither_sent_nor_shown(
    pushed: Path,
    server: FakeCvat,
    cvat: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    token: str,
    place: str,
) -> None:
    monkeypatch.setenv(shell.DEBUG_VARIABLE, "1")
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    if place == "environment":
        monkeypatch.setenv(module.TOKEN_VARIABLE, token)
    else:
        keep_in_profile(server.url, token)
    server.log.clear()
    out = ["--out", tmp_path / "back"] if name == "pull" else []
    answer = cvat(name, pushed, "--url", server.url, *out)
    assert answer.returncode == 2
    assert_one_sentence(answer, "holds no token", "copy it again from CVAT's profile page")
    assert server.log == []
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "auth.json"]
    said = [answer.stdout + answer.stderr, *(path.read_bytes().decode("latin-1") for path in written)]
    assert not any(part in text for text in said for part in ("abc123", "def456"))


def test_a_damaged_file_of_profiles_is_told_without_what_is_in_it(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvat_sdk.core.auth import AuthStore

    monkeypatch.setenv(shell.DEBUG_VARIABLE, "1")
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    keep_in_profile(server.url, TOKEN)
    for profiles in ([TOKEN], {"work": TOKEN}, {"work": {"token": TOKEN}}, {TOKEN: {"server": TOKEN}}, TOKEN):
        AuthStore().path.write_text(json.dumps({"version": 1, "profiles": profiles}))
        answer = cvat("push", run, "--url", server.url)
        assert answer.returncode == 2
        assert_one_sentence(answer, "auth.json: can't be read", "cvat-cli profile")
    AuthStore().path.write_bytes(b"\xff" + TOKEN.encode())
    assert_one_sentence(cvat("push", run, "--url", server.url), "auth.json")


@pytest.mark.parametrize("token", [TOKEN, "a/b+c=d%e", "q\"u'o\\t<e>&"])
def test_a_secret_is_hidden_however_it_is_written(token: str) -> None:
    secret = Secret(token)
    for text in (
        token,
        f"https://me:{quote(token, safe='')}@host",
        "".join(f"%{byte:02X}" for byte in token.encode()),
        repr({"token": token}),
        repr([token.encode()]),
        json.dumps({"Authorization": f"Bearer {token}"}),
        html.escape(token),
        token.encode().hex(),
        token.upper(),
    ):
        assert token.lower() not in unquote(html.unescape(secret.hidden_in(text))).lower()
        assert "…" in secret.hidden_in(text)
    for user in ("", "a", "me", "you"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            shown = secret.hidden_in(encode(f"{user}:{token}!".encode()).decode())
            assert "…" in shown
            assert len(shown) < 14


def test_a_fault_that_nobody_foresaw_shows_no_token(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(shell.DEBUG_VARIABLE, "1")

    def fail(*_: object) -> None:
        raise RuntimeError(f"in the clear: {TOKEN}, and encoded: {base64.b64encode(TOKEN.encode())!r}")

    monkeypatch.setattr("annotator.cvat.push.recording_of", fail)
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "unexpected fault (RuntimeError: in the clear: …")


def test_a_page_of_a_proxy_is_told_in_a_sentence(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head>\r\n</html>"
    server.trouble = lambda method, path: page if method == "POST" else None
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert answer.stderr == (
        f"error: {server.url}: answered 502 (Bad Gateway); the same command goes on where it stopped\n"
    )


def test_what_a_server_says_cannot_reach_into_the_terminal(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.said = "\x1b[2J\x1b]0;owned\x07 red\r\nerror: \u202eforged\x9b31m \ud800"
    server.trouble = lambda method, path: 418 if path == "/api/tasks" else None
    answer = cvat("push", run, "--url", server.url)
    assert_one_sentence(answer, "answered 418", "forged")
    assert answer.stderr.removesuffix("\n").isprintable()


def test_a_server_that_says_the_token_is_quoted_without_it(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.trouble = lambda method, path: 418 if path == "/api/tasks" else None
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "answered 418", "trouble with Bearer …")


def test_a_server_that_is_away_is_told(run: Path, server: FakeCvat, cvat: Run) -> None:
    with FakeCvat() as other:
        away = other.url
    answer = cvat("push", run, "--url", away)
    assert answer.returncode == 1
    assert_one_sentence(answer, f"{away}: does not answer", "the same command goes on where it stopped")
    server.trouble = lambda method, path: 503
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "503")


def test_a_server_that_is_no_cvat_is_told(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.files["/files/api/users/self"] = b"<html>hello</html>"
    answer = cvat("push", run, "--url", f"{server.url}/files")
    assert answer.returncode == 1
    assert_one_sentence(answer, "answered as no CVAT server known here does")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("cvat.example.com", "--url takes the address of a CVAT server"),
        ("ftp://cvat.example.com", "--url takes the address of a CVAT server"),
        ("https://me:pa55word@cvat.example.com", "--url must hold no password"),
        ("https://pa55word@cvat.example.com", "--url must hold no password"),
        ("https://:pa55word@cvat.example.com", "--url must hold no password"),
        ("me:pa55word@cvat.example.com", "--url takes the address of a CVAT server"),
        ("https://cvat.example.com/?token=pa55word", "without what follows ? or #"),
        ("https://cvat.example.com/#pa55word", "without what follows ? or #"),
        ("http://[::1", "--url takes the address of a CVAT server"),
        ("http://me:pa55word@[::1", "--url takes the address of a CVAT server"),
        ("http://cvat.example.com:pa55word", "--url takes the address of a CVAT server"),
        ("http://cvat.example.com:99999", "--url takes the address of a CVAT server"),
        ("http:///tasks", "--url takes the address of a CVAT server"),
        ("http://cvat\x1b.example.com", "--url takes the address of a CVAT server"),
        ("", "--url takes the address of a CVAT server"),
    ],
)
@pytest.mark.parametrize("name", ["push", "pull"])
def test_addresses_that_are_none(
    pushed: Path, tmp_path: Path, cvat: Run, server: FakeCvat, name: str, url: str, words: str
) -> None:
    server.log.clear()
    answer = cvat(name, pushed, "--url", url, *(["--out", tmp_path / "back"] if name == "pull" else []))
    assert answer.returncode == 2
    assert_one_sentence(answer, words)
    assert "pa55word" not in answer.stderr
    assert server.log == []


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
