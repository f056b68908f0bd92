"""Labels images of your own pipeline, without a run folder: `python examples/use_as_library.py drive.mp4 labels/`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2

from annotator import Detector, FrameRef, Instances, track, write_labels


def detect(detector: Detector, video: Path) -> Iterator[Instances]:
    """Find the instances of every frame; yours may come from anywhere."""
    capture = cv2.VideoCapture(str(video))
    rate = Fraction(capture.get(cv2.CAP_PROP_FPS) or 10).limit_denominator(1001)
    index = 0
    while (read := capture.read())[0]:
        image = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
        frame = FrameRef(index, pts=index, time_base=1 / rate, size=image.shape[:2])
        yield replace(detector.detect(image), frame=frame)
        index += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    found = track(detect(Detector.load(), chosen.video))
    for path in write_labels(found, chosen.out, "coco", "cvat", name=chosen.video.stem):
        print(path)


if __name__ == "__main__":
    main()
