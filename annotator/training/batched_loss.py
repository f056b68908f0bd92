"""The loss of `loss` for all objects of a batch at once, for GPUs: few large operations, one wait for the device.

The same figures as `spatial_embedding_loss` to rounding. It works on pixels of all images for each object, which is
why on a CPU the loop over objects is quicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from annotator.options import LossOptions
from annotator.training.loss import NEGLIGIBLE_PHI, Target

MOST_AT_ONCE = 1 << 26  # object pixels looked at together, each of which takes some 30 bytes for a while


class BatchTarget(NamedTuple):
    """Ground truth of a batch of B images, at the resolution of the fields, with N objects in all."""

    instance: Tensor  # (B, H, W) int64: 0 none, n + 1 the n-th object of the batch
    image: Tensor  # (N,) int64: the image that the n-th object is in
    class_index: Tensor  # (N,) int64: the seed map of the n-th object
    background: Tensor  # (B, C, H, W) bool: pixels known not to be of the class

    def to(self, device: torch.device) -> BatchTarget:
        """The same on a device."""
        return BatchTarget(*(tensor.to(device, non_blocking=True) for tensor in self))


def together(targets: Sequence[Target]) -> BatchTarget:
    """Targets of single images as that of a batch."""
    counts = [len(target.class_index) for target in targets]
    firsts = [sum(counts[:k]) for k in range(len(counts))]
    instance = [
        torch.where(target.instance > 0, target.instance + first, 0)
        for target, first in zip(targets, firsts, strict=True)
    ]
    return BatchTarget(
        instance=torch.stack(instance),
        image=torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(instance[0].device),
        class_index=torch.cat([target.class_index for target in targets]),
        background=torch.stack([target.background for target in targets]),
    )


def batched_loss(
    raw: Tensor,
    target: BatchTarget,
    grid: Tensor,
    n_sigma: int,
    foreground_weights: Tensor,
    options: LossOptions,
) -> Tensor:
    """Scalar loss, mean over the batch; arguments as those of `spatial_embedding_loss`."""
    images, pixels = len(raw), grid[0].numel()
    seed = torch.sigmoid(raw[:, 2 + n_sigma :])  # (B, C, H, W)
    seed_term = (seed.square() * target.background).sum()
    count = len(target.class_index)
    if not count:
        return options.seed_weight * seed_term / pixels / images

    instance = target.instance.flatten(1)  # (B, P)
    owner = (instance - 1).clamp(min=0)
    inside = instance > 0
    regions = Regions(instance, target.image)
    embedding = (torch.tanh(raw[:, :2]) + grid).flatten(2)  # (B, 2, P)
    placed = grid.flatten(1).expand_as(embedding) if options.centre == "pixels" else embedding
    centre = regions.means(placed)  # (N, 2)
    raw_sigma = raw[:, 2 : 2 + n_sigma].flatten(2)  # (B, S, P)
    sigma = regions.means(raw_sigma)  # (N, S)
    spread = (raw_sigma - _of_owner(sigma.detach(), owner)).square().mean(1, keepdim=True)
    variance = regions.means(spread)[:, 0]  # (N,)

    shares = _shares(target.image * seed.shape[1] + target.class_index, images * seed.shape[1]).to(raw.dtype)
    bandwidth = torch.exp(sigma * 10).expand(count, 2)
    term = BatchedInstanceTerm.apply(embedding, centre, bandwidth, regions, shares)

    with torch.no_grad():
        apart = embedding - _of_owner(centre, owner)
        own_phi = torch.exp(-(_of_owner(bandwidth, owner) * apart.square()).sum(1))  # (B, P)
    class_of_pixel = target.class_index[owner]
    own_seed = seed.flatten(2).gather(1, class_of_pixel[:, None])[:, 0]
    miss = foreground_weights[class_of_pixel] * (own_seed - own_phi).square()
    seed_term = seed_term + torch.where(inside, miss, 0).sum()
    total = (
        options.instance_weight * term
        + options.variance_weight * (shares * variance).sum()
        + options.seed_weight * seed_term / pixels
    )
    return total / images


def _of_owner(values: Tensor, owner: Tensor) -> Tensor:
    """Values (N, D) of the objects at the pixels (B, P) that they own: (B, D, P)."""
    return values[owner].transpose(1, 2)


def _shares(group: Tensor, groups: int) -> Tensor:
    """1 over how many objects are of the group, for each (N,): averages over the objects of each class."""
    counts = torch.zeros(groups, dtype=torch.int64, device=group.device).index_add(
        0, group, torch.ones_like(group)
    )
    return 1 / counts[group]


class Regions:
    """Which pixels each of N objects covers, and sums over them."""

    def __init__(self, instance: Tensor, image: Tensor) -> None:
        """`instance` (B, P): 0 none, n + 1 the n-th object, which is in `image[n]` of the batch."""
        self.instance, self.image = instance, image
        self.areas = self.sums(torch.ones_like(instance, dtype=torch.float64)[:, None])[:, 0]  # (N,) float64

    def masks(self, part: slice) -> Tensor:
        """The masks of some of the objects: (n, P) bool."""
        numbers = torch.arange(1, len(self.image) + 1, device=self.image.device)[part]
        return self.instance[self.image[part]] == numbers[:, None]

    def sums(self, values: Tensor) -> Tensor:
        """Sum of values (B, D, P) over the pixels of each object, in float64: (N, D)."""
        parts = []
        for part in self.parts():
            mask, of_image = self.masks(part), values[self.image[part]]
            parts.append(torch.where(mask[:, None], of_image, 0).sum(2, dtype=torch.float64))
        return torch.cat(parts)

    def means(self, values: Tensor) -> Tensor:
        """Mean of values (B, D, P) over the pixels of each object: (N, D)."""
        mean: Tensor = _RegionMeans.apply(values, self)
        return mean

    def parts(self) -> list[slice]:
        """The objects in as many parts as memory asks for."""
        each = max(1, MOST_AT_ONCE // self.instance.shape[1])
        return [slice(first, first + each) for first in range(0, len(self.image), each)]


class _RegionMeans(torch.autograd.Function):
    """Means over regions, whose gradient is read from the label map: nothing is kept per object and pixel."""

    @staticmethod
    def forward(context: Any, values: Tensor, regions: Regions) -> Tensor:
        context.regions = regions
        return (regions.sums(values) / regions.areas[:, None]).to(values.dtype)

    @staticmethod
    def backward(context: Any, of_mean: Tensor) -> tuple[Tensor, None]:
        regions = context.regions
        each = (of_mean / regions.areas[:, None]).to(of_mean.dtype)
        owner = (regions.instance - 1).clamp(min=0)
        return torch.where((regions.instance > 0)[:, None], _of_owner(each, owner), 0), None


class BatchedInstanceTerm(torch.autograd.Function):
    """`loss.InstanceTerm` of all objects of a batch, value and gradient.

    What each object reaches is gathered from all of them and sorted at once, by object and then by error; every pixel
    is sorted, where the loop over objects puts small errors of large objects in buckets.
    """

    @staticmethod
    def forward(
        context: Any, embedding: Tensor, centre: Tensor, bandwidth: Tensor, regions: Regions, shares: Tensor
    ) -> Tensor:
        """embedding (B, 2, P), centre (N, 2), bandwidth (N, 2), shares (N,) -> scalar."""
        term = embedding.new_zeros((), dtype=torch.float64)
        of_embedding = torch.zeros_like(embedding)
        parts = []
        for part in regions.parts():
            value, of_centre, of_bandwidth = _instance_part(
                embedding, centre[part], bandwidth[part], regions, part, shares[part], of_embedding
            )
            term += value
            parts.append((of_centre, of_bandwidth))
        context.save_for_backward(of_embedding, *(torch.cat(each) for each in zip(*parts, strict=True)))
        return term.to(embedding.dtype)

    @staticmethod
    def backward(context: Any, of_term: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of embedding, centre and bandwidth."""
        return (*(of_term * gradient for gradient in context.saved_tensors), None, None)


