"""One run over an output folder: its lock, its folders, and `run.json`, which says how it went."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import annotator
from annotator.errors import OutputError, UsageError
from annotator.files import FileLock, write_json
from annotator.formats.run.format import RUN
from annotator.formats.sniffing import bad_input, sniff
from annotator.options import Shard
from annotator.store import Progress, Store
from annotator.store.journal import Journal
from annotator.store.lock import LOCK_FILE, RUN_FILE
from annotator.store.records import (
    DONE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    SourceRecord,
    read_records,
    record_files,
)
from annotator.store.run_folder import RunFolder

TRACEBACK_NAME = "traceback.txt"
JOURNALLED = 1 / 50  # changes, of the records there are, before run.json is written whole again
ROOM = 1 << 16  # bytes for the last words of a run, beside twice those of the first
PACKAGES = (
    "torch",
    "torchvision",
    "numba",
    "openvino",
    "timm",
    "av",
    "opencv-python",
    "numpy",
    "scipy",
    "pycocotools",
    "shapely",
)


class Named(Protocol):
    """What a run needs to know of a source."""

    @property
    def name(self) -> str:
        """Its folder within the output folder, with `/` between folders."""

    @property
    def path(self) -> Path:
        """Where it is read from."""


class Run:
    """A run that holds the lock of its output folder; use it in a `with`.

    What earlier runs recorded there of other sources is kept. A run over a shard shares the folder with those of
    other shards, and has a record file of its own, which the next run over all recordings, or a report, takes in.
    """

    def __init__(
        self, out: Path, metadata: Mapping[str, Any], sources: Sequence[Named], shard: Shard | None = None
    ) -> None:
        self.out = out
        self._file = out / (shard.file_of(RUN_FILE) if shard else RUN_FILE)
        self._metadata = {"tool": "spatialemb-annotate", "versions": versions(), **metadata}
        self._names = [source.name for source in sources]
        self._records = {source.name: SourceRecord(source.name, _path(source)) for source in sources}
        # Of the sources that are being labelled: what was recorded of them, and since when.
        self._begun: dict[str, tuple[SourceRecord, float]] = {}
        self._lock = FileLock(self._file.with_name(shard.file_of(LOCK_FILE) if shard else LOCK_FILE))
        self._shard = shard
        self._shared_locks = [FileLock(out / name, is_shared=True) for name in _shared(shard)]
        self._journal = Journal(self._file)
        self._is_first = False  # there was no run.json before
        self._is_forgotten = False

    def __enter__(self) -> Run:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self._take_locks()
            self._is_first = not self._file.exists()
        except OSError as error:
            raise UsageError(
                f"{self.out}: can't be written ({error.strerror}); choose another `out`"
            ) from error
        parts = [] if self._shared_locks else record_files(self.out)[1:]
        before = read_records(self.out / RUN_FILE)
        if self._shared_locks:
            before = {name: record for name, record in before.items() if name in self._records}
            before |= read_records(self._file)
        self._records |= before
        for part in parts:
            self._records |= read_records(part)
        self._metadata |= {"state": RUNNING, "started": _now(), "ended": None}
        try:
            self._write()
            for part in parts:
                Journal(part).clear()
                part.unlink(missing_ok=True)
            self._lock.reserve(ROOM + 2 * self._file.stat().st_size)
        except OutputError:
            self._release_locks()
            raise
        return self

    def _take_locks(self) -> None:
        """Raises UsageError when a run is there that this one could meet, OSError when nothing can be written."""
        try:
            for lock in (*self._shared_locks, self._lock):
                lock.take()
            for other in self.out.glob(f"{LOCK_FILE}.of-*"):
                if other.name not in _shared(self._shard):
                    other_lock = FileLock(other)
                    other_lock.take()  # nobody of another number of shards, whose parts are others
                    other_lock.release()
        except BaseException:
            self._release_locks()
            raise

    def _release_locks(self) -> None:
        for lock in (self._lock, *reversed(self._shared_locks)):
            lock.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            interrupted = kind is not None and not issubclass(
                kind, Exception
            )  # Ctrl-C, or the caller went away
            self._metadata |= {
                "state": INTERRUPTED if interrupted else FAILED if kind else DONE,
                "ended": _now(),
            }
            for record in self.records:
                if record.state == RUNNING:
                    state, why = (INTERRUPTED, None) if interrupted else (FAILED, str(error))
                    self._end(record.name, state=state, error=why)
            self._write_last()
        except OutputError:
            if kind is None:
                raise  # else the first fault is the one to tell
        finally:
            self._release_locks()
            if self._is_forgotten:
                with suppress(OSError):
                    self.out.rmdir()  # unless others have files there

    def forget(self) -> None:
        """Leave no run.json when this ends, if there was none before: nothing was made."""
        self._is_forgotten = self._is_first

    def _write_last(self) -> None:
        """Write how it ended, also where the disk is full: the room for that was reserved."""
        if self._is_forgotten:
            self._file.unlink(missing_ok=True)
            return
        try:
            self._write()
        except OutputError:
            self._lock.reserve(0)
            self._write()

    @property
    def records(self) -> list[SourceRecord]:
        """The records of this run's sources, in order."""
        return [self._records[name] for name in self._names]

    def record(self, source: Named) -> SourceRecord:
        """The record of one source."""
        return self._records[source.name]

    def add(self, source: Named, known: SourceRecord | None = None) -> None:
        """Take in a source that wasn't known when the run began, and what is known of it."""
        self._names.append(source.name)
        self._records.setdefault(source.name, SourceRecord(source.name, _path(source)))
        if known is not None:
            self._records[source.name] = known

    def folder(self, source: Named) -> Path:
        """Where the labels of a source lie."""
        return self.out / source.name

    def started(self, source: Named) -> None:
        """A source is being labelled."""
        self._begun[source.name] = self._records[source.name], time.monotonic()
        self._records[source.name] = SourceRecord(source.name, _path(source), RUNNING)
        self._changed(source)

    def count(self, source: Named, store: Store) -> None:
        """Record how much the store of a source holds."""
        self.counted(source, counts_of(store))

    def counted(self, source: Named, counts: Mapping[str, Any]) -> None:
        """Record what `counts_of` said of the store of a source."""
        self._records[source.name] = replace(self._records[source.name], **counts)

    def elapsed(self, name: str) -> float:
        """Seconds since the source of this name was begun."""
        since = self._begun[name][1] if name in self._begun else time.monotonic()
        return round(time.monotonic() - since, 3)

    def done(self, source: Named, worked: bool = True, seconds: float | None = None) -> None:
        """A source is labelled and published; if that needed no work, its earlier record stays.

        It took `seconds` of work, where that isn't the time since it was begun.
        """
        (self.folder(source) / TRACEBACK_NAME).unlink(missing_ok=True)
        before = self._begun[source.name][0] if source.name in self._begun else None
        if not worked and before and before.state == DONE:
            self._records[source.name] = replace(before, path=_path(source))
        else:
            self._end(source.name, seconds, state=DONE)
        self._changed(source)

    def failed(self, source: Named, why: str, seconds: float | None = None) -> None:
        """A source could not be labelled; `why` is a sentence. A folder without anything in it is removed.

        It took `seconds` as in `done`.
        """
        folder = self.folder(source)
        with suppress(OSError):
            while folder != self.out and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent
        self._end(source.name, seconds, state=FAILED, error=why)
        self._changed(source)

    def _end(self, name: str, seconds: float | None = None, **changes: Any) -> None:
        took = self.elapsed(name) if seconds is None else round(seconds, 3)
        self._records[name] = replace(self._records[name], seconds=took, **changes)

    def _changed(self, source: Named) -> None:
        """Record a change: in run.json where that is small, else mostly in its journal."""
        if self._journal.length + 1 < len(self._records) * JOURNALLED:
            self._journal.add(asdict(self._records[source.name]))
        else:
            self._write()

    def _write(self) -> None:
        sources = [asdict(self._records[name]) for name in sorted(self._records)]
        write_json(self._file, {**self._metadata, "sources": sources})
        self._journal.clear()


