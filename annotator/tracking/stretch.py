"""The tracks of a stretch of frames that fits into memory: everything that looks both ways."""

from __future__ import annotations

from collections.abc import Sequence

from annotator.tracking.observations import Floats, Observed
from annotator.tracking.stitching import stitch
from annotator.tracking.tracklets import Tracklet, link

DOUBTFUL, CERTAIN = 0.45, 0.75  # scores that count for little and for a whole instance
LITTLE = 0.2  # what any instance counts for: what is seen again and again is there
LEAST_STRENGTH = 1 / 3  # of a tracklet that may become part of a track


def tracks_of(observed: Sequence[Observed], ticks: Floats, longest: float, min_track: int) -> list[Tracklet]:
    """The tracks of frames at times `ticks` (T,), in order of appearance; not every instance has one.

    Gaps may be `longest` ticks. With `min_track` above 1, tracklets of weak instances alone are left out.
    """
    tracklets = link(observed, ticks)
    if min_track > 1:
        tracklets = [
            t for t in tracklets if sum(strength(observed[f].scores[k]) for f, k in t) > LEAST_STRENGTH
        ]
    return stitch(tracklets, observed, ticks, longest)


def strength(score: float) -> float:
    """What an instance of this score counts for: 1 from CERTAIN on, LITTLE below DOUBTFUL."""
    return min(1.0, max(LITTLE, (float(score) - DOUBTFUL) / (CERTAIN - DOUBTFUL)))
