"""A process that is killed at a write of SQLite's: before it, or when half of it is done.

`python -m tests.faults.killed FOLDER` leaves what the life of a store leaves in FOLDER/K.0 and FOLDER/K.5, killed
before and amid its write K, for all K, and prints how many writes there are.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from annotator import masks
from annotator.instances import Instances
from annotator.store import Store
from tests.helpers.builders import blob, frame_ref

FRAMES = 4
WRITES = (b"write", b"pwrite", b"pwrite64", b"ftruncate", b"unlink")  # all that changes a file or a folder
SIZED = (b"write", b"pwrite", b"pwrite64")
POINTER = ctypes.c_void_p


class Vfs(ctypes.Structure):
    """sqlite3_vfs of version 3."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        *((name, POINTER) for name in ("next", "name", "data")),
        *((f"method_{k}", POINTER) for k in range(13)),  # xOpen to xCurrentTimeInt64
        ("set_system_call", ctypes.CFUNCTYPE(ctypes.c_int, POINTER, ctypes.c_char_p, POINTER)),
        ("get_system_call", ctypes.CFUNCTYPE(POINTER, POINTER, ctypes.c_char_p)),
    ]


class Writes:
    """Counts the writes of SQLite in this process, and kills it at one of them. Raises OSError where it can't."""

    def __init__(self, killed_at: float = float("inf")) -> None:
        self.count = 0
        self._killed_at = killed_at
        library = ctypes.CDLL(_sqlite3.__file__)
        try:
            find = library.sqlite3_vfs_find
        except AttributeError as error:
            raise OSError("SQLite is a part of Python here") from error
        find.restype, find.argtypes = ctypes.POINTER(Vfs), [ctypes.c_char_p]
        self._vfs = find(None)
        self._kept = [self._replace(name) for name in WRITES]

    def _replace(self, name: bytes) -> Any:
        vfs = self._vfs.contents
        there = vfs.get_system_call(self._vfs, name)
        if not there:
            return None
        kinds = [ctypes.c_int, POINTER, ctypes.c_size_t, ctypes.c_int64][: 4 if b"pwrite" in name else 3]
        if name not in SIZED:
            kinds = [ctypes.c_char_p] if name == b"unlink" else [ctypes.c_int, ctypes.c_int64]
        kind = ctypes.CFUNCTYPE(ctypes.c_ssize_t if name in SIZED else ctypes.c_int, *kinds)
        replacement = kind(self._counted(kind(there), name in SIZED))
        assert vfs.set_system_call(self._vfs, name, ctypes.cast(replacement, POINTER)) == 0
        return replacement

    def _counted(self, write: Callable[..., int], is_sized: bool) -> Callable[..., int]:
        def counted(*arguments: Any) -> int:
            if self._killed_at == self.count + 0.5 and is_sized:
                file, content, size, *place = arguments
                write(file, content, size // 2, *place)
            if self.count <= self._killed_at < self.count + 1:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            return write(*arguments)

        return counted


def found(index: int) -> Instances:
    """Two instances in a frame."""
    rles = [masks.encode(blob((8, 10), 4, x, 2.5)) for x in (2, 7)]
    return Instances.of(frame_ref(index), rles, (26, 24), (0.9, 0.4), np.arange(6).reshape(2, 3) / 7 + index)


def live(folder: Path) -> None:
    """What a store goes through: it is begun, filled, closed, opened again, tracked and edited."""
    with Store.open(folder, {"weights": "c0ffee"}) as store:
        for k in range(store.next_index(), FRAMES, 2):
            store.add([found(k), found(k + 1)])
        store.update(replace(store.progress, detected=True))
    with Store.open(folder, {"weights": "c0ffee"}) as store:
        if not store.progress.edits:
            store.set_tracks((k, k % 2, 1) for k in range(FRAMES))
            with store.edit_tracks() as tracks:
                tracks.split(1, first=1)
                tracks.done.append("track 1 is track 2 from frame 1 on")


def main(folder: Path) -> None:
    """Live the life once, then once for each of its writes, in a process each."""

    def count() -> int:
        writes = Writes()
        live(folder / "undisturbed")
        return writes.count

    total = _in_child(count)
    for killed_at in (k + part for k in range(total) for part in (0.0, 0.5)):

        def die(at: float = killed_at) -> int:
            writes = Writes(at)
            live(folder / str(at))
            return writes.count

        assert _in_child(die) < 0, f"not killed at {killed_at}"
    print(total)


def _in_child(act: Callable[[], int]) -> int:
    """What `act` gives in a process of its own, as its exit code; below 0 when it was killed."""
    child = os.fork()
    if child == 0:
        os._exit(act())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
