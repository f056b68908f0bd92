"""What the system says of a process: whether it does anything, how much memory it has; 0 where it says nothing."""

from __future__ import annotations

import os
from pathlib import Path


def activity(process: int) -> int:
    """A number that changes when a process reads or writes anything, in bytes (Linux)."""
    try:
        lines = Path(f"/proc/{process}/io").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(": ") for line in lines if ": " in line)
    return int(fields.get("rchar", 0)) + int(fields.get("wchar", 0))


def resident_bytes(process: int) -> int:
    """Memory that a process has of its own at the moment, in bytes (Linux)."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
