"""What is known of the task of a recording: `cvat_task.json` in its folder, so that a command can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from annotator.run import write_json

FILE = "cvat_task.json"


@dataclass(frozen=True)
class Task:
    """How far a recording is on a server."""

    url: str
    task_id: int
    sent: str | None = None  # hash of the cvat.xml that was imported
    digest: str | None = None  # of the task's annotations when they had been imported; None: not known

    @classmethod
    def read(cls, folder: Path, url: str) -> Task | None:
        """The task of a recording on a server, None when there is none yet."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            task = cls(**{field.name: content[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return task if task.url.rstrip("/") == url.rstrip("/") else None

    def write(self, folder: Path) -> None:
        """Keep it. Raises OutputError."""
        write_json(folder / FILE, asdict(self))
