"""A real Ray cluster of two raylets on this machine, and the workers that it has of ours."""

from __future__ import annotations

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
    """The processes of workers on this machine that are ours."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"ray::Worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
