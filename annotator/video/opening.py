"""Opening videos: the stream of pictures in a file, what its container says of it, or why there is none."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from annotator.errors import SourceError
from annotator.escape import encodable
from annotator.limits import require_frame_size
from annotator.video.truncation import missing_bytes

FIRST_PACKETS = 64  # of a video, that tell when it begins
PLAYLISTS = frozenset(
    {"hls", "dash", "concat", "sdp", "imf"}
)  # formats that open other files, some without an end


@dataclass(frozen=True)
class Claims:
    """What a container says of its video before anything is decoded."""

    time_base: Fraction  # seconds per tick
    frame_ticks: int  # from one frame to the next, on average
    frames: int | None
    codec: str
    first_pts: int | None  # the earliest of the first packets
    remarks: tuple[str, ...]  # what is to be told of it, in sentences


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
        codec = stream.codec_context.name
        remarks = _remarks(stream, _streams(container))
        first_pts = _first_pts(container, stream)
        return Claims(time_base, ticks, frames, codec, first_pts, remarks)


def _remarks(chosen: Any, streams: list[Any]) -> tuple[str, ...]:
    if len(streams) == 1:
        return ()
    elsewhere = "" if chosen is streams[0] else "; CVAT shows the first"
    return (
        f"holds {len(streams)} video streams: the largest is labelled, stream {chosen.index}"
        f" of {chosen.width}x{chosen.height}{elsewhere}",
    )


def _first_pts(container: Any, stream: Any) -> int | None:
    """When the first picture of a stream is to be shown, as its packets say."""
    import av

    times = []
    with suppress(av.FFmpegError):
        for packet in islice(container.demux(stream), FIRST_PACKETS):
            if packet.size and not packet.is_discard and packet.pts is not None:
                times.append(packet.pts)
    return min(times, default=None)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its largest video stream; SourceError when there is none that can be read."""
    import av  # here, because --help must not wait for FFmpeg

    # Neither can a playlist reach the network, nor other files.
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(av.formats_available - PLAYLISTS),
    }
    try:
        is_empty = path.stat().st_size == 0
        if not path.is_file():
            raise SourceError(f"{path}: is no file; give the file that has the pictures")
        file = _for_ffmpeg(path)
    except OSError as error:
        raise SourceError(_why_not(path, error)) from error
    with ExitStack() as stack:
        if not isinstance(file, str):
            stack.enter_context(file)
        try:
            container = stack.enter_context(av.open(file, options=options, metadata_errors="replace"))
        except av.ArgumentError as error:
            raise SourceError(
                f"{path}: not a video, or a list of other files (a playlist); give the videos themselves"
            ) from error
        except (av.FFmpegError, OSError) as error:
            raise SourceError(_why_not(path, error)) from error
        if is_empty:
            raise SourceError(_why_not(path, None))
        streams = _streams(container)
        if not streams:
            raise SourceError(f"{path}: holds no video stream; give the file that has the pictures")
        readable = [stream for stream in streams if stream.codec_context is not None]
        if not readable:
            raise SourceError(f"{path}: this FFmpeg has no decoder for its video; convert it to H.264 first")
        stream = max(readable, key=lambda stream: stream.width * stream.height)  # the first of equal ones
        try:
            if stream.width and stream.height:  # else not known before it is decoded
                require_frame_size(stream.height, stream.width)
        except ValueError as error:
            raise SourceError(f"{path}: {error}; scale it down first") from error
        yield container, stream


def _streams(container: Any) -> list[Any]:
    """The video streams of a file; cover pictures are none."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


class _Readable(io.FileIO):
    """A file with a name in UTF-8, for FFmpeg, which reads it by way of Python."""

    def __init__(self, path: str) -> None:
        super().__init__(os.fsencode(path))
        self.name = encodable(path)  # its suffix may say what it is


def _for_ffmpeg(path: Path) -> str | _Readable:
    """What FFmpeg opens: an absolute path, which can't be taken for a protocol ("http:"), if that is UTF-8."""
    absolute = os.path.abspath(path)
    return absolute if encodable(absolute) == absolute else _Readable(absolute)


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
