"""Training at the speed of a GPU: the same crops and the same loss as object by object, in large operations."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from annotator.model.embedding import Grid
from annotator.options import CropOptions, LossOptions, TrainingOptions
from annotator.training import augmentation
from annotator.training import batched_loss as batched
from annotator.training.augmentation import recolour
from annotator.training.batched_loss import batched_loss, segmented_weights, together
from annotator.training.crops import Crops, Rank
from annotator.training.datasets import WeightedDataset
from annotator.training.device_colour import draw_look, recoloured
from annotator.training.device_crops import DeviceCrops
from annotator.training.device_images import DeviceImages
from annotator.training.images import LabelledImage
from annotator.training.initialization import spec_of
from annotator.training.loss import spatial_embedding_loss
from annotator.training.lovasz import jaccard_weights
from annotator.training.objects import Objects
from tests.helpers.builders import blob
from tests.helpers.labelled import BICYCLE, CAR, PERSON, RIDER, DrawnImages, labelled_image
from tests.training.test_loss import random_target

CPU = torch.device("cpu")

# ---- the loss


@pytest.mark.parametrize("most_at_once", [1 << 28, 200])
@pytest.mark.parametrize("centre", ["pixels", "embedding"])
@pytest.mark.parametrize("n_sigma", [1, 2])
@pytest.mark.parametrize(("objects", "channels"), [((0, 0), 2), ((1, 0), 1), ((3, 4, 0, 2), 8)])
def test_the_batched_loss_and_its_gradient_equal_those_of_the_loop(
    objects: tuple[int, ...],
    channels: int,
    n_sigma: int,
    centre: str,
    most_at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one part and in several."""
    monkeypatch.setattr(batched, "MOST_AT_ONCE", most_at_once)
    rng = np.random.default_rng(sum(objects) + 10 * channels)
    size = (12, 15)
    targets = [random_target(rng, count, channels, size) for count in objects]
    raw = torch.from_numpy(rng.normal(0, 0.3, (len(objects), 2 + n_sigma + channels, *size))).float()
    raw.requires_grad_()
    given = (
        Grid(1, 13, 1, 13).coordinates(size),
        n_sigma,
        torch.from_numpy(rng.uniform(1, 20, channels)).float(),
        LossOptions(instance_weight=0.7, variance_weight=9, seed_weight=1.3, centre=centre),
    )
    found, expected = (
        batched_loss(raw, together(targets), *given),
        spatial_embedding_loss(raw, targets, *given),
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    of_found, of_expected = (torch.autograd.grad(loss, raw)[0] for loss in (found, expected))
    torch.testing.assert_close(of_found, of_expected, rtol=1e-4, atol=1e-6)


def test_segmented_lovasz_weights_are_those_of_every_object_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([300, 1, 57])
    errors = 2 * torch.rand(int(sizes.sum()), generator=generator)
    errors[10:30] = 0
    mask = torch.rand(len(errors), generator=generator) < 0.3
    mask[300] = True
    segment = torch.arange(3).repeat_interleave(sizes)
    inside = torch.stack([part.sum() for part in mask.split(sizes.tolist())])
    found = segmented_weights(errors, mask, segment, inside).split(sizes.tolist())
    for weights, of_object, part in zip(
        found, errors.split(sizes.tolist()), mask.split(sizes.tolist()), strict=True
    ):
        expected = jaccard_weights(of_object, part, int(part.sum()))
        assert weights @ of_object == pytest.approx(float(expected @ of_object), rel=1e-5)
        assert weights.sum() == pytest.approx(1, rel=1e-5)
        torch.testing.assert_close(weights[of_object > 0], expected[of_object > 0], rtol=1e-4, atol=1e-6)


# ---- the crops


class Streets:
    """Images of two sizes with objects of several classes, a group, and noise that shows where a pixel came from."""

    def __len__(self) -> int:
        return 6

    def classes(self, number: int) -> frozenset[int]:
        return frozenset()

    def image(self, number: int) -> LabelledImage:
        rng = np.random.default_rng(number)
        size = (64, 96) if number % 3 else (80, 70)
        objects = [
            (class_id, blob(size, *rng.uniform((15, 12), (50, 60)), rng.uniform(7, 11)))
            for class_id in (CAR, PERSON, RIDER, BICYCLE, CAR)
        ]
        labelled = labelled_image(objects, [0], size=size)
        texture = cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (9, 9), 2)
        return replace(labelled, image=texture)


def both(**changes: object) -> tuple[Crops, DeviceCrops]:
    """What makes the same crops in worker processes and on a device."""
    options = TrainingOptions(batch_size=4, crop=CropOptions(size=(64, 96), **changes))
    parts = [WeightedDataset("drawn", DrawnImages(5), 0.3), WeightedDataset("streets", Streets(), 0.7)]
    crops = Crops(parts, spec_of(options), 2, options)
    return crops, DeviceCrops(crops, DeviceImages([part.images for part in parts], CPU, 0))


