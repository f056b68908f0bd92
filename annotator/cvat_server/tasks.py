"""What is known of the task of a recording: `cvat_task.json` in its folder, so that a command can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from annotator.errors import OutputError, SourceError, UsageError
from annotator.files import FileLock, write_json

FILE = "cvat_task.json"
LOCK = ".cvat.lock"


@dataclass(frozen=True)
class Task:
    """How far a recording is on a server."""

    url: str
    task_id: int
    sent: str | None = None  # hash of the cvat.xml that was imported
    sending: str | None = None  # the same of one of which it isn't known whether all of it was imported
    digest: str | None = None  # of the task's annotations when they had been imported; None: not known

    @classmethod
    def read(cls, folder: Path, url: str) -> Task | None:
        """The task of a recording on a server, None when there is none yet."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            task = cls(**{field.name: content[field.name] for field in fields(cls) if field.name in content})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return task if task.url.rstrip("/") == url.rstrip("/") else None

    def write(self, folder: Path) -> None:
        """Keep it. Raises OutputError."""
        write_json(folder / FILE, asdict(self))

    @staticmethod
    def forget(folder: Path) -> None:
        """Keep nothing. Raises OutputError."""
        try:
            (folder / FILE).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder / FILE}: can't be removed ({error.strerror}); remove it") from error


@contextmanager
def alone(lock: Path, otherwise: str) -> Iterator[None]:
    """Keep other commands away. Raises SourceError, with what to say `otherwise`, when one is at work already."""
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.take()
    except UsageError as error:
        raise SourceError(otherwise) from error
    except OSError as error:
        raise OutputError(f"{lock.parent}: can't be written ({error.strerror})") from error
    try:
        yield
    finally:
        held.release()
