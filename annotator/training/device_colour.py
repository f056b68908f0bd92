"""Other light and another camera for many crops at once: `augmentation.recolour` on the device of the crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from annotator.training.device_images import to_device

GREY = (0.299, 0.587, 0.114)
RADIUS = 4  # of the widest blur, pixels: three times its deviation


@dataclass(frozen=True)
class Look:
    """What chance makes of the colours of a crop."""

    gain: tuple[float, float, float]
    gamma: float
    offset: float
    keep: float = 1.0  # of the colour; the rest is grey
    blur: float = 0.0  # standard deviation in pixels; 0: none
    noise: float = 0.0  # of 128 levels


def draw_look(rng: np.random.Generator) -> Look:
    """As `augmentation.recolour` draws it."""
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.92, 1.08, 3)
    return Look(
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        gamma=rng.uniform(0.75, 1.35),
        offset=rng.uniform(-12, 12),
        keep=rng.uniform(0, 1) if rng.random() < 0.3 else 1.0,
        blur=rng.uniform(0.4, 1.3) if rng.random() < 0.15 else 0.0,
        noise=rng.uniform(0.02, 0.12) if rng.random() < 0.2 else 0.0,
    )


def recoloured(images: Tensor, looks: Sequence[Look], generator: torch.Generator) -> Tensor:
    """Images (B, h, w, 3) float32 in [0, 255] with these looks. Noise comes from a generator of their device."""

    def each(value: Callable[[Look], float | tuple[float, ...]]) -> Tensor:
        column = to_device([value(look) for look in looks], torch.float32, images.device)
        return column.view(len(looks), 1, 1, -1)

    curved = (images / 255).pow(each(lambda look: look.gamma))
    out = (curved * (255 * each(lambda look: look.gain)) + each(lambda look: look.offset)).clamp_(0, 255)
    grey = out @ to_device(GREY, torch.float32, images.device)
    out = grey[..., None].lerp(out, each(lambda look: look.keep))
    for effect, strengths in (
        (_blurred, [look.blur for look in looks]),
        (_noisy, [look.noise for look in looks]),
    ):
        chosen = np.flatnonzero(strengths)
        if len(chosen):
            at = to_device(chosen, torch.int64, images.device)
            out[at] = effect(out[at], [strengths[k] for k in chosen], generator)
    return out


def _blurred(images: Tensor, deviations: Sequence[float], _generator: torch.Generator) -> Tensor:
    """Gaussian blur with a deviation for each of n images (n, h, w, 3), edges mirrored."""
    blurred = [
        gaussian_blur(image, [2 * RADIUS + 1] * 2, [deviation] * 2)
        for image, deviation in zip(images.permute(0, 3, 1, 2), deviations, strict=True)
    ]
    return torch.stack(blurred).permute(0, 2, 3, 1)


def _noisy(images: Tensor, strengths: Sequence[float], generator: torch.Generator) -> Tensor:
    noise = torch.rand(images.shape, generator=generator, device=images.device) * 255 - 128
    return images + noise * to_device(strengths, torch.float32, images.device)[:, None, None, None]
