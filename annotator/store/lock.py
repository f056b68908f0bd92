"""Who may write into the folder of a run: whoever holds the lock in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, ClassVar

from annotator.errors import UsageError

RUN_FILE = "run.json"  # which tells the folder of a run
LOCK_FILE = ".lock"


class Lock:
    """A lock file that is free again when its process ends, however it ends."""

    _held: ClassVar[set[Path]] = set()  # by this process

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Take the lock. Raises UsageError when another run has it, OSError when it can't be written."""
        while self._file is None:
            file = self._path.open("ab", buffering=0)
            try:
                _lock(file)
                # Whoever had it may have removed the file since we opened it: then we hold a lock on nothing.
                if self._path.exists() and os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    self._file = file
                    self._held.add(self._path.absolute())
            except BlockingIOError as error:
                raise UsageError(
                    f"{self._path.parent}: another run is writing here; wait for it, or choose another --out"
                ) from error
            finally:
                if self._file is None:
                    file.close()

    def release(self) -> None:
        """Remove the lock file and let go of it."""
        if self._file is not None:
            self._held.discard(self._path.absolute())
            if sys.platform != "win32":  # Windows does not remove an open file; there an idle one stays
                self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def reserve(self, size: int) -> None:
        """Keep so many bytes of the disk, for what must be written when it is full; 0 sets them free."""
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(0)
                self._file.write(bytes(size))

    @property
    def is_ours(self) -> bool:
        """Whether this process holds it, by this object or another."""
        return self._path.absolute() in self._held


@contextmanager
def run_locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the run that a recording's folder is in, as far as it is in one and we don't hold it already.

    Raises as `Lock.take` does.
    """
    run = next(
        (above for above in (folder, *folder.absolute().parents) if (above / RUN_FILE).is_file()), None
    )
    lock = None if run is None else Lock(run / LOCK_FILE)
    if lock is None or lock.is_ours:
        yield
        return
    lock.take()
    try:
        yield
    finally:
        lock.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
