"""Fit an instance head to what a network finds in labelled images:

    python -m annotator.training.instance_head labels.json images/ --weights net.safetensors

The head is written beside the weights, where labelling looks for it. Its images may be those that the network was
trained on as long as that doesn't overfit to them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from annotator.detection import Detector
from annotator.detection.instance_features import Candidates, instance_features
from annotator.detection.postprocessing import MIN_JUDGED, candidates
from annotator.errors import UsageError
from annotator.files import atomic_file
from annotator.instances import GroundTruth
from annotator.masks import areas, intersections, iou
from annotator.model.checkpoint import default_weights
from annotator.model.instance_head import InstanceHead, digest, head_path, to_bytes
from annotator.model.network import NetworkSpec
from annotator.options import DetectionOptions
from annotator.training.datasets import DatasetSpec, open_files
from annotator.training.images import ImageFiles

UNKNOWN = -1  # instead of a class: what truth doesn't tell
RIGHT = 0.5  # IoU with a true object
SEED_THRESHOLD = 0.5  # lower than in labelling: the head is to see more of what is wrong
MEMBERS, HIDDEN, EPOCHS, BATCH = 5, 32, 20, 256
RATE, DECAY, DROPPED, DROPPED_FEATURES = 3e-3, 0.3, 0.3, 0.05
FEWEST, FEWEST_STEPS = 100, 300  # instances to fit to; steps
FEWEST_OF_CLASS = 250  # instances of a class that a head judges: with fewer the network knows better

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


class Examples(NamedTuple):
    """N instances that a network found, and what each is."""

    features: Floats  # (N, F)
    answers: Indices  # (N,) number of its class, the number of classes for none, UNKNOWN


def answers(found: Candidates, truth: GroundTruth, spec: NetworkSpec) -> Indices:
    """(N,) what each instance is: of the class of the true object that it overlaps by half, or of none."""
    none = len(spec.class_ids)
    number = {class_id: k for k, class_id in enumerate(spec.class_ids)}
    is_what = np.full(len(found.masks), none, np.intp)
    if not found.masks:
        return is_what
    true = truth.instances
    if len(true):
        overlap = iou(found.masks, true.masks)
        classes = np.array([number.get(int(class_id), UNKNOWN) for class_id in true.class_ids])
        is_what = np.where(overlap.max(1) >= RIGHT, classes[overlap.argmax(1)], none)
    pixels = areas(found.masks)
    regions = [region.mask for region in truth.ignore_regions]
    is_unknown = (2 * intersections(found.masks, regions, pixels) > pixels[:, None]).any(1)
    if truth.class_ids is not None:  # of classes that aren't labelled here what nothing overlaps may be right
        labelled = [number[class_id] for class_id in truth.class_ids if class_id in number]
        is_unknown |= ~np.isin(found.channels, labelled)
    is_what[is_unknown & (is_what == none)] = UNKNOWN
    return is_what


def examples(detector: Detector, images: ImageFiles) -> Iterator[Examples]:
    """What a detector's network finds in each labelled image."""
    spec = detector.spec
    options = DetectionOptions(seed_threshold=SEED_THRESHOLD)
    for number in range(len(images)):
        truth = images.truth(number)
        pixels = torch.from_numpy(images.pixels(number)).permute(2, 0, 1)[None].to(detector.device)
        maps = detector.maps(pixels)
        if maps.features is None:
            raise UsageError("these weights' encoder gives no features, which an instance head needs")
        grid = spec.grid.coordinates((maps.raw.shape[-2], maps.raw.shape[-1]), maps.stride)
        frame, channels = truth.instances.frame, range(len(spec.class_ids))
        raw = maps.raw[0].cpu()
        found = candidates(raw, grid, maps, frame, options, MIN_JUDGED, channels)
        if found.masks:
            features = instance_features(found, raw, maps.features[0], maps)
            yield Examples(features, answers(found, truth, spec))


def fit(every: Sequence[Examples], network: nn.Module, classes: int, images: int) -> InstanceHead:
    """A head fitted to examples; the same for the same ones on one machine. Raises UsageError for too few."""
    features = np.concatenate([each.features for each in every] or [np.zeros((0, 1), np.float32)])
    is_what = np.concatenate([each.answers for each in every] or [np.zeros(0, np.intp)])
    features, is_what = features[is_what != UNKNOWN], is_what[is_what != UNKNOWN]
    if len(features) < FEWEST:
        raise UsageError(
            f"the network finds {len(features)} labelled instances, too few to fit to; give more images"
        )
    mean, scale = features.mean(0), 1 / (features.std(0) + 1e-3)
    blank = np.zeros((1, features.shape[1], 1), np.float32)
    none = np.zeros((1, 1), np.float32)
    norm = InstanceHead(mean, scale, blank, none, none[None], none, np.zeros(0, np.bool_), "", {})
    x, y = torch.from_numpy(norm.normalized(features)), torch.from_numpy(is_what)
    members = [_member(x, y, classes, seed) for seed in range(MEMBERS)]
    tensors = [
        np.stack([getattr(member[k], name).detach().numpy() for member in members])
        for k, name in ((1, "weight"), (1, "bias"), (4, "weight"), (4, "bias"))
    ]
    found = np.bincount(is_what, minlength=classes + 1)
    return InstanceHead(
        mean=mean,
        scale=scale,
        hidden=tensors[0].transpose(0, 2, 1),
        hidden_bias=tensors[1],
        out=tensors[2].transpose(0, 2, 1),
        out_bias=tensors[3],
        is_judged=found[:classes] >= FEWEST_OF_CLASS,
        network=digest(network),
        provenance={"images": images, "instances": found.tolist()},
    )


def _member(x: torch.Tensor, y: torch.Tensor, classes: int, seed: int) -> nn.Sequential:
    """One network: cross-entropy, AdamW, one cycle of the rate."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        member = nn.Sequential(
            nn.Dropout(DROPPED_FEATURES),
            nn.Linear(x.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPPED),
            nn.Linear(HIDDEN, classes + 1),
        )
        steps = max(FEWEST_STEPS, EPOCHS * len(x) // BATCH)
        optimizer = torch.optim.AdamW(member.parameters(), RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
        for _ in range(steps):
            drawn = torch.randint(len(x), (BATCH,))
            loss = nn.functional.cross_entropy(member(x[drawn]), y[drawn])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    return member.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit a head and write it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("labels", type=Path, help="labels of any format that can be read")
    parser.add_argument("images", type=Path, help="folder of their images")
    parser.add_argument("--weights", type=Path, help="without: the model in the package")
    parser.add_argument("--out", type=Path, help="another file than the one beside the weights")
    options = parser.parse_args(arguments)
    detector = Detector.load(options.weights, "cpu", DetectionOptions(precision="32"))
    with tempfile.TemporaryDirectory() as kept:
        images = open_files(
            DatasetSpec(options.labels, options.images), detector.spec.trained_size, Path(kept)
        )
        every = list(examples(detector, images))
        count = len(images)
    head = fit(every, detector.runtime.checkpoint.network.body, len(detector.spec.class_ids), count)
    out = options.out or head_path(options.weights or default_weights())
    with atomic_file(out) as temporary:
        temporary.write_bytes(to_bytes(head))
    print(f"{out}: {head.provenance}")


if __name__ == "__main__":
    main()
