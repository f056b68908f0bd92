"""An instance head decides the class and the score of each instance by all that the maps say of it and around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator.detection.instance_features import instance_features
from annotator.detection.postprocessing import candidates, cluster_batch
from annotator.errors import CheckpointError, UsageError
from annotator.instances import GroundTruth, Instances, Region
from annotator.masks import encode
from annotator.model.embedding import PAPER_GRID
from annotator.model.instance_head import InstanceHead
from annotator.model.network import NetworkSpec, RawMaps
from annotator.options import DetectionOptions
from annotator.training.instance_head import UNKNOWN, Examples, answers, fit
from tests.helpers.builders import frame_ref

PERSON, RIDER, BICYCLE = 24, 25, 33
CLASSES = (PERSON, RIDER, BICYCLE)
SIZE = (64, 96)
CHANNELS = 32  # of the encoder's features
SPEC = NetworkSpec("erfnet", CLASSES, 1, PAPER_GRID, (0, 0, 0), (1, 1, 1), SIZE)


def street(seed: int, ridden: bool) -> tuple[RawMaps, np.ndarray]:
    """Maps of a network that takes everyone for a person, and sees bicycles below riders; with the person."""
    random = np.random.default_rng(seed)
    top, left = random.integers(6, 20), random.integers(10, 60)
    labels = np.zeros(SIZE, int)
    labels[top : top + 18, left : left + 10] = 1
    where = PAPER_GRID.coordinates(SIZE)
    raw = torch.zeros(3 + len(CLASSES), *SIZE)
    raw[2], raw[3:] = 0.9, -6
    inside = torch.from_numpy(labels == 1)
    raw[:2, inside] = torch.atanh(where[:, inside].mean(1)[:, None] - where[:, inside])
    raw[3, inside] = 3
    if ridden:
        raw[
            3 + CLASSES.index(BICYCLE), top + 18 : top + 26, left - 2 : left + 12
        ] = -0.1  # not enough to be found
    features = torch.zeros(1, CHANNELS, SIZE[0] // 8, SIZE[1] // 8)
    features[..., top // 8, left // 8] = 1
    return RawMaps(raw[None], SPEC, SIZE, features=features), labels == 1


def truth_of(mask: np.ndarray, class_id: int, **others: object) -> GroundTruth:
    return GroundTruth(Instances.of(frame_ref(size=SIZE), [encode(mask)], [class_id], [1]), **others)


def found_in(maps: RawMaps) -> tuple:
    grid = SPEC.grid.coordinates(SIZE)
    found = candidates(maps.raw[0], grid, maps, frame_ref(size=SIZE), DetectionOptions(), 0.1, range(3))
    return found, instance_features(found, maps.raw[0], maps.features[0], maps)


@pytest.fixture(scope="module")
def head() -> InstanceHead:
    every = []
    for seed in range(120):
        maps, person = street(seed, ridden=seed % 2 == 0)
        found, features = found_in(maps)
        every.append(Examples(features, answers(found, truth_of(person, (RIDER, PERSON)[seed % 2]), SPEC)))
    fitted = fit(every, torch.nn.Linear(1, 1), len(CLASSES), len(every))
    assert not fitted.is_judged.any()  # so few as they are
    return replace(fitted, is_judged=np.array([True, True, False]))


def labelled(maps: RawMaps, head: InstanceHead | None, **options: object) -> Instances:
    frames = [frame_ref(size=SIZE)] * len(maps.raw)
    return cluster_batch(maps, frames, DetectionOptions(**options), head)[0]


def test_a_person_on_a_bicycle_is_a_rider(head: InstanceHead) -> None:
    for seed in range(200, 206):
        ridden, _ = street(seed, ridden=True)
        walking, _ = street(seed, ridden=False)
        assert labelled(ridden, None).class_ids.tolist() == [PERSON]  # as the seed maps have it
        assert labelled(ridden, head).class_ids.tolist() == [RIDER]
        assert labelled(walking, head).class_ids.tolist() == [PERSON]


def test_classes_that_a_head_knows_too_little_of_are_left_to_the_network(head: InstanceHead) -> None:
    maps, _ = street(300, ridden=True)
    as_clustered = labelled(maps, None)
    shy = replace(head, is_judged=np.array([False, False, True]))
    found = labelled(maps, shy)
    assert found.class_ids.tolist() == as_clustered.class_ids.tolist() == [PERSON]
    assert found.scores.tolist() == as_clustered.scores.tolist()
    sure = replace(head, is_judged=np.array([False, True, True]))
    assert labelled(maps, sure).class_ids.tolist() == [RIDER]  # of which it is sure


def test_a_head_judges_classes_before_those_asked_for_are_chosen(head: InstanceHead) -> None:
    maps, _ = street(300, ridden=True)
    assert labelled(maps, head, classes=("rider",)).class_ids.tolist() == [RIDER]
    assert len(labelled(maps, head, classes=("person",))) == 0


def test_scores_are_the_heads_and_the_lowest_is_of_them(head: InstanceHead) -> None:
    maps, _ = street(300, ridden=True)
    _, features = found_in(maps)
    [score] = head.probabilities(features)[:, :-1].max(1)
    assert labelled(maps, head).scores.tolist() == [score]
    assert len(labelled(maps, head, min_score=float(score) - 1e-3)) == 1
    assert len(labelled(maps, head, min_score=float(score) + 1e-3)) == 0


def test_a_frame_comes_out_with_the_same_bits_in_any_batch(head: InstanceHead) -> None:
    first, second = street(301, ridden=True)[0], street(302, ridden=False)[0]
    both = RawMaps(
        torch.cat([first.raw, second.raw]), SPEC, SIZE, features=torch.cat([first.features, second.features])
    )
    frames = [frame_ref(size=SIZE)] * 2
    together = cluster_batch(both, frames, DetectionOptions(), head)
    assert together[0].scores.tobytes() == labelled(first, head).scores.tobytes()
    assert together[1].scores.tobytes() == labelled(second, head).scores.tobytes()


def test_an_empty_frame_stays_empty(head: InstanceHead) -> None:
    maps, _ = street(303, ridden=False)
    assert len(labelled(replace(maps, raw=torch.full_like(maps.raw, -6)), head)) == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("beyond", [-1e4, 1e4])
def test_maps_beyond_what_exp_holds_are_judged_without_a_word(head: InstanceHead, beyond: float) -> None:
    maps, person = street(304, ridden=False)
    maps.raw[0, :2, torch.from_numpy(~person)] = beyond
    maps.raw[0, 4:, torch.from_numpy(~person)] = -1e4
    labelled(maps, head)


def test_a_head_of_other_features_is_refused_with_the_remedy(head: InstanceHead) -> None:
    maps, _ = street(305, ridden=False)
    wider = replace(maps, features=torch.cat([maps.features, maps.features], 1))
    with pytest.raises(
        CheckpointError, match="knows 132 features of instances, but there are 196; delete it"
    ):
        labelled(wider, head)


def test_what_lies_in_a_group_or_is_of_a_class_without_labels_teaches_nothing() -> None:
    maps, person = street(306, ridden=False)
    found, _ = found_in(maps)
    elsewhere = np.roll(person, 40, axis=1)
    assert answers(found, truth_of(elsewhere, PERSON), SPEC).tolist() == [len(CLASSES)]
    group = (Region(PERSON, encode(person)),)
    assert answers(found, truth_of(elsewhere, PERSON, ignore_regions=group), SPEC).tolist() == [UNKNOWN]
    of_riders = frozenset({RIDER})
    assert answers(found, truth_of(elsewhere, RIDER, class_ids=of_riders), SPEC).tolist() == [UNKNOWN]


def test_too_few_instances_are_no_ground_to_fit_on() -> None:
    with pytest.raises(UsageError, match="finds 0 labelled instances, too few"):
        fit([], torch.nn.Linear(1, 1), 3, 0)
