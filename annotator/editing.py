"""Bulk edits of a run: tracks get another class, are cut, joined and deleted, and all is published again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from annotator.errors import UsageError
from annotator.escape import read_object
from annotator.formats.label_set import RecordingLabels
from annotator.formats.run.format import RUN
from annotator.formats.sniffing import bad_input, sniff
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
    if side.format is not RUN:
        raise UsageError(f"{path}: is {side.format.title}; make a run of it with spatialemb-convert --to run")
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


def _change(store: Store, job: EditJob) -> list[str]:
    """Make the edits in one transaction; what was done, in words."""
    if not (job.relabel or job.cut or job.join or job.delete):
        return []
    with store.edit_tracks() as tracks:
        done = tracks.done
        for track_id, class_id in job.relabel:
            frames = tracks.relabel(track_id, class_id)
            done.append(f"track {track_id} is {BY_ID[class_id].name} in {frames} frames")
        for track_id, first in job.cut:
            done.append(f"track {track_id} is track {tracks.split(track_id, first)} from frame {first} on")
        for track_ids in job.join:
            tracks.merge(track_ids)
            others = ", ".join(map(str, track_ids[1:]))
            done.append(f"track {others} {'is' if len(track_ids) == 2 else 'are'} track {track_ids[0]}")
        for track_id in job.delete:
            done.append(f"track {track_id} is deleted from {tracks.delete(track_id)} frames")
    return done
