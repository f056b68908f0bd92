"""Labels of any kind in, labels of another kind out, by way of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

import annotator
from annotator.errors import AnnotatorError, LabelFileError, UsageError, others_go_on
from annotator.files import atomic_folder, scratch_folder
from annotator.formats.comparison import Recording as Pair
from annotator.formats.comparison import compare
from annotator.formats.cvat.reader import DELETED
from annotator.formats.finished import require_finished
from annotator.formats.label_set import RecordingLabels
from annotator.formats.mots.format import MOTS
from annotator.formats.names import GENERAL
from annotator.formats.registry import ALWAYS, FORMATS
from annotator.formats.run.format import RUN
from annotator.formats.sniffing import bad_input, sniff
from annotator.instances import GroundTruth, Instances
from annotator.masks import iou
from annotator.options import RUN_FOLDER, ConversionJob
from annotator.pipeline.publish import publish_all
from annotator.pipeline.run import Run
from annotator.store import FILE_NAME as STORE
from annotator.store import IMPORTED, Recording, RunFolder, Store
from annotator.store.fingerprint import content_hash
from annotator.store.records import FAILED
from annotator.store.run_folder import relative_name

BATCH = 64  # frames in a transaction
TWICE = "tracks that had two objects in a frame: the second lost its identity"
NOT_INSTANCES = "groups and crowds"
IGNORED = "frames with ignored regions"
OTHER_FRAMES = "frames that the run lacks"
STRANGE = (
    "frames, of all that both have objects in, where none meets one of the run: is it of another recording?"
)


@dataclass(frozen=True)
class Converted:
    """What became of the labels of a recording."""

    name: str
    frames: int
    instances: int
    tracks: int
    files: tuple[Path, ...]
    losses: Mapping[str, int]  # what could not be read or written, in words
    unmet: frozenset[str] = frozenset()  # names of `map` that no label has so far


@dataclass(frozen=True)
class Import:
    """The labels of a recording on their way into a store."""

    labels: RecordingLabels
    recording: Recording
    frames: Iterator[Instances]
    losses: Counter[str]  # final when the frames are read


def convert(job: ConversionJob) -> Iterator[Converted]:
    """Convert every recording of a source, one after the other; each appears whole or not at all.

    Raises UsageError for labels that can't be read, FormatError for those that the format can't hold; where other
    recordings go on, a SourceError behind them, with all that was wrong.
    """
    imports = [_without(each, job.deleted) for each in _imports(job)]
    _require_room(imports, job)
    if job.to == RUN_FOLDER:
        yield from _to_run(imports, job)
        return
    with others_go_on(len(imports)) as attempt:
        for each in imports:
            folder = job.out / each.recording.name
            with attempt(), scratch_folder(folder) as scratch, _filled(scratch, each) as store:
                publish_all(store, each.recording, folder, job.to, options=job.publishing)
                yield _converted(each, store, folder)


def _require_room(imports: list[Import], job: ConversionJob) -> None:
    """Raise UsageError where a recording would take the place of another, of what is there, or of its own source."""
    names = [each.recording.name for each in imports]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"{job.source}: two recordings are called {twice[0]}; convert them one by one")
    for each in imports:
        folder = job.out / each.recording.name
        places = [folder] if job.to == RUN_FOLDER else [folder / name for name in FORMATS[job.to].outputs]
        for place in filter(Path.exists, places):
            if each.labels.path.resolve().is_relative_to(place.resolve()):
                raise UsageError(f"{place}: is what is to be converted; choose another `out`")
            if not job.overwrite:
                raise UsageError(
                    f"{place}: is there already; use `overwrite` to replace it, or another `out`"
                )


def _to_run(imports: list[Import], job: ConversionJob) -> Iterator[Converted]:
    """Make a run folder, in which recordings appear whole."""
    metadata = {"converted": {"from": str(job.source), "kind": imports[0].labels.format.title}}
    recordings = [each.recording for each in imports]
    with Run(job.out, metadata, recordings) as run, others_go_on(len(imports)) as attempt:
        for each in imports:
            with attempt():
                yield _to_recording(each, run)
        if all(record.state == FAILED for record in run.records):
            run.forget()


def _to_recording(each: Import, run: Run) -> Converted:
    folder = run.folder(each.recording)
    run.started(each.recording)
    try:
        with atomic_folder(folder) as temporary, _filled(temporary, each) as store:
            publish_all(store, each.recording, temporary)
            run.count(each.recording, store)
            converted = _converted(each, store, folder)
    except AnnotatorError as error:
        run.failed(each.recording, str(error))
        raise
    run.done(each.recording)
    return replace(converted, files=(folder / STORE, *converted.files))


def _converted(each: Import, store: Store, folder: Path) -> Converted:
    by_name = sorted(
        store.progress.published.items(), key=lambda item: item[0] in ALWAYS
    )  # what was asked for first
    published = [entry for _, entry in by_name]
    unread = Counter({f"{what} left out": count for what, count in each.labels.skipped.items()})
    return Converted(
        each.recording.name,
        store.frame_count,
        store.instance_count,
        store.track_count,
        tuple(folder / name for entry in published for name in entry.files),
        sum((Counter(entry.losses) for entry in published), each.losses + unread),
        each.labels.classes.unmet,
    )


# ---- what comes in


def _imports(job: ConversionJob) -> list[Import]:
    """The recordings of a source."""
    if job.like is not None:
        return _imports_like(job, job.like)
    with bad_input():
        imports = []
        side = sniff(job.source, job.reading)
        require_finished(side, job.reading)
        for labels in side.labels:
            losses = Counter[str]()
            frames = _frames(labels, losses)
            imports.append(Import(labels, _recording(labels), frames, losses))
        return imports


def _frames(labels: RecordingLabels, losses: Counter[str]) -> Iterator[Instances]:
    with bad_input():
        for truth in labels.truth():
            losses.update(_not_instances(labels, truth))
            yield truth.instances


def _not_instances(labels: RecordingLabels, truth: GroundTruth) -> dict[str, int]:
    """What a frame's labels say beside its instances, which is lost. What Cityscapes ignores is all around."""
    of_classes = sum(region.class_id > 0 for region in truth.ignore_regions)
    is_ignoring = labels.format is MOTS and len(truth.ignore_regions) > of_classes
    return {NOT_INSTANCES: of_classes, IGNORED: int(is_ignoring)}


