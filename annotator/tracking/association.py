"""Instances -> tracks, over the whole recording, forwards and backwards, from the store alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from annotator.instances import Instances
from annotator.options import TrackingOptions
from annotator.store import FrameTracks, Store
from annotator.tracking.boosting import BoostedTrees, stitching_trees
from annotator.tracking.confirmation import confirm
from annotator.tracking.parameters import CONFIRMATION
from annotator.tracking.sequence import SequenceTracker
from annotator.tracking.tally import Tally
from annotator.tracking.times import Times
from annotator.tracking.windows import with_provisional_ids, with_times

log = logging.getLogger(__name__)


def associate(store: Store, options: TrackingOptions) -> None:
    """Give the instances of a store their tracks, or none if that is asked. Ids count from 1 in order of appearance.

    A recording of fewer frames than the shortest track keeps all its instances, and so do images that are no
    sequence, without tracks. What is lost is kept in the store's progress: in words, and how many.
    """
    store.update(replace(store.progress, tracking=None))  # until all is done
    tally, remarks = Tally(), tuple[str, ...]()
    if options.enabled:
        evenly = store.progress.goes_by_index
        times = Times.of(store.frames(), evenly)
        usable = replace(options, min_track=1) if store.frame_count < options.min_track else options
        frames = tally.count_frames(store.detections())
        tracks = associate_frames(frames, _step_seconds(times), usable, evenly)
        store.set_links(tally.count_tracks(tracks))
        remarks = tuple(times.remarks())
    if not options.enabled or tally.are_unrelated():
        store.set_tracks(())
    losses = tally.losses(options.min_track)
    log.info("%s: %d tracks; lost: %s", store.path, store.track_count, losses or "nothing")
    progress = store.progress.with_remarks("associate", remarks)
    store.update(replace(progress, tracking=options, tracking_losses=losses))


def associate_frames(
    frames: Iterable[Instances],
    step_s: float,
    options: TrackingOptions,
    evenly: bool = False,
    trees: BoostedTrees | None = None,
) -> Iterator[FrameTracks]:
    """Give the instances of frames their tracks, in constant memory.

    Args:
        frames: of a recording, in order.
        step_s: seconds of a step, the unit of time.
        options: which tracks count, and which gaps are bridged and filled.
        evenly: frames go by their index, at the rate that times tell; see `times.rising`.
        trees: which weigh pairs of tracklets; those of the package by default.
    """
    max_gap = options.max_gap / CONFIRMATION.step_s
    tracker = SequenceTracker(max_gap, options.min_track, trees or stitching_trees())
    return confirm(with_provisional_ids(with_times(frames, step_s, evenly), tracker), options, max_gap)


def _step_seconds(times: Times) -> float:
    """Choose the seconds of a step: 0.1, or from frame to frame if they are far apart."""
    return times.usual_s if times.usual_s >= CONFIRMATION.far_apart_s else CONFIRMATION.step_s
