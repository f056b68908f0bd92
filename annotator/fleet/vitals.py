"""What the system says of a process: whether it does anything, how much memory it has; 0 where it says nothing.

And whether that is beyond what a recording may take.
"""

from __future__ import annotations

import os
from pathlib import Path

from annotator.options.faults import FaultOptions


def activity(process: int, thread: int | None = None) -> int:
    """A number that changes when a process, or one thread of it, reads or writes anything, in bytes (Linux)."""
    folder = f"/proc/{process}" if thread is None else f"/proc/{process}/task/{thread}"
    try:
        lines = Path(folder, "io").read_text().splitlines()
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


def beyond(bounds: FaultOptions, idle_s: float, took_s: float, resident: int) -> str | None:
    """Which bound on a recording a process is beyond, in words.

    It has taken `took_s`, had no progress for `idle_s`, and has `resident` bytes of memory.
    """
    if idle_s > 60 * bounds.stall_minutes:
        return f"no progress for {bounds.stall_minutes:g} minutes (`stall_minutes`)"
    if bounds.max_minutes is not None and took_s > 60 * bounds.max_minutes:
        return f"it took more than {bounds.max_minutes:g} minutes (`max_minutes`)"
    if bounds.memory_gb is not None and resident > bounds.memory_gb * 1e9:
        return f"it took more than {bounds.memory_gb:g} GB of memory (`memory_gb`)"
    return None
