"""Bulk edits change tracks all or not at all, whatever happens, and what was published follows."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator import masks
from annotator.errors import SourceError, UsageError
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.options import EditJob, TrackingOptions
from annotator.pipeline.annotate import track
from annotator.pipeline.edit import edit
from annotator.pipeline.publish import publish_all
from annotator.store import Progress, Recording, Store
from tests.helpers.builders import frame_ref, read_instances
from tests.helpers.fake_detector import ROOT

CAR, TRUCK, PERSON = (BY_NAME[name].id for name in ("car", "truck", "person"))
SIZE = (6, 40)

Rows = list[tuple[int, int, int, float]]  # frame, track, class, score


def labelled(index: int, tracks: list[int]) -> Instances:
    """A frame with a car for every track, each in its place, the first with the best score."""
    rles = []
    for track_id in tracks:
        pixels = np.zeros(SIZE, bool)
        pixels[1:5, 4 * track_id : 4 * track_id + 3] = True
        rles.append(masks.encode(pixels))
    scores = np.linspace(0.9, 0.5, len(tracks))
    return Instances.of(frame_ref(index, SIZE), rles, [CAR] * len(tracks), scores, track_ids=tracks)


def run_of(folder: Path, frames: list[list[int]]) -> Path:
    """A run with one recording, and its coco.json."""
    recording = Recording("drive", Path("/data/drive.mp4"))
    with Store.open(folder / "drive", {"weights": "c0ffee"}) as store:
        store.add([labelled(k, tracks) for k, tracks in enumerate(frames)])
        store.update(Progress(detected=True, tracking=TrackingOptions()))
        publish_all(store, recording, folder / "drive", "coco")
    sources = [{"name": "drive", "path": "/data/drive.mp4", "state": "done"}]
    (folder / "run.json").write_text(json.dumps({"weights": {"file": "default"}, "sources": sources}))
    return folder


def rows(folder: Path) -> Rows:
    with Store.read(folder / "drive") as store:
        return [
            (found.frame.index, int(track_id), int(class_id), round(float(score), 3))
            for found in store.instances()
            for track_id, class_id, score in zip(found.track_ids, found.class_ids, found.scores, strict=True)
        ]


def spans(folder: Path) -> dict[int, list[int]]:
    """The frames of every track."""
    seen: dict[int, list[int]] = {}
    for frame, track_id, *_ in rows(folder):
        seen.setdefault(track_id, []).append(frame)
    return seen


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path / "run", [[1, 2], [1, 2, 3], [1, 3], [4, 1], [4, 5]])


def test_tracks_get_another_class_in_all_their_frames(run: Path) -> None:
    assert edit(EditJob(run, relabel=((1, TRUCK),))) == ["track 1 is truck in 4 frames"]
    assert all((class_id == TRUCK) == (track_id == 1) for _, track_id, class_id, _ in rows(run))


def test_a_track_is_cut_at_a_frame(run: Path) -> None:
    assert edit(EditJob(run, split=((1, 2),))) == ["track 1 is track 6 from frame 2 on"]
    assert (spans(run)[1], spans(run)[6]) == ([0, 1], [2, 3])


def test_tracks_are_joined_under_the_first_number(run: Path) -> None:
    assert edit(EditJob(run, merge=((4, 2),))) == ["track 2 is track 4"]
    assert spans(run)[4] == [0, 1, 3, 4]
    assert 2 not in spans(run)


def test_deleted_tracks_leave_no_objects_and_the_others_as_they_were(run: Path) -> None:
    before = rows(run)
    edit(EditJob(run, delete=(1,)))
    assert rows(run) == [row for row in before if row[1] != 1]
    with Store.read(run / "drive") as store:  # positions go on without a gap: tracks can be set anew
        positions = [(found.frame.index, k) for found in store.instances() for k in range(len(found))]
    with Store.open(run / "drive", {"weights": "c0ffee"}) as store:
        store.set_tracks((frame, k, 7 + k) for frame, k in positions)
        assert sum(map(len, store.instances())) == len(positions)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"relabel": ((9, TRUCK),)}, "there is no track 9"),
        ({"split": ((1, 0),)}, "track 1 is seen from frame 0 to 3: split it between, not at 0"),
        ({"split": ((1, 4),)}, "split it between, not at 4"),
        ({"merge": ((1, 2),)}, "tracks 1 and 2 are seen at the same time, in frame 0"),
        ({"delete": (2, 2)}, "there is no track 2"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_done(run: Path, wrong: dict, sentence: str) -> None:
    before, recorded = rows(run), json.loads((run / "run.json").read_text())["sources"][0]["state"]
    with pytest.raises(UsageError, match=sentence):
        edit(replace(EditJob(run, relabel=((3, PERSON),)), **{"relabel": ((3, PERSON),), **wrong}))
    assert rows(run) == before
    assert json.loads((run / "run.json").read_text())["sources"][0]["state"] == recorded


def test_what_was_published_is_published_again(run: Path) -> None:
    edit(EditJob(run, delete=(1, 2, 3), relabel=((4, TRUCK),)))
    found = list(read_instances("coco", run / "drive" / "coco.json"))
    assert [each.class_ids.tolist() for each in found] == [[], [], [], [TRUCK], [TRUCK, CAR]]
    assert not (run / "drive" / "cvat.xml").exists()


def test_run_json_tells_the_new_counts_and_keeps_what_it_said_of_the_run(run: Path) -> None:
    edit(EditJob(run, delete=(1,)))
    content = json.loads((run / "run.json").read_text())
    assert content["weights"] == {"file": "default"}
    (source,) = content["sources"]
    assert (source["instances"], source["tracks"], source["state"]) == (7, 4, "done")


def test_edited_tracks_are_not_made_anew_by_the_same_command(run: Path) -> None:
    edit(EditJob(run, merge=((4, 2),)))
    with Store.open(run / "drive", {"weights": "c0ffee"}) as store:
        assert list(track(Recording("drive", run), store, TrackingOptions())) == []
    assert spans(run)[4] == [0, 1, 3, 4]


def test_a_run_of_several_recordings_must_be_told_which(run: Path) -> None:
    (run / "other").mkdir()
    (run / "other" / "labels.sqlite").write_bytes((run / "drive" / "labels.sqlite").read_bytes())
    with pytest.raises(UsageError, match="has 2 recordings; name the folder of one, as drive, other"):
        edit(EditJob(run, delete=(1,)))
    assert edit(EditJob(run / "drive", delete=(1,)))


def test_labels_that_are_no_run_cannot_be_edited(run: Path) -> None:
    with pytest.raises(UsageError, match=r"is COCO JSON; make a run of it with spatialemb-convert `to` run"):
        edit(EditJob(run / "drive" / "coco.json", delete=(1,)))


@pytest.mark.parametrize("place", ["TrackEditor.delete", "publish.publish_all"])
def test_killed_on_the_way_it_is_done_or_not_done_and_the_same_command_goes_on(run: Path, place: str) -> None:
    before = rows(run)
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from annotator.pipeline import edit as editing, publish\n"
        "from annotator.options import EditJob\n"
        "from annotator.store.edits import TrackEditor\n"
        f"{place} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"editing.edit(EditJob(Path({str(run)!r}), relabel=((1, {TRUCK}),), delete=(2,)))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=os.environ, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    if place == "TrackEditor.delete":
        assert rows(run) == before
        edit(EditJob(run, relabel=((1, TRUCK),)))
    else:
        edit(EditJob(run))
    found = read_instances("coco", run / "drive" / "coco.json")
    assert TRUCK in {class_id for each in found for class_id in each.class_ids.tolist()}


@pytest.mark.parametrize("column", ["track_id", "frame_index", "position"])
def test_tracks_that_are_damaged_are_not_edited(run: Path, column: str) -> None:
    with closing(sqlite3.connect(run / "drive" / "labels.sqlite")) as db, db:
        db.execute(f"UPDATE tracks SET {column} = x'00' WHERE track_id = 1 AND frame_index = 1")
    for wish in ({"split": ((1, 2),)}, {"merge": ((1, 2),)}, {"delete": (1,)}, {"relabel": ((1, TRUCK),)}):
        with pytest.raises(SourceError, match=r"labels\.sqlite: is damaged"):
            edit(EditJob(run, **wish))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 6), unique=True, max_size=5), min_size=1, max_size=6), st.data())
def test_deleting_is_as_if_it_had_never_been(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[int]], data: st.DataObject
) -> None:
    there = sorted({track_id for tracks in frames for track_id in tracks})
    if not there:
        return
    gone = data.draw(st.lists(st.sampled_from(there), unique=True, min_size=1))
    folder = run_of(tmp_path_factory.mktemp("run"), frames)
    before = rows(folder)
    edit(EditJob(folder, delete=tuple(gone)))
    assert rows(folder) == [row for row in before if row[1] not in gone]


def test_a_class_without_instances_and_a_join_of_one_are_refused_before_anything_is_changed() -> None:
    with pytest.raises(UsageError, match="`relabel` 1=road: this class has no instances"):
        EditJob(Path("run"), relabel=((1, BY_NAME["road"].id),))
    with pytest.raises(UsageError, match="`merge` takes two tracks or more"):
        EditJob(Path("run"), merge=((1,),))
