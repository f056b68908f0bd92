"""The fast network: a timm encoder under two light decoders with skip connections.

The decoders end at a quarter of the resolution and a transposed convolution doubles that: fields at half
resolution, which the caller enlarges. On a CPU most of the time goes into high resolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (128, 96, 64, 48)  # decoder channels at strides 32, 16, 8, 4


def conv_bn_relu(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class SkipDecoder(nn.Module):
    """From the deepest feature upwards: enlarge, join the encoder's feature of that size, convolve."""

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        """`channels`: of the encoder's features at strides 4, 8, 16, 32."""
        super().__init__()
        self.deepest = conv_bn_relu(channels[-1], WIDTHS[0], 1)
        self.join = nn.ModuleList(
            conv_bn_relu(below + skip, width, 3)
            for (below, width), skip in zip(pairwise(WIDTHS), reversed(channels[:-1]), strict=True)
        )
        self.refine = nn.ModuleList(conv_bn_relu(width, width, 3) for width in WIDTHS[2:])
        self.output_conv = nn.ConvTranspose2d(WIDTHS[-1], outputs, 2, stride=2)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> (B, outputs, H / 2, W / 2)."""
        x = self.deepest(features[-1])
        for level, (join, skip) in enumerate(zip(self.join, reversed(features[:-1]), strict=True)):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = join(torch.cat([x, skip], 1))
            if level > 0:
                x = self.refine[level - 1](x)
        out: Tensor = self.output_conv(x)
        return out


class TimmUNet(nn.Module):
    """A timm encoder; a decoder for offsets and sigmas, and one for the seed maps."""

    multiple = 32
    stride = 2

    def __init__(self, branches: Sequence[int], encoder: str = "tf_efficientnet_lite0") -> None:
        """`branches`: output channels of each decoder, (2 + n_sigma, classes). Weights start random."""
        import timm  # here: it takes seconds and 300 MB, and eight bits do without

        super().__init__()
        self.encoder = timm.create_model(
            encoder, features_only=True, pretrained=False, out_indices=(1, 2, 3, 4)
        )
        channels = self.encoder.feature_info.channels()
        decoders = [SkipDecoder(channels, outputs) for outputs in branches]
        self.decoders = nn.ModuleList(decoders)
        instance, seed = (decoder.output_conv for decoder in decoders)
        assert instance.bias is not None
        assert seed.bias is not None
        with torch.no_grad():
            nn.init.zeros_(instance.weight)
            instance.bias[:2] = 0
            instance.bias[2:] = 0.5  # a bandwidth of about 5 % of the grid's unit: a middling object
            seed.bias[:] = -3  # nearly all pixels are background

    def freeze(self, stages: int) -> None:
        """Keep the encoder's stem and its first `stages` stages as they are."""
        for module in (self.encoder.conv_stem, self.encoder.bn1, *self.encoder.blocks[:stages]):
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As usual, but the encoder's batch norm keeps its ImageNet statistics: crops are few and alike."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized, H and W multiples of 32 -> (B, sum(branches), H / 2, W / 2)."""
        features = self.encoder(images)
        return torch.cat([decoder(features) for decoder in self.decoders], 1)
