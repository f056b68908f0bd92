"""A toy of the network: it finds red boxes (cars) and blue boxes (persons) in videos made here.

`python -m tests.helpers.fake_detector ARGUMENTS` is the annotate command with the toy inside. TOY_FAULT=TERM:3 sends it
that signal before the third batch, and KILL:3 to its group, which is all its processes; SEGV@80 at every image that is
80 pixels wide, and HANG@80 never comes back from one.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from annotator import masks
from annotator.detection import Detector
from annotator.detection.postprocessing import MIN_SCORE
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.options import DetectionOptions

ROOT = Path(__file__).parents[2]
CAR, PERSON = 26, 24


def draw(k: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Frame k: a red box that drives right, a blue box that walks left and is gone for frames 10 to 14."""
    image = np.full((*size, 3), 96, np.uint8)
    left = 2 + k % 40
    image[26:40, left : left + 18] = (230, 20, 20)
    if not 10 <= k < 15:
        right = size[1] - 2 - k % 40
        image[4:22, right - 8 : right] = (20, 20, 230)
    return image


def write_video(
    path: Path,
    frames: int = 24,
    size: tuple[int, int] = (48, 64),
    codec: str = "mpeg4",
    b_frames: int = 0,
    group: int = 12,
) -> Path:
    """A small video of `draw`, with a keyframe for each group of frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.gop_size = group
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for k in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(k, size), format="rgb24")))
        container.mux(stream.encode())
    return path


def toy_checkpoint(sha256: str = "c0ffee") -> Any:
    spec = SimpleNamespace(architecture="toy", class_ids=(PERSON, CAR), n_sigma=2, trained_size=(48, 64))
    return SimpleNamespace(spec=spec, sha256=sha256, head_sha256=None)


@dataclass
class ToyRuntime:
    """In place of a network: its raw maps are the images."""

    checkpoint: Any = field(default_factory=toy_checkpoint)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "32"
    name: str = "torch"
    fault: str = ""  # as in TOY_FAULT
    batches: int = 0

    def maps(self, images: torch.Tensor, scale: float | None) -> torch.Tensor:
        self.batches += 1
        name, kind, number = re.fullmatch("([A-Z]*)([:@]?)([0-9]*)", self.fault).groups()
        if kind and int(number) == (self.batches if kind == ":" else images.shape[-1]):
            break_down(name)
        return images


def break_down(name: str) -> None:
    """Do as TOY_FAULT says."""
    if name == "HANG":
        ctypes.PyDLL(None).pause()  # with the lock of the interpreter: no handler of Python's runs any more
    elif name == "KILL":
        os.killpg(0, signal.SIGKILL)
    else:
        signal.raise_signal(getattr(signal, f"SIG{name}"))  # at once, before this frame is anything


class ToyDetector(Detector):
    """A detector that finds the boxes."""

    def instances(self, maps: Any, frames: Sequence[FrameRef]) -> list[Instances]:
        return [find_boxes(image, ref, self.options) for image, ref in zip(maps, frames, strict=True)]


def find_boxes(image: torch.Tensor, ref: FrameRef, options: DetectionOptions) -> Instances:
    red, _, blue = image.numpy().astype(int)
    found = []
    for class_id, lit in ((CAR, red - blue > 100), (PERSON, blue - red > 100)):
        if options.class_ids is not None and class_id not in options.class_ids:
            continue
        count, parts = cv2.connectedComponents(lit.astype(np.uint8))
        for k in range(1, count):
            part = parts == k
            if part.sum() >= (options.min_pixels or 20):
                found.append(
                    (masks.encode(part), class_id, min(1.0, part.sum() / 300), [part.mean(), class_id])
                )
    instances = Instances.of(ref, *zip(*found, strict=True)) if found else Instances.of(ref)
    least = MIN_SCORE if options.min_score is None else options.min_score
    return instances.select(np.flatnonzero(instances.scores >= least))


def install(monkeypatch: pytest.MonkeyPatch) -> ToyRuntime:
    """Give out the toy wherever a detector is loaded."""
    runtime = ToyRuntime()
    monkeypatch.setattr(Detector, "load", loader_of(runtime))
    return runtime


def loader_of(runtime: ToyRuntime) -> Any:
    """In place of `Detector.load`."""
    return lambda weights=None, device="auto", options=None: ToyDetector(
        runtime, options or DetectionOptions()
    )


def main() -> None:
    from cli.annotate import main as annotate

    # A shell has what runs behind it ignore SIGINT.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    Detector.load = loader_of(ToyRuntime(fault=os.environ.get("TOY_FAULT", "")))
    sys.argv[0] = "spatialemb-annotate"
    annotate()


if __name__ == "__main__":
    main()
