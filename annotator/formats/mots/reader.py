"""MOTS text as KITTI, and trackers that follow it, write it; a score may stand at the end of a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from annotator import masks
from annotator.formats.bad_entries import BadEntries
from annotator.formats.fields import score_of, whole
from annotator.formats.interface import Reading
from annotator.formats.mots.numbers import CLASS_IDS, IDS, IGNORE_REGION, MOTS_CLASSES, NO_ID, is_id
from annotator.formats.names import BOM
from annotator.formats.summary import frame_without_time
from annotator.instances import GroundTruth, Instances, Region
from annotator.limits import MOST_FRAMES, MOST_UNLABELLED, unlabelled

COLUMNS = ("frame", "id", "class", "height", "width")


class Line(NamedTuple):
    """One line of the file."""

    number: int  # in the file, from 1
    frame: int
    object_id: int
    mots_class: int
    size: tuple[int, int]  # (H, W)
    counts: bytes
    score: float


class Labelled(NamedTuple):
    """The lines of one frame."""

    lines: Sequence[Line]  # at least one
    masks: Sequence[masks.Rle]  # one a line

    def of(self, *mots_classes: int) -> Labelled:
        """Those of some classes; may be none."""
        chosen = [k for k, line in enumerate(self.lines) if line.mots_class in mots_classes]
        return Labelled([self.lines[k] for k in chosen], [self.masks[k] for k in chosen])


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield every frame from 0 to the last that has a line, with its ignored region; only two classes are labelled.

    Where only instances are asked for, the frames that have a line, without regions. Scores are 1 if there are none,
    track ids the ids of the file. Frames come in the order of the file, which must be ascending. Lines that are no
    label go to `bad`. Raises FormatError.
    """
    reading = reading or Reading()
    labelled = _frames(path, reading.bad)
    if reading.only_instances:
        return reading.bad.sift(path, (GroundTruth(_instances(each)) for each in labelled))
    return reading.bad.sift(path, _truths(labelled))


def _truths(frames: Iterator[Labelled]) -> Iterator[GroundTruth]:
    following = 0
    for labelled in frames:
        found = _instances(labelled)
        for index in range(following, found.frame.index):  # no line: no object
            nothing = Instances.of(frame_without_time(index, found.frame.size))
            yield GroundTruth(nothing, class_ids=frozenset(MOTS_CLASSES))
        following = found.frame.index + 1
        ignored = labelled.of(IGNORE_REGION).masks
        regions = (Region(0, masks.union(ignored, found.frame.size)),) if ignored else ()
        yield GroundTruth(found, regions, frozenset(MOTS_CLASSES))


def _instances(labelled: Labelled) -> Instances:
    lines, rles = labelled.of(*MOTS_CLASSES.values())
    return Instances.of(
        frame_without_time(labelled.lines[0].frame, labelled.lines[0].size),
        rles,
        [CLASS_IDS[line.mots_class] for line in lines],
        [line.score for line in lines],
        track_ids=[0 if line.object_id == NO_ID else line.object_id or IDS[-1] for line in lines],
    )


def _frames(path: Path, bad: BadEntries) -> Iterator[Labelled]:
    """One frame after the other, of the lines that fit in."""
    last = -1
    for frame, group in groupby(_masks(path, bad), key=lambda pair: pair[0].frame):
        fitting: list[tuple[Line, masks.Rle]] = []
        for line, rle in group:
            size = fitting[0][0].size if fitting else line.size
            if frame < last:
                bad.add(_wrong(line.number, f"frame {frame} comes after frame {last}"))
            elif line.size != size:
                bad.add(_wrong(line.number, f"a mask of {list(line.size)} in a frame of {list(size)}"))
            elif frame - last > MOST_UNLABELLED:
                bad.add(_wrong(line.number, unlabelled(last, frame)))
            else:
                fitting.append((line, rle))
        if fitting:
            yield Labelled(*zip(*fitting, strict=True))
            last = frame


def _masks(path: Path, bad: BadEntries) -> Iterator[tuple[Line, masks.Rle]]:
    """The lines with their masks, which are checked by the hundred: that is several times as fast."""
    lines = _lines(path, bad)
    while block := list(islice(lines, 100)):
        for size, of_size in groupby(block, key=lambda line: line.size):
            alike = list(of_size)
            try:
                rles = masks.from_counts([line.counts for line in alike], size)
                yield from zip(alike, rles, strict=True)
            except ValueError:  # one by one, to tell which
                yield from _masks_one_by_one(alike, bad)


def _masks_one_by_one(lines: Sequence[Line], bad: BadEntries) -> Iterator[tuple[Line, masks.Rle]]:
    for line in lines:
        try:
            [rle] = masks.from_counts([line.counts], line.size)
        except ValueError as error:
            bad.add(_wrong(line.number, str(error)))
        else:
            yield line, rle


def _lines(path: Path, bad: BadEntries) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            text = text.removeprefix(BOM) if number == 1 else text
            if text.isspace():
                continue
            try:
                yield _line(number, text)
            except ValueError as error:
                bad.add(_wrong(number, str(error)))


def _line(number: int, text: bytes) -> Line:
    """A line of the file. Raises ValueError."""
    if len(text.split()) not in (6, 7):
        raise ValueError(f"{len(text.split())} columns instead of 6 or 7")
    *numbers, counts = text.split()[:6]
    frame, object_id, mots_class, height, width = map(whole, COLUMNS, numbers)
    score = score_of(text.split()[6]) if len(text.split()) == 7 else 1.0
    if not 0 <= frame < MOST_FRAMES or min(height, width) < 1 or not is_id(object_id):
        raise ValueError("a number is out of its range")
    if mots_class not in CLASS_IDS and mots_class != IGNORE_REGION:
        raise ValueError(f"class {mots_class}; it knows 1, 2 and 10")
    return Line(number, frame, object_id, mots_class, (height, width), counts, score)


def _wrong(number: int, why: str) -> str:
    return f"line {number} is no MOTS label ({why})"
