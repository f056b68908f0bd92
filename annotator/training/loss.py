"""The loss of spatial embeddings: instance term, variance term and seed term.

Source: Neven et al., CVPR 2019 (arXiv 1906.11109), equations 5 to 11; several classes one against all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from annotator.options import LossOptions
from annotator.training.lovasz import lovasz_hinge

# A pixel outside an object with a smaller phi is as good as perfect; leaving it out of the sort saves most of it.
NEGLIGIBLE_PHI = 1e-7


class Target(NamedTuple):
    """Ground truth of one image, at the resolution of the fields."""

    instance: Tensor  # (H, W) int64: 0 none, k + 1 the k-th object
    class_index: Tensor  # (K,) int64: the seed map of the k-th object
    background: (
        Tensor  # (C, H, W) bool: pixels known not to be of the class; neither this nor an object = ignored
    )

    def to(self, device: torch.device) -> Target:
        """The same on a device."""
        return Target(self.instance.to(device), self.class_index.to(device), self.background.to(device))


def spatial_embedding_loss(
    raw: Tensor,
    targets: Sequence[Target],
    grid: Tensor,
    n_sigma: int,
    foreground_weights: Tensor,
    options: LossOptions,
) -> Tensor:
    """Scalar loss, mean over the batch.

    raw: (B, 2 + S + C, H, W) float32 raw maps; grid: (2, H, W); foreground_weights: (C,) of each class's seed term.
    """
    losses = [
        _image_loss(maps, target, grid, n_sigma, foreground_weights, options)
        for maps, target in zip(raw, targets, strict=True)
    ]
    return torch.stack(losses).mean()


def _image_loss(
    raw: Tensor, target: Target, grid: Tensor, n_sigma: int, foreground_weights: Tensor, options: LossOptions
) -> Tensor:
    pixels = grid[0].numel()
    seed = torch.sigmoid(raw[2 + n_sigma :])  # (C, H, W)
    seed_term = (seed.square() * target.background).sum()
    count = len(target.class_index)
    if not count:
        return options.seed_weight * seed_term / pixels

    embedding = (torch.tanh(raw[:2]) + grid).flatten(1)  # (2, P)
    raw_sigma = raw[2 : 2 + n_sigma].flatten(1)  # (S, P)
    labels = target.instance.flatten()
    inside = labels.nonzero().squeeze(1)  # pixels of any object
    owner = labels[inside] - 1  # and whose they are

    def object_mean(values: Tensor) -> Tensor:
        """(D, pixels of objects) -> (D, K)."""
        return torch.stack([values[:, owner == k].mean(1) for k in range(count)], 1)

    placed = grid.flatten(1) if options.centre == "pixels" else embedding
    centre = object_mean(placed[:, inside])  # (2, K)
    sigma = object_mean(raw_sigma[:, inside])  # (S, K)
    spread = (raw_sigma[:, inside] - sigma.detach()[:, owner]).square().mean(0, keepdim=True)
    variance = object_mean(spread)[0]  # (K,)

    distance = (embedding[:, None] - centre[:, :, None]).square() * torch.exp(sigma * 10)[
        :, :, None
    ]  # (2, K, P)
    phi = torch.exp(-distance.sum(0))  # (K, P)
    hinge = _lovasz_of_each(phi, labels)

    own_phi = phi.detach()[owner, inside]
    own_seed = seed.flatten(1)[target.class_index[owner], inside]
    weight = foreground_weights[target.class_index[owner]]
    seed_term = seed_term + (weight * (own_seed - own_phi).square()).sum()

    # Averaged over the objects of each class, summed over the classes: the loss of every class by itself.
    per_class = torch.bincount(target.class_index)[target.class_index]
    terms = options.instance_weight * hinge + options.variance_weight * variance
    return (terms / per_class).sum() + options.seed_weight * seed_term / pixels


def _lovasz_of_each(phi: Tensor, labels: Tensor) -> Tensor:
    """Lovasz hinge of 2 phi - 1 against each object's mask. phi (K, P), labels (P,) -> (K,)."""
    losses = []
    for k, own in enumerate(phi):
        mask = labels == k + 1
        relevant = ((own > NEGLIGIBLE_PHI) | mask).nonzero().squeeze(1)
        losses.append(lovasz_hinge(2 * own[relevant] - 1, mask[relevant]))
    return torch.stack(losses)
