"""Inputs by the thousand, in processes that may crash, hang or eat memory: what they did to them is told by input."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 10.0  # of the processor's time for an input: the machine may be busy
MOST_WAIT = 90.0  # seconds for an input
MOST_MEMORY = 2 << 30  # bytes
RENEWED = 1 << 30  # bytes that a worker may have grown to over many inputs
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Fault:
    """What an input did that none should."""

    number: int
    kind: str
    what: str


class Worker:
    """A process that takes inputs; it is started again when it ended."""

    def __init__(self, sound: Path, work: Path, seed: int) -> None:
        self._arguments = [sys.executable, "-m", "tests.faults.front_door", str(sound), str(work), str(seed)]
        self._log = work.with_name(work.name + ".log")
        self.work = work
        self._process: subprocess.Popen[str] | None = None

    def attempt(self, number: int) -> list[Fault]:
        """What goes wrong with an input."""
        process = self._started()
        assert process.stdin is not None
        began = _seconds(process.pid)
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        what = self._watched(process, began)
        if isinstance(what, str):
            self.stop()
            return [Fault(number, self._kind(), f"{what}\n{self._last_words()}")]
        if _memory(process.pid) > RENEWED:
            self.stop()
        return [Fault(number, what["kind"], sentence) for sentence in what["wrong"]]

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(
                    self._arguments,
                    cwd=ROOT,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            assert self._process.stdout is not None
            assert self._process.stdout.readline(), self._log.read_text()
        return self._process

    def _watched(self, process: subprocess.Popen[str], began: float) -> dict[str, Any] | str:
        """The answer of a worker, or what was wrong with it."""
        assert process.stdout is not None
        since = time.monotonic()
        while not select.select([process.stdout], [], [], 0.02)[0]:
            if _memory(process.pid) > MOST_MEMORY:
                return "takes more than 2 GB"
            is_slow = _seconds(process.pid) - began > MOST_SECONDS
            if is_slow or time.monotonic() - since > MOST_WAIT:
                process.send_signal(signal.SIGABRT)  # which tells where it is
                process.wait(60)
                return "works for more than 10 s" if is_slow else "waits for ever"
        answer = process.stdout.readline()
        return json.loads(answer) if answer else f"ends the process with {process.wait(60)}"

    def _kind(self) -> str:
        kind, call = (self.work / name for name in ("kind", "call"))
        return f"{kind.read_text()} {call.read_text() if call.is_file() else ''}"

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[:25])


def _seconds(pid: int) -> float:
    """The processor's time that a process took; 0 when it is no more."""
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0
    return (int(user) + int(system)) / TICKS


def _memory(pid: int) -> int:
    """The memory that a process has, in bytes; 0 when it is no more."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def fuzz(folder: Path, numbers: Sequence[int], seed: int, workers: int = 2) -> Iterator[Fault]:
    """Try inputs of these numbers; those that fail are kept as FOLDER/failed/NUMBER."""
    # In a process of its own: what makes sound inputs replaces the network by a toy.
    subprocess.run([sys.executable, "-m", "tests.faults.front_door", folder / "sound"], cwd=ROOT, check=True)

    def tried(place: int) -> list[Fault]:
        worker = Worker(folder / "sound", folder / f"worker_{place}", seed)
        found = []
        try:
            for number in numbers[place::workers]:
                faults = worker.attempt(number)
                if faults:
                    shutil.copytree(worker.work, folder / "failed" / str(number), dirs_exist_ok=True)
                    (folder / "failed" / str(number) / "faults.txt").write_text(
                        "\n".join(f.what for f in faults)
                    )
                found += faults
        finally:
            worker.stop()
        return found

    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(tried, range(workers)):
            yield from found
