"""Opening videos: the stream of pictures in a file, what its container says of it, or why there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from annotator.errors import SourceError
from annotator.video.truncation import missing_bytes


@dataclass(frozen=True)
class Claims:
    """What a container says of its video before anything is decoded."""

    time_base: Fraction  # seconds per tick
    frame_ticks: int  # from one frame to the next, on average
    frames: int | None
    codec: str


def claims_of(path: Path) -> Claims:
    """What the container of a video says. Raises SourceError when it can't be opened."""
    with opened(path) as (container, stream):
        time_base = stream.time_base or Fraction(1, 1000)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if stream.frames:
            frames = stream.frames
        elif stream.duration:
            frames = round(stream.duration * time_base * rate)
        elif container.duration:
            frames = round(Fraction(container.duration, 1_000_000) * rate)  # in microseconds
        else:
            frames = None
        ticks = max(1, round(1 / (rate * time_base)))
        return Claims(time_base, ticks, frames, stream.codec_context.name)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream (cover pictures are none); SourceError when there is none."""
    import av  # here, because --help must not wait for FFmpeg
    from av.stream import Disposition

    try:
        is_empty = path.stat().st_size == 0
        # An absolute path can't be taken for a protocol ("http:"), nor can a playlist reach the network.
        container = av.open(
            os.path.abspath(path), options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except UnicodeError as error:
        raise SourceError(
            f"{os.fsencode(path)!r}: FFmpeg needs a file name in UTF-8; rename the file"
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise SourceError(_why_not(path, error)) from error
    with container:
        if is_empty:
            raise SourceError(_why_not(path, None))
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            raise SourceError(f"{path}: holds no video stream; give the file that has the pictures")
        if streams[0].codec_context is None:
            raise SourceError(f"{path}: this FFmpeg has no decoder for its video; convert it to H.264 first")
        yield container, streams[0]


def _why_not(path: Path, error: Exception | None) -> str:
    """Why a video can't be opened, and what to do about it."""
    try:
        if path.stat().st_size == 0:
            return f"{path}: the file is empty; copy or record it again"
        lack = missing_bytes(path)
    except OSError as fault:
        return f"{path}: can't be read ({fault.strerror or fault}); check that it is there and may be read"
    if lack:
        return (
            f"{path}: the file is cut short ({lack} bytes are missing), nothing opens it; copy or repair it"
        )
    said = getattr(error, "strerror", None) or error
    return f"{path}: not a video that FFmpeg can read ({said}); check the file, or convert it to mp4"
