"""What a run puts up with from its recordings, and what processes before this one met of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from annotator.options.record import check, option


@dataclass(frozen=True)
class FaultOptions:
    """Bounds on one recording: beyond them it fails, and the others of the run go on."""

    GROUP: ClassVar[str] = "Long runs"

    retries: int = field(
        default=2,
        metadata=option(
            "Times that a recording is tried again which made the process crash, hang, or run out of memory.",
            minimum=0,
            maximum=100,
        ),
    )
    stall_minutes: float = field(
        default=30.0,
        metadata=option(
            "Time without a new frame, and without anything read or written, after which a process hangs.",
            minimum=0.01,
        ),
    )
    max_minutes: float | None = field(
        default=None,
        metadata=option("Longest time that a recording may take  [default: any]", minimum=0.01),
    )
    max_gb: float | None = field(
        default=None,
        metadata=option("Largest recording that is tried, in GB of its files  [default: any]", minimum=0),
    )
    memory_gb: float | None = field(
        default=None,
        metadata=option(
            "Memory of the process from which the recording is taken to be at fault (Linux)  [default: any]",
            minimum=0.1,
        ),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Attempts:
    """What processes of the same command, which died, had done and met before this one."""

    ended: Mapping[str, bool] = field(default_factory=dict)  # sources: whether they took any work
    begun: frozenset[str] = frozenset()  # sources whose labels are of this command: they aren't overwritten
    deaths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by source: of what, in words
    traces: Mapping[str, str] = field(default_factory=dict)  # by source: where the last process was
