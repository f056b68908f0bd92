"""A machine's scratch: copies of recordings, which its processes share, and folders for their work."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from annotator.errors import SourceError, UsageError
from annotator.files import FileLock
from annotator.fleet.listing import StoredRecording
from annotator.options import AnnotationJob
from annotator.video import Source

WAIT_S = 0.2
FETCH_LOCK = "fetch.lock"
Beat = Callable[[], None]  # tells that whoever waits is alive


def scratch_of(job: AnnotationJob) -> Path:
    """A folder of this machine for this job: the same one when it goes on."""
    own = hashlib.sha256(f"{job.out}\0{job.shard}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return (job.storage.scratch or Path(tempfile.gettempdir())) / f"spatialemb-{own}"


def require_room(recording: StoredRecording, folder: Path, job: AnnotationJob, is_final: bool = True) -> None:
    """Raise SourceError for a recording that is larger than scratch may be, or, where that `is_final`, than it is."""
    if recording.size < 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    bound, size = job.storage.scratch_gb, recording.size / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    address = recording.address
    if job.faults.max_gb is not None and size > job.faults.max_gb:
        raise SourceError(f"{address}: has {size:.3g} GB, more than `max_gb` {job.faults.max_gb:g}")
    if bound is not None and size > bound:
        raise SourceError(f"{address}: has {size:.3g} GB, more than `scratch_gb` {bound:g}; give it more")
    if size > free and is_final:
        raise SourceError(
            f"{address}: has {size:.3g} GB, and {folder} has room for {free:.3g}; make room, or choose"
            " another `scratch`"
        )


class Scratch:
    """The scratch of a job on this machine, for several processes at once.

    A copy is there for whoever needs it next; copies that nobody reads make room for others, within --scratch-gb.
    """

    def __init__(self, job: AnnotationJob) -> None:
        self._job = job
        self._copies, self._work = scratch_of(job) / "copies", scratch_of(job) / "work"
        self._last: Path | None = None  # the copy that this process read last

    def place_of(self, recording: StoredRecording) -> Path:
        """The folder for a copy of a recording."""
        mark = f"{recording.address}\0{recording.version}\0{recording.size}"
        return self._copies / hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    @contextmanager
    def copy(self, recording: StoredRecording, beat: Beat) -> Iterator[Source]:
        """A copy of a recording, fetched unless it is here. Raises SourceError, StorageError."""
        copy = self.place_of(recording)
        if self._last not in (None, copy):
            self.tidy()
        self._copies.mkdir(parents=True, exist_ok=True)
        with _held(FileLock(_lock_of(copy), is_shared=True), beat):
            # One fetches at a time, so that all know what room there is.
            with _held(FileLock(self._copies / FETCH_LOCK), beat):
                if not copy.is_dir():
                    self._fetch(recording, copy, beat)
            self._last = copy
            yield recording.source_in(copy)

    def _fetch(self, recording: StoredRecording, copy: Path, beat: Beat) -> None:
        part = copy.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        while not self._has_room(recording):
            if not self._drop_unused() and len(self._all()) == 0:
                require_room(recording, self._copies, self._job)
            time.sleep(WAIT_S)
            beat()
        try:
            recording.fetch(part, beat)
            part.replace(copy)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _has_room(self, recording: StoredRecording) -> bool:
        require_room(recording, self._copies, self._job, is_final=False)
        bound = self._job.storage.scratch_gb
        if bound is not None and recording.size + sum(map(_size, self._all())) > bound * 1e9:
            return False
        return recording.size <= shutil.disk_usage(self._copies).free

    def _all(self) -> list[Path]:
        return [path for path in self._copies.iterdir() if path.is_dir() and not path.suffix]

    def _drop_unused(self) -> bool:
        """Remove copies that nobody reads; whether there were any."""
        return sum(map(_remove_unused, self._all())) > 0

    def tidy(self) -> None:
        """Remove the copy that this process read last, unless others read it."""
        if self._last is not None:
            _remove_unused(self._last)
        self._last = None

    def clear(self) -> None:
        """Remove copies that nobody reads, whoever fetched them, and what processes left that were killed."""
        if self._copies.is_dir():
            self._drop_unused()
            with suppress(UsageError, OSError), _taken(FileLock(self._copies / FETCH_LOCK)):
                for part in self._copies.glob("*.part"):
                    shutil.rmtree(part, ignore_errors=True)
        self._clear_work()

    def _clear_work(self) -> None:
        for left in self._work.glob("*.lock"):
            _remove_unused(left.with_suffix(""))

    @contextmanager
    def work(self) -> Iterator[Path]:
        """An empty folder of one's own, gone behind it; those of processes that were killed go before it."""
        self._work.mkdir(parents=True, exist_ok=True)
        self._clear_work()
        folder = self._work / uuid.uuid4().hex
        lock = FileLock(_lock_of(folder))
        lock.take()
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _remove_unused(folder: Path) -> bool:
    """Remove a folder, unless a process holds its lock."""
    try:
        with _taken(FileLock(_lock_of(folder))):
            shutil.rmtree(folder, ignore_errors=True)
    except (UsageError, OSError):
        return False
    return True


@contextmanager
def _taken(lock: FileLock) -> Iterator[None]:
    """Hold a lock. Raises UsageError where another process holds it, OSError where it can't be taken."""
    lock.take()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _held(lock: FileLock, beat: Beat) -> Iterator[None]:
    """Hold a lock, however long others do first."""
    while True:
        try:
            lock.take()
            break
        except UsageError:
            time.sleep(WAIT_S)
            beat()
    try:
        yield
    finally:
        lock.release()


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total
