"""train(): a training on one screen. A stopped one goes on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from annotator.errors import AnnotatorError, OutputError, UsageError
from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import TrainingJob, TrainingOptions
from annotator.training.checkpointing import BEST, State
from annotator.training.crops import Batch, Crops, batches, cache_bytes
from annotator.training.datasets import WeightedDataset, mix_of, open_files, open_parts
from annotator.training.device_crops import DeviceCrops
from annotator.training.device_images import DeviceImages, fit_on
from annotator.training.distributed import (
    NetworkWithLoss,
    fast_precision,
    launch,
    make_fast,
    on_device,
    rank_of,
    synchronize_batch_norm,
)
from annotator.training.images import CachedImages, ImageFiles, subsample
from annotator.training.initialization import initial_network
from annotator.training.metrics_log import Log
from annotator.training.validation import Validation, detector_of, write_pictures

if TYPE_CHECKING:
    from lightning_fabric import Fabric

REPORT_EVERY = 50  # steps
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class Progress:
    """Where a training is."""

    step: int  # steps done
    steps: int  # of the whole training
    loss: float  # mean since the last report
    learning_rate: float
    crops_per_second: float  # of all processes, since the last report
    scores: Mapping[str, float] = field(default_factory=dict)  # of the validation after this step, if any
    remarks: Sequence[str] = ()  # of the data, in sentences; with the first report alone


def train(job: TrainingJob) -> Iterator[Progress]:
    """Train as `job` says, yielding progress; close the iterator to stop.

    OUT/last.safetensors is usable all along, OUT/best.safetensors is the best by validation, OUT/state.pt is for going
    on. Under torchrun every process calls this; the first one writes. Raises UsageError for bad data or options,
    AnnotatorError when the loss is no number or memory runs out; the last good checkpoint stays.
    """
    asked = job.options.precision
    precision = fast_precision(job.device) if asked == "auto" else asked
    training = Training(launch(job.device, precision), job, skips_infinite=precision == "16")
    with training.log, closing(training.micro_batches_of_steps()) as micro_batches_of_steps:
        for micro_batches in micro_batches_of_steps:
            training.train_step(micro_batches)
            if training.is_due(job.validate_every):
                training.validate()
            if training.is_due(job.save_every):
                training.save()
            if training.is_due(REPORT_EVERY, job.validate_every):
                yield training.report()
            if training.is_finished:
                break


class Training:
    """A training in one process."""

    def __init__(self, fabric: Fabric, job: TrainingJob, skips_infinite: bool) -> None:
        """Opens the data, builds the network, and goes on from what OUT holds.

        `skips_infinite`: the engine scales losses, and leaves out steps where that made gradients infinite.
        """
        self._fabric, self._job, self._skips_infinite = fabric, job, skips_infinite
        options = job.options
        network = initial_network(job.weights, options)
        require_crops(options.crop.size, network.stride)
        mix = mix_of(job.labels, job.images, job.validation, job.reading)
        require_folder(job.out)
        self._started = time.monotonic()
        with fabric.rank_zero_first():  # who else makes files of the frames of videos
            parts = open_parts(mix.training, network.spec.trained_size, job.out / "frames")
            sets = [
                open_files(each, network.spec.trained_size, job.out / "frames") for each in mix.validation
            ]
        self._validation = validation_of(sets, job)
        self._remarks = [*remarks((part.name, part.skipped) for part in parts)]
        self._remarks += remarks(
            (each.name, images.skipped) for each, images in zip(mix.validation, sets, strict=True)
        )
        self.steps = length(options, parts, fabric.world_size)
        self._crops = crops_of(parts, network, job, fabric.device)
        self._rank = rank_of(fabric)

        optimizer = optimizer_of(network, options)
        average = AveragedModel(network, use_buffers=True).to(fabric.device)
        module = NetworkWithLoss(network, foreground_weights(parts, network.spec.class_ids), options)
        prepare(network, job, fabric)
        self._module, self._optimizer = fabric.setup(module, optimizer)
        self._state = State(
            network, average, optimizer, run_metadata(job, parts, self.steps, fabric.world_size)
        )
        self._state.load(job.out)
        self.log = Log(job.out, self._state.step, is_silent=not fabric.is_global_zero)
        self._seconds_before = self._state.seconds
        self._unchecked: list[tuple[int, Tensor, Tensor]] = []  # steps, losses, norms of gradients
        self._losses: list[float] = []
        self._scores: dict[str, float] = {}
        self._rate = 0.0
        self._share = self.share_done()
        self._began = time.monotonic()

    def micro_batches_of_steps(self) -> Generator[list[Batch], None, None]:
        """The crops of every step that is left."""
        self._began = time.monotonic()
        first = self._state.step
        last = first if self.is_finished else self.steps
        if isinstance(self._crops, DeviceCrops):
            return self._crops.batches(first, last, self._rank)
        return batches(self._crops, first, last, self._rank, self._job.workers)

    def share_done(self) -> float:
        """How much of the training is done, from 0 to 1: by steps, or by the time that the first process took."""
        minutes = self._job.options.minutes
        if minutes is None:
            return self._state.step / self.steps if self.steps else 1.0
        seconds = self._seconds_before + time.monotonic() - self._started
        if self._rank.count > 1:
            seconds = self._fabric.broadcast(seconds)
        self._state.seconds = seconds
        return min(1.0, seconds / (60 * minutes))

    @property
    def is_finished(self) -> bool:
        """Whether no step is left."""
        return self._share >= 1

    def is_due(self, *every: int) -> bool:
        """Whether to do what is done every so many steps, and at the end."""
        return self.is_finished or any(self._state.step % steps == 0 for steps in every)

    def train_step(self, micro_batches: Sequence[Batch]) -> None:
        """Move the weights along the mean gradient of all micro-batches of all processes."""
        state, options = self._state, self._job.options
        torch.manual_seed(options.seed + state.step * self._rank.count + self._rank.index)  # of dropout
        self._rate = set_learning_rate(state.optimizer, state.step, self._share, options)
        try:
            losses = [
                self._backward(batch, k == len(micro_batches) - 1) for k, batch in enumerate(micro_batches)
            ]
            mean = self._fabric.all_reduce(torch.stack(losses).mean())
            assert isinstance(mean, Tensor)
            self._unchecked.append((state.step, mean, self._clip(options.max_gradient)))
            if self._fabric.device.type != "cuda":  # which would wait for the device at every step
                self._require_finite()
            self._optimizer.step()
        except (MemoryError, RuntimeError) as error:
            raise _explained(error, state.step) from error
        self._optimizer.zero_grad(set_to_none=True)
        state.step_done(options.average_decay)
        self._share = self.share_done()

    def _backward(self, batch: Batch, is_last: bool) -> Tensor:
        images, targets = on_device(batch, self._fabric.device)
        with self._fabric.no_backward_sync(self._module, enabled=not is_last):
            loss = self._module(images, targets)
            self._fabric.backward(loss / self._job.options.accumulate)
        return loss.detach()

    def _clip(self, most: float | None) -> Tensor:
        """The norm of the gradient, before it is held to `most`."""
        norm = self._fabric.clip_gradients(
            self._module, self._optimizer, max_norm=most or math.inf, error_if_nonfinite=False
        )
        assert norm is not None  # as it is where Fabric clips by value
        return norm

    def _require_finite(self) -> None:
        """Raise AnnotatorError when a loss or a gradient since the last time is none; before anything is saved."""
        for step, loss, norm in self._unchecked:
            self._losses.append(loss.item())
            figures = {"loss": self._losses[-1]} | ({} if self._skips_infinite else {"gradient": float(norm)})
            for what, value in figures.items():
                if not math.isfinite(value):
                    raise AnnotatorError(
                        f"the {what} is {value} at step {step}: lower the learning rate, or look for damaged"
                        f" labels; {self._job.out} keeps the last good weights"
                    )
        self._unchecked = []

    def validate(self) -> None:
        """Score the averaged weights, keep them if they are the best so far, and draw what they see."""
        self._require_finite()
        state, out = self._state, self._job.out
        if self._validation and self._fabric.is_global_zero:
            detector = detector_of(state.averaged, self._fabric.device)
            self._scores = self._validation.score(detector)
            self.log.add("validation", state.step, self._scores)
            if self._scores["AP"] > state.best:
                state.best = self._scores["AP"]
                state.save_checkpoint(out / BEST)
            pictures = self._validation.pictures(detector)
            write_pictures(pictures, out / "pictures", state.step)
            for k, picture in enumerate(pictures):
                self.log.add_picture(f"validation/{k}", state.step, picture)
        self._fabric.barrier()

    def save(self) -> None:
        """Write the state and the last checkpoint."""
        self._require_finite()
        if self._fabric.is_global_zero:
            self._state.save(self._job.out)
        self._fabric.barrier()

    def report(self) -> Progress:
        """Where the training is; logs it."""
        self._require_finite()
        now = time.monotonic()
        crops = self._job.options.batch_size * self._job.options.accumulate * self._rank.count
        progress = Progress(
            step=self._state.step,
            steps=self.steps or max(self._state.step, round(self._state.step / max(self._share, 1e-6))),
            loss=sum(self._losses) / len(self._losses),
            learning_rate=self._rate,
            crops_per_second=crops * len(self._losses) / (now - self._began),
            scores=self._scores,
            remarks=self._remarks,
        )
        self._losses, self._scores, self._remarks, self._began = [], {}, [], now
        kept = ("loss", "learning_rate", "crops_per_second")
        self.log.add("training", progress.step, {name: getattr(progress, name) for name in kept})
        return progress


# ---- what a training is made of


def validation_of(sets: Sequence[ImageFiles], job: TrainingJob) -> Validation | None:
    """The images to score with; None when there are none."""
    if not sets:
        return None
    total = sum(map(len, sets))
    share = min(1, job.validation_images / total)
    return Validation([subsample(images, max(1, round(share * len(images)))) for images in sets])


def remarks(sets: Iterable[tuple[str, Mapping[str, int]]]) -> Iterator[str]:
    """What was left out of each set, by its name."""
    for name, skipped in sets:
        said = [f"{count} {what}" for what, count in sorted(skipped.items()) if count]
        if said:
            yield f"{name}: left out {', '.join(said)}"


def cached(parts: Sequence[WeightedDataset], job: TrainingJob) -> list[WeightedDataset]:
    """The parts with their images kept in memory, each by its number of images."""
    limit, total = cache_bytes(job.cache, job.workers), sum(len(part.images) for part in parts)
    return [
        replace(part, images=CachedImages(part.images, limit * len(part.images) // total)) for part in parts
    ]


def crops_of(
    parts: Sequence[WeightedDataset], network: SpatialEmbeddingNetwork, job: TrainingJob, device: torch.device
) -> Crops | DeviceCrops:
    """What makes the crops: a GPU that has room for all images, or worker processes."""
    crops = Crops(cached(parts, job), network.spec, network.stride, job.options)
    images = [part.images for part in parts]
    if not fit_on(device, images, network.spec.trained_size):
        return crops
    return DeviceCrops(crops, DeviceImages(images, device, job.workers))


def length(options: TrainingOptions, parts: Sequence[WeightedDataset], processes: int) -> int | None:
    """Steps of the whole training; None where its time is given instead."""
    if options.minutes is not None:
        return None
    if options.epochs is None:
        return options.steps
    images = sum(len(part.images) for part in parts)
    return math.ceil(options.epochs * images / (options.batch_size * options.accumulate * processes))


def run_metadata(
    job: TrainingJob, parts: Sequence[WeightedDataset], steps: int | None, processes: int
) -> dict[str, Any]:
    """What shapes the weights, for checkpoints: no folders of this machine."""
    total = sum(part.share for part in parts)
    return {
        "data": [
            {"name": part.name, "images": len(part.images), "share": part.share / total} for part in parts
        ],
        "started_from": job.weights.name if job.weights else None,
        "steps": steps,
        "processes": processes,
        "options": asdict(job.options),
    }


def foreground_weights(parts: Sequence[WeightedDataset], class_ids: Sequence[int]) -> Tensor:
    """Weight of each class's foreground in its seed term, 1 / ln(1.02 + share of pixels): (C,) float32.

    The share is that of the pixels of all images in which the class is labelled. Source: Paszke et al., "ENet"
    (arXiv 1606.02147), section 5.2.
    """
    counts = [part.images.pixel_counts() for part in parts]

    def share(class_id: int) -> float:
        of_class = [count[class_id] for count in counts if class_id in count]
        return sum(covered for covered, _ in of_class) / max(1, sum(pixels for _, pixels in of_class))

    return torch.tensor([1 / math.log(1.02 + share(class_id)) for class_id in class_ids])


def optimizer_of(network: SpatialEmbeddingNetwork, options: TrainingOptions) -> Optimizer:
    """The optimizer, with a rate of its own for the encoder."""
    encoder = [p for p in network.body.encoder.parameters() if p.requires_grad]
    decoders = list(network.body.decoders.parameters())
    groups = [{"params": encoder, "relative": options.encoder_rate}, {"params": decoders, "relative": 1.0}]
    kind = {"adam": Adam, "adamw": AdamW}[options.optimizer]
    return kind(groups, lr=options.learning_rate, weight_decay=options.weight_decay)


def set_learning_rate(optimizer: Optimizer, step: int, done: float, options: TrainingOptions) -> float:
    """Linear warm-up, then polynomial decay with power 0.9, as in the paper. Returns the decoders' rate.

    `done`: share of the training that is done, by steps or by time.
    """
    rate = options.learning_rate * min(1, (step + 1) / options.warmup_steps) * (1 - done) ** 0.9
    for group in optimizer.param_groups:
        group["lr"] = rate * group["relative"]
    return rate


def prepare(network: SpatialEmbeddingNetwork, job: TrainingJob, fabric: Fabric) -> None:
    """Make a network ready for passes here."""
    network.train()
    if job.options.frozen_statistics:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    make_fast(network, fabric.device)
    if fabric.world_size > 1:
        synchronize_batch_norm(network)
    if job.compiled:
        torch._dynamo.config.suppress_errors = True  # what can't be compiled runs as it is
        network.body.compile()


def require_crops(size: tuple[int, int], stride: int) -> None:
    """Raise UsageError for crops (H, W) that the network has no whole number of field pixels for."""
    if size[0] % stride or size[1] % stride:
        raise UsageError(f"`size` {size[0]}x{size[1]}: both must be multiples of {stride}")


def require_folder(out: Path) -> None:
    """Make the folder of the training. Raises OutputError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: can't be made ({error.strerror}); choose another `out`") from error


def _explained(error: MemoryError | RuntimeError, step: int) -> Exception:
    """Memory that ran out, as a sentence; other faults as they are."""
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
        return AnnotatorError(
            f"out of memory at step {step}: lower `batch_size` and raise `accumulate`, or lower `size`"
        )
    return error
