"""30 recordings on a real Ray cluster of two raylets, of which a worker and a raylet are killed in the middle.

python -m tests.benchmarks.kill_cluster

Three recordings are broken and one ends its worker each time. The other 26 must have the labels that one machine gives
them, the four must be told with their reasons, and the exit code must be 1.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import text_named_mp4
from tests.helpers.fake_detector import ROOT, write_video
from tests.helpers.ray_cluster import two_raylets, workers
from tests.pipeline.test_annotate import label_files

SOUND = [f"drive_{k:02}" for k in range(26)]


def begin(inputs: Path, out: Path, *options: str, fault: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.fake_detector", str(inputs), "--out", str(out), *options]
    environment = {**os.environ, "TOY_FAULT": fault}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def done(out: Path) -> int:
    """How many recordings have their labels."""
    return len(list(out.glob("*/coco.json")))


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "fleet"
        for k, each in enumerate(SOUND):
            write_video(folder / "in" / f"{each}.mp4", frames=20 + k, codec="libx264", b_frames=2)
        assert begin(folder / "in", folder / "alone", "--quiet").wait() == 0
        for k in range(3):
            text_named_mp4(folder / "in" / f"bad_{k}.mp4")
        write_video(folder / "in" / "poison.mp4", size=(60, 80))
        with two_raylets() as cluster:
            options = ("--engine", "ray", "--address", cluster.address, "--chunk-frames", "10")
            command = begin(folder / "in", out, *options, "--json", "--retries", "4", fault="SEGV@80")
            for goal, what in ((4, "worker"), (12, "raylet")):
                while done(out) < goal and command.poll() is None:
                    time.sleep(0.2)
                print(f"kill -9 of a {what} when {done(out)} recordings have labels", flush=True)
                if what == "worker":
                    os.kill(workers()[0], signal.SIGKILL)
                else:
                    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            said, _ = command.communicate()
        summary = {source["name"]: source for source in json.loads(said)["sources"]}
        for each, source in summary.items():
            if source["state"] != "done":
                print(f"{each}: {source['state']}: {source['error']}")
        found, alone = label_files(out), label_files(folder / "alone")
        equal = [
            each
            for each in SOUND
            if summary[each]["state"] == "done"
            and {k: v for k, v in found.items() if k.startswith(f"{each}/")}
            == {k: v for k, v in alone.items() if k.startswith(f"{each}/")}
        ]
        failed = sum(source["state"] == "failed" and bool(source["error"]) for source in summary.values())
        print(f"{len(equal)} of 26 equal, {failed} of 4 reported, exit code {command.returncode}")
        return int((len(equal), failed, command.returncode) != (26, 4, 1))


if __name__ == "__main__":
    sys.exit(main())
