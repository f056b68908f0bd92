"""The training loop: sample, step, average, save; a stopped training goes on where it was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from annotator.errors import AnnotatorError, UsageError
from annotator.model.checkpoint import save_checkpoint
from annotator.model.network import NetworkSpec, SpatialEmbeddingNetwork
from annotator.options import TrainingOptions
from annotator.training.augmentation import crop, paste, target
from annotator.training.data import LabelledImage, LabelledImages
from annotator.training.loss import Target, spatial_embedding_loss


class Progress(NamedTuple):
    """Where the training is."""

    step: int
    loss: float  # mean since the last report
    learning_rate: float


Sample = tuple[Tensor, Target]  # image (3, h, w) uint8 and what is in it


class Crops(Dataset[Sample | UsageError]):
    """Crop i is the same whoever asks: resumed trainings see what undisturbed ones see."""

    def __init__(
        self,
        data: LabelledImages,
        source_weights: dict[str, float],
        spec: NetworkSpec,
        stride: int,
        options: TrainingOptions,
    ) -> None:
        self.data, self.spec, self.stride, self.options = data, spec, stride, options
        sources = data.sources()
        if unknown := set(source_weights) - set(sources):
            raise UsageError(
                f"no source {', '.join(sorted(unknown))} in the data; it has {', '.join(sorted(sources))}"
            )
        self.numbers = [sources[name] for name in source_weights]
        self.weights = np.array(list(source_weights.values())) / sum(source_weights.values())
        self.shares = [
            repeat_factors([data.classes(number) for number in numbers], options.crop.rare)
            for numbers in self.numbers
        ]

    def __getitem__(self, index: int) -> Sample | UsageError:
        """A crop; a fault is returned, because raised in a worker it would come with the worker's traceback."""
        rng = np.random.default_rng((self.options.seed, index))
        source = int(rng.choice(len(self.numbers), p=self.weights))
        try:
            labelled = self._draw(source, rng)
            if rng.random() < self.options.crop.pasted:
                labelled = paste(labelled, self._draw(source, rng), rng)
        except UsageError as error:
            return error
        image, labels = crop(labelled, rng, self.options.crop, self.stride)
        goal = target(labels, labelled, self.spec.class_ids, self.options.crop.min_field_pixels)
        return torch.from_numpy(image).permute(2, 0, 1), goal

    def _draw(self, source: int, rng: np.random.Generator) -> LabelledImage:
        return self.data.image(int(rng.choice(self.numbers[source], p=self.shares[source])))


def train(
    network: SpatialEmbeddingNetwork,
    data: LabelledImages,
    source_weights: dict[str, float],
    out: Path,
    options: TrainingOptions,
    provenance: dict[str, Any],
    report_every: int = 50,
    save_every: int = 250,
) -> Iterator[Progress]:
    """Train, yielding progress; OUT/last.safetensors is usable all along, OUT/state.pt is for going on."""
    out.mkdir(parents=True, exist_ok=True)
    spec = network.spec
    crops = Crops(data, source_weights, spec, network.stride, options)
    grid = _field_grid(spec, options.crop.size, network.stride)
    foreground = foreground_weights(data.class_shares(), spec.class_ids)
    optimizer = _optimizer(network, options)
    average = AveragedModel(network, multi_avg_fn=_moving_average(options.average_decay), use_buffers=True)
    step = _resume(out / "state.pt", network, average, optimizer)

    network.train()
    _make_fast(network)
    losses: list[float] = []
    for images, targets in _batches(crops, step, options):
        rate = _set_rate(optimizer, step, options)
        with torch.autocast("cpu", torch.bfloat16):
            raw = network.fields(images.contiguous(memory_format=torch.channels_last).float() / 255)
        loss = spatial_embedding_loss(raw.float(), targets, grid, spec.n_sigma, foreground, options.loss)
        if not torch.isfinite(loss):
            raise AnnotatorError(
                f"the loss is {loss.item()} at step {step}: lower the learning rate; {out} keeps the last good weights"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.max_gradient)
        optimizer.step()
        average.update_parameters(network)
        step += 1
        losses.append(loss.item())
        if step % save_every == 0 or step == options.steps:
            _save(out, network, average, optimizer, step, options, provenance)
        if step % report_every == 0 or step == options.steps:
            yield Progress(step, sum(losses) / len(losses), rate)
            losses.clear()


