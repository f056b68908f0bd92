"""A real Ray cluster of two raylets on this machine, and the workers that it has of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Workers shouldn't starve where others need the processor too; it is 15 by default.
NICENESS = "RAY_worker_niceness"


@contextmanager
def two_raylets() -> Iterator[Any]:
    """A cluster of a head and a node, with a CPU each."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NICENESS, "0")
        cluster = Cluster(initialize_head=True, head_node_args=small)
        try:
            cluster.add_node(**small)
            yield cluster
        finally:
            cluster.shutdown()


def workers() -> list[int]:
    """The workers of ours that a cluster has which this process began; others on this machine are left alone."""
    return [process for process in family() if b"ray::Worker" in _content(process, "cmdline")]


def family() -> list[int]:
    """This process and all that it began, directly or not."""
    found = [os.getpid()]
    parents = {int(path.name): parent_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def parent_of(process: int) -> int:
    """The process that began another; 0 where that is gone."""
    state = _content(process, "stat").rpartition(b")")[2].split()
    return int(state[1]) if state else 0


def _content(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}", name).read_bytes()
    except OSError:
        return b""
