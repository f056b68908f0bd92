"""Builds a network by its description and runs it on images of any size."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotator.model.embedding import PAPER_GRID, Grid
from annotator.model.erfnet import BranchedERFNet
from annotator.model.timm_unet import TimmUNet

ARCHITECTURES: dict[str, type[BranchedERFNet | TimmUNet]] = {
    "erfnet": BranchedERFNet,
    "unet_efficientnet_lite0": TimmUNet,
}


@dataclass(frozen=True)
class NetworkSpec:
    """All that is needed to build a network and to read its outputs; a checkpoint carries it."""

    architecture: str  # a key of ARCHITECTURES
    class_ids: tuple[int, ...]  # Cityscapes id of each seed map
    n_sigma: int  # 1: circles, 2: ellipses along the axes
    grid: Grid
    mean: tuple[float, float, float]  # of RGB in [0, 1]
    std: tuple[float, float, float]
    trained_size: tuple[int, int]  # (H, W) of the images it was trained on
    fixed_sigma: float | None = None  # raw sigma of every pixel, instead of predicted ones

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(
                f"unknown architecture {self.architecture!r}; known are {', '.join(ARCHITECTURES)}"
            )
        if self.n_sigma not in (1, 2) or not self.class_ids or min(self.trained_size) < 1:
            raise ValueError(
                f"no network has {self.n_sigma} sigmas, classes {self.class_ids}, size {self.trained_size}"
            )

    @property
    def multiple(self) -> int:
        """What the sides of images are padded to multiples of."""
        return ARCHITECTURES[self.architecture].multiple

    @property
    def stride(self) -> int:
        """Image pixels per pixel of the fields."""
        return ARCHITECTURES[self.architecture].stride

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> NetworkSpec:
        """From plain JSON values; KeyError, TypeError or ValueError where they don't describe a network."""
        fields: dict[str, Any] = dict(values)
        grid = Grid(**fields.pop("grid"))
        for name in ("class_ids", "mean", "std", "trained_size"):
            fields[name] = tuple(fields[name])
        return cls(grid=grid, **fields)


def erfnet_spec(class_ids: tuple[int, ...], n_sigma: int) -> NetworkSpec:
    """The paper's network on full Cityscapes frames."""
    return NetworkSpec("erfnet", class_ids, n_sigma, PAPER_GRID, (0, 0, 0), (1, 1, 1), (1024, 2048))


@dataclass(frozen=True)
class RawMaps:
    """What a runtime returns for a batch of images of one size, and how to read it."""

    raw: Tensor  # (B, 2 + S + C, ceil(H / stride), ceil(W / stride)) float32, on the runtime's device
    spec: NetworkSpec
    size: tuple[int, int]  # (H, W) that the images were processed at
    stride: int = 1  # pixels of that size per pixel of `raw`
    features: Tensor | None = (
        None  # (B, C, h / 8, w / 8) what the encoder makes of the images, padded as it pads them
    )


class SpatialEmbeddingNetwork(nn.Module):
    """Images in, raw maps out, at any size."""

    def __init__(self, spec: NetworkSpec) -> None:
        """A network with random weights."""
        super().__init__()
        self.spec = spec
        self.body = ARCHITECTURES[spec.architecture]((2 + spec.n_sigma, len(spec.class_ids)))
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    @property
    def stride(self) -> int:
        """Image pixels per pixel of `fields`."""
        return self.spec.stride

    def fields(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, 2 + S + C, ceil(H / stride), ceil(W / stride)) raw maps."""
        out = self.body(self.normalized(padded(images, self.spec.multiple)))
        return trimmed(out, images.shape[-2:], self.spec)

    def normalized(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the body takes them."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, 2 + S + C, H, W) raw maps."""
        return enlarge(self.fields(images), images.shape[-2:], self.stride)


def padded(images: Tensor, multiple: int) -> Tensor:
    """Images (B, 3, H, W) with sides that a body takes: the last row and column go on."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images


def trimmed(out: Tensor, size: tuple[int, int] | torch.Size, spec: NetworkSpec) -> Tensor:
    """What a body makes of a padded image of `size` (H, W), as the fields of that image."""
    height, width = size
    if spec.fixed_sigma is not None:
        sigma = torch.full_like(out[:, 2 : 2 + spec.n_sigma], spec.fixed_sigma)
        out = torch.cat([out[:, :2], sigma, out[:, 2 + spec.n_sigma :]], 1)
    return out[..., : -(-height // spec.stride), : -(-width // spec.stride)]


def enlarge(fields: Tensor, size: tuple[int, int] | torch.Size, stride: int) -> Tensor:
    """Fields (B, C, ceil(H / stride), ceil(W / stride)) at full size (B, C, H, W), bilinear, centres aligned."""
    if stride == 1:
        return fields
    full = F.interpolate(fields, scale_factor=stride, mode="bilinear", align_corners=False)
    return full[..., : size[0], : size[1]]