@pytest.mark.parametrize("changes", [{}, {"small": 0.5}, {"centred": 0, "background": 1, "scale": (0.3, 3)}])
def test_crops_made_on_a_device_are_those_of_the_workers(changes: dict[str, object]) -> None:
    crops, on_device = both(recoloured=False, pasted=0, **changes)
    images, target = on_device.batch(range(24))
    differ = 0.0
    for k in range(24):
        image, expected = crops[k]
        # OpenCV places pixels to 1/32.
        assert (images[k].int() - image.int()).abs().float().mean() < 1.5
        mine = target.instance[k] - (target.image < k).sum()
        differ += (mine.clamp(min=0) != expected.instance).float().mean() / 24
        assert target.class_index[target.image == k].tolist() == expected.class_index.tolist()
        differ += (target.background[k] != expected.background).float().mean() / 24
    assert differ < 0.01


def test_objects_are_pasted_on_a_device_as_by_the_workers() -> None:
    """The same ones to the same places. What is drawn after that may differ: some of them are hidden there."""
    crops, on_device = both(recoloured=False, pasted=1, centred=0, background=0)
    pasted = 0
    images, target = on_device.batch(range(40))
    for k in range(40):
        image, expected = crops[k]
        plan = on_device.plan(k)
        pasted += len(plan.pasted)
        assert (images[k].int() - image.int()).abs().float().mean() < 2.5
        found = target.instance[k] > 0
        assert (found != (expected.instance > 0)).float().mean() < 0.03
        assert abs(int((target.image == k).sum()) - len(expected.class_index)) <= 1
    assert pasted > 20


def test_the_same_number_gives_the_same_crop_in_any_batch_and_run() -> None:
    _, on_device = both()
    steps = list(on_device.batches(0, 3, Rank()))
    [[again, target]] = next(on_device.batches(2, 3, Rank()))
    assert len(steps) == 3
    assert torch.equal(again, steps[2][0][0])
    assert torch.equal(target.instance, steps[2][0][1].instance)
    assert next(on_device.batches(5, None, Rank()))[0][0].shape == (4, 3, 64, 96)


def test_colours_vary_on_a_device_as_in_the_workers() -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (32, 48, 3), np.uint8), (5, 5), 1)
    looks = [draw_look(np.random.default_rng(seed)) for seed in range(60)]
    made = recoloured(
        torch.from_numpy(image).float().repeat(60, 1, 1, 1), looks, torch.Generator().manual_seed(0)
    )
    for seed, look in enumerate(looks):
        if not look.noise:  # the noise itself comes from another generator
            expected = recolour(image, np.random.default_rng(seed)).astype(np.float32)
            assert (made[seed] - torch.from_numpy(expected)).abs().mean() < 2
    assert any(look.noise for look in looks)
    assert any(look.blur for look in looks)


def test_objects_are_measured_as_their_pixels_say() -> None:
    labelled = Streets().image(1)
    objects = Objects.of(labelled)
    for number in range(len(labelled.class_ids)):
        rows, columns = np.nonzero(labelled.label_map == number + 1)
        assert objects.areas[number] == len(rows)
        if len(rows):
            assert objects.centre(number) == pytest.approx((columns.mean(), rows.mean()))
            assert objects.bottoms[number] == rows.max()
            assert objects.columns[number].tolist() == [columns.min(), columns.max()]
            assert list(objects.riding[number]) == augmentation.riding_with(labelled, number)


def test_crops_go_to_small_objects_when_asked_to() -> None:
    near, far = (CAR, blob((128, 256), 60, 60, 40)), (CAR, blob((128, 256), 60, 200, 6))
    labelled = labelled_image([near, far], size=(128, 256))
    for small, at_least in ((0.0, 0), (1.0, 70)):
        options = CropOptions(size=(32, 32), centred=1, scale=(1, 1), small=small)
        placed = [
            augmentation.placement(labelled, np.random.default_rng(seed), options)[0] for seed in range(80)
        ]
        at_far = sum(abs((16 - row[2]) / row[0] - 200) < 30 for row in placed)
        assert at_least <= at_far <= (60 if not small else 80)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_gpu_makes_the_crops_and_the_loss_of_a_cpu() -> None:
    gpu = torch.device("cuda", 0)
    crops, on_cpu = both(pasted=0.5)
    on_gpu = DeviceCrops(crops, DeviceImages([part.images for part in crops.parts], gpu, 0))
    for first in (0, 16):
        images, target = on_gpu.batch(range(first, first + 16))
        expected_images, expected = on_cpu.batch(range(first, first + 16))
        noise = [bool(on_cpu.plan(k).look and on_cpu.plan(k).look.noise) for k in range(first, first + 16)]
        apart = (images.cpu().int() - expected_images.int()).abs().float().mean((1, 2, 3))
        assert max(d for d, is_noisy in zip(apart.tolist(), noise, strict=True) if not is_noisy) < 0.5
        assert (target.instance.cpu() != expected.instance).float().mean() < 1e-3
        raw = torch.randn(16, 12, 32, 48)
        given = Grid(1, 65, 1, 65).coordinates((32, 48)), 2, torch.full((8,), 10.0)
        loss = batched_loss(
            raw.to(gpu), expected.to(gpu), given[0].to(gpu), 2, given[2].to(gpu), LossOptions()
        )
        torch.testing.assert_close(
            loss.cpu(), batched_loss(raw, expected, *given, LossOptions()), rtol=1e-4, atol=1e-5
        )
