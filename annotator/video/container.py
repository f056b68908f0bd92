"""Videos: whatever FFmpeg reads, frame by frame as decoded, in presentation order."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.errors import SourceError
from annotator.frames import Frame, FrameRef, Gap
from annotator.video.selection import IsCancelled, Selection, never
from annotator.video.truncation import missing_bytes

MAX_BAD_PACKETS = 1000  # in a row, before the rest of a video is given up; a long group of pictures has 300
# Decoders that give the same bits in many threads as in one until they report a fault, tried on thousands of
# damaged files. Those of HEVC and MPEG-2 give other pixels, and not a word.
THREADED_CODECS = frozenset({"h264", "vp9"})
MAX_REORDERED = 32  # no codec shows a frame later than this many frames after it was read


@dataclass(frozen=True)
class Video:
    """A video file.

    A frame's index counts decoded frames from 0, whatever the container claims; its time is the decoder's
    pts. Frames that an edit list hides are no frames; the display rotation (multiples of 90 degrees) is
    applied. A damaged video gives what can be decoded, and the gaps between.
    """

    path: Path
    name: str
    # What the latest read has met so far.
    gaps: list[Gap] = field(default_factory=list, compare=False, repr=False)

    @property
    def is_video(self) -> bool:
        """True."""
        return True

    @property
    def files(self) -> tuple[Path, ...]:
        """The file itself."""
        return (self.path,)

    def length_hint(self) -> int | None:
        """How many frames the container claims to hold: for a progress bar, because it may lie."""
        try:
            return _claims(self.path).frames
        except SourceError:
            return None

    def frames(
        self, start: int = 0, end: int | None = None, every: int = 1, is_cancelled: IsCancelled = never
    ) -> Generator[Frame, None, None]:
        """Frames start, start + every ... below end. Close the iterator to close the file.

        Frames before `start` and between are decoded and counted all the same (only their pixels are not
        converted), so frame `k` is the same frame from wherever a read begins. Every gap is in `gaps` before
        the first frame behind it comes out; of a read from `start` they are those with after_index from
        start - 1 to end - 2. `is_cancelled` is asked at every decoded frame, and ends the read.
        Raises SourceError when there is no frame in the file, ValueError when the numbers make no sense.
        """
        self.gaps.clear()
        return self._read(Selection(start, end, every), is_cancelled)

    def _read(self, selection: Selection, is_cancelled: IsCancelled) -> Generator[Frame, None, None]:
        claims = _claims(self.path)
        convert = _Converter(self.path)
        clock = _Clock(claims)
        rhythm = _Rhythm(clock.time_base)
        damages = _Damages()
        index = 0
        with closing(_decoded(self.path, claims.codec)) as decoded:
            for item in decoded:
                if selection.ends_before(index) or is_cancelled():
                    return
                if isinstance(item, _Damage):
                    damages.add(item, index)
                    continue
                pts = clock.pts(item)
                pause = rhythm.gap_before(index, pts)
                gap = damages.before(index, pts, item.is_corrupt) or pause
                if gap and index >= selection.start:
                    self.gaps.append(gap)
                if index in selection:
                    yield convert(item, index, pts, clock.time_base)
                index += 1
        gap = damages.at_end(index, missing_bytes(self.path))
        if index == 0:
            why = f" ({gap.reason})" if gap else ""
            raise SourceError(
                f"{self.path}: not one frame of this video can be decoded{why}; copy or record it again"
            )
        if gap and index >= selection.start:
            self.gaps.append(gap)


@dataclass(frozen=True)
class _Claims:
    """What a container says of its video before anything is decoded."""

    time_base: Fraction  # seconds per tick
    frame_ticks: int  # from one frame to the next, on average
    frames: int | None
    codec: str


def _claims(path: Path) -> _Claims:
    with _opened(path) as (container, stream):
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
        return _Claims(time_base, ticks, frames, stream.codec_context.name)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
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


@dataclass(frozen=True)
class _Damage:
    """Something on the way that can't be decoded; frames from `pts` on come behind it."""

    pts: int | None
    reason: str


class _Flaw(Exception):
    """The threaded decoder has met something that it can't vouch for."""


def _decoded(path: Path, codec: str) -> Generator[Any, None, None]:
    """Every frame (av.VideoFrame) of a video and every damage, the same ones each time.

    FFmpeg decodes a sound video in many threads to the same bits as in one, but a damaged one differently
    each time. So threads decode strictly, up to the first flaw; one patient thread begins again and goes on.
    """
    done = 0
    if codec in THREADED_CODECS and not missing_bytes(path):
        try:
            with closing(_decoded_in_threads(path)) as frames:
                for frame in frames:
                    yield frame
                    done += 1
            return
        except _Flaw:
            pass
    for item in _decoded_patiently(path):
        if isinstance(item, _Damage):
            yield item
        elif done:
            done -= 1
        else:
            yield item


