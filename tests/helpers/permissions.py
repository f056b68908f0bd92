"""Permissions that hold for root too, so that tests of unreadable files tell the same whoever runs them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VERSION_3 = 0x20080522
OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root read everything


@contextmanager
def unreadable(*paths: Path) -> Iterator[None]:
    """Nobody may read these files and folders, nor what is in them, from this thread and those it starts."""
    with permitted(0, *paths):
        yield


@contextmanager
def permitted(mode: int, *paths: Path) -> Iterator[None]:
    """These files and folders have these permissions, which hold for this thread and those it starts."""
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(mode)
    try:
        with _without_overrides():
            yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@contextmanager
def _without_overrides() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may read everything")
    before = _capabilities()
    _set(before[0] & ~OVERRIDES, *before[1:])
    try:
        yield
    finally:
        _set(*before)


def _capabilities() -> tuple[int, ...]:
    """Effective, permitted and inheritable ones of this thread, the low 32, then the high 32."""
    data = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(VERSION_3, 0), data):
        pytest.skip("capabilities can't be told here")
    return tuple(data)


def _set(*capabilities: int) -> None:
    if ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)(*capabilities)):
        pytest.skip("capabilities can't be changed here")
