"""Reading a long recording back from CVAT: time and memory by the number of frames.

python -m tests.benchmarks.bench_cvat_reading [FRAMES] [--keyframes]

Writes an export as CVAT does it (every frame of 10 tracks is listed, or with --keyframes every tenth, as this tool
sends it), and reads it in processes of their own, a tenth of the frames and all: memory must not follow them.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRACKS = 10
SIZE = (720, 1280)
VERTICES = 16


def write(path: Path, frames: int, every: int) -> None:
    """An export of ten ellipses that drive around."""
    angles = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    ring = np.stack([60 * np.cos(angles), 40 * np.sin(angles)], axis=1)
    with path.open("w") as file:
        file.write(
            f"<annotations><version>1.1</version><meta><task><size>{frames}</size><mode>interpolation</mode>"
            f"<start_frame>0</start_frame><stop_frame>{frames - 1}</stop_frame><frame_filter></frame_filter>"
            f"<original_size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></original_size></task></meta>\n"
        )
        for track in range(TRACKS):
            file.write(f'<track id="{track}" label="car" source="file">\n')
            for frame in sorted({*range(0, frames, every), frames - 1}):
                centre = (70 + (frame * 3 + 117 * track) % 1140, 50 + 60 * track)
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in (ring + centre).tolist())
                file.write(
                    f'<polygon frame="{frame}" keyframe="{every > 1 or frame % 10 == 0:d}" outside="0" occluded="0"'
                    f' points="{points}" z_order="0"><attribute name="uid">{track + 1}</attribute></polygon>\n'
                )
            file.write("</track>\n")
        file.write("</annotations>\n")


def read(path: Path) -> None:
    """Read it, and print what it took."""
    from annotator.formats import cvat

    before, instances = time.process_time(), 0
    for found in cvat.read(path):
        instances += len(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{instances} instances, {time.process_time() - before:.1f} s of CPU, {peak:.0f} MB at most",
        flush=True,
    )


def main() -> None:
    frames = next((int(a) for a in sys.argv[1:] if a.isdecimal()), 100_000)
    every = 10 if "--keyframes" in sys.argv else 1
    with tempfile.TemporaryDirectory() as folder:
        for count in (frames // 10, frames):
            path = Path(folder) / f"{count}.xml"
            write(path, count, every)
            print(f"{count} frames, {path.stat().st_size / 1e6:.0f} MB: ", end="", flush=True)
            subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.bench_cvat_reading", "read", path], check=True
            )
            path.unlink()


if __name__ == "__main__":
    read(Path(sys.argv[2])) if sys.argv[1:2] == ["read"] else main()
