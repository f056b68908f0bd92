"""What runs the network: images in, raw maps out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from annotator.detection.torch_runtime import TorchRuntime, has_fast_bf16
from annotator.errors import UsageError
from annotator.model.checkpoint import Checkpoint, load_checkpoint
from annotator.model.network import RawMaps
from annotator.options.labelling import KNOWN_DEVICE


class Runtime(Protocol):
    """A checkpoint on a device."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights and what they are."""

    @property
    def device(self) -> torch.device:
        """Where images are expected and maps are made."""

    @property
    def precision(self) -> str:
        """Numbers that the network computes with: "32" or "bf16"."""

    def maps(self, images: Tensor, scale: float | None) -> RawMaps:
        """Images (B, 3, H, W) uint8 RGB on `device` -> their raw maps at the processed size.

        `scale` multiplies the size of the images; None processes them near the size the network was trained at.
        """


def load_runtime(weights: Path | None = None, device: str = "auto", precision: str = "auto") -> Runtime:
    """The runtime for weights (None: the model in the package) on "auto", "cpu" or "cuda"[":N"].

    `precision` is "32", "bf16", or "auto", which takes bf16 where that is fast. Raises CheckpointError for weights
    that can't be loaded, UsageError for a device that isn't there.
    """
    there = _device(device)
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(there) else "32"
    return TorchRuntime(load_checkpoint(weights), there, precision)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not KNOWN_DEVICE.fullmatch(name):
        raise UsageError(f"--device does not know {name!r}; choose from auto, cpu, cuda, cuda:N")
    device = torch.device(name)
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= present:
        raise UsageError(
            f"--device {name}: PyTorch finds {present or 'no'} CUDA device{'s' * (present > 1)} here;"
            " use --device cpu, or auto"
        )
    return device
