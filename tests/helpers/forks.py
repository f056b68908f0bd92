"""Processes that are forked from one which has imported what they need: importing PyTorch anew takes seconds of each.

`python -m tests.helpers.forks FILE MODULE...` is the one that they are forked from; `Forks` starts it, and asks it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

ROOT = Path(__file__).parents[2]
LONGEST = 1 << 20  # bytes of a request or an answer


class Ended(NamedTuple):
    """How a process ended."""

    code: int  # below 0: of a signal
    cpu_seconds: float
    peak_bytes: int


class Forks:
    """Processes like those of `python -m MODULE ARGUMENTS`, one after the other, each in a session of its own."""

    def __init__(self, module: str, *others: str) -> None:
        """Of a module with a `main`; it and the others are imported before."""
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._origin = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.forks", str(theirs.fileno()), module, *others],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(
        self,
        arguments: Sequence[object],
        stdout: IO[str] | int,
        stderr: IO[str] | int,
        environment: dict[str, str] | None = None,
        most_cpu_seconds: int | None = None,
    ) -> Ended:
        """Run one to its end, with this environment on top of the one here, and what it says in these files."""
        request = {
            "arguments": [os.fspath(each) if isinstance(each, Path) else str(each) for each in arguments],
            "environment": {**os.environ, **(environment or {})},
            "most_cpu_seconds": most_cpu_seconds,
        }
        files = [file if isinstance(file, int) else file.fileno() for file in (stdout, stderr)]
        socket.send_fds(self._ours, [json.dumps(request).encode()], files)
        answer = self._ours.recv(LONGEST)
        assert answer, "what processes are forked from has died"
        return Ended(*json.loads(answer))

    def answer(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end: its exit code, and what it said."""
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            ended = self.run(arguments, stdout, stderr, environment)
            said = []
            for file in (stdout, stderr):
                file.seek(0)
                said.append(file.read())
        return subprocess.CompletedProcess([], ended.code, *said)

    def close(self) -> None:
        """End the process that they are forked from."""
        self._ours.close()
        self._origin.wait(60)


@contextmanager
def forks_of(module: str, *others: str) -> Iterator[Forks]:
    """Have them, and be rid of them."""
    forks = Forks(module, *others)
    try:
        yield forks
    finally:
        forks.close()


def _serve(requests: socket.socket, main: Callable[[], None]) -> None:
    """Fork a process for each request, which does what `main` does; ends when nobody asks."""
    while True:
        request, files, _, _ = socket.recv_fds(requests, LONGEST, 2)
        if not request:
            return
        child = os.fork()
        if child == 0:
            requests.close()
            _become(json.loads(request), files)
            _end(main)
        for file in files:
            os.close(file)
        _, status, used = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        requests.send(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]).encode())


def _become(request: dict, files: Sequence[int]) -> None:
    """Make this process the one that is asked for."""
    os.setsid()
    for file, number in zip(files, (1, 2), strict=True):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    if (most := request["most_cpu_seconds"]) is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))


def _end(main: Callable[[], None]) -> NoReturn:
    """Do what `main` does and end as Python does, but without taking modules apart: of PyTorch's that takes seconds."""
    code = 1
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            traceback.print_exc()
            code = 120
    os._exit(code)


if __name__ == "__main__":
    _first, *_others = [importlib.import_module(name) for name in sys.argv[2:]]
    _serve(socket.socket(fileno=int(sys.argv[1])), _first.main)
