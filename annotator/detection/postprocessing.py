"""Turn raw maps into instances: cluster every seed map, refine the clusters, judge them as a whole, drop duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from annotator.detection.appearance import with_appearance
from annotator.detection.clustering import Cluster, Foreground, cluster
from annotator.detection.instance_features import Candidates, instance_features
from annotator.detection.refinement import Fields, Scale, refine
from annotator.errors import CheckpointError
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import Rle, areas, visible
from annotator.model.instance_head import REMEDY, InstanceHead
from annotator.model.network import NetworkSpec, RawMaps
from annotator.options import DetectionOptions

MIN_SHOWN_SHARE = 0.5  # of an instance's mask that better ones leave visible
PAPER_MIN_PIXELS = 128  # at 2048 x 1024
PAPER_PIXELS = 2048 * 1024
# Lowest scores by default: of the network's own, which promise too much, and of a head's, which are probabilities.
MIN_SCORE, MIN_SCORE_OF_HEAD = 0.3, 0.08
SURE = 0.5  # probability from which a head overrules the network in a class that it doesn't judge
MIN_JUDGED = 0.1  # score by the network of an instance that a head is asked about: few below are right


def cluster_batch(
    maps: RawMaps, frames: Sequence[FrameRef], options: DetectionOptions, head: InstanceHead | None = None
) -> list[Instances]:
    """Cluster the raw maps of a batch: the instances of each frame, in source pixels, as a head judges them."""
    grid = maps.spec.grid.coordinates((maps.raw.shape[-2], maps.raw.shape[-1]), maps.stride)
    found = []
    for k, (raw, frame) in enumerate(zip(maps.raw.cpu(), frames, strict=True)):
        if maps.features is None:
            found.append(_as_clustered(raw, grid, maps, frame, options))
            continue
        features = maps.features[k].cpu()  # once, for all that look at them
        if head is None:
            each = _as_clustered(raw, grid, maps, frame, options)
        else:
            every = candidates(raw, grid, maps, frame, options, MIN_JUDGED, range(len(maps.spec.class_ids)))
            each = _as_judged(every, raw, features, maps, options, head)
        found.append(with_appearance(each, features, maps.size))
    return found


def default_min_pixels(spec: NetworkSpec) -> int:
    """The paper's 128 pixels, at the size that the network was trained at."""
    height, width = spec.trained_size
    return max(1, round(PAPER_MIN_PIXELS * height * width / PAPER_PIXELS))


def _as_clustered(
    raw: Tensor, grid: Tensor, maps: RawMaps, frame: FrameRef, options: DetectionOptions
) -> Instances:
    """The instances of a frame, of the classes in whose seed maps they are, with the network's own scores."""
    min_score = MIN_SCORE if options.min_score is None else options.min_score
    asked = [
        channel
        for channel, class_id in enumerate(maps.spec.class_ids)
        if options.class_ids is None or class_id in options.class_ids
    ]
    found = candidates(raw, grid, maps, frame, options, min_score, asked)
    class_ids = np.array(maps.spec.class_ids, np.uint8)[found.channels]
    return without_duplicates(Instances.of(frame, found.masks, class_ids, found.scores))


def _as_judged(
    found: Candidates,
    raw: Tensor,
    features: Tensor,
    maps: RawMaps,
    options: DetectionOptions,
    head: InstanceHead,
) -> Instances:
    """The instances of a frame of the classes, and with the probabilities to be right, that a head gives them.

    Raises CheckpointError for a head of other features.
    """
    if not found.masks:
        return Instances.of(found.frame)
    numbers = instance_features(found, raw, features, maps)
    if numbers.shape[1] != head.width:
        raise CheckpointError(
            f"the instance head beside the weights knows {head.width} features of instances, but there are"
            f" {numbers.shape[1]}; {REMEDY}"
        )
    probabilities = np.where(head.is_judged, head.probabilities(numbers)[:, :-1], 0)
    best, scores = probabilities.argmax(1), probabilities.max(1).astype(np.float64)
    least = np.full(len(best), MIN_SCORE_OF_HEAD if options.min_score is None else options.min_score)
    # What the network takes for a class that the head knows too little of is left to the network.
    is_left = ~head.is_judged[found.channels] & (scores <= SURE)
    best[is_left], scores[is_left] = found.channels[is_left], found.scores[is_left]
    if options.min_score is None:
        least[is_left] = MIN_SCORE
    class_ids = np.array(maps.spec.class_ids, np.uint8)[best]
    kept = scores >= least
    if options.class_ids is not None:
        kept &= np.isin(class_ids, options.class_ids)
    masks = [mask for mask, is_kept in zip(found.masks, kept, strict=True) if is_kept]
    return without_duplicates(Instances.of(found.frame, masks, class_ids[kept], scores[kept]))


def candidates(
    raw: Tensor,
    grid: Tensor,
    maps: RawMaps,
    frame: FrameRef,
    options: DetectionOptions,
    min_score: float,
    channels: Sequence[int],
) -> Candidates:
    """Cluster some seed maps of a frame's raw maps (2 + S + C, H, W): what the network scores `min_score` or more."""
    spec = maps.spec
    min_pixels = (options.min_pixels or default_min_pixels(spec)) // maps.stride**2
    x, y = (torch.tanh(raw[:2]) + grid).numpy()
    logits = raw[2 + spec.n_sigma :].numpy()
    scale = Scale(frame.size, maps.size, maps.stride)
    masks: list[Rle] = []
    of_channels: list[int] = []
    scores: list[float] = []
    clusters: list[Cluster] = []
    for channel in channels:
        if np.count_nonzero(logits[channel] > 0) <= min_pixels:
            continue  # nothing can be found, and nothing need be decoded
        foreground = Foreground.of(raw, spec.n_sigma, channel, grid)
        fields = Fields(x, y, logits[channel])
        for found in cluster(foreground, options.seed_threshold, min_pixels):
            instance = refine(fields, scale, found, min_score)
            if instance is not None:
                masks.append(instance.mask)
                of_channels.append(channel)
                scores.append(instance.score)
                clusters.append(found)
    return Candidates(frame, masks, np.array(of_channels, np.intp), np.array(scores), clusters)


def without_duplicates(instances: Instances) -> Instances:
    """Drop those that better ones nearly hide: one object found twice (as car and as truck), not two objects.

    Each seed map is clustered by itself, so the method alone gives both.
    """
    visible_areas = areas(visible(instances.masks, instances.frame.size))
    kept = np.flatnonzero(visible_areas >= MIN_SHOWN_SHARE * areas(instances.masks))
    return instances.select(kept)