def _instance_part(
    embedding: Tensor,
    centre: Tensor,
    bandwidth: Tensor,
    regions: Regions,
    part: slice,
    shares: Tensor,
    of_embedding: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The term of some objects, and its gradient of their centres and bandwidths; adds to that of the embedding."""
    image, masks = regions.image[part], regions.masks(part)
    of_image = embedding[image]  # (n, 2, P)
    squares = (of_image - centre[:, :, None]).square_()
    exponents = (bandwidth[:, None] @ squares)[:, 0]  # (n, P)
    # The one wait for the device: how many pixels the objects reach.
    number, pixel = ((exponents < -math.log(NEGLIGIBLE_PHI)) | masks).nonzero(as_tuple=True)
    mask = masks[number, pixel]
    apart = embedding[image[number], :, pixel] - centre[number]  # (M, 2)
    phi = torch.exp(-exponents[number, pixel])
    errors = torch.where(mask, 2 - 2 * phi, 2 * phi)
    weights = shares[number] * segmented_weights(errors, mask, number, regions.areas[part].long())

    slope = torch.where(mask, weights, -weights).mul_(2 * phi)  # d term / d exponent
    along = apart * (2 * bandwidth[number]) * slope[:, None]
    flat = image[number] * embedding.shape[2] + pixel
    summed = along.new_zeros(len(embedding) * embedding.shape[2], 2).index_add_(0, flat, along)
    of_embedding += summed.view(len(embedding), -1, 2).transpose(1, 2)
    gradients = torch.cat([-along, apart.square() * slope[:, None]], 1).double()
    sums = gradients.new_zeros(len(image), 4).index_add_(0, number, gradients).to(embedding.dtype)
    return errors.double() @ weights.double(), sums[:, :2], sums[:, 2:]


def segmented_weights(errors: Tensor, mask: Tensor, segment: Tensor, inside: Tensor) -> Tensor:
    """`jaccard_weights` of many objects at once: (M,).

    errors: (M,) float32 in [0, 2]; mask: (M,) bool; segment: (M,) int64, the object of each, none smaller than the
    one before; inside: (N,) pixels of each object, all of which are given.
    """
    # Floats that are not negative are in the order of their bits.
    key = (segment << 32) | (0x7FFFFFFF - errors.contiguous().view(torch.int32).long())
    order = key.argsort()
    hit = mask[order].long()
    counts = torch.zeros_like(inside).index_add_(0, segment, torch.ones_like(segment))
    segment = segment[order]
    first, hits_before = counts.cumsum(0) - counts, inside.cumsum(0) - inside
    found = hit.cumsum(0) - hits_before[segment]  # with this one
    wrong = torch.arange(1, len(hit) + 1, device=hit.device) - first[segment] - found
    union = (inside[segment] + wrong).to(errors.dtype)
    # What a pixel takes from the intersection, or adds to the union; no difference of numbers that are nearly equal.
    missed = (inside[segment] - found).to(errors.dtype) / (union * (union - 1).clamp(min=1))
    weights = torch.empty_like(errors)
    weights[order] = torch.where(hit > 0, 1 / union, missed)
    return weights
