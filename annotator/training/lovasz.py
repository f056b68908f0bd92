"""The Lovasz hinge: a convex surrogate of the intersection over union.

Source: Berman, Triki, Blaschko, "The Lovasz-Softmax loss", CVPR 2018 (arXiv 1705.08790), algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

EXACT = 8192  # pixels with the largest errors, which are always sorted
BUCKETS = 1 << 14  # of equal errors, for the others


def jaccard_weights(errors: Tensor, mask: Tensor, inside: int) -> Tensor:
    """What each of P pixels adds to the Jaccard loss of those with larger errors: (P,), the gradient of the hinge.

    `errors` (P,) in [0, 2]; `mask` (P,) bool; `inside`: pixels of the object, which may be more than those given, if
    the others have no error. Beyond the largest EXACT errors, those in one of BUCKETS count as equal and share what
    the bucket adds: sorting takes most of the time otherwise. That changes a weight by less than 1e-6 and the loss by
    next to nothing, because the errors in a bucket lie on both sides of its middle.
    """
    if len(errors) <= EXACT:
        return _sorted_weights(errors, mask, inside)
    bucket = (BUCKETS - 1) - (errors * (BUCKETS / 2)).to(torch.int32).clamp_(max=BUCKETS - 1)  # 0: largest
    column = bucket + BUCKETS * mask  # of the table: outside, then inside
    counts = torch.bincount(column, minlength=2 * BUCKETS).view(2, BUCKETS)
    weights = _bucket_weights(counts, inside, errors.dtype).flatten().index_select(0, column)
    cut = int(torch.searchsorted(counts.sum(0).cumsum(0), EXACT))
    worst = (bucket <= cut).nonzero().squeeze(1)
    weights[worst] = _sorted_weights(errors[worst], mask[worst], inside)
    return weights


def jaccard_loss(found: Tensor, wrong: Tensor, inside: int) -> Tensor:
    """1 - intersection over union when `found` pixels inside and `wrong` ones outside have errors."""
    return 1 - (inside - found) / (inside + wrong)


def _sorted_weights(errors: Tensor, mask: Tensor, inside: int) -> Tensor:
    order = errors.argsort(descending=True)
    hits = mask[order].to(errors.dtype)
    jaccard = jaccard_loss(hits.cumsum(0), (1 - hits).cumsum(0), inside)
    weights = torch.empty_like(errors)
    weights[order] = jaccard.diff(prepend=jaccard.new_zeros(1))
    return weights


def _bucket_weights(counts: Tensor, inside: int, dtype: torch.dtype) -> Tensor:
    """Weight of a pixel outside and of one inside, for every bucket: (2, BUCKETS). `counts` alike, largest first."""
    counts = counts.to(torch.float64)
    after = counts.cumsum(1)
    wrong, found = after - counts / 2  # in the middle of the bucket
    union = inside + wrong
    weights = torch.stack([(inside - found) / union.square(), 1 / union])  # derivatives of the loss there
    jaccard = jaccard_loss(after[1], after[0], inside)
    added = jaccard.diff(prepend=jaccard.new_zeros(1))
    return (weights * (added / (weights * counts).sum(0).clamp(min=1e-300))).to(dtype)
