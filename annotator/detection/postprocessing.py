"""Turn raw maps into instances: cluster every seed map, refine the clusters, drop duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from annotator.detection.appearance import with_appearance
from annotator.detection.clustering import Foreground, cluster
from annotator.detection.refinement import Fields, Scale, refine
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import Rle, areas, visible
from annotator.model.network import NetworkSpec, RawMaps
from annotator.options import DetectionOptions

MIN_SHOWN_SHARE = 0.5  # of an instance's mask that better ones leave visible
PAPER_MIN_PIXELS = 128  # at 2048 x 1024
PAPER_PIXELS = 2048 * 1024


def cluster_batch(maps: RawMaps, frames: Sequence[FrameRef], options: DetectionOptions) -> list[Instances]:
    """Cluster the raw maps of a batch: the instances of each frame, in source pixels."""
    spec = maps.spec
    grid = spec.grid.coordinates((maps.raw.shape[-2], maps.raw.shape[-1]), maps.stride)
    found = [
        _cluster_frame(raw, grid, maps, frame, options)
        for raw, frame in zip(maps.raw.cpu(), frames, strict=True)
    ]
    if maps.features is None:
        return found
    return [
        with_appearance(each, features, maps.size)
        for each, features in zip(found, maps.features, strict=True)
    ]


def default_min_pixels(spec: NetworkSpec) -> int:
    """The paper's 128 pixels, at the size that the network was trained at."""
    height, width = spec.trained_size
    return max(1, round(PAPER_MIN_PIXELS * height * width / PAPER_PIXELS))


def _cluster_frame(
    raw: Tensor, grid: Tensor, maps: RawMaps, frame: FrameRef, options: DetectionOptions
) -> Instances:
    spec = maps.spec
    min_pixels = (options.min_pixels or default_min_pixels(spec)) // maps.stride**2
    x, y = (torch.tanh(raw[:2]) + grid).numpy()
    logits = raw[2 + spec.n_sigma :].numpy()
    scale = Scale(frame.size, maps.size, maps.stride)
    masks: list[Rle] = []
    class_ids: list[int] = []
    scores: list[float] = []
    for channel, class_id in enumerate(spec.class_ids):
        if options.class_ids is not None and class_id not in options.class_ids:
            continue
        foreground = Foreground.of(raw, spec.n_sigma, channel, grid)
        fields = Fields(x, y, logits[channel])
        for found in cluster(foreground, options.seed_threshold, min_pixels):
            instance = refine(fields, scale, found, options.min_score)
            if instance is not None:
                masks.append(instance.mask)
                class_ids.append(class_id)
                scores.append(instance.score)
    return without_duplicates(Instances.of(frame, masks, class_ids, scores))


def without_duplicates(instances: Instances) -> Instances:
    """Drop those that better ones nearly hide: one object found twice (as car and as truck), not two objects.

    Each seed map is clustered by itself, so the method alone gives both.
    """
    visible_areas = areas(visible(instances.masks, instances.frame.size))
    kept = np.flatnonzero(visible_areas >= MIN_SHOWN_SHARE * areas(instances.masks))
    return instances.only(kept)
