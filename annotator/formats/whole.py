"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from annotator.errors import FormatError, cant_be_written, unreadable
from annotator.escape import LONGEST_NAME, shortened
from annotator.limits import require_file


@contextmanager
def whole_file(goal: Path) -> Iterator[Path]:
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
def whole_folder(goal: Path) -> Iterator[Path]:
    """An empty folder beside `goal` to write into, which becomes `goal` as `whole_file` does.

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


def find_whole(folder: Path, pattern: str) -> list[Path]:
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


def insist(is_right: bool, path: Path, what: str) -> None:
    """Raise FormatError when a file that was just written is not what it should be."""
    if not is_right:
        goal = path.name.removeprefix(".").removesuffix(".tmp")
        raise FormatError(
            f"{path.with_name(goal)}: not published, because what was written is not right ({what});"
            " please report this"
        )


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
