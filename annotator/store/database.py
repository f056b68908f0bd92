"""The SQLite file of a store: transactions, queries, and a sentence for all that goes wrong with a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from annotator.errors import OutputError, RecordingOutputError, SourceError, UsageError
from annotator.store.schema import FILE_NAME, SCHEMA, SCHEMA_VERSION

Row = tuple[Any, ...]
TIMEOUT_S = 30  # to wait for another process


class Database:
    """An open database; `execute` and `executemany` are those of its connection."""

    def __init__(self, path: Path, connection: sqlite3.Connection, is_writable: bool) -> None:
        self.path = path
        self.connection = connection
        self.execute = connection.execute
        self.executemany = connection.executemany
        self._is_writable = is_writable

    @classmethod
    def writable(cls, path: Path) -> Database:
        """Open or make a file, to write it."""
        with faults(path):
            connection = sqlite3.connect(path, timeout=TIMEOUT_S, isolation_level=None)
            with _closed_on_error(connection):
                connection.execute("PRAGMA synchronous = NORMAL")  # survives a killed process, and is quick
        return cls(path, connection, is_writable=True)

    @classmethod
    def readable(cls, path: Path) -> Database:
        """Open a file that is there, to read it."""
        with faults(path):
            uri = f"{path.absolute().as_uri()}?mode=ro"
            return cls(path, sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S), is_writable=False)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the database when what follows fails."""
        with faults(self.path), _closed_on_error(self.connection):
            yield

    def close(self) -> None:
        """Close it and fold the write-ahead log into its one file; one without frames leaves no file."""
        if not self._is_writable:
            self.connection.close()
            return
        try:
            is_empty = self.execute("SELECT 1 FROM frames LIMIT 1").fetchone() is None
            self.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            is_empty = False  # full disk, or somebody reads it: the log stays beside it, and nothing is lost
        self.connection.close()
        if is_empty:
            delete(self.path.parent)

    def is_begun(self) -> bool:
        """Whether it has the tables of a store. Raises UsageError when it has others."""
        version = self.count("PRAGMA user_version")
        if version == SCHEMA_VERSION:
            return True
        if version == 0 and self.count("SELECT count(*) FROM sqlite_master") == 0:
            return False
        raise UsageError(
            f"{self.path}: was made by another version of this tool, or by another tool (schema {version},"
            f" not {SCHEMA_VERSION}); use --overwrite to start again, or another --out"
        )

    def begin(self, meta: Iterable[tuple[str, str]]) -> None:
        """Make the tables, with the first rows of `meta`."""
        with self.transaction():
            for statement in SCHEMA.split(";\n"):
                self.execute(statement)
            self.executemany("INSERT INTO meta VALUES (?, ?)", meta)
            self.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what follows is written, or nothing."""
        with faults(self.path):
            if not self.connection.in_transaction and self.one("PRAGMA journal_mode") != ("wal",):
                self.execute("PRAGMA journal_mode = WAL")  # only while writing: at rest it is one file
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk may have rolled it back already
                    self.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[Row]:
        """All rows of a query."""
        with faults(self.path):
            return self.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Row | None:
        """The first row of a query, None when there is none."""
        rows = self.rows(query, *values)
        return rows[0] if rows else None

    def count(self, query: str) -> int:
        """The number that a query gives."""
        row = self.one(query)
        return 0 if row is None else int(row[0])


def delete(folder: Path) -> None:
    """Delete the store in `folder` if there is one, its write-ahead log included."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (folder / (FILE_NAME + suffix)).unlink(missing_ok=True)


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into sentences."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise SourceError(
                f"{path}: is damaged ({error}); use --overwrite to label this recording again"
            ) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RecordingOutputError(
                f"{path}: is in use by another program; close it and run the command again"
            ) from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise RecordingOutputError(
                f"{path}: can't be opened to write it ({error}); look at its permissions, and at the room there is"
            ) from error
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OutputError(
                f"{path}: can't be written ({error}); make room; the same command goes on where it stopped"
            ) from error
        raise
