"""Training crops: what they show, what is pasted into them, and the targets that follow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from annotator.labels import INSTANCE_CLASSES
from annotator.options import CropOptions, TrainingOptions
from annotator.training import augmentation
from annotator.training.augmentation import copy_paste, crop, recolour, target
from annotator.training.crops import Crops, Rank, repeat_factors
from annotator.training.datasets import WeightedDataset
from annotator.training.images import UNKNOWN, LabelledImage
from annotator.training.initialization import spec_of
from annotator.training.loss import Target
from tests.helpers.builders import blob
from tests.helpers.labelled import ALL, BICYCLE, CAR, PERSON, RIDER, SIZE, DrawnImages, labelled_image

SPEC = spec_of(TrainingOptions())

# ---- crops


@pytest.fixture
def true_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops that are not recoloured."""
    monkeypatch.setattr(augmentation, "recolour", lambda image, rng: image)


def coordinates_image(size: int = 128) -> LabelledImage:
    """Red and green are the column and the row of a pixel, and so is its label."""
    rows, columns = np.indices((size, size))
    return LabelledImage(
        image=np.stack([columns, rows, np.zeros_like(rows)], 2).astype(np.uint8),
        label_map=(rows * size + columns + 1).astype(np.int16),
        class_ids=np.zeros(0, np.uint8),
        is_group=np.zeros(0, bool),
        labelled=ALL,
    )


