"""One frame, with what the network sees in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from annotator.detection import Detector
from annotator.errors import UsageError
from annotator.files import atomic_file
from annotator.formats.summary import LabelSummary
from annotator.instances import Instances
from annotator.options import DetectionOptions
from annotator.options.labelling import QUALITIES
from annotator.review.drawing import FrameDrawer, Picture, png
from annotator.review.network_maps import maps_picture
from annotator.review.preview import caption
from annotator.review.recording import frame_at
from annotator.store import Store
from annotator.video import Source

WIDTH = 1600  # pixels of the picture


def write_frame(store: Store, source: Source, folder: Path, index: int, weights: Path | None) -> Path:
    """Write `frame_INDEX.png`: the labels of a frame, and below them seed map, bandwidth and offsets by the network.

    `weights` are those that made the labels, None those of the package. Raises UsageError when the frame isn't
    labelled.
    """
    found = _labels_of(store, index)
    image = frame_at(source, found.frame)
    scale, quality = (store.fingerprint.get(flag) for flag in ("--scale", "--quality"))
    options = DetectionOptions(
        scale=scale if isinstance(scale, int | float) else None,
        quality=quality if quality in QUALITIES else "default",
    )
    detector = Detector.load(weights, options=options)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(detector.device)
    maps = maps_picture(detector.maps(pixels), image, detector.detect(image))
    path = folder / f"frame_{index:06d}.png"
    with atomic_file(path) as temporary:
        temporary.write_bytes(png(np.vstack([_drawn(image, found), _to_width(maps)])))
    return path


def _labels_of(store: Store, index: int) -> Instances:
    summary = LabelSummary.of(store)
    for found in store.instances():
        if found.frame.index == index:
            return summary.disjoint(found)
    raise UsageError(
        f"{store.path}: frame {index} is not labelled; there are {summary.frame_count} from frame {summary.first} to"
        f" {summary.last}"
    )


def _drawn(image: Picture, found: Instances) -> Picture:
    height = round(image.shape[0] * WIDTH / image.shape[1])
    return FrameDrawer((height, WIDTH)).draw(image, found, caption(found))


def _to_width(picture: Picture) -> Picture:
    height = round(picture.shape[0] * WIDTH / picture.shape[1])
    return np.asarray(cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
