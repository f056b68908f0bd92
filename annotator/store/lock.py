"""Who may write into the folder of a run: whoever holds the lock in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotator.files import FileLock

RUN_FILE = "run.json"  # which tells the folder of a run
LOCK_FILE = ".lock"


def run_root(folder: Path) -> Path | None:
    """The folder with the run.json of the run that `folder` is, or lies in; None when it is in none."""
    return next(
        (above for above in (folder, *folder.absolute().parents) if (above / RUN_FILE).is_file()), None
    )


@contextmanager
def run_locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the run that a recording's folder is in, as far as it is in one and we don't hold it already.

    Raises as `FileLock.take` does.
    """
    run = run_root(folder)
    lock = None if run is None else FileLock(run / LOCK_FILE)
    if lock is None or lock.is_ours:
        yield
        return
    lock.take()
    try:
        yield
    finally:
        lock.release()
