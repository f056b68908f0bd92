"""The review list: what of a recording is worth a look, most doubtful first, and the frames to begin with."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.escape import encodable
from annotator.files import atomic_file
from annotator.formats.interface import LabelReader
from annotator.formats.summary import LabelSummary
from annotator.review.colours import class_name
from annotator.review.doubt import MISSING, REASONS, DoubtModel, doubt_model
from annotator.review.signs import signs_of

FILE_NAME = "review.csv"
FIRST = 0.1  # share of the list that counts as doubtful
NEIGHBOURS = 5  # frames on both sides of one that is corrected, to which corrections of a track carry over
CARRIED = 0.5  # of the work there
TOLD = (MISSING, *REASONS)  # reasons by number
NO_REASON = 255

COLUMNS = np.dtype(
    [
        ("frame", np.int32),
        ("track", np.int32),
        ("class", np.uint8),
        ("place", np.int16),  # of the instance in its frame; -1: it may be missing in a gap
        ("score", np.float32),
        ("probability", np.float32),
        ("reasons", np.uint8, (3,)),  # places in TOLD; NO_REASON: no more
    ]
)


class Entry(NamedTuple):
    """A line of the list."""

    frame_index: int  # as CVAT shows it
    track_id: int  # 0: none
    class_id: int
    is_missing: bool  # there is no instance, and may have to be one
    probability: float  # that a person would change it
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ReviewList:
    """All instances of a recording, and the places where one may be missing: 24 bytes each."""

    entries: npt.NDArray[np.void]  # (N,) of COLUMNS, most doubtful first
    picks: dict[int, int] = field(default_factory=dict)  # frames to begin with, and which is first, from 1

    @classmethod
    def of(cls, reader: LabelReader, summary: LabelSummary, model: DoubtModel | None = None) -> ReviewList:
        """Rank what a recording holds."""
        model = model or doubt_model()
        parts = [np.zeros(0, COLUMNS)]
        for signs in signs_of(reader, summary):
            part = np.zeros(len(signs.items), COLUMNS)
            part["probability"] = model.probability(signs.values)
            part["reasons"] = NO_REASON
            for k, (item, reasons) in enumerate(
                zip(signs.items, model.reasons(signs.items, signs.values), strict=True)
            ):
                row = part[k]
                row["frame"], row["track"], row["class"] = item.frame_index, item.track_id, item.class_id
                row["place"], row["score"] = min(item.place, 32767), item.score
                row["reasons"][: len(reasons)] = [TOLD.index(reason) for reason in reasons]
            parts.append(part)
        entries = np.concatenate(parts)
        order = np.lexsort((entries["track"], entries["frame"], -entries["probability"].astype(float)))
        return cls(entries[order])

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def doubtful(self) -> npt.NDArray[np.void]:
        """The first tenth."""
        return self.entries[: max(1, round(FIRST * len(self.entries)))]

    def first(self, most: int) -> Iterator[Entry]:
        """The first lines."""
        for row in self.entries[:most]:
            reasons = tuple(TOLD[k] for k in row["reasons"] if k != NO_REASON)
            numbers = int(row["frame"]), int(row["track"]), int(row["class"]), bool(row["place"] < 0)
            yield Entry(*numbers, float(row["probability"]), float(row["score"]), reasons)

    def with_budget(self, frames: int) -> ReviewList:
        """The same with so many frames picked that catch most of the expected work, best first.

        Who corrects a track in one frame has part of the work done in the frames near by.
        """
        left = self.entries["probability"].astype(float)
        at, track = self.entries["frame"].astype(np.int64), self.entries["track"]
        indices, frame = np.unique(at, return_inverse=True)
        gain = np.bincount(frame, left, len(indices))
        picks: dict[int, int] = {}
        for number in range(1, min(frames, len(indices)) + 1):
            best = int(np.argmax(gain))
            if gain[best] <= 0:
                break
            picks[int(indices[best])] = number
            near = np.abs(frame - best) <= NEIGHBOURS
            corrected = track[(frame == best) & (track > 0)]
            left[near & np.isin(track, corrected)] *= 1 - CARRIED
            left[frame == best] = 0
            some = np.unique(frame[near])
            gain[some] = np.bincount(frame[near], left[near], len(indices))[some]
        return ReviewList(self.entries, picks)

    def expected(self, frames: Sequence[int] | None = None) -> float:
        """How many instances a person would change, of all frames or of some."""
        p = self.entries["probability"]
        return float(p.sum() if frames is None else p[np.isin(self.entries["frame"], list(frames))].sum())

    def write(self, path: Path, names: dict[int, str] | None = None) -> None:
        """Write the whole list as CSV, with the file of a frame where it has one. Raises OutputError."""
        with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            head = (
                "rank",
                "frame",
                "file",
                "track",
                "class",
                "what",
                "probability",
                "score",
                "reasons",
                "pick",
            )
            writer.writerow(head)
            for rank, entry in enumerate(self.first(len(self)), 1):
                writer.writerow(
                    (
                        *(rank, entry.frame_index, encodable((names or {}).get(entry.frame_index, ""))),
                        *(entry.track_id or "", class_name(entry.class_id)),
                        *("missing" if entry.is_missing else "instance", f"{entry.probability:.3f}"),
                        *(f"{entry.score:.3f}", "; ".join(entry.reasons)),
                        self.picks.get(entry.frame_index, ""),
                    )
                )
