"""What runs the network: images in, raw maps out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from annotator.errors import UsageError
from annotator.model.checkpoint import Checkpoint, load_checkpoint
from annotator.model.network import RawMaps
from annotator.runtime.eager import EagerRuntime


class Runtime(Protocol):
    """A checkpoint on a device."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights and what they are."""

    @property
    def device(self) -> torch.device:
        """Where images are expected and maps are made."""

    def maps(self, images: Tensor, scale: float | None) -> RawMaps:
        """Images (B, 3, H, W) uint8 RGB on `device` -> their raw maps at the processed size.

        `scale` multiplies the size of the images; None processes them near the size the network was trained at.
        """


def load_runtime(weights: Path | None = None, device: str = "auto") -> Runtime:
    """The runtime for weights (None: the model in the package) on "auto", "cpu" or "cuda"[":N"].

    Raises CheckpointError for weights that can't be loaded, UsageError for a device that isn't there.
    """
    return EagerRuntime(load_checkpoint(weights), _device(device))


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no CUDA device here; use --device cpu, or auto")
    return torch.device(name)
