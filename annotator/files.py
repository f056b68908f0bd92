"""Files on disk: files and folders that appear whole or not at all, scratch folders, JSON, and a lock."""

from __future__ import annotations

import fnmatch
import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, ClassVar, NoReturn

from annotator.errors import UsageError, cant_be_written, unreadable
from annotator.escape import LONGEST_NAME, shortened, to_json
from annotator.limits import require_file

log = logging.getLogger(__name__)


@contextmanager
def atomic_file(goal: Path) -> Iterator[Path]:
    """A path beside `goal` to write to: it takes the place of `goal` when all went well, and else vanishes.

    Raises OutputError, naming the goal and the remedy, when it can't be written.
    """
    temporary = _beside(goal, ".tmp")
    with _faults(goal):
        goal.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # or a power cut may leave the name without the content
            os.replace(temporary, goal)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(goal: Path) -> Iterator[Path]:
    """An empty folder beside `goal` to write into, which becomes `goal` as `atomic_file` does.

    An older folder stays until the new one is complete. A process killed between the two renames leaves it
    under its hidden name, and the next writer puts it back.
    """
    temporary, old = _beside(goal, ".tmp"), _beside(goal, ".old")
    with _faults(goal):
        if old.exists() and not goal.exists():
            os.replace(old, goal)
        _remove(temporary, old)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if sys.platform != "win32":
                os.sync()  # as above, at once for what may be very many files
            if goal.exists():
                os.replace(goal, old)
            try:
                os.replace(temporary, goal)
            except BaseException:
                if old.exists():
                    os.replace(old, goal)
                raise
            _remove(old)
        finally:
            with suppress(OSError):
                _remove(temporary)


def find_files(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder, however deep, in order; without those in hidden folders, which are not whole yet.

    Raises UsageError when a folder can't be listed, or one of them is no file: half of the labels are not to be taken
    for all.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        matching = fnmatch.filter(
            (*folders, *names), pattern
        )  # whoever reads a folder of such a name refuses it
        found += [Path(parent, name) for name in matching if not name.startswith(".")]
    try:
        for file in found:
            require_file(file)
    except OSError as error:
        raise unreadable(error) from error
    return sorted(found)


def _raise_unreadable(error: OSError) -> NoReturn:
    raise unreadable(error) from error


@contextmanager
def scratch_folder(goal: Path) -> Iterator[Path]:
    """An empty folder beside `goal` for what is needed on the way, gone when the block ends."""
    scratch = _beside(goal, ".scratch")
    with _faults(goal):
        _remove(scratch)
        scratch.mkdir(parents=True)
        try:
            yield scratch
        finally:
            with suppress(OSError):
                _remove(scratch)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, indented. Raises OutputError."""
    with atomic_file(path) as temporary:
        temporary.write_text(to_json(content, indent=2) + "\n", encoding="utf-8")


class FileLock:
    """A lock file that is free again when its process ends, however it ends.

    Not `filelock`, which leaves its file behind on Unix and keeps no bytes in it for a full disk.
    """

    _held: ClassVar[set[Path]] = set()  # by this process

    def __init__(self, path: Path, is_shared: bool = False) -> None:
        self._path = path
        self._is_shared = is_shared  # with others that share it; not on Windows
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Take the lock. Raises UsageError when another run has it, OSError when it can't be written."""
        while self._file is None:
            file = self._path.open("a+b", buffering=0)
            try:
                _lock(file, self._is_shared)
                # Whoever had it may have removed the file since we opened it: then we hold a lock on nothing.
                if self._path.exists() and os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    self._file = file
                    self._held.add(self._path.absolute())
                    log.debug("%s: locked", self._path)
            except BlockingIOError as error:
                raise UsageError(
                    f"{self._path.parent}: another run is writing here; wait for it, or choose another `out`"
                ) from error
            finally:
                if self._file is None:
                    file.close()

    def release(self) -> None:
        """Remove the lock file and let go of it."""
        if self._file is not None:
            self._held.discard(self._path.absolute())
            if self._is_shared and not self._is_last():
                pass  # the last one removes it
            elif sys.platform != "win32":  # Windows does not remove an open file; there an idle one stays
                self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def _is_last(self) -> bool:
        """Whether nobody shares a shared lock any more."""
        assert self._file is not None
        try:
            _lock(self._file, is_shared=False)
        except BlockingIOError:
            return False
        return True

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


def _beside(goal: Path, suffix: str) -> Path:
    """A hidden path beside `goal`, whose name is short enough where that of `goal` is."""
    return goal.with_name(shortened(f".{goal.name}", LONGEST_NAME - len(suffix)) + suffix)


def _remove(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)


@contextmanager
def _faults(goal: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
            place = Path(os.fsdecode(error.filename)).absolute()
            if not place.is_relative_to(goal.parent.absolute()):
                raise unreadable(error) from error  # what is written is made of it
        raise cant_be_written(goal, error) from error


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes], is_shared: bool) -> None:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
else:
    import fcntl

    def _lock(file: IO[bytes], is_shared: bool) -> None:
        fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
