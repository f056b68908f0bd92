"""The store: one SQLite file per source, the only thing that detection, association and publishing share.

Every batch of frames is one transaction, so a run killed at any moment leaves a store that ends with a whole
frame, and the next run goes on behind it. Readers walk the file in slices: memory is the same for a minute
and for a day.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from annotator.errors import SourceError, UsageError, cant_be_written
from annotator.escape import encodable, to_json
from annotator.frames import FrameRef, Gap
from annotator.instances import Instances
from annotator.store.database import Database, Row, damaged, delete
from annotator.store.edits import TrackEditor
from annotator.store.fingerprint import named
from annotator.store.progress import NOTES, Edited, Progress, from_notes, to_notes
from annotator.store.rows import (
    frame_of,
    gap_of,
    require_places,
    row_of_frame,
    rows_of_instances,
    rows_of_tracks,
    rows_to_instances,
)
from annotator.store.schema import (
    CARRIED,
    FILE_NAME,
    FRAME_COLUMNS,
    HIDDEN,
    INTERPOLATED,
    LEFT_OUT_OF,
    MADE,
)

SLICE = 64  # frames that a reader holds at once

Thing = TypeVar("Thing")


class AddedInstance(NamedTuple):
    """An instance that association adds to a frame, between others of its track."""

    track_id: int
    class_id: int  # Cityscapes id
    score: float
    counts: bytes  # COCO compressed RLE of the frame's size
    kind: int  # of MADE


class FrameTracks(NamedTuple):
    """What association makes of the instances that were found in a frame."""

    frame_index: int
    track_ids: Sequence[int]  # one for each, in their order; 0: left out of the labels
    added: Sequence[AddedInstance]
    lost: Sequence[float] = ()  # scores of those that are left out and have no added one in their place


class Store:
    """Instances and tracks of one source. Use it in a `with`, or close it: at rest it is a single file."""

    def __init__(self, database: Database) -> None:
        self.path = database.path
        self._db = database

    @classmethod
    def open(cls, folder: Path, fingerprint: Mapping[str, Any], overwrite: bool = False) -> Store:
        """Open the store in `folder` to go on with it, or begin one.

        `fingerprint` holds all that shapes the labels, by the name that a user knows it by. Raises UsageError
        when the store was made with another one, SourceError when it is damaged, OutputError when it can't be
        written.
        """
        path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if overwrite:
                delete(folder)
        except OSError as error:
            raise cant_be_written(folder, error) from error
        database = Database.writable(path)
        with database.closed_on_error():
            if not database.is_begun():
                database.begin([("fingerprint", _json(dict(fingerprint)))])
            store = cls(database)
            store.check(fingerprint)
        return store

    @classmethod
    def read(cls, folder: Path) -> Store:
        """Open a store to read it. Raises SourceError when there is none or it is damaged."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise SourceError(f"{folder}: no {FILE_NAME} here; label the recording first")
        database = Database.readable(path)
        with database.closed_on_error():
            if not database.is_begun():
                raise SourceError(f"{path}: holds no labels yet; label the recording first")
        return cls(database)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store and fold the write-ahead log into its one file; an empty store leaves no file."""
        self._db.close()

    def check(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise UsageError, saying what differs, when the store was made with another fingerprint."""
        made_with, asked = self.fingerprint, json.loads(_json(dict(fingerprint)))
        changes = [
            f"{named(key)} {_brief(made_with.get(key, 'none'))} (not {_brief(asked.get(key, 'none'))})"
            for key in {**made_with, **asked}
            if made_with.get(key) != asked.get(key)
        ]
        if changes:
            raise UsageError(
                f"{self.path}: was made with {', '.join(changes)}; use `overwrite` to start again,"
                " or another `out`"
            )

    # ---- writing

    def add(self, batch: Sequence[Instances], gaps: Iterable[Gap] = (), carried: bool = False) -> None:
        """Add frames, with the gaps found on the way to them, in one transaction: all of it or nothing.

        Instances that have a track keep it. With `carried`, interpolated ones stay whatever association makes of them.
        Raises ValueError for a frame that is there.
        """
        with self._db.transaction():
            try:
                frames = (row_of_frame(found.frame) for found in batch)
                self._db.executemany("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?)", frames)
            except sqlite3.IntegrityError as error:
                raise ValueError("a frame twice") from error
            unseen = CARRIED if carried else INTERPOLATED
            instances = chain.from_iterable(rows_of_instances(found, unseen) for found in batch)
            self._db.executemany("INSERT INTO instances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", instances)
            tracks = chain.from_iterable(map(rows_of_tracks, batch))
            self._db.executemany("INSERT INTO tracks VALUES (?, ?, ?)", tracks)
            self._add_gaps(gaps)

    def set_tracks(self, assignments: Iterable[tuple[int, int, int]]) -> None:
        """Replace all tracks by (frame index, position in the frame, track id from 1), in one transaction.

        All that was found is labelled, with a track or without. Raises ValueError when a track has two instances in
        a frame, or an instance two tracks.
        """
        # `assignments` may be a generator that reads this store: it is drained before anything is replaced.
        with self._db.transaction():
            self._begin_assignments()
            self._db.executemany("INSERT INTO temp.assignments VALUES (?, ?, ?)", assignments)
            self._replace_tracks()

    def set_links(self, frames: Iterable[FrameTracks]) -> None:
        """Replace all tracks by what association says of every frame, in one transaction.

        Found instances without a track are left out of the labels, and added ones come in; `detections` still gives the
        former. Raises ValueError as `set_tracks` does.
        """
        with self._db.transaction():
            self._begin_assignments()
            for tracks in frames:
                index, first = tracks.frame_index, len(tracks.track_ids)
                rows = [(index, k, int(track_id)) for k, track_id in enumerate(tracks.track_ids)]
                rows += [(index, first + k, added.track_id) for k, added in enumerate(tracks.added)]
                self._db.executemany("INSERT INTO temp.assignments VALUES (?, ?, ?)", rows)
                made = [
                    (index, first + k, m.class_id, m.score, m.counts, m.kind)
                    for k, m in enumerate(tracks.added)
                ]
                self._db.executemany("INSERT INTO temp.made VALUES (?, ?, ?, ?, ?, x'', NULL, NULL, ?)", made)
            self._replace_tracks()
            for kind, left_out in LEFT_OUT_OF.items():
                self._db.execute(
                    f"UPDATE instances SET kind = {left_out} WHERE kind = {kind} AND NOT EXISTS (SELECT 1 FROM tracks"
                    " WHERE frame_index = instances.frame_index AND position = instances.position)"
                )

    def _begin_assignments(self) -> None:
        for name in ("assignments", "made"):
            self._db.execute(f"DROP TABLE IF EXISTS temp.{name}")
        self._db.execute(
            "CREATE TEMP TABLE assignments (frame_index INTEGER, position INTEGER, track_id INTEGER)"
        )
        self._db.execute("CREATE TEMP TABLE made AS SELECT * FROM main.instances WHERE 0")

    def _replace_tracks(self) -> None:
        """Put the temporary tables in place of what an association before made."""
        self._db.execute("DELETE FROM tracks")
        self._db.execute(f"DELETE FROM instances WHERE kind IN {MADE}")
        for kind, left_out in LEFT_OUT_OF.items():
            self._db.execute(f"UPDATE instances SET kind = {kind} WHERE kind = {left_out}")
        self._db.execute("INSERT INTO instances SELECT * FROM temp.made")
        unknown = self._db.one(
            "SELECT frame_index, position FROM temp.assignments"
            " LEFT JOIN instances USING (frame_index, position) WHERE class_id IS NULL"
        )
        if unknown is not None:
            raise ValueError(f"frame {unknown[0]} has no instance {unknown[1]}")
        try:
            self._db.execute(
                "INSERT INTO tracks SELECT frame_index, position, track_id FROM temp.assignments"
                " WHERE track_id > 0 ORDER BY frame_index, position"
            )
        except sqlite3.IntegrityError as error:
            raise ValueError(
                "two instances of a track in one frame, or two tracks of one instance"
            ) from error
        for name in ("assignments", "made"):
            self._db.execute(f"DROP TABLE temp.{name}")
        self._update(replace(self.progress, tracks_digest=self._tracks_digest()))

    def _tracks_digest(self) -> str:
        """What tells these tracks from others, made by the same options as they may be."""
        digest = hashlib.blake2b(digest_size=16)
        for table in ("tracks", f"instances WHERE kind IN {MADE}"):
            for row in self._db.execute(f"SELECT * FROM {table} ORDER BY frame_index, position"):
                digest.update(repr(row).encode())
        return digest.hexdigest()

    @contextmanager
    def edit_tracks(self) -> Iterator[TrackEditor]:
        """Change tracks in one transaction: all of it or nothing.

        What the editor says is done is kept as the edits of the progress. Raises SourceError when the tracks, or what
        finds them, are damaged.
        """
        self._db.require_sound_edits()
        with self._db.transaction():
            editor = TrackEditor(self._db)
            yield editor
            edits = (*self.progress.edits, *editor.done)
            self._update(replace(self.progress, edits=edits, tracking=Edited(len(edits))))

    def update(self, progress: Progress) -> None:
        """Keep what the recording has been through; what didn't change isn't written."""
        with self._db.transaction():
            self._update(progress)

    def _update(self, progress: Progress) -> None:
        before = to_notes(self.progress)
        for key, value in to_notes(progress).items():
            if value != before[key]:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note.{key}", _json(value)))

    # ---- reading

    @property
    def progress(self) -> Progress:
        """What the recording has been through. Raises SourceError where the store says what can't be."""
        notes = {key: self._meta(f"note.{key}") for key in NOTES}
        return self._sound(from_notes, notes)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All that shaped the labels of this store."""
        found = self._meta("fingerprint")
        if not isinstance(found, dict | None):
            raise damaged(self.path, "fingerprint is odd")
        return found or {}

    def _meta(self, key: str) -> Any:
        row = self._db.one("SELECT value FROM meta WHERE key = ?", key)
        if row is None:
            return None
        try:
            return json.loads(row[0])
        except (TypeError, ValueError, RecursionError) as error:
            raise damaged(self.path, f"{key} is no JSON") from error

    @property
    def frame_count(self) -> int:
        """Frames labelled so far."""
        return self._db.count("SELECT count(*) FROM frames")

    @property
    def instance_count(self) -> int:
        """Instances in all of them, as they are labelled."""
        return self._db.count(f"SELECT count(*) FROM instances WHERE kind NOT IN {HIDDEN}")

    @property
    def track_count(self) -> int:
        """Tracks, 0 before association."""
        return self._db.count("SELECT count(DISTINCT track_id) FROM tracks")

    @property
    def gap_count(self) -> int:
        """Stretches of the recording that could not be decoded."""
        return self._db.count("SELECT count(*) FROM gaps")

    def next_index(self) -> int:
        """The first frame index that the store lacks: one behind its last frame, 0 when it is empty."""
        rows = self._db.rows(f"SELECT {FRAME_COLUMNS} FROM frames ORDER BY frame_index DESC LIMIT 1")
        return 1 + self._sound(frame_of, rows[0]).index if rows else 0

    def gaps(self) -> Iterator[Gap]:
        """The gaps, in order."""
        for row in self._db.rows(
            "SELECT after_index, pts, reason FROM gaps ORDER BY after_index, pts, reason"
        ):
            yield self._sound(gap_of, row)

    def frames(self) -> Iterator[FrameRef]:
        """The frames in order, those without instances included."""
        for rows in self._frame_rows():
            yield from (self._sound(frame_of, row) for row in rows)

    def _frame_rows(self) -> Iterator[list[Row]]:
        """The rows of all frames, some at a time."""
        after = -1 << 63
        while rows := self._db.rows(
            f"SELECT {FRAME_COLUMNS} FROM frames WHERE frame_index > ? ORDER BY frame_index LIMIT {SLICE}",
            after,
        ):
            if rows[-1][0] <= after:
                raise damaged(self.path, f"frame {rows[-1][0]} comes after frame {after}")
            after = rows[-1][0]
            yield rows

    def instances(self) -> Iterator[Instances]:
        """The instances of every frame as they are labelled, in frame order, with their track ids."""
        return self._instances(f"kind NOT IN {HIDDEN}")

    def detections(self) -> Iterator[Instances]:
        """The instances of every frame as they were found, whatever association made of them.

        Instance k of a frame is the one that association knows as position k.
        """
        return self._instances(f"kind NOT IN {MADE}", are_found=True)

    def _instances(self, which: str, are_found: bool = False) -> Iterator[Instances]:
        self._require_frames()
        after = -1 << 63
        for frames in self._frame_rows():
            rows = self._db.rows(
                "SELECT frame_index, position, class_id, score, counts, features, moved_x, moved_y,"
                " ifnull(track_id, 0), kind"
                " FROM instances LEFT JOIN tracks USING (frame_index, position)"
                f" WHERE frame_index > ? AND frame_index <= ? AND {which}"
                " ORDER BY frame_index, score DESC, position",
                after,
                frames[-1][0],
            )
            of_frame = {index: list(group) for index, group in groupby(rows, key=lambda row: row[0])}
            after = frames[-1][0]
            refs = [self._sound(frame_of, row) for row in frames]
            if strangers := of_frame.keys() - {ref.index for ref in refs}:
                raise damaged(self.path, f"it has instances of frame {min(strangers)}, but no such frame")
            if are_found:
                for ref in refs:
                    self._sound(require_places, ref, of_frame.get(ref.index, ()))
            yield from self._sound_ones(rows_to_instances(refs, of_frame))

    def _require_frames(self) -> None:
        """Raise SourceError where instances lie behind the last frame, which reading would pass over."""
        row = self._db.one("SELECT max(frame_index) FROM instances")  # first: frames may be added meanwhile
        if row is None or row[0] is None:
            return
        if self._db.one("SELECT ? > ifnull(max(frame_index), -1) FROM frames", row[0]) == (1,):
            raise damaged(self.path, f"it has instances of frame {row[0]}, but no such frame")

    def _sound_ones(self, made_of_rows: Iterator[Thing]) -> Iterator[Thing]:
        try:
            yield from made_of_rows
        except ValueError as error:
            raise damaged(self.path, str(error)) from error

    def _sound(self, made_of: Callable[..., Thing], *rows: Any) -> Thing:
        """What is made of rows. Raises SourceError where they can't be what was written."""
        try:
            return made_of(*rows)
        except ValueError as error:
            raise damaged(self.path, str(error)) from error

    def _add_gaps(self, gaps: Iterable[Gap]) -> None:
        rows = [(gap.after_index, gap.pts, encodable(gap.reason)) for gap in gaps]
        self._db.executemany("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?)", rows)


def _json(value: Any) -> str:
    return to_json(value, sort_keys=True)


def _brief(value: Any) -> str:
    text = "default" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "…"
