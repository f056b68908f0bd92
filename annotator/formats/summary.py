"""What every writer asks of the labels before it writes: a first pass, and instances made disjoint."""

from __future__ import annotations

import re
from collections import Counter
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

    class_id: int  # the most frequent of its instances; the smaller id of two
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
        votes = Counter[tuple[int, int]]()  # of (track, class)
        spans: dict[int, tuple[int, int]] = {}
        sums: dict[int, float] = {}
        classes = set(INSTANCE_CLASSES)
        for found in reader.instances():
            index = found.frame.index
            if count == 0:
                first, size = index, found.frame.size
            else:
                step = min(step or index - last, index - last)
            count, last = count + 1, index
            classes.update(found.class_ids.tolist())
            scores = np.where(found.interpolated, 0, found.scores)
            columns = (found.track_ids, found.class_ids, scores)
            for track_id, class_id, score in zip(*(column.tolist() for column in columns), strict=True):
                if track_id:
                    votes[track_id, class_id] += 1
                    spans[track_id] = (spans.get(track_id, (index, index))[0], index)
                    sums[track_id] = sums.get(track_id, 0.0) + score
        # From few votes to many, and from large ids to small: the last one stays.
        ranked = sorted(votes, key=lambda vote: (votes[vote], -vote[1]))
        class_of = dict(ranked)
        lengths = Counter[int]()
        for (track_id, _), count_of in votes.items():
            lengths[track_id] += count_of
        tracks = {
            k: TrackSummary(class_of[k], *spans[k], score=round(sums[k] / lengths[k], 4))
            for k in sorted(spans)
        }
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
        class_ids = [
            self.tracks[track_id].class_id if track_id else class_id
            for track_id, class_id in zip(found.track_ids.tolist(), found.class_ids.tolist(), strict=True)
        ]
        disjoint = replace(found, masks=tuple(shown), class_ids=np.array(class_ids, np.uint8))
        return disjoint.select(seen), seen


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
