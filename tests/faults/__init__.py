"""Parts that fail on purpose: disks that fill up, recordings that are none."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

import pytest


def small_disk(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Every SQLite file from now on has a disk of so many pages (4 kB each)."""
    connect = sqlite3.connect

    def connect_small(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_small)


class FullDiskWriter:
    """A format whose disk is full."""

    def write(self, *args: Any, **options: Any) -> list[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")


class RaisingWriter:
    """A format that raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write(self, *args: Any, **options: Any) -> list[Path]:
        raise self.error


def empty_video(path: Path) -> Path:
    """A file of no bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def text_named_mp4(path: Path) -> Path:
    """A text file that calls itself a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("this is not a video\n" * 100)
    return path
