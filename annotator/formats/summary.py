"""What every writer asks of the labels before it writes: a first pass, and instances made disjoint."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.escape import encodable
from annotator.formats.interface import LabelReader
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.labels import BY_ID, INSTANCE_CLASSES, Label

NOT_IN_XML = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
HIDDEN = "instances hidden by better ones"
EMPTY = "instances without a pixel"


@dataclass(frozen=True)
class TrackSummary:
    """A track seen from afar."""

    class_id: (
        int  # what its instances speak for, by score; of two as good the more frequent, then the smaller id
    )
    first: int  # frame indices
    last: int
    score: float  # mean of its instances, to 4 decimals; those that were not seen, but filled in, count for nothing


@dataclass(frozen=True)
class LabelSummary:
    """A recording's labels seen from afar. Its memory follows the number of tracks, not of frames."""

    frame_count: int
    first: int  # index of the first labelled frame, 0 without frames
    last: int  # of the last, -1 without frames
    step: int  # indices from one labelled frame to the next
    size: tuple[int, int]  # (H, W) of the first frame, (0, 0) without frames
    tracks: dict[int, TrackSummary]  # by track id
    labels: tuple[Label, ...]  # the eight classes with instances, and any other that occurs

    @classmethod
    def of(cls, reader: LabelReader) -> LabelSummary:
        """LabelSummary the labels in one pass."""
        count, first, last, step, size = 0, 0, -1, 0, (0, 0)
        counts: defaultdict[int, Counter[int]] = defaultdict(Counter)  # of instances, by track and class
        votes: defaultdict[int, dict[int, float]] = defaultdict(dict)  # sums of scores, by the same
        begins: dict[int, int] = {}  # of tracks
        ends: dict[int, int] = {}
        classes = set(INSTANCE_CLASSES)
        for found in reader.instances():
            index = found.frame.index
            if count == 0:
                first, size = index, found.frame.size
            else:
                step = min(step or index - last, index - last)
            count, last = count + 1, index
            classes.update(found.class_ids.tolist())
            track_ids, class_ids = found.track_ids.tolist(), found.class_ids.tolist()
            scores = np.where(found.interpolated, 0, found.scores).tolist()
            for k in np.flatnonzero(found.track_ids).tolist():
                track_id, class_id = track_ids[k], class_ids[k]
                counts[track_id][class_id] += 1
                votes[track_id][class_id] = votes[track_id].get(class_id, 0.0) + scores[k]
                begins.setdefault(track_id, index)
                ends[track_id] = index
        tracks = {k: _track_summary(counts[k], votes[k], begins[k], ends[k]) for k in sorted(ends)}
        labels = tuple(BY_ID[class_id] for class_id in sorted(classes))
        return cls(count, first, last, step or 1, size, tracks, labels)

    def disjoint(self, found: Instances) -> Instances:
        """The instances as they are published, in all formats alike.

        No two share a pixel (the best scored has it), none is empty, and one of a track has its class.
        """
        return self.published(found)[0]

    def published(self, found: Instances) -> tuple[Instances, npt.NDArray[np.int64]]:
        """The same (K of N instances), and which of them these are: their places (K,) in `found`."""
        shown = masks.visible(found.masks, found.frame.size)
        seen = np.flatnonzero(masks.areas(shown) > 0)
        return replace(self.classed(found), masks=tuple(shown)).select(seen), seen

    def classed(self, found: Instances) -> Instances:
        """The same instances, those of a track with its class."""
        class_ids = [
            self.tracks[track_id].class_id if track_id else class_id
            for track_id, class_id in zip(found.track_ids.tolist(), found.class_ids.tolist(), strict=True)
        ]
        return replace(found, class_ids=np.array(class_ids, np.uint8))


def _track_summary(counts: Counter[int], votes: Mapping[int, float], first: int, last: int) -> TrackSummary:
    """A track, given by class how many instances it has and the sums of their scores, and its first and last frame."""
    class_id = max(counts, key=lambda of: (votes[of], counts[of], -of))
    return TrackSummary(class_id, first, last, score=round(sum(votes.values()) / counts.total(), 4))


def lost(found: Instances, shown: Instances) -> dict[str, int]:
    """Why `LabelSummary.disjoint` leaves instances out, in words, and how many."""
    missing = len(found) - len(shown)
    empty = int(np.sum(masks.areas(found.masks) == 0)) if missing else 0
    return {EMPTY: empty, HIDDEN: missing - empty}


def shortest(score: np.float32) -> float:
    """The number with the fewest digits that is read as this score again."""
    return float(np.format_float_positional(score, unique=True, trim="0"))


def text(name: str) -> str:
    """A name in characters that UTF-8 and XML hold: others are written as a backslash and their number."""
    return NOT_IN_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), encodable(name))


def frame_without_time(index: int, size: tuple[int, int], name: str = "") -> FrameRef:
    """A frame of a format that keeps no time: one a second."""
    return FrameRef(index=index, pts=index, time_base=Fraction(1), size=size, name=name)
