"""The clustering as the method states it, pixel by pixel over the whole foreground: slow and obvious."""

from __future__ import annotations

import torch
from torch import Tensor

from annotator.model.embedding import EmbeddingMaps


def plain_cluster(
    maps: EmbeddingMaps, channel: int, seed_threshold: float, min_pixels: int
) -> list[tuple[float, Tensor]]:
    """Score and mask (H, W) bool of every instance, in the order found."""
    seed_map = maps.seed[channel]
    foreground = seed_map > 0.5
    instances: list[tuple[float, Tensor]] = []
    if int(foreground.sum()) <= min_pixels:
        return instances
    embedding = maps.embedding[:, foreground]  # (2, P)
    sigma = maps.sigma[:, foreground]  # (S, P)
    seed = seed_map[foreground]
    unclaimed = torch.ones(len(seed), dtype=torch.bool)
    while int(unclaimed.sum()) > min_pixels:
        best = int((seed * unclaimed).argmax())
        score = float(seed[best])
        if score < seed_threshold:
            break
        unclaimed[best] = False
        centre, s = embedding[:, best : best + 1], sigma[:, best : best + 1]
        proposal = torch.exp(-((embedding - centre) ** 2 * s).sum(0)) > 0.5
        if int(proposal.sum()) > min_pixels and int(unclaimed[proposal].sum()) / int(proposal.sum()) > 0.5:
            mask = torch.zeros_like(foreground)
            mask[foreground] = proposal
            instances.append((score, mask))
        unclaimed[proposal] = False
    return instances
