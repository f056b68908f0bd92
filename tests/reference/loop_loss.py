"""The loss as one would write it first: a loop over the objects, each over the whole image, all pixels sorted."""

from __future__ import annotations

import torch
from torch import Tensor

from annotator.options import LossOptions
from annotator.training.loss import Target


def loop_loss(
    raw: Tensor,
    targets: list[Target],
    grid: Tensor,
    n_sigma: int,
    foreground_weights: Tensor,
    options: LossOptions,
) -> Tensor:
    """The same scalar as `annotator.training.loss.spatial_embedding_loss`."""
    total = raw.new_zeros(())
    for maps, target in zip(raw, targets, strict=True):
        embedding = torch.tanh(maps[:2]) + grid
        raw_sigma = maps[2 : 2 + n_sigma]
        seeds = torch.sigmoid(maps[2 + n_sigma :])
        for channel, seed in enumerate(seeds):
            objects = (target.class_index == channel).nonzero().flatten().tolist()
            instance = variance = raw.new_zeros(())
            seed_sum = (seed[target.background[channel]] ** 2).sum()
            for k in objects:
                mask = target.instance == k + 1
                centre = (grid if options.centre == "pixels" else embedding)[:, mask].mean(1)
                sigma = raw_sigma[:, mask].mean(1)
                distance = (embedding - centre[:, None, None]) ** 2 * torch.exp(10 * sigma)[:, None, None]
                phi = torch.exp(-distance.sum(0))
                instance = instance + _lovasz_hinge((2 * phi - 1).flatten(), mask.flatten())
                variance = variance + ((raw_sigma[:, mask] - sigma.detach()[:, None]) ** 2).mean()
                difference = seed[mask] - phi.detach()[mask]
                seed_sum = seed_sum + foreground_weights[channel] * (difference**2).sum()
            count = max(1, len(objects))
            total = total + options.instance_weight * instance / count
            total = total + options.variance_weight * variance / count
            total = total + options.seed_weight * seed_sum / seed.numel()
    return total / len(targets)


def _lovasz_hinge(margins: Tensor, mask: Tensor) -> Tensor:
    errors, order = torch.sort(1 - margins * (2.0 * mask - 1), descending=True)
    inside = mask[order].to(margins.dtype)
    intersection = inside.sum() - inside.cumsum(0)
    union = inside.sum() + (1 - inside).cumsum(0)
    jaccard = 1 - intersection / union
    jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
    return torch.dot(torch.relu(errors), jaccard)
