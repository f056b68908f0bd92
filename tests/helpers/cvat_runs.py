"""Runs for a CVAT server, the small server that takes them, and the command that sends them.

Its fixtures are those of a plugin, which is imported before pytest could rewrite it: PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from annotator import masks
from annotator.cvat_server import server as module
from annotator.cvat_server.tasks import Task
from annotator.formats.cvat.writer import label_specification
from annotator.instances import Instances
from annotator.labels import BY_ID, BY_NAME, INSTANCE_CLASSES
from cli.cvat import command
from tests.helpers.builders import add_recording, frame_ref
from tests.helpers.commands import Answer, Run, in_process
from tests.helpers.fake_cvat import TOKEN, FakeCvat, FakeTask
from tests.helpers.fake_detector import write_video

CAR, PERSON, BUS = (BY_NAME[name].id for name in ("car", "person", "bus"))
SIZE = (48, 64)
FRAMES = 12
OURS = json.loads(label_specification(BY_ID[class_id] for class_id in INSTANCE_CLASSES))
NO_CAR = [label for label in OURS if label["name"] != "car"]


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
def cvat(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> Iterator[Run]:
    """Run the command in this process; whatever happens, nothing that it says or writes has the token in it."""
    caplog.set_level(logging.DEBUG)
    said, run = [], in_process(command, capsys)

    def call(*arguments: object) -> Answer:
        answer = run(*arguments)
        said.append(answer.stdout + answer.stderr)
        return answer

    yield call
    assert TOKEN not in "".join(said) + caplog.text
    for path in tmp_path.rglob("*"):
        assert path.name == "auth.json" or not path.is_file() or TOKEN.encode() not in path.read_bytes()


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
