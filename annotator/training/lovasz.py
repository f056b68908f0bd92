"""The Lovasz hinge: a convex surrogate of the intersection over union.

Source: Berman, Triki, Blaschko, "The Lovasz-Softmax loss", CVPR 2018 (arXiv 1705.08790), algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lovasz_gradient(sorted_mask: Tensor) -> Tensor:
    """Weights of the errors of one object, worst first: what each adds to the Jaccard loss.

    `sorted_mask`: (P,) float, 1 inside the object, in descending order of the errors. Returns (P,).
    """
    inside = sorted_mask.sum()
    intersection = inside - sorted_mask.cumsum(0)
    union = inside + (1 - sorted_mask).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard.diff()])


def lovasz_hinge(margins: Tensor, mask: Tensor) -> Tensor:
    """Loss of one object. `margins` (P,): positive where the pixel is claimed; `mask` (P,) bool. Scalar."""
    errors = torch.where(mask, 1 - margins, 1 + margins)
    errors, order = errors.sort(descending=True)
    return errors.relu() @ lovasz_gradient(mask[order].to(errors.dtype))
