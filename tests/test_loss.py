"""The loss gives the figures of the method, value and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from annotator.model.embedding import PAPER_GRID
from annotator.training.loss import LossOptions, Target, spatial_embedding_loss
from tests.builders import PARITY, needs_parity


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
