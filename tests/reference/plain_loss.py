"""The loss as the method states it, object by object and pixel by pixel: slow and obvious."""

from __future__ import annotations

import torch
from torch import Tensor

from annotator.options import LossOptions
from annotator.training.loss import Target


def jaccard_loss(mask: list[bool], wrong: set[int]) -> float:
    """1 - intersection over union of a mask and a prediction that errs at the pixels `wrong`."""
    predicted = {i for i, inside in enumerate(mask) if inside != (i in wrong)}
    true = {i for i, inside in enumerate(mask) if inside}
    return 1 - len(predicted & true) / len(predicted | true) if predicted | true else 0.0


def plain_lovasz_hinge(margins: Tensor, mask: Tensor) -> Tensor:
    """Errors, worst first, each weighed by what it adds to the Jaccard loss of those before it."""
    signs = torch.where(mask, 1.0, -1.0).to(margins.dtype)
    errors = 1 - margins * signs
    total = torch.zeros((), dtype=margins.dtype)
    wrong: set[int] = set()
    for i in errors.argsort(descending=True).tolist():
        before = jaccard_loss(mask.tolist(), wrong)
        wrong.add(i)
        total = total + errors[i].clamp(min=0) * (jaccard_loss(mask.tolist(), wrong) - before)
    return total


def plain_loss(
    raw: Tensor,
    targets: list[Target],
    grid: Tensor,
    n_sigma: int,
    foreground_weights: Tensor,
    options: LossOptions,
) -> Tensor:
    """The loss of each class by itself, summed; the mean over the images."""
    total = torch.zeros((), dtype=raw.dtype)
    for maps, target in zip(raw, targets, strict=True):
        for channel in range(len(foreground_weights)):
            total = total + _class_loss(
                maps, target, grid, n_sigma, channel, foreground_weights[channel], options
            )
    return total / len(targets)


def _class_loss(
    maps: Tensor,
    target: Target,
    grid: Tensor,
    n_sigma: int,
    channel: int,
    foreground_weight: Tensor,
    options: LossOptions,
) -> Tensor:
    embedding = torch.tanh(maps[:2]) + grid
    raw_sigma = maps[2 : 2 + n_sigma]
    seed = torch.sigmoid(maps[2 + n_sigma + channel])
    objects = [k + 1 for k, c in enumerate(target.class_index.tolist()) if c == channel]

    instance = variance = torch.zeros((), dtype=maps.dtype)
    seed_sum = (seed[target.background[channel]] ** 2).sum()
    for k in objects:
        mask = target.instance == k
        centre = (grid if options.centre == "pixels" else embedding)[:, mask].mean(1)
        sigma = raw_sigma[:, mask].mean(1)
        distance = (embedding - centre[:, None, None]) ** 2 * torch.exp(10 * sigma)[:, None, None]
        phi = torch.exp(-distance.sum(0))
        instance = instance + plain_lovasz_hinge((2 * phi - 1).flatten(), mask.flatten())
        variance = variance + ((raw_sigma[:, mask] - sigma.detach()[:, None]) ** 2).mean()
        seed_sum = seed_sum + foreground_weight * ((seed[mask] - phi.detach()[mask]) ** 2).sum()

    count = max(1, len(objects))
    return (
        options.instance_weight * instance / count
        + options.variance_weight * variance / count
        + options.seed_weight * seed_sum / seed.numel()
    )