def _decoded_in_threads(path: Path) -> Generator[Any, None, None]:
    """The frames of a sound video; _Flaw at anything else, before a frame that it could have touched."""
    import av

    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"err_detect": "explode"}  # errors instead of guessed pictures
        sent = _Newest()
        shown = _Newest()
        try:
            for packet in container.demux(stream):
                if _is_hollow(packet):
                    continue
                if packet.is_corrupt:
                    raise _Flaw("incomplete packet")
                frames = packet.decode()
                if any(frame.is_corrupt for frame in frames):
                    raise _Flaw("damaged frame")
                if packet.size and not packet.is_discard:
                    sent.add(packet.pts)
                for frame in frames:
                    shown.add(frame.pts)
                # At the end of the file PyAV passes over an error, and all frames behind it are lost.
                if not packet.size and shown.count != sent.count and not shown.reaches(sent):
                    raise _Flaw("frames are lost at the end")
                yield from frames
        except av.FFmpegError as error:
            raise _Flaw(str(error)) from error


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

    with _opened(path) as (container, stream):
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
                yield _Damage(
                    None if newest is None else newest + 1, f"the file can't be read on ({error.strerror})"
                )
                packets = container.demux(stream)
                continue
            if _is_hollow(packet):
                continue
            if packet.pts is not None:
                newest = packet.pts if newest is None else max(newest, packet.pts)
            if packet.is_corrupt:
                yield _Damage(packet.pts, "an incomplete packet")
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                bad_in_a_row += 1
                if packet.size:
                    yield _Damage(packet.pts, f"a packet that can't be decoded ({error.strerror})")
                continue
            if frames:
                bad_in_a_row = 0
            yield from frames
        with suppress(av.FFmpegError):
            yield from stream.codec_context.decode(None)
        yield _Damage(newest, f"given up after {MAX_BAD_PACKETS} bad packets in a row")


def _is_hollow(packet: Any) -> bool:
    """A packet of the stream without content; the decoder would take it for the end."""
    return packet.size == 0 and packet.dts is not None


class _Damages:
    """Turns damages, met in the order of the file, into gaps between frames, which come in order of time."""

    def __init__(self) -> None:
        self._waiting: list[
            tuple[_Damage, int]
        ] = []  # with the index of the frame that was next when it was met
        self._is_guessing = False

    def add(self, damage: _Damage, index: int) -> None:
        """Remember a damage that was met before frame `index` came out."""
        self._waiting.append((damage, index))

    def before(self, index: int, pts: int, is_guess: bool) -> Gap | None:
        """The gap right before frame `index`, if there is one. `is_guess`: the frame itself is damaged."""
        due = [
            damage
            for damage, met in self._waiting
            if damage.pts is None or damage.pts <= pts or index - met > MAX_REORDERED
        ]
        self._waiting = [(damage, met) for damage, met in self._waiting if damage not in due]
        if is_guess and not self._is_guessing:
            due.append(
                _Damage(pts, "damaged data; the pictures from here on are partly guessed by the decoder")
            )
        self._is_guessing = is_guess
        return _gap(index, due)

    def at_end(self, count: int, missing: int) -> Gap | None:
        """The gap behind the last of `count` frames, if there is one."""
        rest = [damage for damage, _ in self._waiting]
        if missing:
            pts = rest[0].pts if rest else None
            rest.insert(0, _Damage(pts, f"the file is cut short, {missing} bytes are missing"))
        return _gap(count, rest)


def _gap(index: int, damages: list[_Damage]) -> Gap | None:
    if not damages:
        return None
    more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
    return Gap(index - 1, damages[0].pts, damages[0].reason + more)


class _Rhythm:
    """Notices that frames are missing where they came evenly: demuxers pass over lost packets silently.

    A recording with a rate of its own for every frame has no rhythm to break.
    """

    STEPS = 12  # that must have been alike before a longer one counts as a break
    BREAK = 2.5  # times the longest step; a camera that drops a frame now and then has steps of 2

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._previous: int | None = None
        self._steps = 0
        self._shortest = self._longest = 0

    def gap_before(self, index: int, pts: int) -> Gap | None:
        """The gap right before frame `index`, if time jumps there."""
        previous, self._previous = self._previous, pts
        if previous is None:
            return None
        step = pts - previous
        is_even = self._steps >= self.STEPS and self._longest <= self.BREAK * self._shortest
        if is_even and step > self.BREAK * self._longest:
            seconds = float(step * self._time_base)
            return Gap(
                index - 1, previous + self._longest, f"no frames for {seconds:.2f} s, lost or not recorded"
            )
        self._shortest = min(step, self._shortest) if self._steps else step
        self._longest = max(step, self._longest)
        self._steps += 1
        return None


class _Clock:
    """Presentation times; a frame without one follows the frame before it at the average rate."""

    def __init__(self, claims: _Claims) -> None:
        self.time_base = claims.time_base
        self._frame_ticks = claims.frame_ticks
        self._previous: int | None = None

    def pts(self, frame: Any) -> int:
        """Presentation time of the next frame in ticks."""
        if frame.pts is not None:
            self._previous = int(frame.pts)
        else:
            self._previous = 0 if self._previous is None else self._previous + self._frame_ticks
        return self._previous


class _Converter:
    """Decoded frames to upright RGB, by libswscale as PyAV and CVAT use it; colour tags are respected."""

    def __init__(self, path: Path) -> None:
        from av.video.reformatter import VideoReformatter

        self._path = path
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame

    def __call__(self, frame: Any, index: int, pts: int, time_base: Fraction) -> Frame:
        image = self._upright(frame)
        height, width = image.shape[:2]
        return Frame(FrameRef(index, pts, time_base, (height, width)), image)

    def _upright(self, frame: Any) -> npt.NDArray[np.uint8]:
        """The pixels (H, W, 3), without a copy where FFmpeg's rows lie close and the frame is upright."""
        import av

        try:
            # One thread: starting several for every frame costs more than it saves.
            image = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise SourceError(
                f"{self._path}: pixels of format {frame.format.name} can't be turned into RGB ({error}); "
                "convert the video to H.264 with yuv420p first"
            ) from error
        quarter_turns = round(frame.rotation / 90) % 4  # counterclockwise
        return np.ascontiguousarray(np.rot90(image, quarter_turns))
