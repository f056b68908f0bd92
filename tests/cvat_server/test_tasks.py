"""Where tasks of spatialemb-cvat go: projects, organizations and labels that fit, or nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator.cvat_server.tasks import FILE, Task
from annotator.options import EditJob
from annotator.pipeline.edit import edit
from tests.helpers.commands import Run, assert_one_sentence
from tests.helpers.cvat_runs import FRAMES, NO_CAR, OURS, only_task
from tests.helpers.fake_cvat import FakeCvat, FakeTask

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

pytest_plugins = ["tests.helpers.cvat_runs"]


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


def test_a_project_whose_labels_would_drop_identities_is_refused(
    run: Path, server: FakeCvat, cvat: Run
) -> None:
    server.projects[1] = {"name": "old", "labels": [{"name": "car", "attributes": []}]}
    answer = cvat("push", run, "--url", server.url, "--project", "old")
    assert answer.returncode == 2
    assert_one_sentence(answer, "--project old: its label car lacks the attribute", "cvat_labels.json")
    assert server.tasks == {}


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
