"""Training: crops and their targets, the loss against a plain version, data sets, and a loop that resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pycocotools.mask
import pytest
import torch

from annotator.errors import AnnotatorError, UsageError
from annotator.labels import INSTANCE_CLASSES
from annotator.model.checkpoint import load_checkpoint
from annotator.model.embedding import Grid
from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import CropOptions, LossOptions, TrainingOptions
from annotator.training import augmentation
from annotator.training.augmentation import OUTSIDE, crop, paste, recolour, target
from annotator.training.data import CocoImages, CombinedImages, LabelledImage, RenderedImages
from annotator.training.loop import Crops, Progress, foreground_weights, repeat_factors, train
from annotator.training.loss import Target, spatial_embedding_loss
from annotator.training.lovasz import lovasz_gradient, lovasz_hinge
from annotator.training.start import DEFAULT_SPEC
from tests.builders import blob
from tests.reference.plain_loss import jaccard_loss, plain_loss, plain_lovasz_hinge

PERSON, RIDER, CAR, BICYCLE = 24, 25, 26, 33
ALL = frozenset(INSTANCE_CLASSES)
SIZE = (64, 96)


def labelled_image(
    objects: Sequence[tuple[int, npt.NDArray[np.bool_]]],
    crowd: Sequence[int] = (),
    labelled: frozenset[int] = ALL,
    size: tuple[int, int] = SIZE,
) -> LabelledImage:
    """An image of flat colours, one for every object; later objects lie on top."""
    image = np.full((*size, 3), 90, np.uint8)
    label_map = np.zeros(size, np.int16)
    for k, (class_id, mask) in enumerate(objects, 1):
        image[mask] = (255, 9 * k % 256, 0) if class_id == CAR else (0, 9 * k % 256, 255)
        label_map[mask] = k
    return LabelledImage(
        image=image,
        label_map=label_map,
        class_ids=np.array([class_id for class_id, _ in objects], np.uint8),
        crowd=np.array([k in crowd for k in range(len(objects))], bool),
        labelled=labelled,
    )


@dataclass(frozen=True)
class DrawnImages:
    """Discs for persons and boxes for cars, by number."""

    count: int = 20
    source: str = "drawn"

    def sources(self) -> dict[str, Sequence[int]]:
        return {self.source: range(self.count)}

    def classes(self, number: int) -> frozenset[int]:
        return frozenset()

    def image(self, number: int) -> LabelledImage:
        rng = np.random.default_rng(number)
        objects = []
        for k in range(3):
            y, x = rng.uniform(12, 52), 16 + 32 * k + rng.uniform(-4, 4)
            if rng.random() < 0.5:
                objects.append((PERSON, blob(SIZE, y, x, rng.uniform(6, 11))))
            else:
                rows, columns = np.indices(SIZE)
                objects.append((CAR, (abs(rows - y) < 8) & (abs(columns - x) < 13)))
        return labelled_image(objects)

    def class_shares(self) -> dict[int, float]:
        return {PERSON: 0.05, CAR: 0.1}


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
        crowd=np.zeros(0, bool),
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
        inside = cv2.erode((labels != OUTSIDE).astype(np.uint8), np.ones((5, 5)), borderValue=0) == 1
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
    outside = labels == OUTSIDE
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
    labelled = labelled_image([(CAR, blob((400, 600), 40, 40, 30))], crowd=[0], size=(400, 600))
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
    goal = target_of(labelled_image([(PERSON, group), (PERSON, walker)], crowd=[0]))
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


def options(**changes: Any) -> TrainingOptions:
    """A training that takes a second."""
    tiny = CropOptions(size=(64, 96), scale=(0.8, 1.25), centred=0.8)
    values = {"steps": 6, "batch_size": 2, "warmup_steps": 2, "frozen_stages": 0, "crop": tiny}
    return TrainingOptions(**(values | changes))


def test_crop_i_is_the_same_whoever_asks() -> None:
    def crops(seed: int) -> Crops:
        return Crops(DrawnImages(), {"drawn": 1}, DEFAULT_SPEC, 2, options(seed=seed))

    one, other = crops(0), crops(0)
    for i in (7, 3, 7, 0):
        (image, goal), (image_again, goal_again) = one[i], other[i]
        assert torch.equal(image, image_again)
        assert torch.equal(goal.instance, goal_again.instance)
        assert torch.equal(goal.background, goal_again.background)
    assert not torch.equal(one[0][0], one[1][0])
    assert not torch.equal(one[0][0], crops(1)[0][0])


def test_sources_come_up_by_their_weights() -> None:
    data = CombinedImages(DrawnImages(5, "a"), DrawnImages(5, "b"), DrawnImages(5, "c"))
    asked: list[int] = []
    image = data.image
    data.image = lambda number: asked.append(number // 5) or image(number)  # type: ignore[method-assign]
    one_image_each = options(crop=replace(options().crop, pasted=0))
    crops = Crops(data, {"a": 3, "c": 1}, DEFAULT_SPEC, 2, one_image_each)
    for i in range(80):
        crops[i]
    assert {*asked} == {0, 2}
    assert 48 <= asked.count(0) <= 72


def test_a_source_that_the_data_lacks_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"no source night.*it has drawn"):
        Crops(DrawnImages(), {"drawn": 1, "night": 1}, DEFAULT_SPEC, 2, options())


# ---- data sets


def rle(mask: npt.NDArray[np.bool_], compressed: bool) -> dict[str, Any]:
    if compressed:
        encoded = pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))
        return {"size": list(mask.shape), "counts": encoded["counts"].decode()}
    flat = mask.ravel(order="F")
    bounds = np.flatnonzero(np.diff(flat, prepend=False))
    return {"size": list(mask.shape), "counts": np.diff([0, *bounds, flat.size]).tolist()}


def annotation(k: int, category_id: int, segmentation: Any, area: float, iscrowd: int = 0) -> dict[str, Any]:
    return {
        "id": k,
        "image_id": 1,
        "category_id": category_id,
        "segmentation": segmentation,
        "area": area,
        "iscrowd": iscrowd,
    }


def coco_content() -> dict[str, Any]:
    """A car behind a walker, a crowd below both, on one image; another image without anything."""
    rows, columns = np.indices((20, 30))
    vehicle = [[5, 4, 25, 4, 25, 16, 5, 16]]
    walker = (abs(rows - 10) <= 5) & (abs(columns - 12) <= 1)
    crowd = columns >= 20
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 20, "width": 30, "source": "day", "labelled": [24]},
            {"id": 2, "file_name": "b.png", "height": 20, "width": 30},
        ],
        "categories": [{"id": 24, "name": "person"}, {"id": 26, "name": "car"}],
        "annotations": [
            annotation(1, 24, rle(walker, compressed=True), 33),
            annotation(2, 24, rle(crowd, compressed=False), 200, iscrowd=1),
            annotation(3, 26, vehicle, 240),
        ],
    }


def coco_images(folder: Path, content: Any = None) -> CocoImages:
    for k, name in enumerate("ab"):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((20, 30, 3), (10, 20, 30 + k), np.uint8))
    (folder / "street.json").write_text(json.dumps(coco_content() if content is None else content))
    return CocoImages(folder / "street.json", folder)


def test_polygons_and_both_kinds_of_rle_are_read_front_to_back(tmp_path: Path) -> None:
    labelled = coco_images(tmp_path).image(0)
    expected = np.zeros((20, 30), int)
    expected[:, 20:] = 1  # the crowd, beneath all
    expected[4:16, 5:25] = 2
    expected[5:16, 11:14] = 3  # the small one in front
    np.testing.assert_array_equal(labelled.label_map, expected)
    assert labelled.class_ids.tolist() == [24, 26, 24]
    assert labelled.crowd.tolist() == [True, False, False]
    assert labelled.labelled == {24}
    assert labelled.image[0, 0].tolist() == [30, 20, 10]  # RGB


def test_an_image_without_annotations_is_all_background(tmp_path: Path) -> None:
    labelled = coco_images(tmp_path).image(1)
    assert not labelled.label_map.any()
    assert labelled.labelled == {24, 26}  # all categories, where nothing else is said
    assert target(labelled.label_map, labelled, CLASSES, 1).background.all()


def test_images_are_grouped_by_source_and_by_file_where_they_name_none(tmp_path: Path) -> None:
    assert coco_images(tmp_path).sources() == {"day": [0], "street": [1]}


def test_class_shares_count_only_where_a_class_is_labelled(tmp_path: Path) -> None:
    assert coco_images(tmp_path).class_shares() == {24: 233 / 1200, 26: 0}


@pytest.mark.parametrize(
    "content",
    ["", "no JSON", [], 3, {}, {"images": []}, {"images": [], "annotations": [], "categories": []}],
    ids=str,
)
def test_what_is_no_coco_file_is_wrong_usage(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UsageError, match=r"street\.json"):
        coco_images(tmp_path, content)


def test_a_coco_file_that_isn_t_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        CocoImages(tmp_path / "nowhere.json", tmp_path)


def test_an_image_that_can_t_be_read_is_wrong_usage(tmp_path: Path) -> None:
    data = coco_images(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"a\.png"):
        data.image(0)


def test_combined_data_sets_number_their_images_one_behind_the_other(tmp_path: Path) -> None:
    real, drawn = coco_images(tmp_path), DrawnImages(3)
    both = CombinedImages(real, drawn)
    assert both.sources() == {"day": [0], "street": [1], "drawn": [2, 3, 4]}
    for number, (part, own) in enumerate([(real, 0), (real, 1), (drawn, 0), (drawn, 1), (drawn, 2)]):
        assert np.array_equal(both.image(number).image, part.image(own).image)
    assert both.class_shares() == {24: 233 / 1200, 26: 0}  # the first that knows the class


def test_rendered_images_label_all_classes_and_every_object_they_show() -> None:
    labelled = RenderedImages(streets=1, frames=2).image(1)
    assert labelled.labelled == ALL
    assert {*np.unique(labelled.label_map)} - {0} <= set(range(1, len(labelled.class_ids) + 1))
    assert {*labelled.class_ids.tolist()} <= ALL
    assert labelled.image.shape[:2] == labelled.label_map.shape


def test_rare_classes_weigh_more() -> None:
    weights = foreground_weights({PERSON: 0.01, CAR: 0.2}, (PERSON, CAR, RIDER))
    expected = [1 / math.log(1.03), 1 / math.log(1.22), 1 / math.log(1.02)]
    torch.testing.assert_close(weights, torch.tensor(expected))


# ---- the Lovasz hinge


@pytest.mark.parametrize("seed", range(5))
def test_the_lovasz_weights_are_what_each_error_adds_to_the_jaccard_loss(seed: int) -> None:
    mask = torch.rand(12, generator=torch.Generator().manual_seed(seed)) < 0.4
    mask[seed] = True
    losses = [jaccard_loss(mask.tolist(), set(range(count))) for count in range(13)]
    torch.testing.assert_close(
        lovasz_gradient(mask.double()), torch.tensor(np.diff(losses)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_lovasz_hinge_equals_the_plain_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    margins = (torch.rand(15, generator=generator, dtype=torch.float64) * 2 - 1).requires_grad_()
    mask = torch.rand(15, generator=generator) < 0.5
    assert same_value_and_gradient(margins, lovasz_hinge(margins, mask), plain_lovasz_hinge(margins, mask))


def test_a_perfect_claim_costs_nothing_and_a_wrong_one_its_whole_jaccard_loss() -> None:
    mask = torch.tensor([True, True, False, False])
    right = torch.where(mask, 1.0, -1.0)
    assert lovasz_hinge(right, mask) == 0
    assert lovasz_hinge(-right, mask) == 2  # hinge 2 everywhere, times a Jaccard loss of 1


# ---- the loss


def same_value_and_gradient(given: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> bool:
    [gradient_a] = torch.autograd.grad(a, given)
    [gradient_b] = torch.autograd.grad(b, given)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    # The loss leaves out pixels whose phi is below 1e-7.
    torch.testing.assert_close(gradient_a, gradient_b, rtol=1e-6, atol=1e-7)
    return True


def random_target(rng: np.random.Generator, objects: int, channels: int, size: tuple[int, int]) -> Target:
    """Rectangles of several classes; some pixels are neither background nor object."""
    instance = np.zeros(size, np.int64)
    for k in range(objects):
        instance[:, 3 * k : 3 * k + 3][rng.integers(0, 3) : rng.integers(4, size[0])] = k + 1
    background = (instance == 0) & (rng.random((channels, *size)) < 0.8)
    return Target(
        torch.from_numpy(instance),
        torch.from_numpy(rng.integers(0, channels, objects)),
        torch.from_numpy(background),
    )


@pytest.mark.parametrize("centre", ["pixels", "embedding"])
@pytest.mark.parametrize("n_sigma", [1, 2])
@pytest.mark.parametrize(("objects", "channels"), [(0, 2), (1, 1), (3, 1), (4, 3), (3, 8)])
def test_loss_and_gradient_equal_the_plain_version(
    centre: str, n_sigma: int, objects: int, channels: int
) -> None:
    rng = np.random.default_rng(objects + 10 * channels)
    size = (8, 13)
    targets = [random_target(rng, count, channels, size) for count in (objects, max(0, objects - 1))]
    raw = torch.from_numpy(rng.normal(0, 0.3, (2, 2 + n_sigma + channels, *size))).requires_grad_()
    given = (
        targets,
        Grid(1, 13, 1, 13).coordinates(size).double(),
        n_sigma,
        torch.from_numpy(rng.uniform(1, 20, channels)),
        LossOptions(instance_weight=0.7, variance_weight=9, seed_weight=1.3, centre=centre),
    )
    assert same_value_and_gradient(raw, spatial_embedding_loss(raw, *given), plain_loss(raw, *given))


def loss_of(raw: torch.Tensor, goal: Target, channels: int) -> torch.Tensor:
    grid = Grid(1, 65, 1, 65).coordinates(raw.shape[-2:])
    return spatial_embedding_loss(raw, [goal], grid, 2, torch.full((channels,), 10.0), LossOptions())


def test_an_image_without_objects_teaches_its_background() -> None:
    raw = torch.zeros(1, 2 + 2 + 2, *SIZE, requires_grad=True)
    loss = loss_of(raw, target_of(labelled_image([])), 2)
    assert loss.item() == pytest.approx(2 * 0.5**2)
    loss.backward()
    assert (raw.grad[:, 4:] > 0).all()
    assert not raw.grad[:, :4].any()


def test_what_is_not_labelled_teaches_nothing() -> None:
    """Persons are labelled, cars are not, and a group of persons is neither: no gradient for their seeds."""
    group, walker = blob(SIZE, 20, 20, 12), blob(SIZE, 40, 70, 8)
    labelled = labelled_image([(PERSON, group), (PERSON, walker)], [0], frozenset([PERSON]))
    torch.manual_seed(0)
    raw = torch.randn(1, 2 + 2 + 2, *SIZE, requires_grad=True)
    loss_of(raw, target_of(labelled), 2).backward()
    of_person, of_car = raw.grad[0, 4], raw.grad[0, 5]
    assert not of_car.any()
    assert not of_person[torch.from_numpy(group)].any()
    assert of_person[torch.from_numpy(~group)].all()


def test_a_perfect_network_has_next_to_no_loss_and_a_shifted_one_has_more() -> None:
    walker, vehicle = blob(SIZE, 20, 20, 8), blob(SIZE, 40, 70, 12)
    labelled = labelled_image([(PERSON, walker), (CAR, vehicle)])
    where = Grid(1, 65, 1, 65).coordinates(SIZE)
    raw = torch.zeros(1, 2 + 2 + 2, *SIZE)
    raw[:, 2:4] = 0.8
    raw[:, 4:] = -9
    for channel, mask in enumerate((walker, vehicle)):
        inside = torch.from_numpy(mask)
        offset = where[:, inside].mean(1, keepdim=True) - where[:, inside]
        raw[0, :2, inside] = torch.atanh(offset)
        raw[0, 4 + channel, inside] = 9
    good = loss_of(raw, target_of(labelled), 2)
    shifted = loss_of(raw.roll(4, 3), target_of(labelled), 2)
    assert good < 0.05
    assert shifted > good + 0.5


# ---- the loop


def tiny_network(seed: int = 0) -> SpatialEmbeddingNetwork:
    torch.manual_seed(seed)
    spec = replace(DEFAULT_SPEC, class_ids=CLASSES, trained_size=SIZE, grid=Grid(2, 129, 1, 65))
    return SpatialEmbeddingNetwork(spec)


def trained(out: Path, given: TrainingOptions, until: int | None = None, seed: int = 0) -> list[Progress]:
    """Train, reporting every step and saving every third; stop after step `until`, as a killed training does."""
    reports = []
    steps = train(
        tiny_network(seed),
        DrawnImages(),
        {"drawn": 1},
        out,
        given,
        {"data": "drawn"},
        report_every=1,
        save_every=3,
    )
    for progress in steps:
        reports.append(progress)
        if progress.step == until:
            steps.close()
            break
    return reports


def test_a_training_lowers_the_loss_and_leaves_weights_that_load(tmp_path: Path) -> None:
    reports = trained(tmp_path, options(steps=24, learning_rate=3e-3))

    assert [progress.step for progress in reports] == list(range(1, 25))
    losses = [progress.loss for progress in reports]
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])
    checkpoint = load_checkpoint(tmp_path / "last.safetensors")
    assert checkpoint.spec == tiny_network().spec
    assert checkpoint.provenance["data"] == "drawn"
    assert checkpoint.provenance["step"] == 24
    assert checkpoint.provenance["options"]["learning_rate"] == 3e-3
    assert {file.name for file in tmp_path.iterdir()} == {"last.safetensors", "state.pt"}


def test_the_learning_rate_warms_up_and_decays_to_nothing(tmp_path: Path) -> None:
    rates = [progress.learning_rate for progress in trained(tmp_path, options(steps=6, learning_rate=1e-3))]
    decay = [(1 - step / 6) ** 0.9 for step in range(6)]
    assert rates == pytest.approx(
        [1e-3 * warm * left for warm, left in zip([0.5, 1, 1, 1, 1, 1], decay, strict=True)]
    )


def test_a_resumed_training_ends_with_the_same_bits_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", options())
    first = trained(tmp_path / "resumed", options(), until=4)  # step 4 is lost: saved was step 3
    second = trained(tmp_path / "resumed", options(), seed=99)  # what it starts from is what was saved
    assert [progress.step for progress in second] == [4, 5, 6]
    assert [*first[:3], *second] == whole
    folders = (tmp_path / "whole", tmp_path / "resumed")
    weights = [(folder / "last.safetensors").read_bytes() for folder in folders]
    states = [torch.load(folder / "state.pt") for folder in folders]
    assert weights[0] == weights[1]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def test_a_finished_training_has_nothing_left_to_do(tmp_path: Path) -> None:
    trained(tmp_path, options(steps=3))
    before = (tmp_path / "last.safetensors").read_bytes()
    assert trained(tmp_path, options(steps=3)) == []
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_last_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path, options(), until=3)
    before = (tmp_path / "last.safetensors").read_bytes()
    monkeypatch.setattr(
        "annotator.training.loop.spatial_embedding_loss", lambda *given: torch.tensor(float("nan"))
    )
    with pytest.raises(AnnotatorError, match=r"at step 3.*lower the learning rate"):
        trained(tmp_path, options())
    assert (tmp_path / "last.safetensors").read_bytes() == before


# Copy-paste and rare classes


def test_pasted_objects_stand_where_they_stood_but_moved_sideways() -> None:
    car = np.zeros(SIZE, bool)
    car[30:50, 20:40] = True
    onto, donor = labelled_image([]), labelled_image([(CAR, car)])
    pasted = paste(onto, donor, np.random.default_rng(3))
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
    pasted = paste(onto, donor, np.random.default_rng(0))
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
    pasted = paste(labelled_image([]), labelled_image([(CAR, mask)]), np.random.default_rng(0))
    assert not pasted.label_map.any()


def test_nothing_is_pasted_from_another_camera() -> None:
    onto, donor = labelled_image([]), labelled_image([(CAR, np.ones((32, 32), bool))], size=(32, 32))
    assert paste(onto, donor, np.random.default_rng(0)) is onto


def test_who_rides_is_pasted_with_what_is_ridden() -> None:
    rider, bicycle = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    rider[20:40, 30:45], bicycle[40:50, 30:50] = True, True
    donor = labelled_image([(RIDER, rider), (BICYCLE, bicycle)])
    pasted = paste(labelled_image([]), donor, np.random.default_rng(0))
    assert {RIDER, BICYCLE} == set(pasted.class_ids.tolist())


def test_images_with_rare_classes_are_drawn_more_often() -> None:
    common, rare = frozenset({CAR}), frozenset({CAR, RIDER})
    shares = repeat_factors([common] * 15 + [rare], 0.25)  # riders in a 16th of the images: factor 2
    assert shares.sum() == pytest.approx(1)
    assert shares[15] / shares[0] == pytest.approx(2)
    assert repeat_factors([frozenset()] * 4, 0.25).tolist() == [0.25] * 4
