"""How good the weights are so far: the official AP on labelled images, and pictures of what the network sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from annotator.detection import Detector
from annotator.detection.torch_runtime import TorchRuntime
from annotator.evaluation.average_precision import CityscapesAP
from annotator.evaluation.overlap import Overlap
from annotator.files import atomic_file
from annotator.instances import Instances
from annotator.model.checkpoint import Checkpoint
from annotator.model.network import RawMaps, SpatialEmbeddingNetwork
from annotator.review.drawing import Picture, png
from annotator.review.network_maps import maps_picture
from annotator.training.images import ImageFiles, even_indices

PICTURES = 4


class Validation:
    """Labelled images to score networks on."""

    def __init__(self, sets: Sequence[ImageFiles]) -> None:
        self._frames = [(images, number) for images in sets for number in range(len(images))]

    def score(self, detector: Detector) -> dict[str, float]:
        """AP and AP50 over the classes that occur, as the Cityscapes script has them, and AP50 of each class."""
        metric = CityscapesAP()
        for images, number in self._frames:
            truth = images.truth(number)
            _raw, found = _labelled(detector, images, number)
            metric.add(Overlap.of(found, truth))
        return _figures(metric.result())

    def pictures(self, detector: Detector) -> list[Picture]:
        """What the network makes of a few images, evenly chosen."""
        return [picture(detector, *self._frames[k]) for k in even_indices(len(self._frames), PICTURES)]


def detector_of(network: SpatialEmbeddingNetwork, device: torch.device) -> Detector:
    """A detector of a network in training, as it is now."""
    return Detector(TorchRuntime(Checkpoint.of(network), device))


def _labelled(detector: Detector, images: ImageFiles, number: int) -> tuple[RawMaps, Instances]:
    """What labelling makes of an image."""
    pixels = torch.from_numpy(images.pixels(number)).permute(2, 0, 1)[None].to(detector.device)
    raw = detector.maps(pixels)
    [found] = detector.instances(raw, [images.truths[number].instances.frame])
    return raw, found


def _figures(result: Mapping[str, Any]) -> dict[str, float]:
    of_classes = {f"{name}.AP50": figures["AP50"] for name, figures in result["classes"].items()}
    return {"AP": result["AP"], "AP50": result["AP50"], **of_classes}


# ---- pictures


def picture(detector: Detector, images: ImageFiles, number: int) -> Picture:
    """Instances, seed map, bandwidth and offsets of an image, each at the processed size, in two rows."""
    raw, found = _labelled(detector, images, number)
    return maps_picture(raw, images.pixels(number), found)


def write_pictures(pictures: Sequence[Picture], folder: Path, step: int) -> None:
    """Write them as STEP_NUMBER.png. Raises OutputError."""
    for k, image in enumerate(pictures):
        with atomic_file(folder / f"{step:06}_{k}.png") as temporary:
            temporary.write_bytes(png(image))
