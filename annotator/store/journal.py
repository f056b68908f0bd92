"""What has changed since a JSON file was written whole, a line for each change: for files that grow with a fleet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from annotator.errors import cant_be_written
from annotator.escape import to_json


class Journal:
    """The changes beside a JSON file; a line that a killed process left half written counts for nothing."""

    def __init__(self, of: Path) -> None:
        self.path = of.with_suffix(".journal")
        self.length = 0  # lines that this object has added

    def add(self, change: Any) -> None:
        """Add a change; it is on the disk when this returns. Raises OutputError."""
        try:
            with self.path.open("ab") as file:
                # A torn line before it must not take this one along.
                file.write(b"\n" + to_json(change).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cant_be_written(self.path, error) from error
        self.length += 1

    def clear(self) -> None:
        """Forget all changes: the file itself has them now."""
        self.length = 0
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def changes(self) -> Iterator[dict[str, Any]]:
        """The changes in order, as far as they can be understood; none without a readable journal."""
        try:
            with self.path.open("rb") as file:
                for line in file:
                    with suppress(ValueError, RecursionError):
                        change = json.loads(line)
                        if isinstance(change, dict):
                            yield change
        except OSError:
            return
