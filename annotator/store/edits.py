"""Tracks of a store changed by hand: relabelled, split, merged and deleted."""

from __future__ import annotations

from collections.abc import Sequence

from annotator.errors import UsageError
from annotator.store.database import Database


class TrackEditor:
    """Changes tracks within a transaction of the store; see `Store.edit_tracks`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.done: list[str] = []  # what was done, in words: the caller's

    def relabel(self, track_id: int, class_id: int) -> int:
        """Give a track a Cityscapes class; return in how many frames. Raises UsageError where there is no such."""
        self._require_track(track_id)
        return self._db.execute(
            "UPDATE instances SET class_id = ? WHERE (frame_index, position) IN"
            " (SELECT frame_index, position FROM tracks WHERE track_id = ?)",
            (class_id, track_id),
        ).rowcount

    def split(self, track_id: int, first: int) -> int:
        """Make a track of its own from frame `first` on; return its id.

        Raises UsageError where there is no such track, or it isn't seen on both sides of the split.
        """
        self._require_track(track_id)
        query = "SELECT min(frame_index), max(frame_index), (SELECT max(track_id) FROM tracks) FROM tracks"
        begin, end, last_id = self._db.execute(f"{query} WHERE track_id = ?", (track_id,)).fetchone()
        if not begin < first <= end:
            raise UsageError(
                f"track {track_id} is seen from frame {begin} to {end}: split it between, not at {first}"
            )
        values = (last_id + 1, track_id, first)
        self._db.execute("UPDATE tracks SET track_id = ? WHERE track_id = ? AND frame_index >= ?", values)
        return int(last_id) + 1

    def merge(self, track_ids: Sequence[int]) -> None:
        """Make one track of several, with the id of the first.

        Raises UsageError where there is no such track, or two of them are in a frame at once.
        """
        for track_id in track_ids:
            self._require_track(track_id)
        which = f"track_id IN ({', '.join('?' * len(track_ids))})"
        twice = self._db.execute(
            f"SELECT frame_index FROM tracks WHERE {which} GROUP BY frame_index HAVING count(*) > 1 LIMIT 1",
            tuple(track_ids),
        ).fetchone()
        if twice:
            numbers = " and ".join(map(str, track_ids))
            raise UsageError(
                f"tracks {numbers} are seen at the same time, in frame {twice[0]}: they are two objects"
            )
        self._db.execute(f"UPDATE tracks SET track_id = ? WHERE {which}", (track_ids[0], *track_ids))

    def delete(self, track_id: int) -> int:
        """Delete a track and its instances; return from how many frames. Raises UsageError where there is no such."""
        self._require_track(track_id)
        execute = self._db.execute
        execute("DROP TABLE IF EXISTS temp.gone")
        execute(
            "CREATE TEMP TABLE gone AS"
            " SELECT frame_index AS frame, position AS place FROM tracks WHERE track_id = ?",
            (track_id,),
        )
        execute("CREATE UNIQUE INDEX temp.gone_by_frame ON gone (frame)")
        for table in ("tracks", "instances"):
            execute(
                f"DELETE FROM {table} WHERE (frame_index, position) IN (SELECT frame, place FROM temp.gone)"
            )
            # Those behind it move up, as positions go on without a gap; below 0 on the way, where nobody is.
            execute(
                f"UPDATE {table} SET position = -position FROM temp.gone"
                " WHERE frame_index = frame AND position > place"
            )
            execute(f"UPDATE {table} SET position = -position - 1 WHERE position < 0")
        (frames,) = execute("SELECT count(*) FROM temp.gone").fetchone()
        return int(frames)

    def _require_track(self, track_id: int) -> None:
        if self._db.one("SELECT 1 FROM tracks WHERE track_id = ? LIMIT 1", track_id) is None:
            raise UsageError(f"there is no track {track_id}")
