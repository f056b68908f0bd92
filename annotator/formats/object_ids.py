"""Which number the objects of other tools' files go by here."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from itertools import count
from typing import TypeVar

ObjectId = TypeVar("ObjectId", bound=Hashable)

NO_TRACK = re.compile(r"frame\d+-\d+")  # the uid of an object that had none
TRACK_IDS = range(1, 1 << 31)


def track_id(uid: str) -> int:
    """The track id that a uid is, 0 if it is none."""
    return int(uid) if uid.isdecimal() and len(uid) < 11 and int(uid) in TRACK_IDS else 0


def track_ids(uids: Mapping[ObjectId, str]) -> dict[ObjectId, int]:
    """A track id for each object that has one: what its uid says, unless one before has it; else a free one."""
    given: dict[ObjectId, int] = {}
    taken = {0}
    for object_id, uid in uids.items():
        if track_id(uid) not in taken:
            given[object_id] = track_id(uid)
            taken.add(given[object_id])
    free = (number for number in count(1) if number not in taken)
    return {object_id: given[object_id] if object_id in given else next(free) for object_id in uids}
