"""Images as the network takes them: the size they are processed at, and resizing to it."""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def processed_size(size: tuple[int, int], scale: float | None, trained: tuple[int, int]) -> tuple[int, int]:
    """(H, W) at which an image of `size` is processed: `scale` times it, or the area of the trained size."""
    if scale is None:
        scale = processed_scale(size, trained)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def processed_scale(size: tuple[int, int], trained: tuple[int, int]) -> float:
    """What multiplies the sides of an image of `size` (H, W) for it to have the area of the trained size."""
    return math.sqrt(trained[0] * trained[1] / (size[0] * size[1]))


def resize(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images (B, 3, H, W) uint8 as (B, 3, h, w) float32 in [0, 1], on their device.

    Shrinking takes the weighted mean of all pixels that an output pixel covers (triangle filter), enlarging
    interpolates linearly; pixel centres are aligned as everywhere in this package (half-pixel). An image
    comes out with the same bits whatever batch it is in; on the CPU rounded to a 255th.
    """
    if images.device.type == "cpu":
        # PyTorch shrinks bytes many times as fast as floats, and rounds to bytes. The same memory layout for any batch,
        # because it decides which kernel runs.
        images = _resized(images.contiguous(memory_format=torch.channels_last), size)
        return images.contiguous().to(torch.float32).div_(255)
    return _resized(images.to(torch.float32).div_(255).contiguous(), size).clamp_(0, 1)


def _resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
