"""A training step against a plain attempt, side by side: python -m tests.benchmarks.bench_training_step

Five crops of 256x384 of rendered streets; EfficientNet-Lite0 with its stem and three stages frozen in both. The plain
attempt enlarges the fields to the size of the crops, sums its loss object by object, and computes with 32 bits.

    python -m tests.benchmarks.bench_training_step --device cuda [--crop 384 768] [--batch 32] [--compile]

says how many crops a second a GPU is fed, what its data side alone could feed, and where a step spends its time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from annotator.model.checkpoint import default_weights
from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import CropOptions, TrainingOptions
from annotator.training.crops import Crops, Rank
from annotator.training.datasets import WeightedDataset
from annotator.training.device_crops import DeviceCrops
from annotator.training.device_images import DeviceImages
from annotator.training.distributed import NetworkWithLoss, fast_precision, make_fast
from annotator.training.images import RenderedImages
from annotator.training.initialization import initial_network
from annotator.training.loop import optimizer_of
from annotator.training.loss import Target
from tests.reference.loop_loss import loop_loss

OPTIONS = TrainingOptions(crop=CropOptions(size=(256, 384)))
COUNT = 5
Step = Callable[[], Tensor]


def crops(network: SpatialEmbeddingNetwork, stride: int) -> tuple[Tensor, list[Target]]:
    """The same crops, with targets at a stride."""
    drawn = Crops([WeightedDataset("rendered", RenderedImages(streets=2), 1)], network.spec, stride, OPTIONS)
    samples = [drawn[k] for k in range(COUNT)]
    return torch.stack([image for image, _ in samples]), [goal for _, goal in samples]


def our_step() -> Step:
    network = initial_network(None, OPTIONS).train()
    optimizer = optimizer_of(network, OPTIONS)
    make_fast(network, torch.device("cpu"))
    loss_of = NetworkWithLoss(network, torch.full((8,), 10.0), OPTIONS)
    images, targets = crops(network, network.stride)
    is_bf16 = fast_precision("cpu") == "bf16"

    def step() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            loss = loss_of(images, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def plain_step() -> Step:
    network = initial_network(None, OPTIONS).train()
    optimizer = optimizer_of(network, OPTIONS)
    images, targets = crops(network, 1)
    grid = network.spec.grid.coordinates(OPTIONS.crop.size)

    def step() -> Tensor:
        raw = network(images.float() / 255)
        loss = loop_loss(raw, targets, grid, 2, torch.full((8,), 10.0), OPTIONS.loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


# ---- on a device


def measure_device(given: argparse.Namespace) -> None:
    """Print crops a second: of whole steps, of the data side, of the network alone, and without its backward pass."""
    device = torch.device(given.device)
    options = TrainingOptions(
        batch_size=given.batch, frozen_stages=0, crop=CropOptions(size=tuple(given.crop), small=0.3)
    )
    network = initial_network(default_weights(), options).train().to(device)
    make_fast(network, device)
    if given.compile:
        network.body.compile()
    optimizer = optimizer_of(network, options)
    parts = [WeightedDataset("rendered", RenderedImages(streets=1, frames=given.images), 1)]
    loss_of = NetworkWithLoss(network, torch.full((8,), 10.0), options).to(device)
    crops = Crops(parts, network.spec, network.stride, options)
    on_device = DeviceCrops(crops, DeviceImages([part.images for part in parts], device, given.workers))
    batches = on_device.batches(0, None, Rank())
    [(images, target)] = next(batches)

    def forward() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss: Tensor = loss_of(images, target)
        return loss

    def learn() -> None:
        optimizer.zero_grad()
        forward().backward()
        optimizer.step()

    def whole_step() -> None:
        nonlocal images, target
        [(images, target)] = next(batches)
        learn()

    objects = len(target.class_index) / given.batch
    print(
        f"{given.batch} crops of {given.crop[0]}x{given.crop[1]} with {objects:.0f} objects each, {device}:"
    )
    kinds = {"whole steps": whole_step, "data alone": lambda: next(batches), "network and loss": learn}
    for name, work in (kinds | {"of these without backward": forward}).items():
        print(f"{name}: {given.batch * given.rounds / seconds_of(work, given.rounds, device):.1f} crops/s")
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB at most")


def seconds_of(work: Callable[[], object], rounds: int, device: torch.device) -> float:
    """Wall seconds of so many calls, after three to warm up."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(3):
        work()
    wait()
    began = time.perf_counter()
    for _ in range(rounds):
        work()
    wait()
    return time.perf_counter() - began


def main() -> None:
    """Print CPU seconds a step of both, the best of several rounds, and how much faster the product is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", help="measure the way of GPUs on this one")
    parser.add_argument("--crop", type=int, nargs=2, default=(384, 768))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=60, help="rendered")
    parser.add_argument("--workers", type=int, default=0, help="that render them")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    if given.device:
        measure_device(given)
        return
    torch.set_num_threads(given.threads)
    steps = {"plain": plain_step(), "ours": our_step()}
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(given.rounds):
        for name, step in steps.items():
            begin = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - begin)
    objects = sum(len(goal.class_index) for goal in crops(initial_network(None, OPTIONS), 1)[1])
    print(f"{COUNT} crops of 256x384 with {objects} objects, {given.threads} threads:")
    print(
        f"plain {best['plain']:.2f} CPU s, ours {best['ours']:.2f} CPU s: {best['plain'] / best['ours']:.1f} times"
    )


if __name__ == "__main__":
    main()
