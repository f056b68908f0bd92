"""Temporary databases, for files that are read in another order than they are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from annotator.errors import OutputError


@contextmanager
def temporary_database(schema: str) -> Iterator[sqlite3.Connection]:
    """A database that vanishes with its connection: in memory while it is small, then in a temporary file.

    Raises OutputError without room.
    """
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as db:
            db.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000;"
                f"{schema} BEGIN"
            )
            yield db
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"temporary files can't be written ({error}); make room, or name another folder in SQLITE_TMPDIR"
        ) from error
