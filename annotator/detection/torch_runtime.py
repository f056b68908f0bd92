"""The network as PyTorch runs it, operation by operation."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from annotator.model.checkpoint import Checkpoint
from annotator.model.network import RawMaps
from annotator.model.preprocess import processed_size, resize

REDUCED = {"bf16": torch.bfloat16, "16": torch.float16}


class TorchRuntime:
    """PyTorch on a CPU or a CUDA device."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "32") -> None:
        """Runs a copy of the network, on the device, with numbers of "32" or "16" bits or as "bf16"."""
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        network = copy.deepcopy(checkpoint.network).eval()
        fold_batch_norms(network)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._encoded: list[Tensor] = []  # by the passes of a batch
        self._network.body.encoder.register_forward_hook(self._keep)

    @torch.inference_mode()
    def maps(self, images: Tensor, scale: float | None) -> RawMaps:
        """Images (B, 3, H, W) uint8 RGB on `device` -> their raw maps."""
        size = processed_size((images.shape[-2], images.shape[-1]), scale, self.checkpoint.spec.trained_size)
        x = resize(images, size).contiguous(memory_format=torch.channels_last)
        # On a CPU batches gain nothing, and one image at a time comes out with the same bits in any batch.
        parts = x.split(1) if self.device.type == "cpu" else [x]
        self._encoded.clear()
        with torch.autocast(self.device.type, REDUCED.get(self.precision), enabled=self.precision in REDUCED):
            fields = torch.cat([self._network.fields(part).float() for part in parts]).contiguous()
        return RawMaps(fields, self.checkpoint.spec, size, self._network.stride, torch.cat(self._encoded))

    def _keep(self, encoder: nn.Module, images: object, features: Tensor | list[Tensor]) -> None:
        """Keep the encoder's features at an eighth of the resolution; of several, those are the second."""
        self._encoded.append((features if isinstance(features, Tensor) else features[1]).float())


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware computes with bfloat16, faster than with 32 bits."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fold_batch_norms(module: nn.Module) -> None:
    """Put batch norms that stand right behind a convolution into its weights: a quarter less work on a CPU.

    For networks in evaluation mode, whose children stand in the order in which they are called.
    """
    from timm.layers import BatchNormAct2d

    before, name_before = None, ""
    for name, child in list(module.named_children()):
        if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            if before.out_channels == child.num_features:  # ERFNet's downsampler joins another branch between
                setattr(module, name_before, fuse_conv_bn_eval(before, child))
                # timm's batch norms end with an activation
                setattr(module, name, child.act if isinstance(child, BatchNormAct2d) else nn.Identity())
        else:
            fold_batch_norms(child)
        before, name_before = child, name
