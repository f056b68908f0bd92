"""A diff tells what people did to labels, object by object and act by act."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator import masks
from annotator.errors import UsageError
from annotator.evaluation.diff import ADDED, ASSUMED_SECONDS, EDITS, KEPT, KINDS, Diff, diff, parse_seconds
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.options import ConversionJob
from annotator.pipeline.convert import convert
from tests.formats.test_comparison import WRITERS, stored
from tests.helpers.builders import Labels, Recording, frame_ref
from tests.helpers.scenes import scene

CAR, BUS, PERSON = (BY_NAME[name].id for name in ("car", "bus", "person"))
SIZE = (20, 100)
VIDEO = Recording("drive", True, Path("/data/drive.mp4"))

Drawn = tuple[int, int, int, int]  # left, right, class, track


def frame(index: int, *drawn: Drawn) -> Instances:
    """Boxes from a left to a right column."""
    pixels = [np.zeros(SIZE, bool) for _ in drawn]
    for one, (left, right, *_) in zip(pixels, drawn, strict=True):
        one[2:18, left:right] = True
    return Instances.of(
        frame_ref(index, SIZE),
        list(map(masks.encode, pixels)),
        [class_id for *_, class_id, _ in drawn],
        np.ones(len(drawn)),
        track_ids=[track for *_, track in drawn],
    )


def run(folder: Path, frames: list[list[Drawn]]) -> Path:
    return stored(folder, Labels([frame(k, *drawn) for k, drawn in enumerate(frames)]), VIDEO)


@pytest.fixture
def compared(tmp_path_factory: pytest.TempPathFactory):
    def compare(machine: list[list[Drawn]], corrected: list[list[Drawn]], **options: float) -> Diff:
        folder = tmp_path_factory.mktemp("labels")
        return diff(run(folder / "machine", machine), run(folder / "corrected", corrected), **options)

    return compare


def edits(found: Diff) -> dict[str, int]:
    return {kind: found.total(kind) for kind in KINDS if found.total(kind)}


def test_what_nobody_touched_is_kept(compared) -> None:
    found = compared(
        [[(0, 20, CAR, 1), (40, 60, PERSON, 2)]] * 3, [[(0, 20, CAR, 1), (40, 60, PERSON, 2)]] * 3
    )
    assert edits(found) == {KEPT: 6}
    assert (found.frames, found.changed, found.actions) == (3, [], {})


def test_every_kind_of_edit_is_told_by_class(compared) -> None:
    machine = [(0, 20, CAR, 1), (25, 45, CAR, 2), (50, 60, CAR, 3), (80, 90, BUS, 5)]
    corrected = [(0, 20, CAR, 1), (25, 40, CAR, 2), (50, 60, BUS, 3), (65, 75, PERSON, 9)]
    found = compared([machine], [corrected])
    assert edits(found) == {"kept": 1, "reshaped": 1, "added": 1, "deleted": 1, "relabelled": 1}
    assert {(kind, c) for (kind, c), count in found.counts.items() if count} == {
        ("kept", CAR),
        ("reshaped", CAR),
        ("added", PERSON),
        ("deleted", BUS),
        ("relabelled", BUS),
    }


def test_an_object_that_was_moved_far_is_reshaped_if_it_kept_its_identity(compared) -> None:
    assert edits(compared([[(0, 20, CAR, 1)]], [[(15, 40, CAR, 1)]])) == {"reshaped": 1}


def test_without_identity_it_is_deleted_and_drawn(compared) -> None:
    assert edits(compared([[(0, 20, CAR, 0)]], [[(15, 40, CAR, 7)]])) == {"added": 1, "deleted": 1}


def test_joined_and_cut_tracks_are_told_once(compared) -> None:
    left, right = (0, 20, CAR), (40, 60, CAR)
    joined = compared([[(*left, 1)], [(*left, 1)], [(*left, 2)], [(*left, 2)]], [[(*left, 1)]] * 4)
    assert edits(joined) == {"kept": 4, "joined": 1}
    swapped = compared(
        [[(*left, 1), (*right, 2)]] * 4, [[(*left, 1), (*right, 2)]] * 2 + [[(*left, 2), (*right, 1)]] * 2
    )
    assert edits(swapped)["cut"] == 2
    assert [frame.index for frame in swapped.changed] == [2]


def test_the_bound_of_what_was_kept_can_be_chosen(compared) -> None:
    machine, corrected = [[(0, 20, CAR, 1)]], [[(0, 19, CAR, 1)]]
    assert edits(compared(machine, corrected)) == {"kept": 1}
    assert edits(compared(machine, corrected, kept_iou=0.99)) == {"reshaped": 1}


# ---- time


def test_what_is_done_to_a_track_in_a_stretch_is_one_act(compared) -> None:
    there, gone = [(0, 20, CAR, 1)], []
    assert compared([there] * 30, [gone] * 30).actions == {"deleted": 1}
    assert compared([there] * 30, [gone] * 10 + [there] * 10 + [gone] * 10).actions == {"deleted": 2}
    assert compared([there] * 30, [[(0, 20, BUS, 1)]] * 30).actions == {"relabelled": 1}
    assert compared([gone] * 30, [there] * 30).actions == {"added": 3}, "an outline serves for ten frames"
    untracked = [[(0, 20, CAR, 0)]] * 30
    assert compared(untracked, [gone] * 30).actions == {"deleted": 30}


def test_the_estimate_follows_from_acts_and_stated_seconds(compared) -> None:
    found = compared([[(0, 20, CAR, 1)]] * 4, [[(40, 60, CAR, 2)]] * 4)
    assert found.actions == {"added": 1, "deleted": 1}
    assert (
        found.seconds()
        == ASSUMED_SECONDS["added"] + ASSUMED_SECONDS["deleted"] + 4 * ASSUMED_SECONDS["frame"]
    )
    mine = parse_seconds("added=10, frame=2.5")
    assert found.seconds(mine) == 10 + ASSUMED_SECONDS["deleted"] + 4 * 2.5
    assert found.seconds_from_nothing(mine) == 10 + 4 * 2.5
    assert found.as_json(9, mine)["time"]["assumed_seconds"]["added"] == 10
    for wrong in ("painted=3", "added", "added=-1", "added=soon"):
        with pytest.raises(UsageError, match="`seconds` takes KIND=NUMBER"):
            parse_seconds(wrong)


# ---- where to train again


def test_frames_with_most_to_learn_come_first_and_neighbours_once(compared) -> None:
    objects = [(0, 20, CAR, 1), (30, 50, CAR, 2), (60, 80, CAR, 3)]
    machine = [objects] * 20
    corrected = list(machine)
    corrected[3], corrected[4], corrected[15] = objects[:1], objects[:2], objects[:2]
    corrected[10] = [(0, 17, CAR, 1), *objects[1:]]
    found = compared(machine, corrected)
    assert [frame.index for frame in found.frames_to_retrain(9)] == [3, 15, 10]
    assert [frame.index for frame in found.frames_to_retrain(1)] == [3]
    assert [frame.index for frame in found.changed] == [3, 4, 10, 15]


def test_everything_is_in_the_json(compared) -> None:
    found = compared([[(0, 20, CAR, 1)]] * 2, [[(0, 20, CAR, 1)], []])
    content = json.loads(json.dumps(found.as_json(5)))
    assert content["edits"]["deleted"] == content["classes"]["car"]["deleted"] == 1
    assert content["changed_frames"] == [{"recording": "drive", "index": 1, "deleted": 1}]
    assert content["tracks"] == [
        {"recording": "drive", "machine": 1, "corrected": None, "deleted": 1},
        {"recording": "drive", "machine": 1, "corrected": 1, "kept": 1},
    ]


@pytest.mark.parametrize("kind", ["cvat", "coco", "mots"])
def test_labels_as_sent_and_as_they_came_back_unchanged_need_no_edit(kind: str, tmp_path: Path) -> None:
    labels = Labels([frame(k, (0, 20, CAR, 1), (40, 60, PERSON, 2)) for k in range(3)])
    found = diff(stored(tmp_path, labels, VIDEO), WRITERS[kind](tmp_path / kind, labels, VIDEO))
    assert edits(found) == {"kept": 6}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1000))
def test_every_object_is_counted_once(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    drawn = scene(seed, frames=6)
    folder = tmp_path_factory.mktemp("labels")
    machine = stored(folder / "machine", Labels(drawn.predictions), VIDEO)
    true = [truth.instances for truth in drawn.truth]
    found = diff(machine, stored(folder / "corrected", Labels(true), VIDEO))
    n = {kind: found.total(kind) for kind in KINDS}
    paired = n["kept"] + n["reshaped"] + n["relabelled"]
    assert paired + n["added"] == sum(map(len, true))
    assert paired + n["deleted"] == sum(map(len, drawn.predictions))
    by_frame = sum(count for frame in found.changed for count in frame.counts.values())
    assert by_frame == sum(n[kind] for kind in EDITS)
    assert all(found.actions[kind] <= n[kind] for kind in EDITS)
    assert found.drawn <= sum(map(len, true))
    by_track = sum(counts[ADDED] for counts in found.tracks.values())
    assert by_track == n["added"]


def ragged(index: int) -> Instances:
    """A car with a hole, of which a polygon loses more than a tenth."""
    found = frame(index, (0, 40, CAR, 1))
    pixels = masks.decode(found.masks[0]).copy()
    pixels[4:16, 10:30] = False
    return Instances.of(found.frame, [masks.encode(pixels)], [CAR], [1], track_ids=[1])


@pytest.mark.parametrize("to", ["cvat", "run"])
def test_what_comes_back_from_cvat_is_compared_with_what_was_sent(to: str, tmp_path: Path) -> None:
    labels = Labels([ragged(k) for k in range(3)])
    machine = stored(tmp_path, labels, VIDEO)
    sent = WRITERS["cvat"](machine / "drive", labels, VIDEO)
    back = sent.rename(tmp_path / "export.xml")
    if to == "run":
        list(convert(ConversionJob(back, "run", tmp_path / "back", like=machine)))
        back = tmp_path / "back"
    assert edits(diff(machine, back)) == {"reshaped": 3}, "without what was sent, masks are all there is"
    WRITERS["cvat"](machine / "drive", labels, VIDEO)
    assert edits(diff(machine, back)) == {"kept": 3}


def test_a_track_has_the_class_that_it_is_published_with(compared) -> None:
    machine = [[(0, 20, BUS if k == 1 else CAR, 1)] for k in range(4)]
    assert edits(compared(machine, [[(0, 20, CAR, 1)]] * 4)) == {"kept": 4}


def test_what_was_deleted_is_missed_in_pictures_too(tmp_path: Path) -> None:
    machine = run(tmp_path / "machine", [[(0, 20, CAR, 0), (40, 60, PERSON, 0)]] * 2)
    corrected = WRITERS["cityscapes"](tmp_path, Labels([frame(k, (0, 20, CAR, 0)) for k in range(2)]), VIDEO)
    assert edits(diff(machine, corrected)) == {KEPT: 2, "deleted": 2}
