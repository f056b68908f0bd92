"""Tracks made anew from what was found before: runs are published again, of MOTS text a tracked one is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from annotator.errors import UsageError, others_go_on
from annotator.files import scratch_folder
from annotator.formats.label_set import RecordingLabels
from annotator.formats.mots import writer as mots_writer
from annotator.formats.mots.format import MOTS
from annotator.formats.run.format import RUN
from annotator.formats.sniffing import bad_input, sniff
from annotator.options import TrackingJob
from annotator.pipeline.publish import republished
from annotator.store import Edited, Recording, RunFolder, Store
from annotator.tracking import associate

BATCH = 64  # frames in a transaction
SUFFIX = ".txt"


@dataclass(frozen=True)
class Retracked:
    """What became of a recording."""

    name: str
    frames: int
    instances: int  # with those that fill gaps
    tracks: int
    losses: Mapping[str, int]  # what association lost, in words
    file: Path  # the folder of the recording, or the text that was written
    remarks: tuple[str, ...] = ()  # what else is to be told of it, in sentences


def retrack(job: TrackingJob) -> Iterator[Retracked]:
    """Make the tracks of every recording anew, one after the other; each changes whole or not at all.

    Raises UsageError for labels that can't be tracked, before anything is changed, and FormatError for tracks that
    the format can't hold; where other recordings go on, a SourceError behind them, with all that was wrong.
    """
    with bad_input():
        found = [labels for path in job.inputs for labels in sniff(path).labels]
    goals = _goals(found, job)
    with others_go_on(len(found)) as attempt:
        for labels, goal in zip(found, goals, strict=True):
            with attempt():
                yield _retrack_run(labels, job) if labels.format is RUN else _track_text(labels, goal, job)


def _goals(found: list[RecordingLabels], job: TrackingJob) -> list[Path]:
    """Where the tracks of each recording go."""
    out = job.out
    texts = [labels for labels in found if labels.format is MOTS]
    for labels in found:
        if labels.format not in (RUN, MOTS):
            raise UsageError(
                f"{labels.path}: is {labels.format.title}; make a run of it with spatialemb-convert `to` run"
            )
    if texts and out is None:
        raise UsageError(f"{texts[0].path}: is MOTS text; say with `out` where its tracks go")
    if out is not None and not texts:
        raise UsageError("`out` is for MOTS text; the tracks of a run are made anew in place")
    goals = [labels.path if labels.format is RUN else _goal(labels, out, len(texts)) for labels in found]
    for labels, goal in zip(found, goals, strict=True):
        if goals.count(goal) > 1:
            raise UsageError(f"{labels.path}: {goal} would be written twice; track these files one by one")
        if labels.format is MOTS and goal.exists() and goal.samefile(labels.path):
            raise UsageError(f"{labels.path}: would be overwritten by its tracks; choose another `out`")
        if labels.format is MOTS and goal.exists() and not job.overwrite:
            raise UsageError(f"{goal}: is there already; use `overwrite` to replace it, or another `out`")
    return goals


def _goal(labels: RecordingLabels, out: Path | None, texts: int) -> Path:
    assert out is not None
    is_file = out.suffix == SUFFIX and not out.is_dir()
    if is_file and texts > 1:
        raise UsageError(f"`out` {out}: is one file for {texts} recordings; name a folder")
    return out if is_file else out / labels.path.name


def _retrack_run(labels: RecordingLabels, job: TrackingJob) -> Retracked:
    run = RunFolder.open(labels.path)
    with run.store(labels.name) as store:
        progress = store.progress
    if isinstance(progress.tracking, Edited) and not job.overwrite:
        raise UsageError(
            f"{labels.path}: has tracks that people made or edited; use `overwrite` to make them anew all the same"
        )
    if not progress.detected:
        raise UsageError(f"{labels.path}: is not labelled to its end; run spatialemb-annotate again first")
    with republished(run, labels.name) as store:
        associate(store, job.tracking)
    with run.store(labels.name) as store:
        return _retracked(labels, store, labels.path)


def _track_text(labels: RecordingLabels, goal: Path, job: TrackingJob) -> Retracked:
    """By way of a store, so that memory does not grow with the text."""
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(goal))
        store = stack.enter_context(Store.open(scratch, {}))
        with bad_input():
            frames = (truth.instances.with_tracks([0] * len(truth.instances)) for truth in labels.truth())
            while batch := list(islice(frames, BATCH)):
                store.add(batch)
        if not store.frame_count:
            raise UsageError(f"{labels.path}: holds no frame")
        associate(store, job.tracking)
        [written] = mots_writer.write(store, Recording(labels.name, labels.path), scratch).files
        os.replace(written, goal)
        return _retracked(labels, store, goal)


def _retracked(labels: RecordingLabels, store: Store, file: Path) -> Retracked:
    counts = store.frame_count, store.instance_count, store.track_count
    return Retracked(labels.name, *counts, store.progress.tracking_losses, file, store.progress.remarks)
