"""The loss gives the figures of the method, value and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from annotator.model.embedding import PAPER_GRID, Grid
from annotator.options import LossOptions
from annotator.training import lovasz
from annotator.training.augmentation import target
from annotator.training.images import LabelledImage
from annotator.training.loss import Target, spatial_embedding_loss
from annotator.training.lovasz import EXACT, jaccard_weights
from tests.helpers.builders import PARITY, blob, needs_parity
from tests.helpers.labelled import CAR, PERSON, SIZE, labelled_image
from tests.reference.plain_loss import jaccard_loss, plain_loss, plain_lovasz_hinge


@needs_parity
@pytest.mark.parametrize("case", range(4))
def test_loss_and_gradient_equal_the_parity_figures(case: int) -> None:
    given = np.load(PARITY / f"loss_{case}.npz")
    raw = torch.from_numpy(given["prediction"]).requires_grad_()
    targets = [
        Target(
            instance=torch.from_numpy(instance.astype(np.int64)),
            class_index=torch.zeros(instance.max(), dtype=torch.int64),
            background=torch.from_numpy(label == 0)[None],
        )
        for instance, label in zip(given["instance"], given["label"], strict=True)
    ]
    options = LossOptions(
        instance_weight=float(given["w_inst"]),
        variance_weight=float(given["w_var"]),
        seed_weight=float(given["w_seed"]),
        centre="pixels" if given["to_center"] else "embedding",
    )
    grid = PAPER_GRID.coordinates(raw.shape[-2:])
    weights = torch.tensor([float(given["foreground_weight"])])

    loss = spatial_embedding_loss(raw, targets, grid, int(given["n_sigma"]), weights, options)
    loss.backward()

    assert loss.item() == pytest.approx(float(given["loss"]), rel=1e-5)
    np.testing.assert_allclose(raw.grad.numpy(), given["grad"], rtol=0, atol=1e-6)


# ---- the Lovasz hinge


@pytest.mark.parametrize("seed", range(5))
def test_the_lovasz_weights_are_what_each_error_adds_to_the_jaccard_loss(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(12, generator=generator) < 0.4
    mask[seed] = True
    errors = torch.rand(12, generator=generator, dtype=torch.float64) * 2
    order = errors.argsort(descending=True).tolist()
    losses = [jaccard_loss(mask.tolist(), set(order[:count])) for count in range(13)]
    torch.testing.assert_close(
        jaccard_weights(errors, mask, int(mask.sum()))[order],
        torch.tensor(np.diff(losses), dtype=torch.float64),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("share", [0.001, 0.1, 0.9])
def test_many_errors_are_weighed_as_if_they_were_sorted(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buckets against an exact sort, where buckets are used: weights to 1e-6, the loss to 1e-7."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(200_000, generator=generator) < share
    errors = torch.rand(len(mask), generator=generator, dtype=torch.float64).square() * 2
    assert len(errors) > EXACT
    inside = int(mask.sum())
    found = jaccard_weights(errors, mask, inside)
    monkeypatch.setattr(lovasz, "EXACT", len(errors))
    exact = jaccard_weights(errors, mask, inside)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)
    torch.testing.assert_close(errors @ found, errors @ exact, rtol=1e-7, atol=0)
    assert found.sum() == pytest.approx(1)


def lovasz_hinge(margins: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The loss of one object by the weights that the loss of a batch takes."""
    errors = torch.where(mask, 1 - margins, 1 + margins).relu()
    return errors @ jaccard_weights(errors.detach(), mask, int(mask.sum()))


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


def target_in_full(labelled: LabelledImage) -> Target:
    return target(labelled.label_map, labelled, (PERSON, CAR), 5)


def loss_of(raw: torch.Tensor, goal: Target, channels: int) -> torch.Tensor:
    grid = Grid(1, 65, 1, 65).coordinates(raw.shape[-2:])
    return spatial_embedding_loss(raw, [goal], grid, 2, torch.full((channels,), 10.0), LossOptions())


def test_an_image_without_objects_teaches_its_background() -> None:
    raw = torch.zeros(1, 2 + 2 + 2, *SIZE, requires_grad=True)
    loss = loss_of(raw, target_in_full(labelled_image([])), 2)
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
    loss_of(raw, target_in_full(labelled), 2).backward()
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
    good = loss_of(raw, target_in_full(labelled), 2)
    shifted = loss_of(raw.roll(4, 3), target_in_full(labelled), 2)
    assert good < 0.05
    assert shifted > good + 0.5
