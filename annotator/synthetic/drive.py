"""A drive as a stream of frames, or as a video file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from annotator.synthetic.street import Street, SyntheticFrame


def render(
    seed: int, size: tuple[int, int] = (384, 768), length: int = 100, start: int = 0
) -> Iterator[SyntheticFrame]:
    """Frames `start` to `start + length - 1` of the drive of a seed, each of `size` (H, W)."""
    street = Street(seed, size)
    for index in range(start, start + length):
        yield street.frame(index)


def write_drive(
    path: Path,
    seed: int,
    size: tuple[int, int] = (384, 768),
    length: int = 80,
    fps: int = 10,
    bit_rate: int = 850_000,
) -> None:
    """Writes a drive as an H.264 video (MPEG-4 part 2 where FFmpeg lacks x264); even sizes only."""
    height, width = size
    street = Street(seed, size, fps)
    import av  # here: who only renders or trains needs no FFmpeg

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bit_rate
        for index in range(length):
            frame = av.VideoFrame.from_ndarray(street.frame(index).image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
