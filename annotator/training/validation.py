"""How good the weights are so far: the official AP on labelled images, and pictures of what the network sees."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from annotator import masks
from annotator.detection import Detector
from annotator.detection.torch_runtime import TorchRuntime
from annotator.evaluation.average_precision import CityscapesAP
from annotator.evaluation.overlap import Overlap
from annotator.files import atomic_file
from annotator.instances import Instances
from annotator.model.checkpoint import Checkpoint
from annotator.model.embedding import decode
from annotator.model.network import RawMaps, SpatialEmbeddingNetwork
from annotator.training.images import ImageFiles, spread

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB
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
        return [picture(detector, *self._frames[k]) for k in spread(len(self._frames), PICTURES)]


def detector_of(network: SpatialEmbeddingNetwork, device: torch.device) -> Detector:
    """A detector of a network in training, as it is now."""
    return Detector(TorchRuntime(Checkpoint(network.eval(), "", {}), device))


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
    spec, fields = raw.spec, raw.raw[0].cpu()
    grid = spec.grid.coordinates((fields.shape[-2], fields.shape[-1]))
    maps = decode(fields, spec.n_sigma, grid)
    height, width = fields.shape[-2:]
    shown = cv2.resize(images.pixels(number), (width, height), interpolation=cv2.INTER_AREA)
    seed = maps.seed.amax(0).numpy()
    bandwidth = (
        0.5 * torch.log2(1 / maps.sigma.mean(0))
    ).numpy()  # log of the radius: objects as smooth areas
    offset = (maps.embedding - grid).numpy()
    return np.vstack(
        [
            np.hstack([_instances(shown, found), _heat(seed, 0, 1)]),
            np.hstack([_heat(bandwidth, -6, 0) * (seed > 0.1)[..., None], _directions(offset)]),
        ]
    ).astype(np.uint8)


def _instances(image: Picture, found: Instances) -> Picture:
    """The image with every instance in a colour of its own."""
    out = image.copy()
    size = (image.shape[1], image.shape[0])
    for k, rle in reversed(list(enumerate(found.masks))):
        mask = cv2.resize(masks.decode(rle).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        colour = 255 * np.array(colorsys.hsv_to_rgb(k * 0.618 % 1, 0.9, 1))
        out[mask] = 0.5 * out[mask] + 0.5 * colour
    return out


def _heat(values: npt.NDArray[np.float32], low: float, high: float) -> Picture:
    scaled = (255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))


def _directions(offset: npt.NDArray[np.float32]) -> Picture:
    """Offsets (2, H, W): direction as hue, length as brightness, full at a tenth of the grid's unit."""
    hue = (np.arctan2(offset[1], offset[0]) + np.pi) / (2 * np.pi) * 179
    value = np.clip(np.hypot(*offset) * 10, 0, 1) * 255
    hsv = np.stack([hue, np.full_like(hue, 255), value], 2).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def write_pictures(pictures: Sequence[Picture], folder: Path, step: int) -> None:
    """Write them as STEP_NUMBER.png. Raises OutputError."""
    for k, image in enumerate(pictures):
        _, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        with atomic_file(folder / f"{step:06}_{k}.png") as temporary:
            temporary.write_bytes(content.tobytes())