def counts_of(store: Store) -> dict[str, Any]:
    """How much the store of a source holds, as fields of its record."""
    progress = store.progress
    gaps = [f"after frame {gap.after_index}: {gap.reason}" for gap in islice(store.gaps(), 20)]
    return {
        "frames": store.frame_count,
        "gaps": store.gap_count,
        "gap_reasons": tuple(gaps),
        "remarks": progress.remarks,
        "instances": store.instance_count,
        "tracks": store.track_count,
        "losses": _losses(progress),
        "fingerprint": store.fingerprint,
    }


@contextmanager
def locked(run: RunFolder, recording: Named) -> Iterator[Run | None]:
    """A run over one recording of a run that is there, whose lock it holds; None for a folder without run.json."""
    if not run.is_recorded:
        yield None
        return
    with Run(run.root, run.metadata, [recording]) as writer:
        yield writer


def require_run(path: Path, remedy: str = "make a run of it with spatialemb-convert `to` run") -> RunFolder:
    """Open the run at a path. Raises UsageError for all else, saying what it is and the remedy."""
    with bad_input():
        format = sniff(path).format
        if format is not RUN:
            raise UsageError(f"{path}: is {format.title}; {remedy}")
        return RunFolder.open(path)


def _losses(progress: Progress) -> Mapping[str, Mapping[str, int]]:
    """What association and each format lost, in words, and how many."""
    losses = {"tracks": progress.tracking_losses} | {k: each.losses for k, each in progress.published.items()}
    return {name: found for name, found in losses.items() if found}


def _path(source: Named) -> str:
    """Where a source is: absolute, or the address that it has elsewhere."""
    return str(getattr(source, "address", None) or os.path.abspath(source.path))


@cache
def versions() -> Mapping[str, str]:
    """Versions of this tool, of Python and of the packages that labels depend on."""
    found = {"spatialemb-annotate": annotator.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):  # opencv-python-headless is as good
            found[package] = version(package)
    return found


def _shared(shard: Shard | None) -> tuple[str, ...]:
    """The names of lock files that a run over a shard shares: with all of other shards, and with all of its number."""
    return () if shard is None else (LOCK_FILE, f"{LOCK_FILE}.of-{shard.count}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
