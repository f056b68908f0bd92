"""Keeps a run alive: it works in a child process, which is begun again when a recording makes it crash or hang.

Pictures go through C libraries, which can end a process without a word, or never come back. The child says over a
pipe which recording it is at; the parent, which has nothing loaded that could crash, watches, tells the next child
what happened, and after some tries a recording is given up while the others go on.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from types import FrameType
from typing import IO, Any

from annotator.errors import ExitCode
from annotator.fleet.vitals import activity, beyond, resident_bytes
from annotator.options.faults import Attempts, FaultOptions

POLL_S = 0.5
BEAT_S = 1.0  # between two signs of life
GRACE_S = 5.0  # for a hanging process to say where it is
LONGEST_TRACE = 1 << 16  # bytes
IS_POSSIBLE = hasattr(
    os, "fork"
)  # not on Windows: there a crash ends the run, which goes on when called again
STOPPED = (signal.SIGINT, signal.SIGTERM)
WHY = {
    "SIGSEGV": "a C library read memory that isn't there",
    "SIGABRT": "a C library gave up",
    "SIGKILL": "killed, as the system does where memory is short: use a smaller `batch_size` or `scale`",
    "SIGILL": "a C library uses instructions that this processor lacks",
}


class Link:
    """The child's end: what was before it, and how it tells what it is at. Without a parent it tells nobody."""

    def __init__(self, connection: Connection | None = None, past: Attempts | None = None) -> None:
        self._connection = connection
        self.past = past or Attempts()
        self._told = 0.0

    def bounds(self, options: FaultOptions) -> None:
        """Tell what this run puts up with."""
        self._send("bounds", options)

    def begins(self, name: str) -> None:
        """Tell that a recording's turn has come."""
        self._send("begins", name)

    def beats(self) -> None:
        """Tell that there is progress."""
        now = time.monotonic()
        if now - self._told >= BEAT_S:
            self._told = now
            self._send("beats")

    def ends(self, name: str, worked: bool) -> None:
        """Tell that a recording is done, or has failed."""
        self._send("ends", name, worked)

    def over(self, code: int) -> None:
        """Tell the exit code: whatever happens behind this is of no account."""
        self._send("over", code)

    def _send(self, *message: Any) -> None:
        if self._connection is not None:
            with suppress(OSError):  # whoever listened is gone, and takes this process along
                self._connection.send(message)


def supervised(act: Callable[[Link], int], report: Callable[[str], None]) -> int:
    """The exit code of `act`, in a child process that is begun again when it dies in a recording.

    Returns in the children too, with their own code. `report` says a sentence to the user.
    """
    if not IS_POSSIBLE:
        return act(Link())
    watch = _Watch()
    while True:
        reading, writing = Pipe(duplex=False)
        trace = tempfile.TemporaryFile()  # noqa: SIM115, closed below
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()  # else what waits there is written twice
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            reading.close()
            return _live(act, Link(writing, watch.past), trace, parent)
        writing.close()
        with trace, reading, _forwarding(child):
            status = watch.over(child, reading)
            code = os.waitstatus_to_exitcode(status)
            if watch.code is not None:
                return watch.code
            if code >= 0 or -code in STOPPED:
                return code if code >= 0 else ExitCode.INTERRUPTED
            died = watch.died_of(-code, trace)
        if watch.at is None:
            report(
                f"the process died while it was at no recording ({died}); nothing that is finished is lost"
            )
            return ExitCode.SOME_FAILED
        report(f"{watch.at}: the process died ({died}); a new one goes on")
        watch.bury(died)


def _live(act: Callable[[Link], int], link: Link, trace: IO[bytes], parent: int) -> int:
    """The child's life: it ends with its parent, and says where it was when it crashes."""
    _die_with(parent)
    faulthandler.enable(trace, all_threads=True)
    code = act(link)
    link.over(code)
    return code


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent is gone, as far as it can."""
    if sys.platform != "linux":
        return
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(ExitCode.SOME_FAILED)


class _forwarding:
    """Pass on to the child what would stop this process, which waits for how the child ends."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in STOPPED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._pass_on)

    def __exit__(self, *fault: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._child, number)


@dataclass
class _Watch:
    """What the parent knows of the run."""

    bounds: FaultOptions = field(default_factory=FaultOptions)
    at: str | None = None  # the recording whose turn it is
    code: int | None = None  # of a child that did its work
    ended: dict[str, bool] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    deaths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    _why_killed: str | None = None

    @property
    def past(self) -> Attempts:
        """What the next child should know."""
        return Attempts(dict(self.ended), frozenset(self.begun), dict(self.deaths), dict(self.traces))

    def over(self, child: int, reading: Connection) -> int:
        """Watch a child to its end, and end it where it goes beyond the bounds; its wait status."""
        self.at = self.code = self._why_killed = None
        clock = _Clock()
        while True:
            gone, status = os.waitpid(child, os.WNOHANG)
            try:
                while reading.poll(0 if gone else POLL_S):
                    self._hear(reading.recv(), clock)
            except (EOFError, OSError):
                time.sleep(0.01)  # it has closed its end, and is about to end
            if gone:
                return status
            clock.tick(activity(child))
            why = self._beyond(child, clock)
            if why and not self._why_killed:
                self._why_killed = why
                _end(child)

    def _hear(self, message: Any, clock: _Clock) -> None:
        clock.idle_s = 0.0
        match message:
            case ("bounds", FaultOptions() as bounds):
                self.bounds = bounds
            case ("begins", str() as name):
                self.at = name
                self.begun.add(name)
                clock.since_begin_s = 0.0
            case ("ends", str() as name, bool() as worked):
                self.at = None
                self.ended[name] = worked
            case ("over", int() as code):
                self.code = code

    def _beyond(self, child: int, clock: _Clock) -> str | None:
        """Which bound a child is beyond at its recording, in words."""
        if self.at is None or self.code is not None:
            return None
        return beyond(self.bounds, clock.idle_s, clock.since_begin_s, resident_bytes(child))

    def died_of(self, number: int, trace: IO[bytes]) -> str:
        """What a child died of, in words; where it was is kept."""
        trace.seek(0)
        text = trace.read(LONGEST_TRACE).decode(errors="replace")
        if text and self.at is not None:
            self.traces[self.at] = text
        if self._why_killed:
            return self._why_killed
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"{name}{': ' + WHY[name] if name in WHY else ''}"

    def bury(self, died: str) -> None:
        """Note a death at the recording whose turn it was."""
        assert self.at is not None
        self.deaths[self.at] = (*self.deaths.get(self.at, ()), died)


class _Clock:
    """Times of a child, by our own turns: those while we were stopped, or the machine slept, don't count."""

    def __init__(self) -> None:
        self.idle_s = self.since_begin_s = 0.0
        self._last = time.monotonic()
        self._activity = 0

    def tick(self, activity: int) -> None:
        now = time.monotonic()
        passed, self._last = min(now - self._last, 4 * POLL_S), now
        self.idle_s = 0.0 if activity != self._activity else self.idle_s + passed
        self._activity = activity
        self.since_begin_s += passed


def _end(child: int) -> None:
    """Have a process say where it hangs, and end it."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGABRT)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
