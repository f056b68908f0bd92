"""What the network's outputs mean: spatial embedding, bandwidth and seed maps on a fixed coordinate grid.

Source: Neven et al., CVPR 2019 (arXiv 1906.11109), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Coordinates of the pixels that offsets are added to. It belongs to the checkpoint, not to the image."""

    extent_x: float  # grid units that `points_x` pixels of the processed image span, first centre to last
    points_x: int
    extent_y: float
    points_y: int

    def coordinates(
        self, size: tuple[int, int], stride: int = 1, device: torch.device | None = None
    ) -> Tensor:
        """(2, h, w) float32, x then y: centres of field pixels that are `stride` image pixels wide.

        A larger image extends the same steps; they are never stretched.
        """
        height, width = size
        x = _axis(self.extent_x, self.points_x, width, stride)
        y = _axis(self.extent_y, self.points_y, height, stride)
        return torch.stack([x.expand(height, width), y[:, None].expand(height, width)]).to(device)


def _axis(extent: float, points: int, count: int, stride: int) -> Tensor:
    pixels = torch.arange(count, dtype=torch.float64) * stride + (stride - 1) / 2
    axis = (pixels * (extent / (points - 1))).to(torch.float32)
    if stride == 1:  # to the last bit what the authors' networks were trained with
        shared = min(count, points)
        axis[:shared] = torch.linspace(0, extent, points)[:shared]
    return axis


# The authors' steps differ slightly between the axes.
PAPER_GRID = Grid(2, 2048, 1, 1024)


@dataclass(frozen=True)
class EmbeddingMaps:
    """One image's maps, or n of their pixels (n instead of H, W), decoded; on the device that made them."""

    embedding: Tensor  # (2, H, W) float32, grid units, x then y
    sigma: Tensor  # (S, H, W) float32: exp(10 * raw), 1 / (2 * bandwidth^2) up to the constant; S = 1 or 2
    seed: Tensor  # (C, H, W) float32 in [0, 1]


def decode(raw: Tensor, n_sigma: int, grid: Tensor) -> EmbeddingMaps:
    """Raw maps (2 + S + C, H, W) and grid coordinates (2, H, W) -> EmbeddingMaps; or pixels, n instead of H, W."""
    raw = raw.float()
    return EmbeddingMaps(
        embedding=torch.tanh(raw[:2]) + grid,
        sigma=torch.exp(raw[2 : 2 + n_sigma] * 10),
        seed=torch.sigmoid(raw[2 + n_sigma :]),
    )
