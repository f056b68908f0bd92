"""What runs the network: images in, raw maps out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from annotator.detection.openvino_runtime import OpenVinoRuntime, OpenVinoUnusable
from annotator.detection.torch_runtime import TorchRuntime, has_fast_bf16
from annotator.errors import UsageError
from annotator.model.checkpoint import Checkpoint, load_checkpoint
from annotator.model.network import RawMaps
from annotator.options.labelling import KNOWN_DEVICE

log = logging.getLogger(__name__)


class Runtime(Protocol):
    """A checkpoint on a device."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights and what they are."""

    @property
    def name(self) -> str:
        """What computes: "torch" or "openvino"."""

    @property
    def device(self) -> torch.device:
        """Where images are expected and maps are made."""

    @property
    def precision(self) -> str:
        """Numbers that the network computes with: "32", "16", "bf16" or "int8"."""

    def maps(self, images: Tensor, scale: float | None) -> RawMaps:
        """Images (B, 3, H, W) uint8 RGB on `device` -> their raw maps.

        `scale` multiplies the size of the images; None processes them near the size the network was trained at.
        """


def load_runtime(
    weights: Path | None = None, device: str = "auto", precision: str = "auto", runtime: str = "auto"
) -> Runtime:
    """The runtime for weights (None: the model in the package) on "auto", "cpu" or "cuda"[":N"].

    `runtime` is "torch", "openvino" (which runs on CPUs), or "auto": OpenVINO on a CPU, if it is there and does what
    PyTorch does, else PyTorch. `precision` is "32", "16" (CUDA), "bf16", "int8" (OpenVINO, of weights that are
    quantized), or "auto", which takes the fastest of those. Raises CheckpointError for weights that can't be loaded,
    UsageError for a device that isn't there, or a runtime or precision that can't be had.
    """
    chosen = _choose_runtime(weights, device, precision, runtime)
    log.info("the network runs in %s on %s, precision %s", chosen.name, chosen.device, chosen.precision)
    return chosen


def _choose_runtime(weights: Path | None, device: str, precision: str, runtime: str) -> Runtime:
    there = _device(device)
    checkpoint = load_checkpoint(weights)
    if runtime == "torch" or there.type != "cpu" or (runtime == "auto" and precision == "16"):
        return _torch_runtime(checkpoint, there, precision)
    try:
        return OpenVinoRuntime(checkpoint, _precision_of_openvino(checkpoint, precision))
    except OpenVinoUnusable as error:
        if runtime == "openvino" or precision == "int8":
            raise UsageError(f"OpenVINO: {error}; use `runtime` torch") from error
        log.warning("PyTorch runs the network, as OpenVINO can't: %s", error)
        return _torch_runtime(checkpoint, there, precision)


def _precision_of_openvino(checkpoint: Checkpoint, asked: str) -> str:
    if asked == "16":
        raise UsageError("`precision` 16: OpenVINO computes with 32, bf16 or int8 on a CPU")
    if asked != "auto":
        return asked
    if checkpoint.quantized is not None:
        return "int8"
    return "bf16" if has_fast_bf16(torch.device("cpu")) else "32"


def _torch_runtime(checkpoint: Checkpoint, device: torch.device, asked: str) -> TorchRuntime:
    if asked == "int8":
        raise UsageError("`precision` int8: is for OpenVINO on a CPU; leave `runtime` and `device` out")
    if asked == "16" and device.type == "cpu":
        raise UsageError("`precision` 16: is for CUDA; use 32 or bf16 on a CPU")
    if asked == "auto":
        asked = "bf16" if has_fast_bf16(device) else "32"
    return TorchRuntime(checkpoint, device, asked)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not KNOWN_DEVICE.fullmatch(name):
        raise UsageError(f"`device` does not know {name!r}; choose from auto, cpu, cuda, cuda:N")
    device = torch.device(name)
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= present:
        raise UsageError(
            f"`device` {name}: PyTorch finds {present or 'no'} CUDA device{'s' * (present > 1)} here;"
            " use `device` cpu, or auto"
        )
    return device
