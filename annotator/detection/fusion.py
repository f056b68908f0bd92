"""Run the network several times on each image, larger and mirrored, and fuse what it says into one set of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from annotator.detection.runtime import Runtime
from annotator.model.network import RawMaps
from annotator.model.preprocess import processed_scale

LARGEST_OFFSET = 1 - 1e-6  # of a tanh that has a float for its argument
LARGEST_SEED = 15.0  # raw, of a seed score that has a logarithm


class Pass(NamedTuple):
    """One run of the network."""

    scale: float = 1.0  # of the size of processing; beyond 1 only as far as images have the pixels
    is_mirrored: bool = False


# The first of each says on which grid all are fused, and which encoder's features are kept.
PASSES: Mapping[str, Sequence[Pass]] = {
    "fast": [Pass(0.75)],
    "default": [Pass()],
    "best": [Pass(), Pass(1.5, is_mirrored=True)],
}


def fused_maps(runtime: Runtime, images: Tensor, scale: float | None, passes: Sequence[Pass]) -> RawMaps:
    """Images (B, 3, H, W) uint8 RGB on the runtime's device -> raw maps, the mean of those of all passes.

    `scale` multiplies the size of the images; None processes them near the size the network was trained at.
    """
    if list(passes) == [Pass()]:
        return runtime.maps(images, scale)
    if scale is None:
        scale = processed_scale((images.shape[-2], images.shape[-1]), runtime.checkpoint.spec.trained_size)
    largest = max(1.0, 1 / scale)  # pixels made up by enlarging tell the network nothing new
    found = [
        runtime.maps(images.flip(-1) if each.is_mirrored else images, scale * min(each.scale, largest))
        for each in passes
    ]
    if len(found) == 1:
        return found[0]
    base, n_sigma = found[0], found[0].spec.n_sigma
    aligned = [_aligned(maps, base, each.is_mirrored) for maps, each in zip(found, passes, strict=True)]
    mean = torch.stack(aligned).mean(0)
    mean[:, :2] = mean[:, :2].clamp(-LARGEST_OFFSET, LARGEST_OFFSET).atanh()
    mean[:, 2 + n_sigma :] = mean[:, 2 + n_sigma :].logit().clamp(-LARGEST_SEED, LARGEST_SEED)
    return replace(base, raw=mean)


def _aligned(maps: RawMaps, base: RawMaps, is_mirrored: bool) -> Tensor:
    """Maps at the pixels of those of a base: offsets in its grid units, raw bandwidths to match, seed scores."""
    n_sigma = maps.spec.n_sigma
    raw = _sampled(maps, base, is_mirrored)
    enlarged = [maps.size[axis] / base.size[axis] for axis in (1, 0)]  # along x, y
    for axis, ratio in enumerate(enlarged):
        raw[:, axis] = raw[:, axis].tanh() * ((-1 if is_mirrored and axis == 0 else 1) / ratio)
    for k in range(n_sigma):  # exp(10 raw) is per squared unit
        raw[:, 2 + k] += 2 * torch.tensor(enlarged[k if n_sigma == 2 else 0]).log() / 10
    raw[:, 2 + n_sigma :] = raw[:, 2 + n_sigma :].sigmoid()
    return raw


def _sampled(maps: RawMaps, base: RawMaps, is_mirrored: bool) -> Tensor:
    """(B, 2 + S + C, h, w) raw maps where the pixels of a base's maps are, interpolated."""
    if maps.size == base.size and not is_mirrored:
        return maps.raw.clone()
    axes = []
    for axis in (0, 1):
        count, length = base.raw.shape[2 + axis], maps.raw.shape[2 + axis]
        # Centres, in parts of the image; then in those of the maps, which may reach beyond the image.
        at = (torch.arange(count, device=maps.raw.device) + 0.5) * base.stride / base.size[axis]
        at = 1 - at if is_mirrored and axis == 1 else at
        axes.append(at * (maps.size[axis] / maps.stride / length) * 2 - 1)
    grid = torch.stack([axes[1].expand(len(axes[0]), -1), axes[0][:, None].expand(-1, len(axes[1]))], -1)
    return functional.grid_sample(
        maps.raw,
        grid.expand(len(maps.raw), -1, -1, -1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
