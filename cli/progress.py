"""How a run looks while it goes on: a bar on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from annotator.escape import one_line
from annotator.pipeline.events import (
    Event,
    FramesLabelled,
    RunStarted,
    SourceEnded,
    SourceStarted,
    StepStarted,
)
from annotator.store.records import SourceRecord

from .options import with_flags

SECONDS_BETWEEN_LINES = 10.0
GAPS_NAMED = 2  # of a recording, with their reasons


class Display(Protocol):
    """Shows a run; a `with` item, because a bar must be taken off the screen."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Show what has just happened."""


def display(quiet: bool) -> Display:
    """The display that suits stderr: nothing, a bar, or plain lines."""
    if quiet:
        return NullDisplay()
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


class NullDisplay:
    """Shows nothing."""

    def __enter__(self) -> NullDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def show(self, event: Event) -> None:
        """Show nothing."""


@dataclass
class _UnderWay:
    """A source whose frames are being labelled."""

    expected: int | None
    began: float
    first: int | None = None  # frames that were there when we began to count


class Lines(NullDisplay):
    """Plain lines on stderr: one when a source begins, one every few seconds, one when it ends."""

    def __init__(self) -> None:
        self._under_way: dict[str, _UnderWay] = {}  # several, where several workers label
        self._printed_at = 0.0

    def show(self, event: Event) -> None:
        """Print a line, if it is time for one."""
        match event:
            case RunStarted(workers=int(count)):
                self._print(cluster_line(count))
            case SourceStarted():
                self._printed_at = time.monotonic()
                self._under_way[event.name] = _UnderWay(event.expected, self._printed_at)
                self._print(
                    f"{event.name}: labelling" + (f" {event.expected} frames" if event.expected else "")
                )
            case FramesLabelled():
                now = time.monotonic()
                source = self._under_way.setdefault(event.name, _UnderWay(None, now))
                if source.first is None:
                    source.first = event.frames - event.fresh
                if now - self._printed_at >= SECONDS_BETWEEN_LINES:
                    self._printed_at = now
                    rate = (event.frames - source.first) / max(now - source.began, 1e-3)
                    self._print(self._frames_line(event, source.expected, rate))
            case SourceEnded():
                self._under_way.pop(event.record.name, None)
                self._print(outcome(event.record, event.changed))

    def _frames_line(self, event: FramesLabelled, expected: int | None, rate: float) -> str:
        line = f"{event.name}: {event.frames} frames, {rate:.1f} frames/s"
        if expected and expected > event.frames and rate > 0:
            line += f", {(expected - event.frames) / rate:.0f} s left"
        return line

    def _print(self, line: str) -> None:
        print(one_line(with_flags(line)), file=sys.stderr, flush=True)


class Bar(NullDisplay):
    """A rich bar on a terminal for each source under work, with frames per second and time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=console,
        )
        self._waiting = self._progress.add_task("loading the network", total=None)
        self._bars: dict[str, TaskID] = {}  # of the sources under work

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar of the event's source."""
        match event:
            case RunStarted():
                ready = "ready" if event.workers is None else cluster_line(event.workers)
                self._progress.update(self._waiting, description=ready)
            case SourceStarted():
                self._progress.update(self._bar(event.name), total=event.expected)
            case FramesLabelled():
                bar = self._bar(event.name)
                task = next(task for task in self._progress.tasks if task.id == bar)
                # A container's frame count may lie: then the bar follows what is decoded.
                total = None if task.total is None else max(task.total, event.frames)
                self._progress.update(bar, completed=event.frames, total=total)
            case StepStarted():
                step = escape(f"{event.name}: {event.step}")
                self._progress.update(self._bar(event.name), description=step)
            case SourceEnded():
                if event.record.name in self._bars:
                    self._progress.remove_task(self._bars.pop(event.record.name))
                self._console.print(
                    one_line(with_flags(outcome(event.record, event.changed))), markup=False, highlight=False
                )

    def _bar(self, name: str) -> TaskID:
        """The bar of a source, which is added when it is needed."""
        self._progress.update(self._waiting, visible=False)
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(escape(name), total=None)
        return self._bars[name]


class Rate(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        """The rate of the last half minute."""
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "", style="progress.data.speed")


def cluster_line(workers: int) -> str:
    """Who labels, where a cluster does."""
    return f"Ray: {workers} {'worker' if workers == 1 else 'workers'}"


def outcome(record: SourceRecord, changed: bool) -> str:
    """How it went with a source, in a line."""
    if record.error:
        return f"{record.name}: {record.state}: {record.error}"
    if not changed:
        return f"{record.name}: already done"
    gaps = f", {record.gaps} gaps{_reasons(record)}" if record.gaps else ""
    formats: dict[str, list[str]] = {}  # by what they could not hold
    for name, losses in record.losses.items():
        for what, count in losses.items():
            formats.setdefault(f"{count} {what}", []).append(name)
    return (
        f"{record.name}: {record.state}: {record.frames} frames{gaps}, {record.instances} instances,"
        f" {record.tracks} tracks in {record.seconds:.1f} s"
        + "".join(f"; {loss} ({', '.join(names)})" for loss, names in formats.items())
        + "".join(f"; {remark}" for remark in record.remarks)
    )


def _reasons(record: SourceRecord) -> str:
    """Why there are gaps, of the first of them; run.json has more."""
    named = "; ".join(record.gap_reasons[:GAPS_NAMED])
    more = f"; and {record.gaps - GAPS_NAMED} more" if record.gaps > GAPS_NAMED else ""
    return f" ({named}{more})" if named else ""


def summary_table(records: Sequence[SourceRecord], unchanged: set[str]) -> str:
    """One line per source, in columns as wide as they need to be."""
    head = ("source", "frames", "gaps", "instances", "tracks", "seconds", "state")
    rows = [
        (
            record.name,
            str(record.frames),
            str(record.gaps),
            str(record.instances),
            str(record.tracks),
            f"{record.seconds:.1f}",
            "already done" if record.name in unchanged else record.state,
        )
        for record in records
    ]
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        name, *numbers, state = row
        middle = "  ".join(cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True))
        lines.append(f"{name.ljust(widths[0])}  {middle}  {state}")
    return "\n".join(lines)
