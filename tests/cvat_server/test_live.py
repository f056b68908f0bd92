"""The whole way to a CVAT server and back.

Each step runs against the imitation; with CVAT_TEST_URL naming a server that may be worked on, and a token in
CVAT_ACCESS_TOKEN, `pytest -m live` runs the same steps there. What they make is removed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotator import masks
from annotator.cvat_server import server as module
from annotator.cvat_server.pull import pull
from annotator.cvat_server.push import push
from annotator.cvat_server.tasks import FILE, Task
from annotator.evaluation.diff import diff
from annotator.formats.cvat import writer as cvat_writer
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.options import CvatOptions, PullJob, PushJob
from annotator.store import Recording, Store
from tests.helpers.builders import add_recording, frame_ref, read_instances
from tests.helpers.fake_cvat import TOKEN, FakeCvat
from tests.helpers.fake_detector import draw, install, write_video

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

from cvat_sdk.core.client import AccessTokenCredentials, Client, Config
from cvat_sdk.core.proxies.types import Location

URL_VARIABLE = "CVAT_TEST_URL"
CAR, PERSON, TRUCK = (BY_NAME[name].id for name in ("car", "person", "truck"))
SIZE = (48, 64)
FRAMES = 24


@dataclass
class Site:
    """A server, and a client of it beside the tool's."""

    url: str
    client: Client
    is_real: bool

    def task(self, run: Path) -> Any:
        """The task of the recording of a run."""
        known = Task.read(run / "drive", self.url)
        assert known
        return self.client.tasks.retrieve(known.task_id)

    def annotations(self, task_id: int) -> dict[str, Any]:
        _, response = self.client.api_client.tasks_api.retrieve_annotations(task_id, _parse_response=False)
        return json.loads(response.data or response.read())

    def annotate(self, task_id: int, content: dict[str, Any]) -> None:
        """Put annotations in the place of those of a task, as people's browsers do."""
        self.client.api_client.tasks_api.update_annotations(task_id, labeled_data_request=content)


@pytest.fixture(params=["imitation", pytest.param("server", marks=pytest.mark.live)])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    config = Config(status_check_period=0.05, cache_dir=tmp_path / "cache")
    if request.param == "imitation":
        monkeypatch.setenv(module.TOKEN_VARIABLE, TOKEN)
        monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.01)
        with FakeCvat() as fake, Client(fake.url, config=config, check_server_version=False) as client:
            client.login(AccessTokenCredentials(TOKEN))
            yield Site(fake.url, client, is_real=False)
        return
    url, token = os.environ.get(URL_VARIABLE), os.environ.get(module.TOKEN_VARIABLE)
    if not url or not token:
        pytest.skip(f"{URL_VARIABLE} and {module.TOKEN_VARIABLE} name no server and token")
    with Client(url, config=config, check_server_version=False) as client:
        client.login(AccessTokenCredentials(token))
        yield Site(url, client, is_real=True)
        known = [Task.read(path.parent, url) for path in tmp_path.rglob(FILE)]
        client.tasks.remove_by_ids([task.task_id for task in known if task])


