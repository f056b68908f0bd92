"""Stores in, label files out: each whole, and written again when tracks are others than they were."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError, FormatError, FormatLimitError, UsageError, cant_be_written
from annotator.formats.interface import Format, RecordingInfo
from annotator.formats.registry import ALWAYS, WRITABLE
from annotator.options import CvatOptions
from annotator.pipeline.events import Event, StepStarted
from annotator.pipeline.run import locked
from annotator.review.doubted import DoubtedLabels
from annotator.store import FILE_NAME as STORE
from annotator.store import Progress, Publication, Recording, RunFolder, Store

log = logging.getLogger(__name__)

LONG = 500  # frames of a recording of which the size of files is told beforehand


def publish_all(
    store: Store,
    recording: Recording,
    folder: Path,
    *formats: str,
    options: CvatOptions | None = None,
) -> None:
    """`publish` all at once; whether it is a video is told by the frames."""
    is_video = not any(ref.name for ref in islice(store.frames(), 1))
    for _ in publish(replace(recording, is_video=is_video), store, folder, formats, options):
        pass


def publish(
    source: RecordingInfo,
    store: Store,
    folder: Path,
    formats: Sequence[str],
    options: CvatOptions | None = None,
) -> Generator[Event, None, bool]:
    """Write the formats that are asked for, and renew those written before from other tracks or with other options.

    Without options they are those of before. A format that can't hold the labels doesn't keep the others from being
    written.
    """
    progress = store.progress
    refused: list[str] = []
    worked = False
    for name, form in WRITABLE.items():
        if name in ALWAYS and refused and not progress.published:
            break  # there are no labels to tell anything of
        before = progress.published.get(name)
        is_wanted = name in formats or before or name in ALWAYS
        chosen = _options(form, options, before)
        made_of = None if chosen is None else asdict(chosen)
        if not is_wanted or (before and is_published(folder, before, progress, made_of)):
            continue
        yield StepStarted(source.name, f"publish {name}" + _size(form, store, source, chosen))
        try:
            labels = DoubtedLabels.of(store) if form.shows_doubts else store
            written = form.write(labels, source, folder, chosen)
        except FormatError as error:
            refused.append(str(error))
            continue
        except OSError as error:
            raise cant_be_written(folder, error, name) from error
        files = {file.name: count_of(file) for file in written.files}
        log.info("%s: %s written: %s", source.name, name, ", ".join(files) or "no file")
        if before:
            _remove(folder, before.files.keys() - files)
        publication = Publication(
            files, dict(written.losses), progress.tracking, progress.tracks_digest, made_of
        )
        progress = progress.with_publication(name, publication)
        store.update(progress)
        worked = True
    if refused:
        raise FormatLimitError("; ".join(refused))
    return worked


@contextmanager
def republished(run: RunFolder, name: str) -> Iterator[Store]:
    """The store of a recording, to change its tracks under the lock of its run; label files and run.json follow.

    A UsageError of the block leaves the run as it was.
    """
    folder, recording = run.folders[name], run.recording(name)
    with run.store(name) as store:
        made_with = store.fingerprint
    refused: UsageError | None = None  # raised when the run is as it was
    with locked(run, recording) as writer, Store.open(folder, made_with) as store:
        try:
            yield store
        except UsageError as error:
            refused = error
        else:
            publish_all(store, recording, folder)
            if writer:
                writer.started(recording)
                writer.count(recording, store)
                writer.done(recording)
    if refused:
        raise refused


def unpublish(folder: Path) -> None:
    """Delete the label files that the store in `folder` knows of; all there may be, where it can't be read."""
    if not (folder / STORE).is_file():
        return
    try:
        with Store.read(folder) as store:
            names = [name for each in store.progress.published.values() for name in each.files]
    except AnnotatorError:
        names = [name for each in WRITABLE.values() for name in each.outputs]
    _remove(folder, names)


def is_published(
    folder: Path, publication: Publication, progress: Progress, options: Mapping[str, Any] | None
) -> bool:
    """Whether a format's files are there, of these tracks and options."""
    tracks = publication.tracking, publication.tracks_digest
    if tracks != (progress.tracking, progress.tracks_digest) or publication.options != options:
        return False
    return all(count_of(folder / name) == count for name, count in publication.files.items())


def count_of(path: Path) -> int:
    """How many files there are at `path`: 1 for a file, 0 for nothing."""
    return sum(1 for _ in path.iterdir()) if path.is_dir() else int(path.exists())


def _options(form: Format, wanted: Any, before: Publication | None) -> Any:
    """How a format is to be written: as is wanted, else as before; None where it has no options."""
    if form.options is None:
        return None
    return wanted if isinstance(wanted, form.options) else form.options(**((before and before.options) or {}))


def _size(form: Format, store: Store, source: RecordingInfo, options: Any) -> str:
    """How large a file gets whose size depends on what is in it, if that is worth telling beforehand."""
    if form.estimate_size is None or store.frame_count < LONG:
        return ""
    try:
        size = form.estimate_size(store, source, options, store.instance_count)
    except (OSError, AnnotatorError):  # whatever it is, writing itself will tell
        return ""
    return f", about {size / 1e6:.0f} MB" if size > 1e6 else ""


def _remove(folder: Path, names: Iterable[str]) -> None:
    # A store comes from anywhere: what it names must not lie elsewhere.
    for path in (folder / name for name in names if name not in ("", "..") and Path(name).name == name):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
