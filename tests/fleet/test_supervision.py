"""A recording that ends the process, or hangs in it, doesn't end the run: the rest goes on in another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from annotator.fleet.supervision import IS_POSSIBLE, Link, supervised
from annotator.options.faults import FaultOptions

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="there are no forks here")
ROOT = Path(__file__).parents[2]


def busy() -> None:
    while True:
        pass


def grow() -> None:
    _kept = [bytes(range(256)) * 4096 * 8 for _ in range(40)]
    time.sleep(60)


HARM: dict[str, Callable[[], Any]] = {
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "busy": busy,
    "sleep": lambda: time.sleep(60),
    "grow": grow,
}
Done = tuple[int, list[str], list[str]]  # exit code, what was done and what was told


def in_new_process(act: Callable[..., Done], *arguments: Any) -> Done:
    """What an act returns in a process that has nothing loaded, as the command forks before it loads anything."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(act, *arguments).result()


def run(tmp_path: Path, *names: str, exits: int = 0, **bounds: Any) -> Done:
    """Go through recordings, of which those named in HARM do harm."""
    return in_new_process(_run, tmp_path, names, exits, bounds)


def _run(tmp_path: Path, names: tuple[str, ...], exits: int, bounds: dict[str, Any]) -> Done:
    log, told = tmp_path / "log", list[str]()
    log.write_text("")
    ours = os.getpid()
    HARM["writes"] = lambda: [(tmp_path / "much").write_text("x") and time.sleep(0.01) for _ in range(6000)]

    def act(link: Link) -> int:
        link.bounds(FaultOptions(**bounds))
        for name in names:
            if name in link.past.ended:
                continue
            link.begins(name)
            deaths = link.past.deaths.get(name, ())
            with log.open("a") as file:
                if len(deaths) > bounds.get("retries", 2):
                    file.write(f"{name} given up: {deaths[-1]} at {link.past.traces.get(name, '')!r}\n")
                else:
                    file.write(f"{name} begun, before: {name in link.past.begun}\n")
                    file.flush()
                    HARM.get(name, lambda: None)()
            link.ends(name, True)
        return exits

    try:
        code = supervised(act, told.append)
    except BaseException:
        if os.getpid() != ours:
            os._exit(99)
        raise
    if os.getpid() != ours:
        os._exit(code)
    return code, log.read_text().splitlines(), told


def test_what_does_no_harm_runs_once_in_one_process_and_its_code_is_returned(tmp_path: Path) -> None:
    code, log, told = run(tmp_path, "a", "b", exits=3)
    assert (code, told) == (3, [])
    assert log == ["a begun, before: False", "b begun, before: False"]


def test_a_crash_is_tried_again_and_given_up_with_its_reason_and_place(tmp_path: Path) -> None:
    code, log, told = run(tmp_path, "a", "segv", "b", exits=1)
    assert code == 1
    assert log[:4] == [
        "a begun, before: False",
        "segv begun, before: False",
        "segv begun, before: True",
        "segv begun, before: True",
    ]
    assert log[4].startswith("segv given up: SIGSEGV")
    assert "test_supervision.py" in log[4], "it says where it was"
    assert log[5:] == ["b begun, before: False"]
    assert len(told) == 3
    assert all("segv: the process died (SIGSEGV" in sentence for sentence in told)


@pytest.mark.parametrize("harm", ["kill", "abort"])
def test_no_retries_give_it_up_at_once(tmp_path: Path, harm: str) -> None:
    code, log, _ = run(tmp_path, harm, "b", retries=0)
    assert code == 0
    assert log[0] == f"{harm} begun, before: False"
    assert log[1].startswith(f"{harm} given up: SIG")
    assert log[2] == "b begun, before: False"


@pytest.mark.parametrize("harm", ["busy", "sleep"])
def test_what_hangs_is_ended_and_says_where_it_was(tmp_path: Path, harm: str) -> None:
    _, log, _ = run(tmp_path, harm, "b", retries=0, stall_minutes=0.02)
    assert "no progress for 0.02 minutes" in log[1]
    assert "test_supervision.py" in log[1]
    assert log[2] == "b begun, before: False"


def test_what_takes_too_long_though_it_reads_and_writes_is_ended(tmp_path: Path) -> None:
    _, log, _ = run(tmp_path, "writes", "b", retries=0, stall_minutes=0.06, max_minutes=0.1)
    assert "more than 0.1 minutes" in log[1]
    assert log[2] == "b begun, before: False"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked up in /proc")
def test_what_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    _, log, _ = run(tmp_path, "grow", "b", retries=0, memory_gb=0.3)
    assert "0.3 GB of memory" in log[1]
    assert log[2] == "b begun, before: False"


def die(link: Link) -> int:
    os.abort()


def _die() -> Done:
    ours, told = os.getpid(), list[str]()
    code = supervised(die, told.append)
    assert os.getpid() == ours
    return code, [], told


def test_a_death_at_no_recording_is_told_and_gives_1() -> None:
    code, _, told = in_new_process(_die)
    assert code == 1
    assert "at no recording (SIGABRT" in told[0]


def test_a_crash_behind_the_work_is_of_no_account() -> None:
    script = (
        "import os, sys\nfrom annotator.fleet.supervision import supervised\n"
        "parent = os.getpid()\ncode = supervised(lambda link: 3, print)\n"
        "os.abort() if os.getpid() != parent else sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 3


WAITING = (
    "import os, signal, sys, time\nfrom annotator.fleet.supervision import supervised\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells ignore it in the background
    "def wait(link):\n"
    "    try:\n        print(os.getpid(), flush=True)\n        time.sleep(60)\n"
    "    except KeyboardInterrupt:\n        return 130\n"
    "sys.exit(supervised(wait, print))"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_the_child_ends_with_its_parent(number: int, code: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(number)
    assert parent.wait(30) == code
    if number != signal.SIGINT and sys.platform != "linux":
        return
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _lives(child):
        time.sleep(0.02)
    assert not _lives(child)


def _lives(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
