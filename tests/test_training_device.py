"""Training at the speed of a GPU: the same crops and the same loss as object by object, in large operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from annotator.model.embedding import Grid
from annotator.options import LossOptions
from annotator.training import batched_loss as batched
from annotator.training.batched_loss import batched_loss, segmented_weights, together
from annotator.training.loss import spatial_embedding_loss
from annotator.training.lovasz import jaccard_weights
from tests.test_loss import random_target

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
