"""Bulk edits of a run: tracks get another class, are split, merged and deleted, and all is published again."""

from __future__ import annotations

from annotator.labels import BY_ID
from annotator.options import EditJob
from annotator.pipeline.publish import republished
from annotator.pipeline.run import require_run
from annotator.store import Store


def edit(job: EditJob) -> list[str]:
    """Make the edits, all or none, and publish what was published before; what was done, in words.

    Without edits it publishes what is not of the latest tracks, as after a kill. Raises UsageError for tracks that
    are not there, or that can't be merged or split.
    """
    run = require_run(job.run)
    with republished(run, run.only()) as store:
        return _change(store, job)


def _change(store: Store, job: EditJob) -> list[str]:
    """Make the edits in one transaction; what was done, in words."""
    if not (job.relabel or job.split or job.merge or job.delete):
        return []
    with store.edit_tracks() as tracks:
        done = tracks.done
        for track_id, class_id in job.relabel:
            frames = tracks.relabel(track_id, class_id)
            done.append(f"track {track_id} is {BY_ID[class_id].name} in {frames} frames")
        for track_id, first in job.split:
            done.append(f"track {track_id} is track {tracks.split(track_id, first)} from frame {first} on")
        for track_ids in job.merge:
            tracks.merge(track_ids)
            others = ", ".join(map(str, track_ids[1:]))
            done.append(f"track {others} {'is' if len(track_ids) == 2 else 'are'} track {track_ids[0]}")
        for track_id in job.delete:
            done.append(f"track {track_id} is deleted from {tracks.delete(track_id)} frames")
    return done
