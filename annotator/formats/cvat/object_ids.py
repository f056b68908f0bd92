"""Which tracks of CVAT's files are one object: what CVAT and people do to tracks, seen by their groups and uids.

CVAT keeps tracks by job: at a border it cuts them, numbers groups anew, and joins what neighbours share where polygons
meet well. So the parts of an object are tracks of one group and uid in one job; and what has one uid in several jobs,
or in the files that a recording is split into, is one object. In one job a uid alone is no proof: a track that people
cut leaves two of one uid, and so does a copy. There only masks, which CVAT takes out of their tracks, go by it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby

from annotator.formats.object_ids import NO_TRACK

NO_GROUP = ("", "0")
Key = tuple[object, ...]  # what is equal in all shapes of an object


def key_of(group: str, uid: str, label: str, number: int) -> Key:
    """Of a shape or track: a group and a uid, or else the number of the element alone.

    CVAT empties the uid of what people relabel: then it is a group and a label, as in CVAT's own exports to COCO.
    """
    return (number,) if group in NO_GROUP else (group, uid, "" if uid else label)


@dataclass(slots=True)
class Piece:
    """A track while it is read, or the parts of an object in one job."""

    object_ids: list[int]  # numbers of the tracks
    key: Key
    uid: str
    is_grouped: bool
    is_mask: bool
    first: int = -1  # frames in which it is seen; -1: none
    last: int = -1
    job: int = 0  # the first that it is in, counted over all files
    until: int = 0  # the last

    def seen(self, first: int, last: int) -> None:
        """It is seen from one frame to another."""
        self.first = first if self.first < 0 else min(self.first, first)
        self.last = max(self.last, last)


@dataclass
class ObjectMerger:
    """The objects of one or several files, by numbers, once their tracks have come in."""

    uids: dict[int, str] = field(
        default_factory=dict
    )  # of objects that have tracks; known when all is joined
    _numbers: Iterator[int] = field(default_factory=count)
    _pieces: list[Piece] = field(default_factory=list)  # of all files
    _of_file: list[Piece] = field(default_factory=list)
    _jobs_before: int = 0  # in files before
    _root: dict[int, int] = field(default_factory=dict)  # by object: one that is the same object

    def new(self) -> int:
        """An object that nothing else is known of."""
        return next(self._numbers)

    def begun(self, key: Key, uid: str, is_mask: bool) -> Piece:
        """A track begins; it is to be told where it is seen."""
        piece = Piece([self.new()], key, uid, len(key) > 1, is_mask)
        self._of_file.append(piece)
        return piece

    def end_file(self, jobs: Sequence[range]) -> None:
        """A file is over; `jobs` are the frames of each, in order, none where there is but one."""
        starts, stops = [job[0] for job in jobs], [job[-1] for job in jobs]
        parts: dict[Key, Piece] = {}
        for piece in self._of_file:
            if piece.first < 0:
                continue
            job = until = min(bisect_left(stops, piece.last), max(len(jobs) - 1, 0))
            if jobs and starts[job] > piece.first:  # joined over a border
                job = bisect_left(stops, piece.first)
            piece.job, piece.until = job + self._jobs_before, until + self._jobs_before
            whole = parts.setdefault((piece.job, *piece.key), piece)
            if whole is not piece:
                whole.object_ids += piece.object_ids
                whole.seen(piece.first, piece.last)
                whole.until = max(whole.until, piece.until)
                whole.is_mask &= piece.is_mask
        self._pieces += parts.values()
        self._of_file = []
        self._jobs_before += max(len(jobs), 1)

    def join(self) -> dict[int, int]:
        """All files are read: of objects that are one object, the number of the first."""
        by_uid: defaultdict[str, list[Piece]] = defaultdict(list)
        for piece in self._pieces:
            self._unite(piece.object_ids)
            if piece.uid:
                by_uid[piece.uid].append(piece)
        for pieces in by_uid.values():
            if len(pieces) > 1:
                self._join_pieces(pieces)
        joined = {object_id: self._of(object_id) for piece in self._pieces for object_id in piece.object_ids}
        uids = {joined[piece.object_ids[0]]: piece.uid for piece in self._pieces}
        self.uids = {number: uids[number] for number in sorted(uids) if not NO_TRACK.fullmatch(uids[number])}
        return joined

    def _join_pieces(self, pieces: list[Piece]) -> None:
        """Join what has one uid: the first of each job to what was seen last before, masks to what is nearest."""
        drawn = [piece for piece in pieces if not piece.is_mask] or pieces[:1]
        drawn.sort(key=lambda piece: (piece.job, piece.first))
        latest: Piece | None = None
        for job, of_job in groupby(drawn, key=lambda piece: piece.job):
            seen = latest
            for place, piece in enumerate(of_job):
                # A part whose group is that of this job may go on with others that are of the job before.
                if latest and (piece.is_grouped if latest.until >= job else place == 0):
                    self._unite([latest.object_ids[0], piece.object_ids[0]])
                if seen is None or piece.last > seen.last:
                    seen = piece
            latest = seen
        for mask in (piece for piece in pieces if piece.is_mask):
            nearest = min(drawn, key=lambda piece: max(piece.first - mask.first, mask.first - piece.last, 0))
            self._unite([nearest.object_ids[0], mask.object_ids[0]])

    def _unite(self, object_ids: list[int]) -> None:
        roots = {self._of(object_id) for object_id in object_ids}
        for root in roots:
            self._root[root] = min(roots)

    def _of(self, object_id: int) -> int:
        while (root := self._root.get(object_id, object_id)) != object_id:
            object_id = root
        return object_id
