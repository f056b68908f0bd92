"""MOTS text, with the ids that KITTI gives: see `mots.numbers`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from annotator.errors import FormatLimitError
from annotator.files import atomic_file
from annotator.formats.findings import verify_sound
from annotator.formats.interface import LabelReader, RecordingInfo, Written
from annotator.formats.mots.check import check_mots
from annotator.formats.mots.numbers import IDS_PER_CLASS, MOTS_CLASSES
from annotator.formats.summary import LabelSummary, lost
from annotator.labels import BY_ID

FILE = "mots.txt"
OTHER_CLASSES = "instances of other classes than car and person"


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