def repeat_factors(classes: Sequence[frozenset[int]], rare: float) -> npt.NDArray[np.float64]:
    """Probability of each image (N,): max over its classes of max(1, sqrt(rare / share of images with the class)).

    Source: Gupta et al., "LVIS" (CVPR 2019), section 4.
    """
    counts = Counter(class_id for shown in classes for class_id in shown)
    factors = np.array(
        [
            max((math.sqrt(rare * len(classes) / counts[class_id]) for class_id in shown), default=1.0)
            for shown in classes
        ]
    )
    factors = np.maximum(factors, 1)
    return factors / factors.sum()


def foreground_weights(shares: dict[int, float], class_ids: Sequence[int]) -> Tensor:
    """Weight of each class's foreground in its seed term, 1 / ln(1.02 + share of pixels): (C,) float32.

    Source: Paszke et al., "ENet" (arXiv 1606.02147), section 5.2.
    """
    return torch.tensor([1 / math.log(1.02 + shares.get(class_id, 0.0)) for class_id in class_ids])


def _field_grid(spec: NetworkSpec, size: tuple[int, int], stride: int) -> Tensor:
    return spec.grid.coordinates((size[0] // stride, size[1] // stride), stride)


def _make_fast(network: nn.Module) -> None:
    """Lay convolutions out by pixels, and keep depthwise ones out of bfloat16.

    Measured on a CPU with AVX512-BF16: the weight gradient of a depthwise 5x5 convolution takes oneDNN five times as
    long in bfloat16 as in float32, which made it half of the backward pass.
    """
    network.to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.requires_grad:
            module.forward = partial(_in_float32, module.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


def _moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential moving average that starts as a plain mean, so that the first weights are soon forgotten."""

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share)
            else:
                average.copy_(value)

    return update


def _optimizer(network: SpatialEmbeddingNetwork, options: TrainingOptions) -> torch.optim.Optimizer:
    encoder = [p for p in network.body.encoder.parameters() if p.requires_grad]
    decoders = list(network.body.decoders.parameters())
    groups = [{"params": encoder, "relative": options.encoder_rate}, {"params": decoders, "relative": 1.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay)


def _set_rate(optimizer: torch.optim.Optimizer, step: int, options: TrainingOptions) -> float:
    """Linear warm-up, then polynomial decay with power 0.9, as in the paper."""
    rate = (
        options.learning_rate * min(1, (step + 1) / options.warmup_steps) * (1 - step / options.steps) ** 0.9
    )
    for group in optimizer.param_groups:
        group["lr"] = rate * group["relative"]
    return rate


def _batches(
    crops: Crops, first_step: int, options: TrainingOptions
) -> Iterator[tuple[Tensor, list[Target]]]:
    loader: DataLoader[Any] = DataLoader(
        crops,
        batch_size=options.batch_size,
        sampler=range(first_step * options.batch_size, options.steps * options.batch_size),
        num_workers=1,
        prefetch_factor=4,
        collate_fn=list,
    )
    for samples in loader:
        for sample in samples:
            if isinstance(sample, UsageError):
                raise sample
        yield torch.stack([image for image, _ in samples]), [goal for _, goal in samples]


def _save(
    out: Path,
    network: SpatialEmbeddingNetwork,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    step: int,
    options: TrainingOptions,
    provenance: dict[str, Any],
) -> None:
    state = {
        "step": step,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    partial = out / "state.pt.part"
    torch.save(state, partial)
    partial.replace(out / "state.pt")
    averaged = average.module
    assert isinstance(averaged, SpatialEmbeddingNetwork)
    save_checkpoint(
        out / "last.safetensors", averaged, {**provenance, "step": step, "options": asdict(options)}
    )


def _resume(
    path: Path, network: SpatialEmbeddingNetwork, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> int:
    """Load the state of a stopped training, if there is one; returns the steps already done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
