"""Where a training runs: processes, device and precision, by Lightning Fabric; and what makes its passes fast."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from annotator.detection.torch_runtime import has_fast_bf16
from annotator.errors import UsageError
from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import TrainingOptions
from annotator.training.batched_loss import BatchTarget, batched_loss, together
from annotator.training.crops import Batch, Rank
from annotator.training.loss import Target, spatial_embedding_loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def launch(device: str, precision: str) -> Fabric:
    """This process as one of a training, alone or with the others that torchrun has started.

    Raises UsageError when Fabric is not installed, or the device is not there.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            from lightning_fabric import Fabric
    except ImportError as error:
        raise UsageError(
            'training needs Lightning Fabric: pip install "spatialemb-annotate[train]"'
        ) from error
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("`device` cuda: PyTorch finds no CUDA device here; use `device` cpu, or auto")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    processes, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        accelerator="cuda" if _is_gpu(device) else "cpu",
        devices=here,
        num_nodes=processes // here,
        strategy="ddp" if processes > 1 else "auto",
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def rank_of(fabric: Fabric) -> Rank:
    """Which crops this process takes."""
    return Rank(fabric.global_rank, fabric.world_size)


def fast_precision(device: str) -> str:
    """bf16 where the hardware computes with it, else 16 on a GPU and 32 on a CPU."""
    kind, slow = ("cuda", "16") if _is_gpu(device) else ("cpu", "32")
    return "bf16" if has_fast_bf16(torch.device(kind)) else slow


def _is_gpu(device: str) -> bool:
    return device != "cpu" and torch.cuda.is_available()


class NetworkWithLoss(nn.Module):
    """The network with its loss: what an engine wraps sees one call a pass."""

    def __init__(
        self, network: SpatialEmbeddingNetwork, foreground_weights: Tensor, options: TrainingOptions
    ) -> None:
        super().__init__()
        self.network = network
        self._options = options.loss
        stride = network.stride
        size = (options.crop.size[0] // stride, options.crop.size[1] // stride)
        self.register_buffer("grid", network.spec.grid.coordinates(size, stride), persistent=False)
        self.register_buffer("foreground_weights", foreground_weights, persistent=False)
        self.grid: Tensor
        self.foreground_weights: Tensor

    def forward(self, images: Tensor, targets: Sequence[Target] | BatchTarget) -> Tensor:
        """Images (B, 3, h, w) uint8 and what is in them -> scalar loss, computed with 32 bits."""
        raw = self.network.fields(images.contiguous(memory_format=torch.channels_last).float() / 255)
        given = self.grid, self.network.spec.n_sigma, self.foreground_weights, self._options
        with torch.autocast(raw.device.type, enabled=False):
            if isinstance(targets, BatchTarget):
                return batched_loss(raw.float(), targets, *given)
            return spatial_embedding_loss(raw.float(), targets, *given)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Crops and what is in them on a device, there as the loss is quickest with them."""
    images, targets = batch
    if isinstance(targets, BatchTarget):
        return images.to(device), targets.to(device)
    if device.type == "cuda":
        return images.to(device), together(targets).to(device)
    return images, targets


def make_fast(network: nn.Module, device: torch.device) -> None:
    """Lay convolutions out by pixels; on a CPU, keep depthwise ones out of bfloat16.

    Measured on a CPU with AVX512-BF16: the weight gradient of a depthwise 5x5 convolution takes oneDNN five times as
    long in bfloat16 as in float32, which made it half of the backward pass.
    """
    network.to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = device.type == "cuda"  # crops are all of one size
    if device.type == "cpu":
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.requires_grad:
                module.forward = partial(_in_float32, module.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the crops of all processes, on any device.

    With it processes that share a batch compute what one process would with the whole of it. PyTorch's own refuses
    tensors on CPUs, where training in several processes is to work too, and its `convert_sync_batchnorm` would take the
    activation out of timm's BatchNormAct2d.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W); as many crops in every process."""
        if not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            moments = torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))])
            from torch.distributed.nn.functional import all_reduce

            mean, square = all_reduce(moments) / distributed.get_world_size()
            variance = square - mean.square()
            self._count(mean.detach(), variance.detach(), x.numel() // x.shape[1])
            scale = self.weight * (variance + self.eps).rsqrt()
            shift = self.bias - mean * scale
            return values * scale[:, None, None] + shift[:, None, None]

    @torch.no_grad()
    def _count(self, mean: Tensor, variance: Tensor, pixels: int) -> None:
        """Move the running statistics, with the unbiased variance as PyTorch does."""
        count = pixels * distributed.get_world_size()
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        self.num_batches_tracked += 1


def synchronize_batch_norm(module: nn.Module) -> None:
    """Turn the batch norms of a network into ones that span all processes."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SyncedBatchNorm
