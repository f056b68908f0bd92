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
from annotator.errors import FormatLimitError
from annotator.files import atomic_file
from annotator.formats.bad_entries import BadEntries
from annotator.formats.fields import score_of, whole
from annotator.formats.findings import verify_sound
from annotator.formats.interface import LabelReader, RecordingInfo, Written
from annotator.formats.mots.check import check_mots
from annotator.formats.names import BOM
from annotator.formats.summary import LabelSummary, frame_without_time, lost
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_ID, BY_NAME
from annotator.limits import MOST_FRAMES, MOST_UNLABELLED, unlabelled

FILE = "mots.txt"
MOTS_CLASSES = {BY_NAME["car"].id: 1, BY_NAME["person"].id: 2}  # Cityscapes id -> MOTS class
CLASS_IDS = {mots_class: class_id for class_id, mots_class in MOTS_CLASSES.items()}
IGNORE_REGION = 10
IDS_PER_CLASS = 1000
IDS = range(1 << 31)  # what a track id holds; 0 is one here, and goes by the last of them
NO_ID = -1  # of detectors
COLUMNS = ("frame", "id", "class", "height", "width")
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


def write(reader: LabelReader, source: RecordingInfo, folder: Path) -> Written:
    """Write DIR/mots.txt."""
    goal, losses, instances = folder / FILE, Counter[str](), 0
    summary = LabelSummary.of(reader)
    ids = Ids(goal)
    with atomic_file(goal) as temporary:
        with temporary.open("w", encoding="ascii", newline="\n") as file:
            for found in reader.instances():
                shown = summary.disjoint(found)
                losses.update(lost(found, shown))
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
        verify_sound(check_mots(temporary), temporary)
    return Written((goal,), summary.frame_count, instances, +losses)


def read(path: Path, bad: BadEntries | None = None) -> Iterator[Instances]:
    """Yield the frames that have a line; scores are 1 if there are none, track ids the ids of the file.

    Ignored regions are left out. Frames come in the order of the file, which must be ascending. Lines that are no
    label go to `bad`. Raises FormatError.
    """
    bad = bad or BadEntries()
    return bad.sift(path, map(_instances, _frames(path, bad)))


def read_truth(path: Path, bad: BadEntries | None = None) -> Iterator[GroundTruth]:
    """Yield every frame from 0 to the last that has a line, with its ignored region; only two classes are labelled."""
    bad = bad or BadEntries()
    return bad.sift(path, _truths(path, bad))


def _truths(path: Path, bad: BadEntries) -> Iterator[GroundTruth]:
    following = 0
    for labelled in _frames(path, bad):
        found = _instances(labelled)
        for index in range(following, found.frame.index):  # no line: no object
            nothing = Instances.of(frame_without_time(index, found.frame.size))
            yield GroundTruth(nothing, class_ids=frozenset(MOTS_CLASSES))
        following = found.frame.index + 1
        ignored = labelled.of(IGNORE_REGION).masks
        regions = (Region(0, masks.union(ignored, found.frame.size)),) if ignored else ()
        yield GroundTruth(found, regions, frozenset(MOTS_CLASSES))


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
            raise FormatLimitError(
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


def is_id(number: int) -> bool:
    """Whether a number can be that of an object, or says that there is none."""
    return number in IDS or number == NO_ID


def _wrong(number: int, why: str) -> str:
    return f"line {number} is no MOTS label ({why})"
