"""Crops to train on: drawn by number, made in worker processes, handed out in batches."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from annotator.errors import AnnotatorError
from annotator.model.network import NetworkSpec
from annotator.options import TrainingOptions
from annotator.training.augmentation import copy_paste, crop, target
from annotator.training.batched_loss import BatchTarget
from annotator.training.datasets import WeightedDataset
from annotator.training.images import LabelledImage
from annotator.training.loss import Target

Sample = tuple[Tensor, Target]  # image (3, h, w) uint8 and what is in it
Batch = tuple[Tensor, list[Target] | BatchTarget]  # images (B, 3, h, w) uint8


class Crops(Dataset[Sample | AnnotatorError]):
    """Crop i is the same whoever asks: resumed trainings see what undisturbed ones see."""

    def __init__(
        self, parts: Sequence[WeightedDataset], spec: NetworkSpec, stride: int, options: TrainingOptions
    ) -> None:
        self.parts, self.spec, self.stride, self.options = parts, spec, stride, options
        shares = np.array([part.share for part in parts])
        self.shares = shares / shares.sum()
        self.image_shares = [
            repeat_factors(
                [part.images.classes(number) for number in range(len(part.images))], options.crop.rare
            )
            for part in parts
        ]

    def __getitem__(self, index: int) -> Sample | AnnotatorError:
        """A crop; a fault is returned, because raised in a worker it would come with the worker's traceback."""
        rng = np.random.default_rng((self.options.seed, index))
        part = int(rng.choice(len(self.parts), p=self.shares))
        try:
            labelled = self._draw(part, rng)
            if rng.random() < self.options.crop.pasted:
                labelled = copy_paste(labelled, self._draw(part, rng), rng)
        except AnnotatorError as error:
            return error
        image, labels = crop(labelled, rng, self.options.crop, self.stride)
        goal = target(labels, labelled, self.spec.class_ids, self.options.crop.min_field_pixels)
        return torch.from_numpy(image).permute(2, 0, 1), goal

    def _draw(self, part: int, rng: np.random.Generator) -> LabelledImage:
        shares = self.image_shares[part]
        return self.parts[part].images.image(int(rng.choice(len(shares), p=shares)))


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


@dataclass(frozen=True)
class Rank:
    """Which crops one of several processes takes: those of a step are dealt out pass by pass."""

    index: int = 0
    count: int = 1

    def numbers(self, first_step: int, steps: int | None, options: TrainingOptions) -> Iterator[int]:
        """Numbers of this process's crops from `first_step` on; without an end where `steps` is None."""
        each = options.batch_size
        for step in count(first_step) if steps is None else range(first_step, steps):
            for turn in range(options.accumulate):
                first = ((step * options.accumulate + turn) * self.count + self.index) * each
                yield from range(first, first + each)


def batches(
    crops: Crops, first_step: int, steps: int | None, rank: Rank, workers: int
) -> Generator[list[Batch], None, None]:
    """The passes of every step from `first_step` on. Workers end with the iterator; close it.

    A worker whose training was killed notices within seconds and ends, too. Raises what made a crop fail.
    """
    options = crops.options
    loader: DataLoader[Any] = DataLoader(
        crops,
        batch_size=options.batch_size,
        sampler=_Numbers(rank, first_step, steps, options),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        collate_fn=list,
    )
    passes: list[Batch] = []
    for samples in loader:
        passes.append(_batch(samples))
        if len(passes) == options.accumulate:
            yield passes
            passes = []


@dataclass(frozen=True)
class _Numbers(Sampler[int]):
    """What `Rank.numbers` gives, as a loader takes it."""

    rank: Rank
    first_step: int
    steps: int | None
    options: TrainingOptions

    def __iter__(self) -> Iterator[int]:
        return self.rank.numbers(self.first_step, self.steps, self.options)


def _batch(samples: Sequence[Sample | AnnotatorError]) -> Batch:
    crops = []
    for sample in samples:
        if isinstance(sample, AnnotatorError):
            raise sample
        crops.append(sample)
    return torch.stack([image for image, _ in crops]), [goal for _, goal in crops]


def cache_bytes(gib: float | None, workers: int) -> int:
    """Bytes of decoded images that each worker may keep, of `gib` or of a quarter of what is free."""
    if gib is None:
        try:
            free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        except (AttributeError, ValueError, OSError):  # not on every system
            free = 4 << 30
        return free // 4 // max(1, workers)
    return int(gib * 2**30) // max(1, workers)
