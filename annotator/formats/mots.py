"""MOTS text as KITTI has it: lines `frame id class height width rle`, car 1, pedestrian 2.

ids are class * 1000 + k, one k for a track in the whole recording; an instance without a track has its own.
Other classes than car and person are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.interface import LabelReader, Recorded, Written
from annotator.formats.survey import HIDDEN, Survey, frame_without_time
from annotator.formats.whole import insist, whole_file
from annotator.instances import Instances
from annotator.labels import BY_ID, BY_NAME

FILE = "mots.txt"
MOTS_CLASSES = {BY_NAME["car"].id: 1, BY_NAME["person"].id: 2}  # Cityscapes id -> MOTS class
IGNORE_REGION = 10
IDS_PER_CLASS = 1000
OTHER_CLASSES = "instances of other classes than car and person"


class Line(NamedTuple):
    """One line of the file."""

    frame: int
    object_id: int
    mots_class: int
    mask: masks.Rle


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
        _check(temporary, instances)
    return Written((goal,), survey.frame_count, instances, +losses)


def read(path: Path) -> Iterator[Instances]:
    """Yield the frames that have a line; scores are 1, track ids the ids of the file.

    Ignore regions are left out. Frames come in the order of the file, which must be ascending.
    """
    class_ids = {mots_class: class_id for class_id, mots_class in MOTS_CLASSES.items()}
    for lines in _frames(path):
        objects = [line for line in lines if line.mots_class != IGNORE_REGION]
        unknown = [line.mots_class for line in objects if line.mots_class not in class_ids]
        if unknown:
            raise FormatError(f"{path}: class {unknown[0]} in frame {lines[0].frame}; it knows 1, 2 and 10")
        height, width = lines[0].mask["size"]
        yield Instances.of(
            frame_without_time(lines[0].frame, (height, width)),
            [line.mask for line in objects],
            [class_ids[line.mots_class] for line in objects],
            np.ones(len(objects)),
            track_ids=[line.object_id for line in objects],
        )


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
                f" {BY_ID[class_id].name}; label shorter stretches (--start, --end), or with tracks"
            )
        self._count[class_id] += 1
        object_id = MOTS_CLASSES[class_id] * IDS_PER_CLASS + k
        if track_id:
            self._of_track[track_id] = object_id
        return object_id


def _frames(path: Path) -> Iterator[list[Line]]:
    """The lines of one frame after the other. Raises FormatError, naming the line."""
    gathered: list[Line] = []
    with path.open(encoding="ascii", errors="replace") as file:
        for number, text in enumerate(file, 1):
            try:
                frame, object_id, mots_class, height, width, counts = text.split()
                size = (int(height), int(width))
                mask = masks.to_rle({"size": list(size), "counts": counts}, size)
                line = Line(int(frame), int(object_id), int(mots_class), mask)
                if gathered and line.frame < gathered[0].frame:
                    raise ValueError(f"frame {line.frame} comes after frame {gathered[0].frame}")
            except (ValueError, FormatError) as error:
                raise FormatError(f"{path}: line {number} is no MOTS label ({error})") from error
            if gathered and line.frame != gathered[0].frame:
                yield gathered
                gathered = []
            gathered.append(line)
    if gathered:
        yield gathered


def _check(path: Path, instances: int) -> None:
    count = 0
    for lines in _frames(path):
        where = f"frame {lines[0].frame}"
        count += len(lines)
        insist(len({line.object_id for line in lines}) == len(lines), path, f"an id twice in {where}")
        insist(masks.are_disjoint([line.mask for line in lines]), path, f"overlapping masks in {where}")
        for line in lines:
            insist(line.object_id // IDS_PER_CLASS == line.mots_class, path, f"id {line.object_id}")
    insist(count == instances, path, f"{count} of {instances} instances")
