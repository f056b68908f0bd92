"""The tracks of a stretch of frames that fits into memory: everything that looks both ways."""

from __future__ import annotations

from collections.abc import Sequence

from annotator.tracking.flow import Flow
from annotator.tracking.fragments import joined_by_fragments, with_fragments
from annotator.tracking.observations import Floats, Observed
from annotator.tracking.stitching import stitch
from annotator.tracking.tracklets import Tracklet, link

DOUBTFUL, CERTAIN = 0.45, 0.75  # scores that count for nothing and for a whole instance
LEAST_STRENGTH = 1 / 3  # of a tracklet that may become part of a track
STEADY = 2  # a tracklet this many times as long as the shortest track is one, whatever its scores


def tracks_of(observed: Sequence[Observed], ticks: Floats, longest: float, min_track: int) -> list[Tracklet]:
    """The tracks of frames at times `ticks` (T,), in order of appearance; not every instance has one.

    A frame comes twice in a track when fragments of the object were found.

    Gaps may be `longest` ticks. With `min_track` above 1, tracklets of weak instances alone are left out.
    """
    tracklets, flow = tracklets_of(observed, ticks, min_track)
    return with_fragments(stitch(tracklets, observed, ticks, flow, longest), observed, ticks)


def tracklets_of(observed: Sequence[Observed], ticks: Floats, min_track: int) -> tuple[list[Tracklet], Flow]:
    """What is certain of tracks, and how the picture moves: what `stitch` begins with."""
    tracklets, flow = link(observed, ticks)
    if min_track > 1:
        tracklets = [each for each in tracklets if _is_worth(each, observed, min_track)]
    return joined_by_fragments(tracklets, observed, ticks), flow


def _is_worth(tracklet: Tracklet, observed: Sequence[Observed], min_track: int) -> bool:
    if len(tracklet) >= STEADY * min_track:
        return True
    return sum(strength(observed[frame].scores[place]) for frame, place in tracklet) > LEAST_STRENGTH


def strength(score: float) -> float:
    """What an instance of this score counts for: 1 from CERTAIN on, less than nothing below DOUBTFUL."""
    return min(1.0, (float(score) - DOUBTFUL) / (CERTAIN - DOUBTFUL))
