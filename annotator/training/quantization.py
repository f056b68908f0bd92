"""Quantize trained weights: a graph of eight bits beside them, for CPUs, refused where it finds other objects.

Source: post-training quantization of activations and weights with fast bias correction, as NNCF has it
(https://github.com/openvinotoolkit/nncf); ranges come from images like those that will be labelled.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from annotator.detection import Detector
from annotator.detection.openvino_runtime import OpenVinoRuntime, OpenVinoUnusable, convert
from annotator.errors import AnnotatorError, UsageError
from annotator.files import atomic_file
from annotator.masks import iou
from annotator.model.checkpoint import Checkpoint, QuantizedGraph, load_checkpoint, save_checkpoint
from annotator.model.instance_head import head_path, to_bytes
from annotator.model.network import padded
from annotator.model.preprocess import processed_size, resize
from annotator.options import QuantizationJob
from annotator.training.datasets import DatasetSpec, open_files
from annotator.training.validation import Validation
from annotator.video import find_sources

MISSING = 'quantization needs NNCF and OpenVINO, which aren\'t installed: `pip install "spatialemb-annotate[quantize]"`'
# Convolutions at the beginning that keep full precision. Their weights differ most from channel to channel: rounding
# those of the stem and of the first two blocks of the default network made half of the error of all, and they
# cost little.
KEPT = 6
CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
SURE = 0.5  # score of an object that both should find
SAME = 0.5  # IoU of the two

Image = npt.NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True)
class Quantized:
    """What quantization made, and what it costs."""

    path: Path
    images: int  # that ranges were learned from
    agreement: float  # share of the objects that full precision is sure of, which eight bits find, too
    ap50: tuple[float, float] | None  # in full precision and in eight bits, where there were labels


def quantize(job: QuantizationJob) -> Quantized:
    """Write weights with a graph of eight bits, and their instance head, unless it finds other objects than they do.

    Raises UsageError for weights, images or labels that can't be read or without NNCF, AnnotatorError where the graph
    is refused.
    """
    if job.out.exists() and not job.overwrite:
        raise UsageError(f"{job.out}: is there already; use `overwrite` to replace it")
    checkpoint = load_checkpoint(job.weights)
    images = _images(job.images, job.calibration_images + job.compared_images)
    calibration, compared = _split(images, job.compared_images)
    graph = _graph(checkpoint, calibration)
    both = _detectors(replace(checkpoint, quantized=graph))
    agreement = _agreement(*both, compared)
    if agreement < job.least_agreement:
        raise AnnotatorError(
            f"in eight bits the network finds {agreement:.1%} of the objects that it is sure of in full precision, less"
            f" than {job.least_agreement:.1%}: give more images, and such as will be labelled"
        )
    ap50 = _ap50(job, both) if job.labels else None
    if ap50 and ap50[1] < ap50[0] - job.most_loss:
        raise AnnotatorError(
            f"{job.labels}: AP50 falls from {ap50[0]:.3f} to {ap50[1]:.3f} in eight bits, by more than"
            f" {job.most_loss:g}"
        )
    report = {
        "images": len(calibration),
        "compared": len(compared),
        "agreement": round(agreement, 4),
        "AP50": ap50,
    }
    with atomic_file(job.out) as temporary:
        save_checkpoint(
            temporary, checkpoint.network, checkpoint.provenance, quantized=replace(graph, report=report)
        )
    if checkpoint.head is not None:
        with atomic_file(head_path(job.out)) as temporary:
            temporary.write_bytes(to_bytes(checkpoint.head))
    return Quantized(job.out, len(calibration), agreement, ap50)


def _images(path: Path, most: int) -> list[Image]:
    """Up to so many images of a path, evenly spread over its recordings."""
    sources = find_sources([path])
    per_source = max(1, most // len(sources))
    found: list[Image] = []
    for source in sources[:: max(1, len(sources) // most)]:
        length = source.length_hint() or per_source
        frames = source.frames(every=max(1, length // per_source))
        found += [frame.image for frame, _ in zip(frames, range(per_source), strict=False)]
        frames.close()
    return found


def _split(images: list[Image], compared: int) -> tuple[list[Image], list[Image]]:
    """Images to learn from, and others to compare on, evenly among them; of few images all serve both."""
    if len(images) < 2 * compared:
        return images, images[:compared]
    kept = set(np.linspace(0, len(images) - 1, compared).round().astype(int).tolist())
    return [image for k, image in enumerate(images) if k not in kept], [images[k] for k in sorted(kept)]


def _graph(checkpoint: Checkpoint, images: list[Image]) -> QuantizedGraph:
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise UsageError(MISSING) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)

    def prepared(image: Image) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        size = processed_size((image.shape[0], image.shape[1]), None, checkpoint.spec.trained_size)
        array: npt.NDArray[np.float32] = padded(resize(pixels, size), checkpoint.spec.multiple).numpy()
        return array

    full = convert(checkpoint)
    model: Any = nncf.quantize(
        full,
        nncf.Dataset(images, prepared),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=_first_convolutions(full)),
        # CPUs without VNNI add two products in 16 bits: with weights of 7 bits these don't overflow.
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return QuantizedGraph(path.read_bytes(), path.with_suffix(".bin").read_bytes(), {})


def _first_convolutions(model: Any) -> list[str]:
    """The names of the KEPT convolutions that are computed first in an OpenVINO model."""
    convolutions = (op for op in model.get_ordered_ops() if op.get_type_name() in CONVOLUTIONS)
    return [op.get_friendly_name() for op in islice(convolutions, KEPT)]


def _detectors(checkpoint: Checkpoint) -> tuple[Detector, Detector]:
    """The network in full precision and in eight bits."""
    try:
        full, eight = (Detector(OpenVinoRuntime(checkpoint, precision)) for precision in ("32", "int8"))
    except OpenVinoUnusable as error:
        raise UsageError(f"OpenVINO: {error}") from error
    return full, eight


def _agreement(full: Detector, eight: Detector, images: list[Image]) -> float:
    """Share of the objects that full precision is sure of, which eight bits find, too; 1 where there are none."""
    sure = found = 0
    for image in images:
        expected, there = full.detect(image), eight.detect(image)
        rows = np.flatnonzero(expected.scores >= SURE)
        same = iou([expected.masks[k] for k in rows], there.masks) >= SAME
        same &= expected.class_ids[rows][:, None] == there.class_ids[None]
        sure += len(rows)
        found += int(same.any(1).sum()) if same.size else 0
    return found / sure if sure else 1.0


def _ap50(job: QuantizationJob, detectors: tuple[Detector, Detector]) -> tuple[float, float]:
    """AP50 on the labels, in full precision and in eight bits."""
    assert job.labels is not None
    full, eight = detectors
    with tempfile.TemporaryDirectory() as kept:
        files = open_files(DatasetSpec(job.labels, job.label_images), full.spec.trained_size, Path(kept))
        validation = Validation([files])
        return validation.score(full)["AP50"], validation.score(eight)["AP50"]
