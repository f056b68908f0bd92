"""What a page shows of a recording's tracks and frames: gathered in one pass, as long as its tracks are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.formats.interface import LabelReader
from annotator.formats.summary import LabelSummary
from annotator.masks import areas
from annotator.review.listing import ReviewList

MOST_ROWS = 150  # tracks of a timeline
MOST_BARS = 200  # of a chart
BAR_HEIGHT = 66  # pixels
SCORES = np.linspace(0, 1, 21)
SIZES = 2.0 ** np.arange(4, 21)  # pixels
LENGTHS = 2.0 ** np.arange(0, 15)  # frames


class Run(NamedTuple):
    """Frames that follow one another in which a track is labelled, by index; the last belongs to it."""

    first: int
    last: int
    is_filled: bool  # not seen, but filled in


@dataclass
class TrackRuns:
    """A track, and when it is seen."""

    runs: list[Run] = field(default_factory=list)
    doubts: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0
    doubt: float = 0.0  # expected changes


class Chart(NamedTuple):
    """Bars, and what they say in words."""

    title: str
    caption: str
    values: Sequence[float]

    @property
    def heights(self) -> list[float]:
        """In pixels."""
        most = max(self.values, default=0) or 1
        return [round(BAR_HEIGHT * value / most, 1) for value in self.values]

    @property
    def width(self) -> float:
        """Of a bar; many lie side by side."""
        return 0.86 if len(self.values) < 60 else 1


@dataclass
class Gathered:
    """A recording's tracks, and its figures."""

    tracks: dict[int, TrackRuns]
    objects: npt.NDArray[np.int64]  # of each labelled frame
    scores: npt.NDArray[np.int64]  # of SCORES
    sizes: npt.NDArray[np.int64]  # of SIZES
    classes: Counter[int]  # instances

    @classmethod
    def of(cls, reader: LabelReader, summary: LabelSummary, listed: ReviewList) -> Gathered:
        """Gather it in one pass over the labels."""
        tracks: dict[int, TrackRuns] = {}
        objects: list[int] = []
        scores, sizes = np.zeros(len(SCORES) - 1, np.int64), np.zeros(len(SIZES) - 1, np.int64)
        classes = Counter[int]()
        for found in reader.instances():
            index = found.frame.index
            objects.append(len(found))
            scores += np.histogram(np.clip(found.scores, 0, 1), SCORES)[0]
            sizes += np.histogram(np.clip(areas(found.masks), SIZES[0], SIZES[-1] - 1), SIZES)[0]
            classes.update(found.class_ids.tolist())
            for track_id, is_filled in zip(
                found.track_ids.tolist(), found.interpolated.tolist(), strict=True
            ):
                if track_id:
                    track = tracks.setdefault(track_id, TrackRuns())
                    track.frames += 1
                    _extend(track.runs, index, is_filled, summary.step)
        for row in listed.entries:
            if int(row["track"]) in tracks:
                tracks[int(row["track"])].doubt += float(row["probability"])
        doubtful = listed.doubtful
        for row in doubtful[np.argsort(doubtful["frame"], kind="stable")]:
            if int(row["track"]) in tracks:
                _extend_doubt(tracks[int(row["track"])].doubts, int(row["frame"]), summary.step)
        return cls(tracks, np.array(objects, np.int64), scores, sizes, classes)

    def shown(self) -> list[int]:
        """The tracks of the timeline, by when they are first seen; where there are too many, those to look at."""
        chosen = sorted(self.tracks, key=lambda k: -self.tracks[k].doubt)[:MOST_ROWS]
        return sorted(chosen, key=lambda k: (self.tracks[k].runs[0].first, k))

    def charts(self) -> list[Chart]:
        """Objects a frame, scores, sizes and lengths of tracks."""
        lengths = np.array([track.frames for track in self.tracks.values()])
        n = int(self.objects.sum())
        charts = []
        if len(self.objects):
            parts = np.array_split(self.objects, min(MOST_BARS, len(self.objects)))
            caption = f"{self.objects.mean():.1f} on average, {self.objects.min()} to {self.objects.max()}"
            charts.append(Chart("Objects a frame", caption, [float(part.mean()) for part in parts]))
        if n:
            charts.append(
                Chart("Scores", f"0 to 1, median {_median(self.scores, SCORES):.2f}", self.scores.tolist())
            )
            caption = f"{SIZES[0]:.0f} to a million pixels, median about {_median(self.sizes, SIZES):.0f}"
            charts.append(Chart("Sizes", caption, self.sizes.tolist()))
        if len(lengths):
            caption = f"{lengths.min()} to {lengths.max()} frames, median {np.median(lengths):.0f}"
            charts.append(Chart("Lengths of tracks", caption, np.histogram(lengths, LENGTHS)[0].tolist()))
        return charts


def _extend(runs: list[Run], index: int, is_filled: bool, step: int) -> None:
    if runs and runs[-1].last + step >= index and runs[-1].is_filled == is_filled:
        runs[-1] = runs[-1]._replace(last=index)
    else:
        runs.append(Run(index, index, is_filled))


def _extend_doubt(doubts: list[tuple[int, int]], index: int, step: int) -> None:
    if doubts and doubts[-1][1] + step >= index:
        doubts[-1] = doubts[-1][0], index
    else:
        doubts.append((index, index))


def _median(counts: npt.NDArray[np.int64], edges: npt.NDArray[Any]) -> float:
    """The lower edge of the bin in which the middle value lies."""
    return float(edges[int(np.searchsorted(counts.cumsum(), counts.sum() / 2))])
