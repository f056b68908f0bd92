"""Track a sequence of frames that fits into memory: link, merge fragments, stitch; everything that looks both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotator.tracking.arrays import Floats
from annotator.tracking.boosting import BoostedTrees
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import CameraMotion
from annotator.tracking.fragments import attach_fragments, merge_by_fragments
from annotator.tracking.linking import link_detections
from annotator.tracking.parameters import CONFIDENCE
from annotator.tracking.stitching import PairScorer, stitch
from annotator.tracking.tracklets import Tracklet


@dataclass(frozen=True)
class SequenceTracker:
    """Makes tracks of frames, all of which are known."""

    max_gap: float  # steps
    min_track: int  # above 1, tracklets of doubtful detections alone are left out
    trees: BoostedTrees  # which weigh pairs of tracklets

    def track(self, frames: Sequence[Detections], times: Floats) -> list[Tracklet]:
        """Make tracks of frames at `times` (T,), in steps; in order of appearance, and not of every detection.

        A frame comes twice in a track when fragments of the object were found.
        """
        tracklets, camera = self.tracklets(frames, times)
        scorer = PairScorer(tracklets, frames, times, camera, self.trees)
        return attach_fragments(stitch(tracklets, scorer, self.max_gap), frames, times)

    def tracklets(self, frames: Sequence[Detections], times: Floats) -> tuple[list[Tracklet], CameraMotion]:
        """Make what is certain of tracks, and the camera's motion: what stitching begins with."""
        tracklets, camera = link_detections(frames, times)
        if self.min_track > 1:
            tracklets = [each for each in tracklets if self._is_worth(each, frames)]
        return merge_by_fragments(tracklets, frames, times), camera

    def _is_worth(self, tracklet: Tracklet, frames: Sequence[Detections]) -> bool:
        if len(tracklet) >= CONFIDENCE.steady * self.min_track:
            return True
        confidence = sum(confidence_weight(frames[frame].scores[place]) for frame, place in tracklet)
        return confidence > CONFIDENCE.min_tracklet


def confidence_weight(score: float) -> float:
    """Weigh a detection by its score: 1 from CONFIDENCE.full on, less than nothing below CONFIDENCE.none."""
    return min(1.0, (float(score) - CONFIDENCE.none) / (CONFIDENCE.full - CONFIDENCE.none))
