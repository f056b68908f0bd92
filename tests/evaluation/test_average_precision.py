"""Cityscapes instance AP equals the official script; goldens come from tests/golden/make_cityscapes_golden.py."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator import masks
from annotator.evaluation import Overlap
from annotator.evaluation.average_precision import CityscapesAP
from annotator.formats.cityscapes import gtfine
from annotator.instances import GroundTruth, Instances, Region
from tests.golden.cityscapes_cases import DRAWN, REAL, Scene, scenes, write
from tests.golden.make_cityscapes_golden import GOLDEN, PYTHON, official_figures
from tests.helpers.builders import frame_ref, mask, needs_real_data, read_instances

PERSON, CAR = 24, 26
FIGURES = json.loads(GOLDEN.read_text())
OFFICIAL = 1e-9  # what the issue allows; what differs is the order in which doubles are added


def agree(ours: dict[str, Any], official: dict[str, Any]) -> bool:
    """Whether every official figure is ours, classes included."""
    return all(
        agree(ours[name], value)
        if isinstance(value, dict)
        else math.isnan(ours[name])
        if value is None
        else math.isclose(ours[name], value, rel_tol=0, abs_tol=OFFICIAL)
        for name, value in official.items()
    )


def scored_from_files(frames: Iterable[Scene], folder: Path, with_distances: bool) -> dict[str, Any]:
    """Our figures, by way of the files that the official script reads."""
    frames = list(frames)
    write(iter(frames), folder)
    score = CityscapesAP(with_distances=with_distances)
    pairs = zip(
        frames,
        read_instances("cityscapes-results", folder / "pred"),
        gtfine.read(folder / "gt"),
        strict=True,
    )
    for scene, prediction, truth in pairs:
        assert prediction.frame == truth.instances.frame
        overlap = Overlap.of(prediction, truth)
        score.add(overlap, distances_of(scene, overlap) if with_distances else None)
    return score.result()


def distances_of(scene: Scene, overlap: Overlap) -> np.ndarray:
    """Of instances, by ascending id, and of regions: void, which has none, and groups."""
    instances = [i for i in sorted(scene.distances) if i >= 1000]
    regions = overlap.regions.class_ids.tolist()
    return np.array([scene.distances.get(i, (-1, 0)) for i in instances + regions]).reshape(-1, 2)


@pytest.mark.parametrize("distances", ["everywhere", "with distances"])
@pytest.mark.parametrize("case", DRAWN)
def test_drawn_cases_score_as_the_official_script_scored_them(
    case: str, distances: str, tmp_path: Path
) -> None:
    golden = FIGURES[case]
    assert sum(len(scene.predicted) for scene in scenes(case)) == golden["predictions"]
    ours = scored_from_files(scenes(case), tmp_path, distances == "with distances")
    assert agree(ours, golden[distances])


@pytest.mark.realdata
@needs_real_data
@pytest.mark.parametrize("case", REAL)
def test_real_ground_truth_scores_as_the_official_script_scored_it(case: str, tmp_path: Path) -> None:
    assert agree(scored_from_files(scenes(case), tmp_path, False), FIGURES[case]["everywhere"])


@pytest.mark.skipif(not PYTHON, reason="CITYSCAPES_PYTHON names no interpreter with cityscapesScripts")
@pytest.mark.parametrize("with_distances", [False, True])
def test_the_official_script_itself_agrees(with_distances: bool, tmp_path: Path) -> None:
    frames = list(scenes("drawn, all classes"))
    official = official_figures(frames, with_distances)
    assert agree(scored_from_files(frames, tmp_path, with_distances), official)


# The rules, one by one: frames of 20x20, where an object of 100 pixels is half a row of tens.

SIZE = (20, 20)


def rows(first: int, last: int, columns: int = 10) -> np.ndarray:
    """`columns` pixels of each row from `first` to before `last`: 10 rows of 10 are the least that counts."""
    pixels = np.zeros(SIZE, bool)
    pixels[first:last, :columns] = True
    return pixels


def objects(*drawn: tuple[np.ndarray, int, float]) -> Instances:
    pixels, class_ids, scores = zip(*drawn, strict=True) if drawn else ((), (), ())
    return Instances.of(frame_ref(size=SIZE), [masks.encode(one) for one in pixels], class_ids, scores)


def truth(*drawn: tuple[np.ndarray, int], ignored: Iterator | tuple = ()) -> GroundTruth:
    regions = tuple(Region(class_id, masks.encode(pixels)) for pixels, class_id in ignored)
    return GroundTruth(objects(*[(pixels, class_id, 1.0) for pixels, class_id in drawn]), regions)


def cars(prediction: Instances, true: GroundTruth) -> list[float]:
    """AP of cars at each of the ten overlaps."""
    score = CityscapesAP()
    score.add(Overlap.of(prediction, true))
    return [score.curve(CAR, overlap).area() for overlap in np.arange(0.5, 1, 0.05)]


def test_an_overlap_must_be_exceeded() -> None:
    half = objects((rows(0, 10), CAR, 0.9))
    assert cars(half, truth((rows(0, 20), CAR)))[0] == 0
    assert cars(objects((rows(0, 11), CAR, 0.9)), truth((rows(0, 20), CAR)))[0] == 1


def test_the_best_scored_match_of_an_object_is_right_and_others_are_wrong() -> None:
    twice = objects((rows(0, 8), CAR, 0.9), (rows(0, 10), CAR, 0.8))
    score = CityscapesAP()
    score.add(Overlap.of(twice, truth((rows(0, 10), CAR))))
    assert score.curve(CAR, 0.5).precision.tolist() == [0.5, 1]
    assert score.curve(CAR, 0.5).area() == 1, "the wrong one comes when all is found"
    assert score.curve(CAR, 0.95).area() == pytest.approx(0.25), "the right one has a wrong one above it"


def test_what_is_small_in_truth_is_neither_missed_nor_wrongly_found() -> None:
    small = truth((rows(0, 10), CAR), (rows(12, 15), CAR))
    one, other = (rows(0, 10), CAR, 0.8), (rows(12, 15), CAR, 0.9)
    assert cars(objects(one, other), small)[0] == 1
    assert cars(objects(one), small)[0] == 1


@pytest.mark.parametrize(
    ("class_id", "counts"), [(0, True), (CAR, True), (PERSON, False)], ids=["void", "cars", "persons"]
)
def test_predictions_in_void_and_groups_of_their_class_do_not_count(class_id: int, counts: bool) -> None:
    at_10 = ((rows(10, 20), class_id),)
    found = objects((rows(0, 10), CAR, 0.8), (rows(10, 16), CAR, 0.9), (rows(16, 18), CAR, 0.95))
    ap = cars(found, truth((rows(0, 10), CAR), ignored=at_10))
    assert (ap[0] == 1) is counts


def test_a_share_of_void_must_exceed_the_overlap() -> None:
    void = ((rows(15, 20), 0),)
    found = objects((rows(0, 10), CAR, 0.5), (rows(10, 20), CAR, 0.9))
    assert cars(found, truth((rows(0, 10), CAR), ignored=void))[0] < 1, "one half is not more than one half"


def test_a_small_group_counts_twice_towards_void() -> None:
    group = ((rows(17, 20), CAR),)
    found = objects((rows(0, 10), CAR, 0.5), (rows(12, 20), CAR, 0.9))
    assert cars(found, truth((rows(0, 10), CAR), ignored=group))[0] == 1, "3 of 8 rows, and 3 again"


def test_classes_without_truth_have_no_figure_and_means_leave_them_out() -> None:
    score = CityscapesAP()
    score.add(
        Overlap.of(objects((rows(0, 10), CAR, 0.9), (rows(0, 10), PERSON, 0.9)), truth((rows(0, 10), CAR)))
    )
    result = score.result()
    assert result["classes"]["car"] == {"AP": 1, "AP50": 1}
    assert math.isnan(result["classes"]["person"]["AP"])
    assert result["AP"] == result["AP50"] == 1
    assert set(result["classes"]) >= {"bus", "bicycle"}
    assert math.isnan(CityscapesAP().result()["AP"])


def test_a_class_with_truth_but_nothing_to_judge_scores_nought() -> None:
    true = truth((rows(0, 10), CAR), ignored=((rows(10, 20), 0),))
    for prediction in (objects(), objects((rows(0, 0), CAR, 0.9)), objects((rows(10, 20), CAR, 0.9))):
        score = CityscapesAP()
        score.add(Overlap.of(prediction, true))
        assert score.result()["AP"] == 0
        assert len(score.curve(CAR).scores) == 0


def test_a_curve_has_a_point_for_every_score() -> None:
    found = objects((rows(0, 10), CAR, 0.75), (rows(15, 20), CAR, 0.5), (rows(10, 11), CAR, 0.5))
    score = CityscapesAP()
    score.add(Overlap.of(found, truth((rows(0, 10), CAR), (rows(0, 10, 20) & ~rows(0, 10), CAR))))
    curve = score.curve(CAR)
    assert curve.scores.tolist() == [0.5, 0.75]
    assert curve.precision.tolist() == [1 / 3, 1]
    assert curve.recall.tolist() == [0.5, 0.5]


def test_masks_that_overlap_are_judged_one_by_one() -> None:
    found = objects((mask(*["#" * 20] * 20), CAR, 0.9), (rows(0, 10), CAR, 0.8))
    assert cars(found, truth((rows(0, 10), CAR)))[0] == pytest.approx(0.25)
