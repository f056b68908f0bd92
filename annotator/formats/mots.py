"""MOTS text as KITTI has it: lines `frame id class height width rle`, car 1, pedestrian 2, ignored region 10.

ids are class * 1000 + k, one k for a track in the whole recording; an instance without a track has its own.
Other classes than car and person are left out. Trackers may add a score at the end of a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.check.finding import insist_sound
from annotator.formats.check.mots import check_mots
from annotator.formats.interface import LabelReader, Recorded, Written
from annotator.formats.names import BOM
from annotator.formats.survey import HIDDEN, Survey, frame_without_time
from annotator.formats.whole import whole_file
from annotator.frames import MOST_FRAMES
from annotator.instances import Instances, Region, Truth
from annotator.labels import BY_ID, BY_NAME

FILE = "mots.txt"
MOTS_CLASSES = {BY_NAME["car"].id: 1, BY_NAME["person"].id: 2}  # Cityscapes id -> MOTS class
CLASS_IDS = {mots_class: class_id for class_id, mots_class in MOTS_CLASSES.items()}
IGNORE_REGION = 10
IDS_PER_CLASS = 1000
IDS = range(1 << 31)  # what a track id holds; 0 is one here, and goes by the last of them
NO_ID = -1  # of detectors
OTHER_CLASSES = "instances of other classes than car and person"


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


def write(reader: LabelReader, source: Recorded, folder: Path) -> Written:
    """Write DIR/mots.txt."""
    goal, losses, instances = folder / FILE, Counter[str](), 0
    survey = Survey.of(reader)
    ids = Ids(goal)
    with whole_file(goal) as temporary:
        with temporary.open("w", encoding="ascii", newline="\n") as file:
            for found in reader.instances():
                shown = survey.disjoint(found)
                losses[HIDDEN] += len(found) - len(shown)
                height, width = shown.frame.size
                for k, mask in enumerate(shown.masks):
                    mots_class = MOTS_CLASSES.get(int(shown.class_ids[k]))
                    if mots_class is None:
                        losses[OTHER_CLASSES] += 1
                        continue
                    object_id = ids.of(int(shown.track_ids[k]), int(shown.class_ids[k]))
                    counts = mask["counts"].decode("ascii")
                    file.write(f"{shown.frame.index} {object_id} {mots_class} {height} {width} {counts}\n")
                    instances += 1
        insist_sound(check_mots(temporary), temporary)
    return Written((goal,), survey.frame_count, instances, +losses)


def read(path: Path) -> Iterator[Instances]:
    """Yield the frames that have a line; scores are 1 if there are none, track ids the ids of the file.

    Ignored regions are left out. Frames come in the order of the file, which must be ascending.
    """
    for labelled in _frames(path):
        yield _instances(labelled)


def read_truth(path: Path) -> Iterator[Truth]:
    """Yield every frame from 0 to the last that has a line, with its ignored region; only two classes are labelled."""
    following = 0
    for labelled in _frames(path):
        found = _instances(labelled)
        for index in range(following, found.frame.index):  # no line: no object
            nothing = Instances.of(frame_without_time(index, found.frame.size))
            yield Truth(nothing, class_ids=frozenset(MOTS_CLASSES))
        following = found.frame.index + 1
        ignored = labelled.of(IGNORE_REGION).masks
        regions = (Region(0, masks.union(ignored, found.frame.size)),) if ignored else ()
        yield Truth(found, regions, frozenset(MOTS_CLASSES))


def names(path: Path) -> list[str]:
    """Nothing: frames have numbers alone."""
    return []


class Ids:
    """Ids of objects, given out as they appear."""

    def __init__(self, goal: Path) -> None:
        self._goal = goal
        self._of_track: dict[int, int] = {}
        self._count = Counter[int]()

    def of(self, track_id: int, class_id: int) -> int:
        """The id of a track; track 0 gets a new one every time. Raises FormatError when the ids run out."""
        if track_id in self._of_track:
            return self._of_track[track_id]
        k = self._count[class_id]
        if k == IDS_PER_CLASS:
            raise FormatError(
                f"{self._goal}: the format holds {IDS_PER_CLASS} objects of a class, and there are more of"
                f" {BY_ID[class_id].name}; make tracks (spatialemb-track), or label shorter stretches"
            )
        self._count[class_id] += 1
        object_id = MOTS_CLASSES[class_id] * IDS_PER_CLASS + k
        if track_id:
            self._of_track[track_id] = object_id
        return object_id


def _instances(labelled: Labelled) -> Instances:
    lines, rles = labelled.of(*MOTS_CLASSES.values())
    return Instances.of(
        frame_without_time(labelled.lines[0].frame, labelled.lines[0].size),
        rles,
        [CLASS_IDS[line.mots_class] for line in lines],
        [line.score for line in lines],
        track_ids=[0 if line.object_id == NO_ID else line.object_id or IDS[-1] for line in lines],
    )


def _frames(path: Path) -> Iterator[Labelled]:
    """One frame after the other. Raises FormatError, naming the line."""
    last = -1
    for frame, group in groupby(_masks(path), key=lambda pair: pair[0].frame):
        lines, rles = zip(*group, strict=True)
        if frame < last:
            raise _wrong(path, lines[0].number, f"frame {frame} comes after frame {last}")
        for line in lines:
            if line.size != lines[0].size:
                size = list(lines[0].size)
                raise _wrong(path, line.number, f"a mask of {list(line.size)} in a frame of {size}")
        yield Labelled(lines, rles)
        last = frame


def _masks(path: Path) -> Iterator[tuple[Line, masks.Rle]]:
    """The lines with their masks, which are checked by the hundred: that is several times as fast."""
    lines = _lines(path)
    while block := list(islice(lines, 100)):
        for size, of_size in groupby(block, key=lambda line: line.size):
            alike = list(of_size)
            try:
                rles = masks.from_counts([line.counts for line in alike], size)
            except ValueError:
                rles = [_mask(path, line) for line in alike]  # which names the line
            yield from zip(alike, rles, strict=True)


def _lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            text = text.removeprefix(BOM) if number == 1 else text
            if text.isspace():
                continue
            try:
                if len(text.split()) not in (6, 7):
                    raise ValueError(f"{len(text.split())} columns instead of 6 or 7")
                frame, object_id, mots_class, height, width, counts, *more = text.split()
                size, score = (int(height), int(width)), float(more[0]) if more else 1.0
                line = Line(number, int(frame), int(object_id), int(mots_class), size, counts, score)
                if not 0 <= line.frame < MOST_FRAMES or min(size) < 1 or not is_id(line.object_id):
                    raise ValueError("a number is out of its range")
                if not 0 <= score <= 1:
                    raise ValueError(f"a score of {score:g}; scores are from 0 to 1")
                if line.mots_class not in CLASS_IDS and line.mots_class != IGNORE_REGION:
                    raise ValueError(f"class {line.mots_class}; it knows 1, 2 and 10")
            except ValueError as error:
                raise _wrong(path, number, str(error)) from error
            yield line


def is_id(number: int) -> bool:
    """Whether a number can be that of an object, or says that there is none."""
    return number in IDS or number == NO_ID


def _mask(path: Path, line: Line) -> masks.Rle:
    try:
        return masks.from_counts([line.counts], line.size)[0]
    except ValueError as error:
        raise _wrong(path, line.number, str(error)) from error


def _wrong(path: Path, number: int, why: str) -> FormatError:
    return FormatError(f"{path}: line {number} is no MOTS label ({why})")