def labelled(index: int, name: str = "") -> Instances:
    """A car that drives right, and from frame 5 to 17 a person who walks left, seen in two parts in the middle."""
    shapes = [np.zeros(SIZE, bool) for _ in range(2 if 5 <= index < 18 else 1)]
    shapes[0][26:40, 2 + index : 20 + index] = True
    for person in shapes[1:]:
        person[4:22, 52 - index : 60 - index] = True
        person[12 : 14 + 2 * (9 <= index < 12)] &= not 9 <= index < 12
    return Instances.of(
        frame_ref(index, SIZE, name),
        [masks.encode(shape) for shape in shapes],
        [CAR, PERSON][: len(shapes)],
        [0.75, 0.5][: len(shapes)],
        track_ids=[3, 8][: len(shapes)],
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    video = write_video(tmp_path / "drive.mp4", FRAMES)
    add_recording(tmp_path / "run", "drive", video, [labelled(k) for k in range(FRAMES)])
    return tmp_path / "run"


def send(site: Site, run: Path, **options: Any) -> str:
    (pushed,) = push(PushJob(run, site.url, **options))
    return pushed.error or pushed.what


def fetch(site: Site, run: Path, name: str = "back") -> Path:
    (pulled,) = pull(PullJob(run, site.url, run.parent / name))
    assert pulled.converted, pulled.error
    return run.parent / name


def tracks(run: Path) -> list[int]:
    """The identities of every instance, frame by frame."""
    with Store.read(run / "drive") as store:
        return [sorted(found.track_ids.tolist()) for found in store.instances()]


@pytest.mark.parametrize("segment_size", [None, 10, 7])
def test_what_nobody_touched_comes_back_as_it_was_sent(
    site: Site, run: Path, segment_size: int | None
) -> None:
    assert send(site, run, segment_size=segment_size) == f"{FRAMES} frames and their tracks are there"
    back = fetch(site, run)
    assert diff(run, back).changed == []
    assert tracks(back) == tracks(run)
    assert send(site, run, segment_size=segment_size) == "is there already"


def test_what_people_did_comes_back_and_is_not_written_over(site: Site, run: Path) -> None:
    """The car becomes a truck, the person goes, and a car that nobody had seen is drawn."""
    send(site, run)
    task = site.task(run)
    labels = {label.name: label.id for label in task.get_labels()}
    content = site.annotations(task.id)
    car = next(track for track in content["tracks"] if track["label_id"] == labels["car"])
    points = [30.0, 2.0, 40.0, 2.0, 40.0, 12.0, 30.0, 12.0]
    about = {"type": "polygon", "points": points, "occluded": False, "z_order": 0, "attributes": []}
    drawn = [about | {"frame": 18, "outside": False}, about | {"frame": 22, "outside": True}]
    new = {"label_id": labels["car"], "frame": 18, "group": 0, "attributes": [], "shapes": drawn}
    of_other_label = {"label_id": labels["truck"], "attributes": []}
    shapes = [{**shape, "attributes": []} for shape in car["shapes"]]
    site.annotate(task.id, {**content, "tracks": [{**car, **of_other_label, "shapes": shapes}, new]})
    back = fetch(site, run)
    found = diff(run, back)
    assert {kind: found.total(kind) for kind in ("relabelled", "deleted", "added")} == {
        "relabelled": FRAMES,
        "deleted": 13,
        "added": 4,
    }
    with Store.read(back / "drive") as store:
        classes = [sorted(frame.class_ids.tolist()) for frame in store.instances()]
    assert classes[20] == sorted([CAR, TRUCK])
    (run / "drive" / FILE).write_text((run / "drive" / FILE).read_text().replace('"sent": "', '"sent": "0'))
    assert "people edited task" in send(site, run)
    assert send(site, run, replace=True) == f"{FRAMES} frames and their tracks are there"
    assert diff(run, fetch(site, run, "again")).changed == []


@contextmanager
def shared(site: Site, run: Path, overlap: int) -> Iterator[Any]:
    """A task of the same video whose jobs of 10 frames share some, as people make them by hand."""
    labels = json.loads(cvat_writer.label_specification([BY_NAME["car"], BY_NAME["person"]]))
    spec = {"name": "shared", "labels": labels, "segment_size": 10, "overlap": overlap}
    task = site.client.tasks.create(spec)
    try:
        task.upload_data([run.parent / "drive.mp4"], params={"image_quality": 95})
        yield task
    finally:
        task.remove()


def exported(task: Any, path: Path, kind: str = "CVAT for video 1.1") -> Path:
    task.export_dataset(kind, path, include_images=False, location=Location.LOCAL)
    return path


def assert_same(run: Path, export: Path) -> None:
    """An export shows what the run holds, and every object once."""
    assert diff(run, export).changed == []
    assert {track for frame in read_instances("cvat", export) for track in frame.track_ids.tolist()} == {3, 8}


@pytest.mark.parametrize("overlap", [0, 3, 5])
def test_jobs_that_share_frames_show_every_object_once(site: Site, run: Path, overlap: int) -> None:
    send(site, run)
    with shared(site, run, overlap) as task:
        task.import_annotations("CVAT 1.1", run / "drive" / "cvat_sent.xml")
        assert_same(run, exported(task, run.parent / "shared.zip"))


def test_a_file_for_every_job_makes_the_same_task(site: Site, run: Path) -> None:
    with Store.read(run / "drive") as store:
        recording = Recording("drive", run.parent / "drive.mp4")
        cvat_writer.write(store, recording, run.parent / "split", CvatOptions(split_frames=10))
    files = {
        int(path.name.partition("-")[0]): path
        for path in (run.parent / "split" / cvat_writer.FOLDER).iterdir()
    }
    with shared(site, run, cvat_writer.OVERLAP) as task:
        for job in task.get_jobs():
            job.import_annotations("CVAT 1.1", files[job.start_frame])
        assert_same(run, exported(task, run.parent / "shared.zip"))


@pytest.mark.live
@pytest.mark.parametrize("kind", ["CVAT for images 1.1", "COCO 1.0"])
def test_other_exports_say_the_same(site: Site, run: Path, kind: str) -> None:
    if not site.is_real:
        pytest.skip("the imitation exports tracks alone")
    send(site, run)
    export = exported(site.task(run), run.parent / "export.zip", kind)
    assert diff(run, export).changed == []


def test_images_are_annotated_on_the_server(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvat_sdk.auto_annotation import annotate_task

    from annotator.integrations import cvat as integration

    names = [f"{k}.png" for k in range(3)]
    (tmp_path / "drive").mkdir()
    for k, name in enumerate(names):
        cv2.imwrite(str(tmp_path / "drive" / name), cv2.cvtColor(draw(4 * k), cv2.COLOR_RGB2BGR))
    empty = [Instances.of(frame_ref(k, SIZE, name), [], [], []) for k, name in enumerate(names)]
    add_recording(tmp_path / "run", "drive", tmp_path / "drive", empty)
    assert "nothing labelled" in send(site, tmp_path / "run")
    install(monkeypatch)
    annotate_task(site.client, site.task(tmp_path / "run").id, integration.create(seed_threshold=0.5))
    back = fetch(site, tmp_path / "run")
    with Store.read(back / "drive") as store:
        found = list(store.instances())
    assert [sorted(frame.class_ids.tolist()) for frame in found] == [sorted([CAR, PERSON])] * 3
    for k, frame in enumerate(found):
        image = draw(4 * k).astype(int)
        car = frame.masks[frame.class_ids.tolist().index(CAR)]
        assert np.array_equal(masks.decode(car), image[..., 0] - image[..., 2] > 100)