def _imports_like(job: ConversionJob, like: Path) -> list[Import]:
    """The recordings of a source that a run has, as corrections of it."""
    comparison = compare(like, job.source, job.reading, job.pairing)
    if comparison.prediction.format is not RUN:
        raise UsageError(f"{like}: is no run of this tool; `like` takes the run that the labels are of")
    imports = []
    for each in comparison.recordings:
        if len(each.predicted) != 1 or len(each.true) != 1:
            raise UsageError(
                f"{like}: has {len(each.predicted)} recordings; name the one that the labels are of"
            )
        losses = Counter[str]()
        frames = _frames_like(each, losses)
        imports.append(Import(each.true[0], _recording(each.predicted[0]), frames, losses))
    return imports


def _frames_like(pair: Pair, losses: Counter[str]) -> Iterator[Instances]:
    """The frames that the run has too, with its names and times."""
    ours, theirs = pair.predicted[0].path, pair.true[0].path
    strange, is_strange = 0, True
    with bad_input():
        for found, truth in pair.frames():
            if found.frame.size != truth.instances.frame.size:
                sizes = [f"{size[1]}x{size[0]}" for size in (truth.instances.frame.size, found.frame.size)]
                raise UsageError(
                    f"{theirs}: is of another recording: its frames are {sizes[0]}, those of {ours} {sizes[1]}"
                )
            losses.update(_not_instances(pair.true[0], truth))
            if is_strange and len(found) and len(truth.instances):
                is_strange = not iou(found.masks, truth.instances.masks).any()
                strange += 1
            yield replace(truth.instances, frame=found.frame)
        if not pair.counts.compared:
            raise UsageError(f"{theirs}: is of another recording: it has no frame of {ours}")
        losses[OTHER_FRAMES] += pair.counts.only_true
        losses[STRANGE] += strange if is_strange else 0


def _recording(labels: RecordingLabels) -> Recording:
    """What a recording is called: as its run says, as its file, or as the folder of a file with a general name."""
    if labels.format is RUN:
        run = RunFolder.open(labels.path)  # which may lie below the folder that was given
        return replace(run.recording(relative_name(labels.path, run.root)), name=labels.name)
    name = labels.path.absolute().parent.name if labels.name in GENERAL else labels.name
    return Recording(name or labels.name, labels.path)


# ---- on the way


def _without(each: Import, deleted: frozenset[int]) -> Import:
    """The same without frames that were deleted, which are counted."""

    def there() -> Iterator[Instances]:
        for found in each.frames:
            if found.frame.index not in deleted:
                yield found
            else:
                each.losses[DELETED] += 1

    return replace(each, frames=there())


@contextmanager
def _filled(folder: Path, each: Import) -> Iterator[Store]:
    """A store of the labels of a recording."""
    path = each.labels.path
    made_of = {
        "version": annotator.__version__,
        "converted": each.labels.format.title,
        "recording": content_hash(
            [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        ),
    }
    with Store.open(folder, made_of) as store:
        frames = (_unique(found, each.losses) for found in _named_once(each.frames, path))
        while batch := list(islice(frames, BATCH)):
            try:
                store.add(batch)
            except ValueError as error:
                raise LabelFileError(f"{path}: {error} near frame {batch[0].frame.index}") from error
        if not store.frame_count:
            raise UsageError(f"{path}: holds no frame")
        store.update(IMPORTED)
        yield store


def _named_once(frames: Iterator[Instances], path: Path) -> Iterator[Instances]:
    """The same; raises UsageError where two images have one name, by which all formats tell them apart."""
    names = set[str]()
    for found in frames:
        name = found.frame.name
        if name and name in names:
            raise UsageError(f"{path}: two images are called {name}; give them names of their own")
        names.add(name)
        yield found


def _unique(found: Instances, losses: Counter[str]) -> Instances:
    """The same without tracks that another object of the frame has already."""
    track_ids = found.track_ids.copy()
    _, first = np.unique(track_ids, return_index=True)
    again = np.setdiff1d(np.flatnonzero(track_ids), first)
    if len(again):
        losses[TWICE] += len(again)
        track_ids[again] = 0
        return found.with_tracks(track_ids)
    return found
