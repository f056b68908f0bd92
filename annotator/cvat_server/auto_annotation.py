"""The network as CVAT's auto-annotation function: it draws on the images of a task that is on a server already.

    cvat-cli task auto-annotate ID --function-module annotator.integrations.cvat -p weights=str:FILE

It gives shapes and no tracks: for videos `spatialemb-cvat push` sends tracks. Parameters, all optional: weights (a
file), device, seed_threshold, scale and poly_iou, as of `spatialemb-annotate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec, label_spec, shape
from cvat_sdk.masks import encode_mask
from cvat_sdk.models import LabeledShapeRequest
from PIL.Image import Image

from annotator import masks, polygons
from annotator.detection import Detector
from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.options import DetectionOptions

Points = tuple[str, list[float]]  # the kind of a shape, and its points as CVAT has them


def create(
    weights: str | None = None,
    device: str = "auto",
    seed_threshold: float | None = None,
    scale: float | None = None,
    poly_iou: float = 0.97,
) -> Function:
    """The function that `cvat-cli` calls. Raises UsageError for weights or options that are no good."""
    options = DetectionOptions(scale=scale)
    if seed_threshold is not None:
        options = replace(options, seed_threshold=seed_threshold)
    return Function(Detector.load(Path(weights) if weights else None, device, options), poly_iou)


class Function:
    """A detection function of cvat_sdk.auto_annotation."""

    def __init__(self, detector: Detector, poly_iou: float) -> None:
        self._detector, self._poly_iou = detector, poly_iou

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The classes that the weights know, by their Cityscapes ids."""
        return DetectionFunctionSpec(
            labels=[
                label_spec(BY_ID[class_id].name, class_id, type="any")
                for class_id in self._detector.spec.class_ids
            ]
        )

    def detect(self, context: DetectionFunctionContext, image: Image) -> Sequence[LabeledShapeRequest]:
        """The shapes of an image: masks, or polygons where they are asked for; no two share a pixel."""
        found = self._instances(np.asarray(image.convert("RGB")), context.conf_threshold)
        size = found.frame.size
        shown = masks.visible(found.masks, size)
        drawn = self._polygons(shown, size) if context.conv_mask_to_poly else map(_mask, shown)
        shapes: list[LabeledShapeRequest] = []
        objects = zip(drawn, found.class_ids.tolist(), found.scores.tolist(), strict=True)
        for number, (of_object, class_id, score) in enumerate(objects, 1):
            group = number if len(of_object) > 1 else 0  # which holds parts together
            shapes += [
                shape(class_id, type=kind, points=points, group=group, score=score)
                for kind, points in of_object
            ]
        return shapes

    def _instances(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], min_score: float | None) -> Instances:
        if min_score is None:
            return self._detector.detect(pixels)
        options = replace(self._detector.options, min_score=min_score)
        return replace(self._detector, options=options).detect(pixels)

    def _polygons(self, shown: Sequence[masks.Rle], size: tuple[int, int]) -> Iterator[list[Points]]:
        """The parts of every object, as CVAT draws polygons."""
        limits = polygons.Limits(self._poly_iou)
        for parts in polygons.polygonize(shown, size, limits):
            yield [("polygon", part.ring.ravel().tolist()) for part in parts.parts]


def _mask(mask: masks.Rle) -> list[Points]:
    """An object as CVAT draws masks; nothing if nothing of it is seen."""
    pixels = masks.decode(mask)
    return [("mask", encode_mask(pixels))] if pixels.any() else []
