"""The cost of correction counts what people would have to do, object by object."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator import masks
from annotator.evaluation import Overlap
from annotator.evaluation.edits import Edits
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_NAME
from tests.helpers.builders import frame_ref
from tests.helpers.scenes import scene

CAR, BUS, PERSON = (BY_NAME[name].id for name in ("car", "bus", "person"))
SIZE = (10, 100)
Box = tuple[int, int]  # first column and the one behind the last, over all ten rows


def instances(*drawn: tuple[Box, int, int]) -> Instances:
    """Objects of boxes, classes and tracks, the first with the best score."""
    pixels = []
    for (left, right), _, _ in drawn:
        pixels.append(np.zeros(SIZE, bool))
        pixels[-1][:, left:right] = True
    return Instances.of(
        frame_ref(0, SIZE),
        list(map(masks.encode, pixels)),
        [class_id for _, class_id, _ in drawn],
        np.linspace(1, 0.5, len(drawn)),
        track_ids=[track for _, _, track in drawn],
    )


def counted(
    predicted: Instances, true: Instances, ignored: tuple[Region, ...] = ()
) -> tuple[int, dict[str, dict[str, float]]]:
    """Objects to correct in a frame, and the counts that are not 0, by class and for all."""
    edits = Edits()
    in_frame = edits.add(Overlap.of(predicted, GroundTruth(true, ignored)))
    edits.end_sequence()
    result = edits.result()
    by_class = {"all": {k: v for k, v in result.items() if k != "classes"}, **result["classes"]}
    return in_frame, {name: {k: v for k, v in n.items() if v} for name, n in by_class.items()}


def test_what_fits_may_stay() -> None:
    objects = instances(((0, 20), CAR, 1), ((30, 40), PERSON, 2))
    in_frame, counts = counted(objects, objects)
    assert in_frame == 0
    assert counts["all"] == {"objects": 2, "stay": 2}
    assert counts["car"] == {"objects": 1, "stay": 1}


def test_from_nine_tenths_on_a_mask_is_good_and_from_a_half_on_it_is_reshaped() -> None:
    true = instances(((0, 10), CAR, 0))
    for right, name in ((10, "stay"), (9, "stay"), (8, "reshape"), (5, "reshape")):
        _, counts = counted(instances(((0, right), CAR, 0)), true)
        assert counts["car"][name] == 1, right
    in_frame, counts = counted(instances(((0, 4), CAR, 0)), true)
    assert in_frame == 2
    assert counts["car"] == {"objects": 1, "delete": 1, "missing": 1, "edits": 2, "edits_per_object": 2}


def test_an_object_of_another_class_is_not_missing() -> None:
    in_frame, counts = counted(instances(((0, 10), BUS, 0)), instances(((0, 9), CAR, 0)))
    assert in_frame == 1
    assert counts["all"] == {"objects": 1, "wrong_class": 1, "edits": 1, "edits_per_object": 1}
    assert counts["bus"]["wrong_class"] == 1, "it belongs to the class that was predicted"
    assert counts["car"] == {"objects": 1}


def test_the_right_class_is_paired_first_and_a_second_prediction_is_deleted() -> None:
    _, counts = counted(instances(((0, 10), BUS, 0), ((0, 6), CAR, 0)), instances(((0, 10), CAR, 0)))
    assert counts["car"]["reshape"] == 1
    assert counts["bus"]["delete"] == 1


def test_predictions_where_objects_are_ignored_do_not_count() -> None:
    region = instances(((20, 40), CAR, 0)).masks[0]
    predicted = instances(((31, 50), CAR, 0), ((20, 29), CAR, 0))
    for class_id, deleted in ((0, 1), (CAR, 1), (BUS, 2)):
        _, counts = counted(predicted, instances(), (Region(class_id, region),))
        assert counts["car"]["delete"] == deleted, "the first lies in the region by less than half"
    _, counts = counted(predicted, instances(((20, 29), CAR, 0)), (Region(0, region),))
    assert counts["car"]["stay"] == 1, "what is paired counts wherever it is"


def test_without_objects_there_is_no_rate() -> None:
    _, counts = counted(instances(((0, 9), CAR, 0)), instances())
    assert counts["car"]["edits"] == 1
    assert math.isnan(counts["car"]["edits_per_object"])
    assert Edits().result()["classes"] == {}


def test_what_was_taken_for_what() -> None:
    edits = Edits()
    edits.add(
        Overlap.of(
            instances(((0, 10), BUS, 0), ((20, 30), CAR, 0), ((40, 50), BUS, 0)),
            GroundTruth(instances(((0, 10), CAR, 0), ((20, 30), CAR, 0), ((70, 80), PERSON, 0))),
        )
    )
    class_ids, table = edits.confusion()
    assert class_ids == [PERSON, CAR, BUS]
    assert table.tolist() == [
        # person, car, bus, nothing
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 1, 0, 1],
        [1, 0, 0, 0],
    ]


LEFT, RIGHT = (0, 10), (20, 30)


def tracked(*frames: tuple[int, int]) -> tuple[int, int]:
    """Joins and cuts of a left and a right car, true tracks 1 and 2, predicted under these tracks."""
    edits = Edits()
    truth = GroundTruth(instances((LEFT, CAR, 1), (RIGHT, CAR, 2)))
    for left, right in frames:
        edits.add(Overlap.of(instances((LEFT, CAR, left), (RIGHT, CAR, right)), truth))
    edits.end_sequence()
    counts = edits.result()
    return counts["joins"], counts["cuts"]


def test_tracks_are_joined_and_cut() -> None:
    assert tracked((5, 6), (5, 6), (5, 6)) == (0, 0)
    assert tracked((5, 6), (7, 6), (7, 6)) == (1, 0), "a new track goes on with the left one"
    assert tracked((5, 6), (7, 6), (5, 6)) == (1, 0), "7 is joined to 5, which needs no cut"
    assert tracked((5, 6), (6, 5)) == (2, 2), "a swap: both are cut, and joined crosswise"
    assert tracked((5, 6), (6, 5), (5, 6)) == (4, 4), "and swapped back"
    assert tracked((5, 9), (9, 6)) == (2, 1), "9 goes from right to left, and another takes its place"
    assert tracked((0, 0), (0, 0)) == (0, 0), "without tracks there is nothing to correct in them"


def test_tracks_of_another_recording_are_others() -> None:
    edits = Edits()
    for track in (5, 6):
        edits.add(Overlap.of(instances((LEFT, CAR, track)), GroundTruth(instances((LEFT, CAR, 1)))))
        edits.end_sequence()
    assert edits.result()["joins"] == 0


seeds = st.integers(0, 10_000)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_every_object_is_counted_once(seed: int) -> None:
    drawn = scene(seed, frames=8)
    edits = Edits()
    in_frames = sum(
        edits.add(Overlap.of(found, truth))
        for found, truth in zip(drawn.predictions, drawn.truth, strict=True)
    )
    n = edits.result()
    predicted, true = sum(map(len, drawn.predictions)), sum(len(truth.instances) for truth in drawn.truth)
    assert n["objects"] == true == n["stay"] + n["reshape"] + n["wrong_class"] + n["missing"]
    assert n["stay"] + n["reshape"] + n["wrong_class"] + n["delete"] <= predicted, "some are ignored"
    assert in_frames == n["edits"] - n["joins"] - n["cuts"]
    _, table = edits.confusion()
    assert table[-1].sum() == n["missing"]
    assert table[:, -1].sum() == n["delete"]
    assert table[:-1, :-1].sum() - table[:-1, :-1].trace() == n["wrong_class"]
    for name, of_class in n["classes"].items():
        place = sorted(BY_NAME[other].id for other in n["classes"]).index(BY_NAME[name].id)
        assert table[:, place].sum() == of_class["objects"]


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_what_equals_truth_needs_no_edit(seed: int) -> None:
    edits = Edits()
    for truth in scene(seed, frames=5, errors=0).truth:
        assert edits.add(Overlap.of(truth.instances, truth)) == 0
    assert edits.result()["edits"] == 0
