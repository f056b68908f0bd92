"""The loss of spatial embeddings: instance term, variance term and seed term.

Source: Neven et al., CVPR 2019 (arXiv 1906.11109), equations 5 to 11; several classes one against all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from annotator.options import LossOptions
from annotator.training.lovasz import jaccard_weights

# A pixel outside an object with a smaller phi is as good as perfect; leaving it out saves most of the work.
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
    labels = target.instance.flatten().int()
    inside = labels.nonzero().squeeze(1)  # pixels of any object
    owner = labels[inside].long() - 1  # and whose they are
    areas = torch.bincount(owner, minlength=count)

    def object_mean(values: Tensor) -> Tensor:
        """(D, pixels of objects) -> (D, K); summed in float64, as errors of sigma grow tenfold in its exponent."""
        sums = values.new_zeros(len(values), count, dtype=torch.float64).index_add(1, owner, values.double())
        return (sums / areas).to(values.dtype)

    placed = grid.flatten(1) if options.centre == "pixels" else embedding
    centre = object_mean(placed[:, inside])  # (2, K)
    raw_sigma = raw[2 : 2 + n_sigma].flatten(1)[:, inside]  # (S, pixels of objects)
    sigma = object_mean(raw_sigma)  # (S, K)
    spread = (raw_sigma - sigma.detach()[:, owner]).square().mean(0, keepdim=True)
    variance = object_mean(spread)[0]  # (K,)

    # Averaged over the objects of each class, summed over the classes: the loss of every class by itself.
    shares = 1 / torch.bincount(target.class_index)[target.class_index].to(raw.dtype)
    bandwidth = torch.exp(sigma * 10).expand(2, count)
    instance = InstanceTerm.apply(embedding, centre, bandwidth, labels, shares)

    with torch.no_grad():
        apart = embedding[:, inside] - centre[:, owner]
        own_phi = torch.exp(-(bandwidth[:, owner] * apart.square()).sum(0))
    own_seed = seed.flatten(1)[target.class_index[owner], inside]
    weight = foreground_weights[target.class_index[owner]]
    seed_term = seed_term + (weight * (own_seed - own_phi).square()).sum()
    return (
        options.instance_weight * instance
        + options.variance_weight * (shares * variance).sum()
        + options.seed_weight * seed_term / pixels
    )


class InstanceTerm(torch.autograd.Function):
    """Sum over the objects of their share times the Lovasz hinge of 2 phi - 1 against their mask.

    Values and gradient in one pass over the pixels that an object reaches: as the hinge is linear between changes of
    order, the gradient is known with the weights, and nothing of the size of the image is kept per object.
    """

    @staticmethod
    def forward(
        context: Any, embedding: Tensor, centre: Tensor, bandwidth: Tensor, labels: Tensor, shares: Tensor
    ) -> Tensor:
        """embedding (2, P), centre (2, K), bandwidth (2, K), labels (P,) from 1, shares (K,) -> scalar."""
        term = embedding.new_zeros(())
        of_embedding = torch.zeros_like(embedding)
        of_centre, of_bandwidth = torch.zeros_like(centre), torch.zeros_like(bandwidth)
        for k, share in enumerate(shares):
            mask = labels == k + 1
            apart = embedding - centre[:, k, None]
            squared = apart.square()
            exponent = bandwidth[:, k] @ squared
            reached = _reached(exponent, mask)
            apart, squared, exponent, mask = (
                apart[:, reached],
                squared[:, reached],
                exponent[reached],
                mask[reached],
            )
            phi = torch.exp(-exponent)
            errors = torch.where(mask, 2 - 2 * phi, 2 * phi)
            weights = share * jaccard_weights(errors, mask, int(mask.sum()))
            term += errors @ weights
            slope = torch.where(mask, weights, -weights).mul_(2 * phi)  # d term / d exponent
            along = apart * (2 * bandwidth[:, k, None]) * slope
            of_embedding[:, reached] += along
            of_centre[:, k] = -along.sum(1)
            of_bandwidth[:, k] = squared @ slope
        context.save_for_backward(of_embedding, of_centre, of_bandwidth)
        return term

    @staticmethod
    def backward(context: Any, of_term: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of embedding, centre and bandwidth."""
        return (*(of_term * gradient for gradient in context.saved_tensors), None, None)


def _reached(exponent: Tensor, mask: Tensor) -> Tensor | slice:
    """Pixels that an object reaches, or that it holds; a slice where these are most, which is quicker."""
    reached = (exponent < -math.log(NEGLIGIBLE_PHI)).logical_or_(mask)
    return slice(None) if reached.sum() > len(mask) // 4 else reached.nonzero().squeeze(1)
