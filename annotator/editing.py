"""Bulk edits of a run: tracks get another class, are cut, joined and deleted, and all is published again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from annotator.errors import UsageError
from annotator.escape import read_object
from annotator.formats.sniffing import Kind, RecordingLabels, bad_input, sniff
from annotator.labels import BY_ID
from annotator.options import EditJob
from annotator.publishing import Recording, publish_all, recording_of, run_folder
from annotator.run import FILE_NAME as RUN_FILE
from annotator.run import Run
from annotator.store import Store

RENEWED = (
    "state",
    "started",
    "ended",
    "sources",
    "tool",
    "versions",
)  # what every run writes into run.json itself


def edit(job: EditJob) -> list[str]:
    """Make the edits, all or none, and publish what was published before; what was done, in words.

    Without edits it publishes what is not of the latest tracks, as after a kill. Raises UsageError for tracks that
    are not there, or that can't be joined or cut.
    """
    labels = one_recording(job.run)
    recording = recording_of(labels.path, labels.name)
    with Store.read(labels.path) as store:
        made_with = store.fingerprint
    with locked(recording, labels.path) as run, Store.open(labels.path, made_with) as store:
        try:
            done = _change(store, job)
        except UsageError as error:
            refused: UsageError | None = error  # told when the run is as it was
        else:
            refused = None
            publish_all(store, recording, labels.path)
            if run:
                run.started(recording)
                run.count(recording, store)
                run.done(recording)
    if refused:
        raise refused
    return done


def one_recording(path: Path) -> RecordingLabels:
    """The one recording of a run. Raises UsageError when there are several, or it is no run."""
    with bad_input():
        side = sniff(path)
    if side.kind is not Kind.RUN:
        raise UsageError(f"{path}: is {side.kind.value}; make a run of it with spatialemb-convert --to run")
    if len(side.labels) > 1:
        names = ", ".join(labels.name for labels in side.labels[:5])
        raise UsageError(f"{path}: has {len(side.labels)} recordings; name the folder of one, as {names}")
    return side.labels[0]


@contextmanager
def locked(recording: Recording, folder: Path) -> Iterator[Run | None]:
    """The run that the recording is in, locked; None for a folder without `run.json`."""
    out = run_folder(folder, recording.name)
    if not (out / RUN_FILE).is_file():
        yield None
        return
    with Run(out, _about(out / RUN_FILE), [recording]) as run:
        yield run


def _about(path: Path) -> dict[str, Any]:
    """What run.json says of the run as a whole; nothing when it can't be read."""
    return {key: value for key, value in read_object(path).items() if key not in RENEWED}


# ---- in the store


def _change(store: Store, job: EditJob) -> list[str]:
    """Make the edits in one transaction; what was done, in words."""
    done: list[str] = []
    if not (job.relabel or job.cut or job.join or job.delete):
        return done
    with store.edited(done) as db:
        for track_id, class_id in job.relabel:
            frames = _relabel(db, track_id, class_id)
            done.append(f"track {track_id} is {BY_ID[class_id].name} in {frames} frames")
        for track_id, first in job.cut:
            done.append(f"track {track_id} is track {_cut(db, track_id, first)} from frame {first} on")
        for track_ids in job.join:
            _join(db, track_ids)
            others = ", ".join(map(str, track_ids[1:]))
            done.append(f"track {others} {'is' if len(track_ids) == 2 else 'are'} track {track_ids[0]}")
        for track_id in job.delete:
            done.append(f"track {track_id} is deleted from {_delete(db, track_id)} frames")
    return done


def _relabel(db: sqlite3.Connection, track_id: int, class_id: int) -> int:
    _insist(db, track_id)
    return db.execute(
        "UPDATE instances SET class_id = ? WHERE (frame_index, position) IN"
        " (SELECT frame_index, position FROM tracks WHERE track_id = ?)",
        (class_id, track_id),
    ).rowcount


def _cut(db: sqlite3.Connection, track_id: int, first: int) -> int:
    """The number of the new track."""
    _insist(db, track_id)
    query = "SELECT min(frame_index), max(frame_index), (SELECT max(track_id) FROM tracks) FROM tracks"
    begin, end, last_id = db.execute(f"{query} WHERE track_id = ?", (track_id,)).fetchone()
    if not begin < first <= end:
        raise UsageError(
            f"track {track_id} is seen from frame {begin} to {end}: cut it between, not at {first}"
        )
    values = (last_id + 1, track_id, first)
    db.execute("UPDATE tracks SET track_id = ? WHERE track_id = ? AND frame_index >= ?", values)
    return int(last_id) + 1


def _join(db: sqlite3.Connection, track_ids: tuple[int, ...]) -> None:
    for track_id in track_ids:
        _insist(db, track_id)
    which = f"track_id IN ({', '.join('?' * len(track_ids))})"
    twice = db.execute(
        f"SELECT frame_index FROM tracks WHERE {which} GROUP BY frame_index HAVING count(*) > 1 LIMIT 1",
        track_ids,
    ).fetchone()
    if twice:
        numbers = " and ".join(map(str, track_ids))
        raise UsageError(
            f"tracks {numbers} are seen at the same time, in frame {twice[0]}: they are two objects"
        )
    db.execute(f"UPDATE tracks SET track_id = ? WHERE {which}", (track_ids[0], *track_ids))


def _delete(db: sqlite3.Connection, track_id: int) -> int:
    _insist(db, track_id)
    db.execute("DROP TABLE IF EXISTS temp.gone")
    db.execute(
        "CREATE TEMP TABLE gone AS SELECT frame_index AS frame, position AS place FROM tracks WHERE track_id = ?",
        (track_id,),
    )
    db.execute("CREATE UNIQUE INDEX temp.gone_by_frame ON gone (frame)")
    for table in ("tracks", "instances"):
        db.execute(
            f"DELETE FROM {table} WHERE (frame_index, position) IN (SELECT frame, place FROM temp.gone)"
        )
        # Those behind it move up; below 0 on the way, where nobody is.
        db.execute(
            f"UPDATE {table} SET position = -position FROM temp.gone WHERE frame_index = frame AND position > place"
        )
        db.execute(f"UPDATE {table} SET position = -position - 1 WHERE position < 0")
    (frames,) = db.execute("SELECT count(*) FROM temp.gone").fetchone()
    return int(frames)


def _insist(db: sqlite3.Connection, track_id: int) -> None:
    if db.execute("SELECT 1 FROM tracks WHERE track_id = ? LIMIT 1", (track_id,)).fetchone() is None:
        raise UsageError(f"there is no track {track_id}")
