"""What can be asked of labelling on several machines."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from annotator.errors import UsageError
from annotator.options.record import check, option

MOST_SHARDS = 100_000
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Shard:
    """A part of the recordings, by their names alone: each name is in one part, whoever asks and whatever is beside."""

    index: int  # from 1
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of "3/8". Raises UsageError."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            raise UsageError(f"`shard` {text!r}: give the part and how many there are, from 1/1 on, as 3/8")
        return cls(int(found[1]), int(found[2]))

    def holds(self, name: str) -> bool:
        """Whether the recording of this name is in this part."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def file_of(self, name: str) -> str:
        """The name of this part's own file in the place of one of the whole run: run.3-of-8.json of run.json."""
        stem, dot, suffix = name.rpartition(".")
        part = f"{self.index}-of-{self.count}"
        return f"{stem}.{part}{dot}{suffix}" if stem else f"{name}.{part}"


@dataclass(frozen=True)
class StorageOptions:
    """Where what is stored elsewhere lies while it is under work."""

    GROUP: ClassVar[str] = "Long runs"

    scratch: Path | None = field(
        default=None,
        metadata=option(
            "Folder for recordings and labels of object storage while they are under work"
            "  [default: in the system's folder for temporary files]"
        ),
    )
    scratch_gb: float | None = field(
        default=None,
        metadata=option(
            "Largest recording that is fetched to --scratch, in GB; on Ray, all that a machine has there at a time"
            "  [default: what is free there]",
            minimum=0,
        ),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class EngineOptions:
    """What labels: this machine alone, or a cluster."""

    engine: str = field(
        default=ENGINES[0],
        metadata=option(
            "What labels: this machine, or a Ray cluster, whose machines share a disk or use object storage.",
            choices=ENGINES,
        ),
    )
    address: str | None = field(
        default=None,
        metadata=option(
            "Ray: address of the cluster  [default: RAY_ADDRESS, else a cluster of this machine for this run]"
        ),
    )
    workers: int | None = field(
        default=None,
        metadata=option(
            "Ray: processes that label  [default: one for each GPU, or one for every --worker-threads CPUs]",
            minimum=1,
            maximum=100_000,
        ),
    )
    worker_threads: int = field(
        default=1, metadata=option("Ray: CPUs, and threads, of each worker.", minimum=1, maximum=1024)
    )
    chunk_frames: int = field(
        default=1000,
        metadata=option("Ray: frames of a recording that one worker takes at a time.", minimum=1),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ReportJob:
    """What is asked of a report on a run."""

    run: Path
    csv: Path | None = field(
        default=None, metadata=option("File for a line of each recording  [default: fleet.csv in the run]")
    )

    def __post_init__(self) -> None:
        check(self)
