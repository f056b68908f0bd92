"""The SQLite file of a store: transactions, queries, and a sentence for all that goes wrong with a file."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError, OutputError, RecordingOutputError, SourceError, UsageError
from annotator.store.lock import run_locked
from annotator.store.schema import FILE_NAME, SCHEMA, SCHEMA_VERSION

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
TIMEOUT_S = 30  # to wait for another process
CHECKED_WHOLE = (
    1 << 26
)  # bytes of a file that is checked when it is opened, in 0.1 s; larger ones as they are read
UNFINISHED = (sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY)  # left by a killed process
WARY = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")  # files come from anywhere


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
        """Open or make a file, to write it; what a killed process left half done in it is undone."""
        with faults(path):
            connection = sqlite3.connect(path, timeout=TIMEOUT_S, isolation_level=None)
            with _closed_on_error(connection):
                connection.execute("PRAGMA synchronous = NORMAL")  # survives a killed process, and is quick
                _prepare(connection)
        return cls(path, connection, is_writable=True)

    @classmethod
    def readable(cls, path: Path) -> Database:
        """Open a file that is there, to read it.

        What a killed process left half done is undone first, under the lock of the run. Raises SourceError where that
        can't be, UsageError where another process writes there.
        """
        with faults(path, is_reading=True):
            try:
                return cls(path, _connect(path, "ro"), is_writable=False)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in UNFINISHED:
                    raise
        try:
            with run_locked(path.parent), faults(path, is_reading=True):
                log.info("%s: what a killed process left half done is undone", path)
                with closing(_connect(path, "rw")) as connection:
                    connection.execute("PRAGMA journal_mode = DELETE")  # one file, as it was about to be
                return cls(path, _connect(path, "ro"), is_writable=False)
        except OSError as error:
            raise _cant_be_undone(path, error.strerror) from error

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the database when what follows fails."""
        with self._faults(), _closed_on_error(self.connection):
            yield

    def _faults(self) -> AbstractContextManager[None]:
        return faults(self.path, is_reading=not self._is_writable)

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
        """Whether it has the tables of a store, and they are sound.

        Raises UsageError when it has those of another version or tool, SourceError when they are damaged.
        """
        version = self.count("PRAGMA user_version")
        if version == SCHEMA_VERSION:
            self._require_sound_tables()
            return True
        if version == 0 and self.count("SELECT count(*) FROM sqlite_master") == 0:
            return False
        raise UsageError(
            f"{self.path}: was made by another version of this tool, or by another tool (schema {version},"
            f" not {SCHEMA_VERSION}); use `overwrite` to start again, or another `out`"
        )

    def _require_sound_tables(self) -> None:
        if _tables(self.connection) != _known_tables():
            raise damaged(self.path, "its tables are not those of a store")
        if self.count("PRAGMA page_count") * self.count("PRAGMA page_size") <= CHECKED_WHOLE:
            found = self.one("PRAGMA quick_check(1)")
            if found != ("ok",):
                raise damaged(self.path, " ".join(str(found and found[0]).split()))

    def require_sound_edits(self) -> None:
        """Raise SourceError where an index disagrees with its table: edits find their rows by indices."""
        found = self.one("PRAGMA integrity_check(1)")
        if found != ("ok",):
            raise damaged(self.path, " ".join(str(found and found[0]).split()))
        columns = ("track_id", "frame_index", "position")
        odd = " OR ".join(f"typeof({column}) != 'integer'" for column in columns)
        if self.one(f"SELECT 1 FROM tracks WHERE {odd} LIMIT 1"):
            raise damaged(self.path, "it has tracks whose numbers are none")

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
        with self._faults():
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


def damaged(path: Path, what: str) -> SourceError:
    """The fault that a store is not as it was written, with its remedy."""
    return SourceError(f"{path}: is damaged ({what}); use `overwrite` to label this recording again")


def _cant_be_undone(path: Path, reason: str | None) -> SourceError:
    return SourceError(
        f"{path}: a process was killed while it wrote here, and what it left can't be put right ({reason}); give"
        " permission to write its folder, or copy the run elsewhere, and run the command again"
    )


def _prepare(connection: sqlite3.Connection) -> None:
    """Be wary, and read: what a killed process left is met here, and undone where the file may be written."""
    for pragma in WARY:
        connection.execute(pragma)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)
    with _closed_on_error(connection):
        _prepare(connection)
    return connection


def _tables(connection: sqlite3.Connection) -> set[Row]:
    """The tables and indices of a database, without comments."""
    rows = connection.execute("SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_master")
    return {(*row[:3], " ".join(re.sub(r"--.*", "", row[3]).split())) for row in rows}


@cache
def _known_tables() -> set[Row]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _tables(connection)


@contextmanager
def faults(path: Path, is_reading: bool = False) -> Iterator[None]:
    """Turn SQLite's errors into sentences."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        sentence = _fault(path, error, is_reading)
        if sentence is None:
            raise
        raise sentence from error
    except UnicodeDecodeError as error:  # Python's, where SQLite cites bytes of a damaged schema
        raise damaged(path, "its schema is no text in UTF-8") from error


def _fault(path: Path, error: sqlite3.DatabaseError, is_reading: bool) -> AnnotatorError | None:
    full_code = getattr(error, "sqlite_errorcode", -1)
    code = full_code & 0xFF
    is_no_text = full_code == -1 and isinstance(
        error, sqlite3.OperationalError
    )  # but bytes that are no UTF-8
    if is_no_text or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG):
        return damaged(path, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RecordingOutputError(
            f"{path}: is in use by another program; close it and run the command again"
        )
    if full_code in UNFINISHED:
        return _cant_be_undone(path, str(error))
    if is_reading or full_code in (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ):
        return SourceError(f"{path}: can't be read ({error}); look at its permissions, and at the disk")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return RecordingOutputError(
            f"{path}: can't be opened to write it ({error}); look at its permissions, and at the room there is"
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return OutputError(
            f"{path}: can't be written ({error}); make room; the same command goes on where it stopped"
        )
    return None
