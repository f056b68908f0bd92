"""CPU seconds and memory of the records of a run over very many recordings: begun, worked off, resumed, reported.

python -m tests.benchmarks.bench_manifest [RECORDINGS]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotator.fleet.report import report
from annotator.pipeline.run import Run
from tests.helpers.builders import Recording


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<12} {time.process_time() - began:7.2f} s CPU, peak {peak:.0f} MB", flush=True)


def main(count: int) -> None:
    many = [Recording(f"day_{k % 30}/drive_{k:06}", True, Path(f"/data/{k}.mp4")) for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with timed("begin, end"), Run(out, {}, many):
            pass
        with timed("work off"), Run(out, {}, many) as run:
            for recording in many:
                run.started(recording)
                run.done(recording)
        with timed("resume"), Run(out, {}, many):
            pass
        with timed("report"):
            report(out)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
