"""A Ray cluster: joined or begun, with a sentence for whatever keeps it from working."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from annotator.errors import UsageError
from annotator.escape import one_line
from annotator.fleet.address import shown
from annotator.options import AnnotationJob

log = logging.getLogger(__name__)

ALIKE = ("spatialemb-annotate", "python", "torch", "openvino", "av", "opencv-python", "numpy", "scipy")
NO_TOKEN = ("InvalidAuthToken", "Unauthenticated")  # says only Ray's core, on stderr
OF_RAY, MOST_HEARD = ".cc:", 1 << 16  # what marks its lines; bytes
WITHOUT_TOKEN = (
    "a cluster that asks for a token needs RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
)


@contextmanager
def connected(job: AnnotationJob) -> Iterator[Any]:
    """The module `ray`, with a connection to the cluster that a job names; one that was there before stays.

    Raises UsageError when there is no Ray, or no cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError('`engine` ray: needs `pip install "spatialemb-annotate[fleet]"`') from error
    if ray.is_initialized():
        yield ray
        return
    # Without an address Ray would join whatever cluster was left on this machine.
    address = job.engine.address or os.environ.get("RAY_ADDRESS") or "local"
    settings: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == "local":
        settings["include_dashboard"] = False
        if job.engine.workers is not None:  # all that are asked for begin, however many CPUs there are
            settings["num_cpus"] = job.engine.workers * job.engine.worker_threads
    with _heard() as said_aside:
        try:
            ray.init(address, **settings)
            fault = None
        except Exception as error:
            fault = shown(one_line(str(error) or type(error).__name__))[:300]
    if fault is not None:
        place = f"`address` {shown(one_line(address))}"
        if any(sign in "".join(said_aside) for sign in NO_TOKEN):
            raise UsageError(
                f"{place}: this Ray cluster asks for a token, and the one here is missing or another; set"
                " RAY_AUTH_MODE=token, and its RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
            )
        raise UsageError(
            f"{place}: no Ray cluster can be joined there ({fault}); check that it runs, that its version of Ray is"
            f" {ray.__version__}, and its token: {WITHOUT_TOKEN}"
        )
    try:
        with redirect_stdout(_Log()):  # where Ray writes what raylets say, amid the summary that others read
            yield ray
    finally:
        ray.shutdown()


class _Log(io.TextIOBase):
    """In place of a stream: what is written to it is logged."""

    def write(self, text: str) -> int:
        """Log it."""
        if text.strip():
            log.info("%s", one_line(text.strip()))
        return len(text)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """A block of which the lines that Ray's core writes to stderr are in the list behind it; others come out then."""
    lines: list[str] = []
    sys.stderr.flush()
    real = os.dup(2)
    try:
        with tempfile.TemporaryFile() as aside:
            os.dup2(aside.fileno(), 2)
            try:
                yield lines
            finally:
                sys.stderr.flush()
                os.dup2(real, 2)
                aside.seek(0)
                for line in aside.read(MOST_HEARD).decode(errors="replace").splitlines(keepends=True):
                    if OF_RAY in line:
                        lines.append(line)
                    else:
                        os.write(real, line.encode())
    finally:
        os.close(real)


def count_of_workers(ray: Any, job: AnnotationJob) -> tuple[int, dict[str, float]]:
    """How many workers a job has, and what each needs of the cluster. Raises UsageError where not one fits."""
    there = ray.cluster_resources()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
    if gpus and job.device != "cpu":
        needs = {"num_gpus": 1.0, "num_cpus": float(min(job.engine.worker_threads, max(cpus // gpus, 0)))}
        return _as_asked(job, gpus, "GPUs"), needs
    needs = {"num_cpus": float(job.engine.worker_threads)}
    most = cpus // job.engine.worker_threads
    if most < 1:
        raise UsageError(
            f"`worker_threads` {job.engine.worker_threads}: the cluster has {cpus} CPUs in all; give fewer"
        )
    return _as_asked(job, most, "CPUs"), needs


def _as_asked(job: AnnotationJob, most: int, of: str) -> int:
    """How many workers a job asks for; without asking, as many as there is room for."""
    asked = job.engine.workers or most
    if asked > most:
        log.warning(
            "`workers` %d: the cluster has %s for %d; the others wait until it grows", asked, of, most
        )
    return asked


def require_same_versions(here: Mapping[str, str], place: tuple[str, int, dict[str, str]]) -> None:
    """Raise UsageError when a worker's machine has other versions than this one: labels would differ."""
    host, _, there = place
    unlike = [
        f"{name} {there.get(name, 'none')} (here {here.get(name, 'none')})"
        for name in ALIKE
        if there.get(name) != here.get(name)
    ]
    if unlike:
        raise UsageError(
            f"`engine` ray: machine {host} has {', '.join(unlike)}; install the same on all machines of the cluster"
        )
