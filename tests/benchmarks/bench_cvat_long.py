"""Long recordings to CVAT and back: time and memory by the number of frames.

python -m tests.benchmarks.bench_cvat_long [FRAMES] [--export]

Ten tracks are written as this tool sends them, or with --export every frame of them as CVAT gives them back, and the
file is read, in processes of their own, for a tenth of the frames and for all: memory must not follow them.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from annotator.formats.cvat import writer as cvat_writer
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import encode_window
from tests.helpers.builders import read_instances

TRACKS = 10
SIZE = (720, 1280)
VERTICES = 16


def centre(frame: int, track: int) -> tuple[int, int]:
    """Where a track is: it drives to and fro."""
    return 70 + abs((frame * 3 + 117 * track) % 2280 - 1140), 50 + 60 * track


class Drive:
    """Ten ellipses that drive to and fro, drawn when they are asked for."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        rows, columns = np.indices((80, 120)) - np.array([39.5, 59.5])[:, None, None]
        self._ellipse = (columns / 60) ** 2 + (rows / 40) ** 2 < 1

    def frames(self) -> Iterator[FrameRef]:
        """Ten a second."""
        return (FrameRef(k, k, Fraction(1, 10), SIZE) for k in range(self._frames))

    def instances(self) -> Iterator[Instances]:
        """Ten a frame."""
        for ref in self.frames():
            places = [centre(ref.index, track) for track in range(TRACKS)]
            rles = [encode_window(self._ellipse, y - 40, x - 60, SIZE) for x, y in places]
            tracks = range(1, TRACKS + 1)
            yield Instances.of(ref, rles, [26] * TRACKS, [0.9] * TRACKS, track_ids=list(tracks))


def write(path: Path, frames: int) -> None:
    """Write them, and print what it took."""
    source = SimpleNamespace(path=path.with_suffix(".mp4"), name=path.stem, is_video=True)
    before = time.process_time()
    written = cvat_writer.write(Drive(frames), source, path.parent)
    written.files[0].rename(path)
    said(written.instances, before)


def export(path: Path, frames: int) -> None:
    """Write every frame of them, as CVAT does it."""
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
            for frame in range(frames):
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in (ring + centre(frame, track)).tolist())
                file.write(
                    f'<polygon frame="{frame}" keyframe="{frame % 10 == 0:d}" outside="0" occluded="0"'
                    f' points="{points}" z_order="0"><attribute name="uid">{track + 1}</attribute></polygon>\n'
                )
            file.write("</track>\n")
        file.write("</annotations>\n")


def read(path: Path) -> None:
    """Read them, and print what it took."""
    before = time.process_time()
    said(sum(len(found) for found in read_instances("cvat", path)), before)


def said(instances: int, before: float) -> None:
    """A line of figures."""
    seconds, peak = time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{instances} instances, {seconds:.1f} s of CPU, {peak:.0f} MB at most", flush=True)


def main() -> None:
    frames = next((int(a) for a in sys.argv[1:] if a.isdecimal()), 100_000)
    this = [sys.executable, "-m", "tests.benchmarks.bench_cvat_long"]
    with tempfile.TemporaryDirectory() as folder:
        for count in (frames // 10, frames):
            path = Path(folder) / f"{count}.xml"
            print(f"{count} frames, written: ", end="", flush=True)
            if "--export" in sys.argv:
                export(path, count)
                print("as by CVAT")
            else:
                subprocess.run([*this, "write", path, str(count)], check=True)
            print(f"{path.stat().st_size / 1e6:.0f} MB, read: ", end="", flush=True)
            subprocess.run([*this, "read", path], check=True)
            path.unlink()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", path, count]:
            write(Path(path), int(count))
        case ["read", path]:
            read(Path(path))
        case _:
            main()