@pytest.mark.usefixtures("true_colours")
@pytest.mark.parametrize("stride", [1, 2])
def test_image_and_labels_stay_aligned_to_a_fraction_of_a_pixel(stride: int) -> None:
    labelled = coordinates_image()
    drift: list[tuple[float, float, float]] = []
    directions = []
    for seed in range(40):
        image, labels = crop(
            labelled, np.random.default_rng(seed), CropOptions(size=(64, 96), centred=0), stride
        )
        assert image.shape == (64, 96, 3)
        assert labels.shape == (64 // stride, 96 // stride)

        seen = image.reshape(64 // stride, stride, 96 // stride, stride, 3).mean((1, 3))
        rows, columns = np.divmod(labels.astype(int) - 1, 128)
        inside = cv2.erode((labels != UNKNOWN).astype(np.uint8), np.ones((5, 5)), borderValue=0) == 1
        across, down = (seen[..., 0] - columns)[inside], (seen[..., 1] - rows)[inside]
        # The label is that of the nearest pixel, and colours are rounded.
        assert max(np.abs(across).max(), np.abs(down).max()) <= 1
        directions.append(np.sign(np.diff(columns[16 // stride][inside[16 // stride]]).sum()))
        drift.append((across.mean(), across.mean() * directions[-1], down.mean()))
    assert np.abs(np.mean(drift, 0)).max() < 0.1
    assert {*directions} == {-1, 1}  # some are mirrored


@pytest.mark.usefixtures("true_colours")
def test_beyond_the_image_there_is_padding_of_which_nothing_is_known() -> None:
    labelled = labelled_image([(CAR, blob(SIZE, 30, 40, 10))])
    image, labels = crop(labelled, np.random.default_rng(0), CropOptions(size=(256, 256), scale=(1, 1)), 2)
    outside = labels == UNKNOWN
    assert (outside.sum(), (~outside).sum()) == (128 * 128 - 32 * 48, 32 * 48)
    assert (image[0, 0] == augmentation.PADDING_COLOUR).all()
    assert not target(labels, labelled, INSTANCE_CLASSES, 1).background[:, outside].any()


def test_a_crop_centred_on_an_object_shows_it_and_rare_classes_come_up_as_often() -> None:
    cars = [(CAR, blob((400, 600), 40 + 80 * (k // 6), 50 + 90 * (k % 6), 12)) for k in range(24)]
    walker = (PERSON, blob((400, 600), 370, 550, 8))
    labelled = labelled_image([*cars, walker], size=(400, 600))
    options = CropOptions(size=(64, 96), centred=1, scale=(1, 1))
    shown = [np.unique(crop(labelled, np.random.default_rng(seed), options, 2)[1]) for seed in range(60)]
    assert all(labels.max() > 0 for labels in shown)
    assert 20 <= sum(25 in labels for labels in shown) <= 45


def test_crowds_are_no_objects_to_centre_on() -> None:
    labelled = labelled_image([(CAR, blob((400, 600), 40, 40, 30))], groups=[0], size=(400, 600))
    options = CropOptions(size=(64, 96), centred=1, scale=(1, 1))
    shown = [crop(labelled, np.random.default_rng(seed), options, 2)[1].max() > 0 for seed in range(20)]
    assert not all(shown)


def test_recolouring_changes_colours_and_nothing_else() -> None:
    image = DrawnImages().image(0).image
    before = image.copy()
    recoloured = [recolour(image, np.random.default_rng(seed)) for seed in range(20)]
    assert np.array_equal(image, before)
    assert all(out.shape == image.shape and out.dtype == np.uint8 for out in recoloured)
    assert len({out.tobytes() for out in recoloured}) == 20


# ---- targets


CLASSES = (PERSON, CAR)


def target_of(labelled: LabelledImage, min_field_pixels: int = 5) -> Target:
    return target(labelled.label_map, labelled, CLASSES, min_field_pixels)


def test_objects_are_instances_of_their_class_and_background_of_the_others() -> None:
    walker, vehicle = blob(SIZE, 20, 20, 8), blob(SIZE, 40, 70, 12)
    goal = target_of(labelled_image([(CAR, vehicle), (PERSON, walker)]))
    assert goal.class_index.tolist() == [1, 0]
    np.testing.assert_array_equal(goal.instance.numpy(), 1 * vehicle + 2 * walker)
    np.testing.assert_array_equal(goal.background[0].numpy(), ~walker)
    np.testing.assert_array_equal(goal.background[1].numpy(), ~vehicle)


def test_classes_that_an_image_does_not_label_have_no_background_in_it() -> None:
    goal = target_of(labelled_image([(PERSON, blob(SIZE, 20, 20, 8))], labelled=frozenset([PERSON])))
    assert goal.background[0].any()
    assert not goal.background[1].any()


def test_crowds_are_neither_background_nor_instances() -> None:
    group, walker = blob(SIZE, 20, 20, 12), blob(SIZE, 40, 70, 8)
    goal = target_of(labelled_image([(PERSON, group), (PERSON, walker)], groups=[0]))
    assert goal.class_index.tolist() == [0]
    np.testing.assert_array_equal(goal.instance.numpy(), 1 * walker)
    np.testing.assert_array_equal(goal.background[0].numpy(), ~group & ~walker)
    np.testing.assert_array_equal(goal.background[1].numpy(), np.ones(SIZE, bool))


def test_tiny_objects_are_ignored_and_not_background() -> None:
    speck, walker = blob(SIZE, 10, 10, 1), blob(SIZE, 40, 70, 8)
    goal = target_of(labelled_image([(PERSON, speck), (PERSON, walker)]), min_field_pixels=6)
    assert speck.sum() == 5
    np.testing.assert_array_equal(goal.instance.numpy(), 1 * walker)
    np.testing.assert_array_equal(goal.background[0].numpy(), ~speck & ~walker)
    assert len(target_of(labelled_image([(PERSON, speck)]), min_field_pixels=5).class_index) == 1


def test_objects_of_classes_that_the_network_lacks_are_background() -> None:
    goal = target_of(labelled_image([(RIDER, blob(SIZE, 20, 20, 8))]))
    assert len(goal.class_index) == 0
    assert goal.background.all()


def test_an_object_that_is_hidden_by_others_is_no_instance() -> None:
    hidden, front = blob(SIZE, 30, 40, 8), blob(SIZE, 30, 40, 12)
    goal = target_of(labelled_image([(PERSON, hidden), (CAR, front)]))
    assert goal.class_index.tolist() == [1]
    np.testing.assert_array_equal(goal.instance.numpy(), 1 * front)


# Copy-paste and rare classes


def test_pasted_objects_stand_where_they_stood_but_moved_sideways() -> None:
    car = np.zeros(SIZE, bool)
    car[30:50, 20:40] = True
    onto, donor = labelled_image([]), labelled_image([(CAR, car)])
    pasted = copy_paste(onto, donor, np.random.default_rng(3))
    assert pasted.class_ids.tolist() == [CAR] * len(pasted.class_ids) != []
    rows, _columns = np.nonzero(pasted.label_map)
    assert (rows.min(), rows.max()) == (30, 49)
    inside = cv2.erode((pasted.label_map > 0).astype(np.uint8), np.ones((3, 3)), borderValue=0) > 0
    assert (pasted.image[inside] == donor.image[40, 30]).all()
    assert not onto.label_map.any()  # what was given is not touched


def test_pasted_objects_lie_behind_nearer_ones() -> None:
    far, near = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    far[20:40] = near[30:60] = True
    far[:, [0, -1]] = False
    onto, donor = labelled_image([(PERSON, near)]), labelled_image([(CAR, far)])
    pasted = copy_paste(onto, donor, np.random.default_rng(0))
    assert (pasted.label_map[near] == 1).all()
    assert (pasted.class_ids[pasted.label_map[20:30][pasted.label_map[20:30] > 0] - 1] == CAR).all()


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(30, 50), slice(0, 40)), (slice(30, 33), slice(30, 33))],
    ids=["cut off by the image's side", "tiny"],
)
def test_objects_that_are_not_whole_are_not_pasted(rows: slice, columns: slice) -> None:
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    pasted = copy_paste(labelled_image([]), labelled_image([(CAR, mask)]), np.random.default_rng(0))
    assert not pasted.label_map.any()


def test_nothing_is_pasted_from_another_camera() -> None:
    onto, donor = labelled_image([]), labelled_image([(CAR, np.ones((32, 32), bool))], size=(32, 32))
    assert copy_paste(onto, donor, np.random.default_rng(0)) is onto


def test_who_rides_is_pasted_with_what_is_ridden() -> None:
    rider, bicycle = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    rider[20:40, 30:45], bicycle[40:50, 30:50] = True, True
    donor = labelled_image([(RIDER, rider), (BICYCLE, bicycle)])
    pasted = copy_paste(labelled_image([]), donor, np.random.default_rng(0))
    assert {RIDER, BICYCLE} == set(pasted.class_ids.tolist())


def test_images_with_rare_classes_are_drawn_more_often() -> None:
    common, rare = frozenset({CAR}), frozenset({CAR, RIDER})
    shares = repeat_factors([common] * 15 + [rare], 0.25)  # riders in a 16th of the images: factor 2
    assert shares.sum() == pytest.approx(1)
    assert shares[15] / shares[0] == pytest.approx(2)
    assert repeat_factors([frozenset()] * 4, 0.25).tolist() == [0.25] * 4


def test_no_class_is_rare_where_nothing_is_said_of_rarity() -> None:
    assert repeat_factors([frozenset({CAR}), frozenset()], 0).tolist() == [0.5, 0.5]


# ---- crops by number


def options(**changes: Any) -> TrainingOptions:
    tiny = CropOptions(size=(64, 96), scale=(0.8, 1.25), centred=0.8)
    return TrainingOptions(**({"crop": tiny} | changes))


def test_crop_i_is_the_same_whoever_asks() -> None:
    def crops(seed: int) -> Crops:
        return Crops([WeightedDataset("drawn", DrawnImages(), 1)], SPEC, 2, options(seed=seed))

    one, other = crops(0), crops(0)
    for i in (7, 3, 7, 0):
        (image, goal), (image_again, goal_again) = one[i], other[i]
        assert torch.equal(image, image_again)
        assert torch.equal(goal.instance, goal_again.instance)
        assert torch.equal(goal.background, goal_again.background)
    assert not torch.equal(one[0][0], one[1][0])
    assert not torch.equal(one[0][0], crops(1)[0][0])


@dataclass(frozen=True)
class CountedImages(DrawnImages):
    """Drawn images that note when one of them is drawn."""

    name: str = ""
    asked: list[str] = field(default_factory=list)

    def image(self, number: int) -> LabelledImage:
        self.asked.append(self.name)
        return super().image(number)


def test_sets_come_up_by_their_shares() -> None:
    asked: list[str] = []
    parts = [
        WeightedDataset(name, CountedImages(5, name, asked), share) for name, share in [("a", 3), ("c", 1)]
    ]
    crops = Crops(parts, SPEC, 2, options(crop=replace(options().crop, pasted=0)))
    for i in range(80):
        crops[i]
    assert {*asked} == {"a", "c"}
    assert 48 <= asked.count("a") <= 72


def test_background_crops_look_for_edges_away_from_objects() -> None:
    """A car on the left, a fence on the right, nothing between: the fence is what is worth seeing."""
    labelled = labelled_image([(CAR, blob((200, 900), 100, 100, 60))], size=(200, 900))
    labelled.image[:, 700:900:4] = 255
    only = CropOptions(size=(64, 96), scale=(1, 1), centred=0, background=1, pasted=0, recoloured=False)
    shown = [crop(labelled, np.random.default_rng(seed), only, 2) for seed in range(20)]
    assert sum((labels > 0).any() for _, labels in shown) <= 2
    assert sum((image > 130).any() for image, _ in shown) >= 14


def test_processes_share_the_crops_of_a_step_without_doubles() -> None:
    """Two processes see in a step what one process with a doubled batch sees."""
    halves, whole = options(batch_size=3, accumulate=2), options(batch_size=6, accumulate=2)
    dealt = [list(Rank(index, 2).numbers(1, 3, halves)) for index in (0, 1)]
    assert sorted(dealt[0] + dealt[1]) == list(Rank().numbers(1, 3, whole)) == list(range(12, 36))
    assert dealt[0][:3] + dealt[1][:3] == list(range(12, 18))
