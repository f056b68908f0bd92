"""Which tracks of CVAT's files are one object: what CVAT and people do to tracks, seen by their groups and uids.

The parts of an object are tracks of one group and uid. A uid alone is no proof, as a track that was cut leaves two of
one uid; but it is where CVAT itself cuts: at the borders of jobs, and masks out of their tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from annotator.formats.identity import NO_TRACK

NO_GROUP = ("", "0")
Key = tuple[object, ...]  # what is equal in all shapes of an object


def key_of(group: str, uid: str, label: str, number: int) -> Key:
    """Of a shape or track: a group and a uid, or else the number of the element alone.

    CVAT empties the uid of what people relabel: then it is a group and a label, as in CVAT's own exports to COCO.
    """
    return (number,) if group in NO_GROUP else (group, uid, "" if uid else label)


@dataclass
class Objects:
    """The objects of one or several files, by numbers, while their tracks come in."""

    uids: dict[int, str] = field(default_factory=dict)  # of objects that have tracks
    borders: set[int] = field(default_factory=set)  # first frames of jobs, but for that of the first
    _numbers: Iterator[int] = field(default_factory=count)
    _by_key: dict[Key, int] = field(default_factory=dict)
    _first_of: dict[str, int] = field(default_factory=dict)  # uid: the first object that had it
    _masks_alone: set[str] = field(
        default_factory=set
    )  # uids of objects of which nothing but masks came so far
    _at_border: dict[tuple[str, int], int] = field(default_factory=dict)  # by uid, and border that they reach
    _in_files_before: dict[str, int] = field(default_factory=dict)  # by uid, the last that had it

    def next_file(self) -> None:
        """What comes next is of another file."""
        self._in_files_before = {uid: number for number, uid in self.uids.items() if uid}

    def new(self) -> int:
        """An object that nothing else is known of."""
        return next(self._numbers)

    def begun(self, key: Key, uid: str, frame: int, is_mask: bool) -> int:
        """The object of a track that begins in a frame, with a mask or a polygon."""
        known = self._by_key.get(key)
        if known is None and uid:
            known = self._gone_on(uid, frame, is_mask)
        number = self.new() if known is None else known
        self._by_key[key] = number
        if not NO_TRACK.fullmatch(uid):
            self.uids.setdefault(number, uid)
            if is_mask and uid not in self._first_of:
                self._masks_alone.add(uid)
            self._first_of.setdefault(uid, number)
        return number

    def ended(self, number: int, uid: str, behind: int) -> None:
        """The track of an object was seen up to the frame before `behind`."""
        if uid and behind in self.borders:
            self._at_border[uid, behind] = number

    def _gone_on(self, uid: str, frame: int, is_mask: bool) -> int | None:
        """The object that goes on in a new track of its uid, each in one track only but for masks."""
        if is_mask or uid in self._masks_alone:
            if not is_mask:
                self._masks_alone.remove(uid)
            return self._first_of.get(uid)
        if frame in self.borders:
            return self._at_border.pop((uid, frame), None)
        return self._in_files_before.pop(uid, None)
