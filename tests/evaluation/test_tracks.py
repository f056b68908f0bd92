"""HOTA, CLEAR and identity figures equal TrackEval's; goldens come from tests/golden/make_trackeval_golden.py."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from annotator import masks
from annotator.errors import FormatError
from annotator.evaluation import Overlap, hota
from annotator.evaluation.matching import assign
from annotator.evaluation.tracks import TrackMetrics, disjoint
from annotator.formats.comparison import compare
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_NAME, INSTANCE_CLASSES
from tests.golden.make_trackeval_golden import GOLDEN, PYTHON, trackeval_figures
from tests.golden.tracks_cases import ALL_OF_KITTI, DRAWN, MOTS_CLASSES, MOTS_NUMBERS, SOME_OF_KITTI, degraded
from tests.helpers.builders import frame_ref, mask, needs_real_data
from tests.helpers.scenes import Scene, scene

CAR, PERSON = BY_NAME["car"].id, BY_NAME["person"].id
FIGURES = json.loads(GOLDEN.read_text())
OFFICIAL = 1e-6  # what the issue allows; what differs is the order in which doubles are added

needs_trackeval = pytest.mark.skipif(
    not PYTHON, reason="TRACKEVAL_PYTHON names no interpreter with trackeval"
)


def scored(scenes: Iterable[Scene]) -> TrackMetrics:
    metrics = TrackMetrics()
    for drawn in scenes:
        for found, truth in zip(drawn.predictions, drawn.truth, strict=True):
            metrics.add(Overlap.of(found, truth))
        metrics.end_sequence()
    return metrics


def scored_from_text(folder: Path) -> TrackMetrics:
    """The figures of FOLDER/predictions and FOLDER/truth, by way of the files that TrackEval reads."""
    metrics = TrackMetrics()
    for recording in compare(folder / "predictions", folder / "truth").recordings:
        for found, truth in recording.frames():
            metrics.add(Overlap.of(found, truth))
        metrics.end_sequence()
    return metrics


def require_agreement(metrics: TrackMetrics, official: dict[str, dict[str, Any]]) -> None:
    """Every official figure is ours."""
    ours, per_alpha = metrics.result(), metrics.per_alpha()
    for name, figures in official.items():
        of_class = ours if name == "average" else ours["classes"][name]
        for figure, value in figures.items():
            if figure != "HOTA per alpha":
                assert of_class[figure] == pytest.approx(value, abs=OFFICIAL), f"{figure} of {name}"
            elif name != "average":
                assert per_alpha[name]["HOTA"] == pytest.approx(value, abs=OFFICIAL), name


# ---- against TrackEval


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_cases_score_as_trackeval_scored_them(name: str) -> None:
    require_agreement(scored(DRAWN[name].scenes()), FIGURES[name])


@pytest.mark.parametrize("name", [name for name, case in DRAWN.items() if case.numbers == MOTS_NUMBERS])
def test_so_do_their_files(name: str, tmp_path: Path) -> None:
    DRAWN[name].write(tmp_path)
    require_agreement(scored_from_text(tmp_path), FIGURES[name])


@needs_real_data
@pytest.mark.realdata
def test_degraded_kitti_scores_as_trackeval_scored_it(tmp_path: Path) -> None:
    degraded(tmp_path, *SOME_OF_KITTI)
    require_agreement(scored_from_text(tmp_path), FIGURES["some of KITTI"])


@needs_trackeval
@pytest.mark.parametrize("name", DRAWN)
def test_trackeval_agrees_today(name: str, tmp_path: Path) -> None:
    DRAWN[name].write(tmp_path)
    require_agreement(scored(DRAWN[name].scenes()), trackeval_figures(tmp_path, DRAWN[name].classes))


@needs_trackeval
@needs_real_data
@pytest.mark.realdata
def test_trackeval_agrees_on_all_of_kitti(tmp_path: Path) -> None:
    degraded(tmp_path, *ALL_OF_KITTI)
    require_agreement(scored_from_text(tmp_path), trackeval_figures(tmp_path, MOTS_CLASSES))


# ---- by hand


def cars(*drawn: tuple[str, int], index: int = 0) -> Instances:
    """Cars in a frame one pixel high: where each is, and its track."""
    return Instances.of(
        frame_ref(index, (1, 8)),
        [masks.encode(mask(where.ljust(8, "."))) for where, _ in drawn],
        [CAR] * len(drawn),
        np.linspace(1, 0.5, len(drawn)),
        track_ids=[track for _, track in drawn],
    )


def figures(*frames: tuple[Instances, Instances]) -> dict[str, Any]:
    """Predictions and truth of each frame."""
    metrics = TrackMetrics()
    for found, true in frames:
        metrics.add(Overlap.of(found, GroundTruth(true)))
    metrics.end_sequence()
    return metrics.result()


def test_two_halves_of_a_track_under_two_identities() -> None:
    result = figures(*((cars(("####", 5 + k // 2)), cars(("####", 1))) for k in range(4)))
    assert result["DetA"] == 1
    assert result["AssA"] == 0.5, "each half covers half of the true track"
    assert result["HOTA"] == pytest.approx(np.sqrt(0.5))
    assert (result["IDS"], result["Frag"]) == (1, 0)
    assert (result["MOTSA"], result["sMOTSA"], result["MOTSP"]) == (0.75, 0.75, 1)
    assert result["IDF1"] == 0.5
    assert (result["MT"], result["PT"], result["ML"]) == (1, 0, 0)


def test_alphas_that_an_overlap_reaches() -> None:
    metrics = TrackMetrics()
    metrics.add(Overlap.of(cars(("##", 5)), GroundTruth(cars(("####", 1)))))
    metrics.end_sequence()
    reached = metrics.per_alpha()["car"]["DetA"]
    assert reached.tolist() == [1.0] * 10 + [0.0] * 9, "an IoU of 0.5 reaches 0.05 to 0.5"
    assert metrics.per_alpha()["car"]["LocA"].tolist() == [0.5] * 10 + [1.0] * 9
    assert len(hota.ALPHAS) == 19
    assert metrics.result()["TP"] == 1, "and counts as a pair of CLEAR"


def test_a_gap_is_a_fragment_and_no_switch() -> None:
    result = figures(
        *((cars(("##", 5)) if k != 1 else cars(("......##", 6)), cars(("##", 1))) for k in range(3))
    )
    assert (result["IDS"], result["Frag"]) == (0, 1)
    assert (result["TP"], result["FP"], result["FN"]) == (2, 1, 1)


def test_pairs_of_the_frame_before_go_on() -> None:
    true = cars(("####", 1))
    both = cars(("##", 5), ("..##", 6))
    result = figures((cars(("..##", 6)), true), (both, true), (both, true))
    assert result["IDS"] == 0, "5 overlaps as much as 6, which was there before"


def test_identities_are_paired_for_the_whole_sequence() -> None:
    true = cars(("##", 1), ("....##", 2))
    result = figures(
        *((cars(("##", 5), ("....##", 6)), true) for _ in range(3)),
        *((cars(("##", 6), ("....##", 5)), true) for _ in range(2)),
    )
    assert (result["IDTP"], result["IDFP"], result["IDFN"]) == (6, 4, 4)


def test_classes_are_judged_apart_and_averaged() -> None:
    person = replace(cars(("##", 1)), class_ids=np.array([PERSON], np.uint8))
    result = figures((cars(("....####", 5)), cars(("....####", 2))), (person, cars(("##", 1))))
    assert result["classes"]["car"]["DetA"] == 0.5
    assert result["classes"]["person"]["DetA"] == 0
    assert result["DetA"] == 0.25
    assert result["FP"] == 1


def test_without_anything_there_are_no_figures() -> None:
    assert TrackMetrics().result() == {"classes": {}}
    assert not TrackMetrics().has_tracks


def test_an_object_without_a_track_is_a_track_of_its_own() -> None:
    metrics = TrackMetrics()
    for index in range(3):
        metrics.add(
            Overlap.of(
                cars(("##", 0), ("....##", 0), index=index), GroundTruth(cars(("##", 1), ("....##", 0)))
            )
        )
    metrics.end_sequence()
    assert metrics.result()["IDS"] == 2
    assert not metrics.has_tracks


def test_a_track_has_one_object_in_a_frame() -> None:
    with pytest.raises(FormatError, match=r"frame 0: track 5 has two objects in the predictions"):
        figures((cars(("##", 5), ("....##", 5)), cars(("##", 1))))


def test_predictions_in_ignored_regions_do_not_count_unless_they_are_right() -> None:
    region = (Region(0, masks.encode(mask("....####"))),)
    for where, false in (("....##", 0), ("...##", 1), ("...###", 0), ("..####", 1)):
        metrics = TrackMetrics()
        metrics.add(Overlap.of(cars((where, 5)), GroundTruth(cars(("#", 1)), region)))
        metrics.end_sequence()
        assert metrics.result()["FP"] == false, "more than half must lie in them"
    metrics = TrackMetrics()
    metrics.add(Overlap.of(cars(("....##", 5)), GroundTruth(cars(("....##", 1)), region)))
    metrics.end_sequence()
    assert metrics.result()["TP"] == 1


def test_masks_that_overlap_are_made_disjoint_and_counted() -> None:
    apart = cars(("##", 1), ("..##", 2))
    assert disjoint(apart) == (apart, 0)
    found, changed = disjoint(cars(("####", 1), ("..####", 2), (".##", 3), (".......#", 4)))
    assert changed == 2
    assert found.track_ids.tolist() == [1, 2, 4], "nothing of the third is left"
    assert masks.areas(found.masks).tolist() == [4, 2, 1]


# ---- for any tracks

seeds = st.integers(0, 10_000)
NOT_COUNTS = (
    "HOTA",
    "DetA",
    "AssA",
    "LocA",
    "DetRe",
    "DetPr",
    "AssRe",
    "AssPr",
    "IDF1",
    "MOTSA",
    "sMOTSA",
    "MOTSP",
)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_truth_scores_one_against_itself(seed: int) -> None:
    result = scored([scene(seed, frames=10, errors=0)]).result()
    assert {name: result[name] for name in NOT_COUNTS} == pytest.approx(dict.fromkeys(NOT_COUNTS, 1))
    assert result["IDS"] == result["FP"] == result["FN"] == 0


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_names_of_tracks_and_order_of_instances_mean_nothing(seed: int) -> None:
    drawn = scene(seed, frames=10, class_ids=INSTANCE_CLASSES[:3])
    random = Random(seed)
    names = random.sample(range(1, 100_000), 20_000)

    def other(found: Instances) -> Instances:
        order = np.array(random.sample(range(len(found)), len(found)), np.intp)
        return found.select(order).with_tracks([names[track] for track in found.track_ids[order]])

    renamed = Scene(
        [replace(truth, instances=other(truth.instances)) for truth in drawn.truth],
        [other(found) for found in drawn.predictions],
    )
    ours, theirs = scored([drawn]).result(), scored([renamed]).result()
    for name, of_class in ours.pop("classes").items():
        assert theirs["classes"][name] == pytest.approx(of_class), name
    assert {name: theirs[name] for name in ours} == pytest.approx(ours)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_sequences_add_up(seed: int) -> None:
    parts = [scene(seed + k, frames=8) for k in range(2)]
    both, each = scored(parts).result(), [scored([part]).result() for part in parts]
    for name in ("TP", "FP", "FN", "IDS", "Frag", "MT", "PT", "ML", "IDTP"):
        assert both[name] == sum(figures[name] for figures in each), name


@given(
    st.tuples(st.integers(0, 7), st.integers(0, 7)).flatmap(
        lambda shape: arrays.arrays(np.float64, shape, elements=st.sampled_from([0, 0, 0.25, 0.5, 0.75, 1]))
    )
)
def test_pairs_gain_as_much_as_those_of_scipy(gain: np.ndarray) -> None:
    rows, columns = assign(gain)
    assert len(set(rows)) == len(set(columns)) == len(rows)
    assert np.all(gain[rows, columns] > 0)
    assert gain[rows, columns].sum() == gain[linear_sum_assignment(-gain)].sum()


def test_large_tables_are_paired_at_once() -> None:
    gain = np.ones((150, 100))
    assert len(assign(gain)[0]) == 100
    gain = np.random.default_rng(0).random((8, 9)) + 10  # where no pair stands out
    rows, columns = assign(gain)
    assert gain[rows, columns].sum() == gain[linear_sum_assignment(-gain)].sum()


def test_a_sequence_that_goes_to_disk_scores_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = scene(3)
    in_memory = scored([drawn]).result()
    monkeypatch.setattr(hota, "IN_MEMORY", 100)
    assert scored([drawn]).result() == in_memory


def test_memory_does_not_grow_with_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hota, "IN_MEMORY", 10_000)
    drawn = scene(4, frames=20)
    overlaps = [Overlap.of(found, truth) for found, truth in zip(drawn.predictions, drawn.truth, strict=True)]

    def peak(times: int) -> int:
        tracemalloc.start()
        metrics = TrackMetrics()
        for _ in range(times):
            for overlap in overlaps:
                metrics.add(overlap)
        metrics.end_sequence()
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    assert peak(50) < peak(5) + 20_000
