"""The loss, forward and backward, against a loop over objects, side by side: python -m tests.benchmarks.bench_loss

One image of 512x512 with 20 objects of two classes: as a new network sees it (bandwidths wide, offsets at random) and
as a trained one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from annotator.model.embedding import PAPER_GRID
from annotator.options import LossOptions
from annotator.training.loss import Target, spatial_embedding_loss
from tests.reference.loop_loss import loop_loss

SIZE = (512, 512)
CLASSES = 2
GRID = PAPER_GRID.coordinates(SIZE)
Loss = Callable[..., Tensor]


def street(objects: int, seed: int = 0) -> Target:
    """Ellipses of a street's sizes, each on a place of its own in a lattice."""
    rng = np.random.default_rng(seed)
    instance = np.zeros(SIZE, np.int64)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for k in range(objects):
        centre_y, centre_x = 60 + 120 * (k // 5 % 4), 50 + 100 * (k % 5)
        rows, columns = rng.uniform(10, 50, 2)
        instance[((y - centre_y) / rows) ** 2 + ((x - centre_x) / columns) ** 2 < 1] = k + 1
    background = np.stack([instance == 0] * CLASSES)
    class_index = torch.from_numpy(rng.integers(0, CLASSES, objects))
    return Target(torch.from_numpy(instance), class_index, torch.from_numpy(background))


def raw_maps(target: Target, trained: bool) -> Tensor:
    """(1, 4 + CLASSES, H, W) as a network gives them before or after it has learned."""
    generator = torch.Generator().manual_seed(0)
    raw = 0.1 * torch.randn(1, 4 + CLASSES, *SIZE, generator=generator)
    raw[:, 2:4] = 0.5 + 0.02 * raw[:, 2:4]
    raw[:, 4:] -= 3
    for k in range(len(target.class_index) if trained else 0):
        inside = target.instance == k + 1
        to_centre = GRID[:, inside].mean(1, keepdim=True) - GRID[:, inside]
        raw[0, :2, inside] = torch.atanh(to_centre * 0.9)
        radius = (inside.sum() / np.pi).sqrt() / 1024 / 2
        raw[0, 2:4, inside] = torch.log(np.log(2) / radius.square()) / 10
        raw[0, 4 + target.class_index[k], inside] = 3
    return raw.requires_grad_()


def measured(loss: Loss, raw: Tensor, target: Target, n_sigma: int) -> tuple[float, Tensor, Tensor]:
    """CPU seconds of the best of five, the loss, and its gradient."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        value = loss(raw, [target], GRID, n_sigma, torch.full((CLASSES,), 10.0), LossOptions())
        [gradient] = torch.autograd.grad(value, raw)
        best = min(best, time.process_time() - begin)
    return best, value.detach(), gradient


def main() -> None:
    """Print seconds of both, their difference, and how much faster the product is."""
    torch.set_num_threads(1)
    target = street(20)
    for state, trained in (("new", False), ("trained", True)):
        raw = raw_maps(target, trained)
        ours, value, gradient = measured(spatial_embedding_loss, raw, target, 2)
        loop, expected, expected_gradient = measured(loop_loss, raw, target, 2)
        apart = abs(value - expected) / expected
        gradient_apart = (gradient - expected_gradient).abs().max()
        print(
            f"{state}: loop {loop:.3f} CPU s, ours {ours:.4f} CPU s: {loop / ours:.1f} times faster;"
            f" loss differs by {apart:.1e}, gradient by {gradient_apart:.1e}"
        )


if __name__ == "__main__":
    main()
