"""The branched ERFNet of the paper; parameter names and shapes are those of the authors' checkpoints.

Source: Neven et al., CVPR 2019 (arXiv 1906.11109), section 4; Romera et al., "ERFNet", T-ITS 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-3


class Downsampler(nn.Module):
    """Halves the resolution: a strided convolution beside a max pooling, concatenated."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out - channels_in, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(channels_out, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / 2, W / 2)."""
        return F.relu(self.bn(torch.cat([self.conv(x), F.max_pool2d(x, 2, 2)], 1)))


class NonBottleneck1D(nn.Module):
    """A residual block of four one-dimensional convolutions, the last two dilated."""

    def __init__(self, channels: int, dropout: float, dilation: int) -> None:
        super().__init__()
        self.conv3x1_1 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.conv1x3_1 = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.bn1 = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)
        self.conv3x1_2 = nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1))
        self.conv1x3_2 = nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation))
        self.bn2 = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = F.relu(self.conv3x1_1(x))
        y = F.relu(self.bn1(self.conv1x3_1(y)))
        y = F.relu(self.conv3x1_2(y))
        y = self.dropout(self.bn2(self.conv1x3_2(y)))
        return F.relu(x + y)


class Upsampler(nn.Module):
    """Doubles the resolution by a transposed convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1)
        self.bn = nn.BatchNorm2d(channels_out, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, 2 H, 2 W)."""
        return F.relu(self.bn(self.conv(x)))


class Encoder(nn.Module):
    """ERFNet's encoder, to an eighth of the resolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.initial_block = Downsampler(3, 16)
        self.layers = nn.ModuleList(
            [
                Downsampler(16, 64),
                *(NonBottleneck1D(64, 0.03, 1) for _ in range(5)),
                Downsampler(64, 128),
                *(NonBottleneck1D(128, 0.3, dilation) for dilation in (2, 4, 8, 16, 2, 4, 8, 16)),
            ]
        )
        # Only the authors' pre-training used it; checkpoints hold its weights.
        self.output_conv = nn.Conv2d(128, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 128, H / 8, W / 8)."""
        x = self.initial_block(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Decoder(nn.Module):
    """ERFNet's decoder, back to full resolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Upsampler(128, 64),
                *(NonBottleneck1D(64, 0, 1) for _ in range(2)),
                Upsampler(64, 16),
                *(NonBottleneck1D(16, 0, 1) for _ in range(2)),
            ]
        )
        self.output_conv = nn.ConvTranspose2d(16, outputs, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, H / 8, W / 8) -> (B, outputs, H, W)."""
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.output_conv(x)
        return out


class BranchedERFNet(nn.Module):
    """One shared encoder; a decoder for offsets and sigmas, and one for the seed maps."""

    multiple = 8  # the input's height and width are padded to multiples of this
    stride = 1  # input pixels per output pixel

    def __init__(self, branches: Sequence[int]) -> None:
        """`branches`: output channels of each decoder, (2 + n_sigma, classes)."""
        super().__init__()
        self.encoder = Encoder(sum(branches))
        self.decoders = nn.ModuleList(Decoder(outputs) for outputs in branches)
        sigma_layer = self.decoders[0].output_conv
        assert isinstance(sigma_layer, nn.ConvTranspose2d)
        assert sigma_layer.bias is not None
        with torch.no_grad():
            nn.init.zeros_(sigma_layer.weight)
            sigma_layer.bias[:2] = 0
            sigma_layer.bias[2:] = 1

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized, H and W multiples of 8 -> (B, sum(branches), H, W)."""
        shared = self.encoder(images)
        return torch.cat([decoder(shared) for decoder in self.decoders], 1)
