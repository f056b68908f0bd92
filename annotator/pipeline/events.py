"""What annotate() tells while it works: a stream of these, in this order for every source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from annotator.pipeline.run import Run
from annotator.store.records import SourceRecord


@dataclass(frozen=True)
class RunStarted:
    """The run has its output folder; `run.records` says at any time how far it is."""

    run: Run
    passed_over: tuple[
        Path, ...
    ] = ()  # beside its sources: pictures that nothing reads, folders below images
    workers: int | None = None  # of the cluster that labels; None: this process does


@dataclass(frozen=True)
class SourceTaken:
    """A source's turn has come: whatever happens until it ends is by it."""

    name: str


@dataclass(frozen=True)
class SourceStarted:
    """A source is being labelled."""

    name: str
    expected: int | None  # frames that there will be, as far as can be known


@dataclass(frozen=True)
class FramesLabelled:
    """A batch of frames is in the store."""

    name: str
    frames: int  # of this source so far, those of earlier runs included
    fresh: int  # of them, in this batch
    instances: int  # in this batch


@dataclass(frozen=True)
class StepStarted:
    """Detection is done, something else begins."""

    name: str
    step: str  # "associate", or "publish coco"


@dataclass(frozen=True)
class SourceEnded:
    """A source is done or has failed."""

    record: SourceRecord
    changed: bool  # False: it was done before


Event = RunStarted | SourceTaken | SourceStarted | FramesLabelled | StepStarted | SourceEnded
