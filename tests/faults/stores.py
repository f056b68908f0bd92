"""Stores that are damaged, or that a killed process left half written."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

FILE = "labels.sqlite"
HEADER = 100  # bytes


def leave_hot_journal(folder: Path) -> None:
    """Leave the store as a kill amid a transaction does: half of it in the file, and what was there in a journal."""
    file, journal = folder / FILE, folder / f"{FILE}-journal"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE frames SET pts = pts + 1")
        connection.execute(
            "CREATE TABLE filler AS SELECT zeroblob(100000) AS bytes"
        )  # more than the cache holds
        for path in (file, journal):
            shutil.copy(path, path.with_suffix(".kept"))
            shutil.move(path.with_suffix(".kept"), folder / f"{path.name}.kept")
        connection.execute("ROLLBACK")
    for path in (file, journal):
        shutil.move(folder / f"{path.name}.kept", path)


def _sql(statement: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(statement)

    return act


def _note(key: str, value: str) -> Callable[[Path], None]:
    return _sql(f"INSERT OR REPLACE INTO meta VALUES ('{key}', '{value}')")


def _schema(what: str, by: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (what, by))

    return act


def _bytes(change: Callable[[bytearray], object]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        content = bytearray((folder / FILE).read_bytes())
        change(content)
        (folder / FILE).write_bytes(content)

    return act


def _zero_a_page(content: bytearray) -> None:
    content[8192:12288] = bytes(4096)


def _set_all_bits(content: bytearray) -> None:
    content[4096 : 4096 + HEADER] = b"\xff" * HEADER


MASK = "UPDATE instances SET counts = "
DAMAGES: dict[str, Callable[[Path], None]] = {  # met by all that reads labels
    "text in place of it": _bytes(lambda content: content.__setitem__(slice(None), b"no database\n" * 200)),
    "cut off": _bytes(lambda content: content.__delitem__(slice(len(content) // 2, None))),
    "a page of zeros": _bytes(_zero_a_page),
    "a page of ones": _bytes(_set_all_bits),
    "a table has another name": _schema("tracks", "trucks"),
    "a table whose name is no UTF-8": _bytes(
        lambda content: content.__setitem__(
            slice(None), content.replace(b"CREATE TABLE gaps", b"CREATE TABLE \xd8aps")
        )
    ),
    "a column has another name": _schema("score REAL", "scare REAL"),
    "a view in place of a table": _sql(
        "CREATE VIEW more AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n"
    ),
    "a mask that ends amid a number": _sql(MASK + "x'7a'"),
    "a mask of no characters": _sql(MASK + "x''"),
    "a mask of runs that never end": _sql(MASK + "zeroblob(20000)"),
    "a mask of numbers too large": _sql(MASK + "CAST('oooooooooooooooooooooooooooooooo0' AS BLOB)"),
    "a mask larger than the frame": _sql(MASK + "counts || counts"),
    "a mask that is text": _sql(MASK + "'text'"),
    "text that is no UTF-8": _sql("UPDATE frames SET name = CAST(x'ff' AS TEXT)"),
    "a name that is bytes": _sql("UPDATE frames SET name = x'ff'"),
    "a frame of 2^63 - 1": _sql("UPDATE frames SET frame_index = 9223372036854775807 WHERE frame_index = 5"),
    "a frame below 0": _sql("UPDATE frames SET frame_index = -7 WHERE frame_index = 5"),
    "a last frame that is gone": _sql("DELETE FROM frames WHERE frame_index = 7"),
    "a frame that is gone": _sql("DELETE FROM frames WHERE frame_index = 3"),
    "ticks of no length": _sql("UPDATE frames SET time_base_denominator = 0"),
    "a time that is text": _sql("UPDATE frames SET pts = 'noon'"),
    "a huge frame": _sql("UPDATE frames SET height = 4294967296"),
    "a flat frame": _sql("UPDATE frames SET height = 0"),
    "frames of another size": _sql("UPDATE frames SET height = height + 1"),
    "an unknown class": _sql("UPDATE instances SET class_id = 99"),
    "a class of 2^40": _sql("UPDATE instances SET class_id = 1099511627776"),
    "a score of 7": _sql("UPDATE instances SET score = 7"),
    "an infinite score": _sql("UPDATE instances SET score = 9e999"),
    "a score that is text": _sql("UPDATE instances SET score = 'good'"),
    "half a number of appearance": _sql("UPDATE instances SET features = x'00'"),
    "appearance of NaN": _sql("UPDATE instances SET features = x'ff7f'"),
    "a motion that is text": _sql("UPDATE instances SET moved_x = 'far'"),
    "an infinite motion": _sql("UPDATE instances SET moved_x = 9e999"),
    "an unknown kind": _sql("UPDATE instances SET kind = 9"),
    "a track of 2^40": _sql("UPDATE tracks SET track_id = track_id + 1099511627776"),
}
ASIDE: dict[str, Callable[[Path], None]] = {  # met by some commands only
    "places that don't go on": _sql("UPDATE instances SET position = position + 5"),
    "a gap of text": _sql("INSERT INTO gaps VALUES ('somewhere', NULL, 'why')"),
    "a note that is no JSON": _note("note.published", "{"),
    "a note that is deep": _note("note.published", "[" * 5000 + "]" * 5000),
    "published as a list": _note("note.published", "[1]"),
    "published as a number": _note("note.published", '{"coco": 1}'),
    "tracked as text": _note("note.tracked", '"yes"'),
    "remarks as a list": _note("note.remarks", "[[1]]"),
    "losses as text": _note("note.tracking losses", '{"x": "many"}'),
    "a fingerprint that is a list": _note("fingerprint", "[]"),
}
