"""A training step against a plain attempt, side by side: python -m tests.benchmarks.bench_training_step

Five crops of 256x384 of rendered streets; EfficientNet-Lite0 with its stem and three stages frozen in both. The plain
attempt enlarges the fields to the size of the crops, sums its loss object by object, and computes with 32 bits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import CropOptions, TrainingOptions
from annotator.training.crops import Crops
from annotator.training.engine import LossOfNetwork, fast_precision, make_fast
from annotator.training.images import RenderedImages
from annotator.training.loop import optimizer_of
from annotator.training.loss import Target
from annotator.training.mix import Part
from annotator.training.start import initial_network
from tests.reference.loop_loss import loop_loss

OPTIONS = TrainingOptions(crop=CropOptions(size=(256, 384)))
COUNT = 5
Step = Callable[[], Tensor]


def crops(network: SpatialEmbeddingNetwork, stride: int) -> tuple[Tensor, list[Target]]:
    """The same crops, with targets at a stride."""
    drawn = Crops([Part("rendered", RenderedImages(streets=2), 1)], network.spec, stride, OPTIONS)
    samples = [drawn[k] for k in range(COUNT)]
    return torch.stack([image for image, _ in samples]), [goal for _, goal in samples]


def our_step() -> Step:
    network = initial_network(None, OPTIONS).train()
    optimizer = optimizer_of(network, OPTIONS)
    make_fast(network, torch.device("cpu"))
    loss_of = LossOfNetwork(network, torch.full((8,), 10.0), OPTIONS)
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


def main() -> None:
    """Print CPU seconds a step of both, the best of several rounds, and how much faster the product is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
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
