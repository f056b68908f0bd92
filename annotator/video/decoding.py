"""Decoding: every frame of a video, the same ones each time, and what can't be decoded between them."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.video.opening import opened
from annotator.video.seeking import Entry
from annotator.video.truncation import missing_bytes

log = logging.getLogger(__name__)

MAX_BAD_PACKETS = 1000  # in a row, before the rest of a video is given up; a long group of pictures has 300
# Decoders that give the same bits in many threads as in one until they report a fault, tried on thousands of
# damaged files. Those of HEVC and MPEG-2 give other pixels, and not a word.
THREADED_CODECS = frozenset({"h264", "vp9"})


@dataclass(frozen=True)
class Damage:
    """Something on the way that can't be decoded; frames from `pts` on come behind it."""

    pts: int | None
    reason: str


class Flaw(Exception):
    """A strict decoder has met something that it can't vouch for."""


def decoded(path: Path, codec: str) -> Generator[Any, None, None]:
    """Every frame (av.VideoFrame) of a video and every damage, the same ones each time.

    FFmpeg decodes a sound video in many threads to the same bits as in one, but a damaged one differently
    each time. So threads decode strictly, up to the first flaw; one patient thread begins again and goes on.
    """
    done = 0
    if codec in THREADED_CODECS and not missing_bytes(path):
        try:
            with closing(decoded_strictly(path)) as frames:
                for frame in frames:
                    yield frame
                    done += 1
            return
        except Flaw:
            log.info("%s: a flaw behind frame %d; one patient thread decodes it anew", path, done)
    else:
        log.debug("%s: one patient thread decodes it: codec %s, or bytes are missing", path, codec)
    for item in _decoded_patiently(path):
        if isinstance(item, Damage):
            yield item
        elif done:
            done -= 1
        else:
            yield item


def decoded_strictly(path: Path, entry: Entry | None = None) -> Generator[Any, None, None]:
    """The frames of a sound video, from an entry on; Flaw at all else, before a frame that it could have touched."""
    import av

    with opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"err_detect": "explode"}  # errors instead of guessed pictures
        sent = _Newest()
        shown = _Newest()
        try:
            for packet in _packets(container, stream, entry):
                if _is_hollow(packet):
                    continue
                if packet.is_corrupt:
                    raise Flaw("incomplete packet")
                frames = packet.decode()
                if any(frame.is_corrupt for frame in frames):
                    raise Flaw("damaged frame")
                if packet.size and not packet.is_discard:
                    sent.add(packet.pts)
                for frame in frames:
                    shown.add(frame.pts)
                # At the end of the file PyAV passes over an error, and all frames behind it are lost.
                if not packet.size and shown.count != sent.count and not shown.reaches(sent):
                    raise Flaw("frames are lost at the end")
                yield from frames
        except av.FFmpegError as error:
            raise Flaw(str(error)) from error


def _packets(container: Any, stream: Any, entry: Entry | None) -> Iterator[Any]:
    """The packets of a stream, from an entry on; Flaw where that isn't met."""
    if entry is None:
        yield from container.demux(stream)
        return
    container.seek(entry.pts if entry.dts is None else entry.dts, stream=stream, backward=True)
    packets = container.demux(stream)
    for packet in packets:
        if entry.is_at(packet):
            yield packet
            yield from packets
            return
        if packet.is_keyframe and packet.pts is not None and packet.pts > entry.pts:
            break
    raise Flaw("the keyframe to begin with isn't found")


class _Newest:
    """How many packets or frames there were, and the newest time of them."""

    def __init__(self) -> None:
        self.count = 0
        self._pts: int | None = None
        self._is_timed = True

    def add(self, pts: int | None) -> None:
        self.count += 1
        if pts is None:
            self._is_timed = False
        else:
            self._pts = pts if self._pts is None else max(pts, self._pts)

    def reaches(self, other: _Newest) -> bool:
        """Whether these certainly go as far as the others."""
        if self._pts is None or other._pts is None:
            return False
        return self._is_timed and other._is_timed and self._pts >= other._pts


def _decoded_patiently(path: Path) -> Iterator[Any]:
    """All frames of a video that one thread can decode, and the damages between them."""
    import av

    with opened(path) as (container, stream):
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        newest: int | None = None
        bad_in_a_row = 0
        while bad_in_a_row < MAX_BAD_PACKETS:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                bad_in_a_row += 1
                yield Damage(
                    None if newest is None else newest + 1, f"the file can't be read on ({error.strerror})"
                )
                packets = container.demux(stream)
                continue
            if _is_hollow(packet):
                continue
            if packet.pts is not None:
                newest = packet.pts if newest is None else max(newest, packet.pts)
            if packet.is_corrupt:
                yield Damage(packet.pts, "an incomplete packet")
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                bad_in_a_row += 1
                if packet.size:
                    yield Damage(packet.pts, f"a packet that can't be decoded ({error.strerror})")
                continue
            if frames:
                bad_in_a_row = 0
            yield from frames
        with suppress(av.FFmpegError):
            yield from stream.codec_context.decode(None)
        yield Damage(newest, f"given up after {MAX_BAD_PACKETS} bad packets in a row")


def _is_hollow(packet: Any) -> bool:
    """A packet of the stream without content; the decoder would take it for the end."""
    return packet.size == 0 and packet.dts is not None
