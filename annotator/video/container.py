"""Videos: whatever FFmpeg reads, frame by frame as decoded, in presentation order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotator.errors import SourceError
from annotator.frames import Frame, Gap
from annotator.limits import MOST_FRAMES
from annotator.video.decoding import Damage, Flaw, decoded, decoded_strictly
from annotator.video.gaps import Damages, Rhythm, lost_before
from annotator.video.opening import Claims, claims_of
from annotator.video.seeking import Entry, PacketList
from annotator.video.selection import IsCancelled, Selection, frames_of, never
from annotator.video.truncation import missing_bytes
from annotator.video.upright import Converter


@dataclass(frozen=True)
class Video:
    """A video file.

    A frame's index counts decoded frames from 0, whatever the container claims; its time is the decoder's
    pts. Frames that an edit list hides are no frames; the display rotation (multiples of 90 degrees) is
    applied. A damaged video gives what can be decoded, and the gaps between.

    With its `packets` a read tells whether frames are as they list them. One that `enters` begins at a keyframe where
    it can, and raises Flaw when anything is not as listed.
    """

    path: Path
    name: str
    packets: PacketList | None = field(default=None, compare=False, repr=False)
    enters: bool = field(default=False, compare=False)
    _met: _Met = field(default_factory=lambda: _Met(), compare=False, repr=False)

    @property
    def is_video(self) -> bool:
        """True."""
        return True

    @property
    def files(self) -> tuple[Path, ...]:
        """The file itself."""
        return (self.path,)

    @property
    def remarks(self) -> list[str]:
        """What is to be told of the latest read beside its gaps, in sentences."""
        return self._met.remarks

    @property
    def is_in_order(self) -> bool:
        """Whether each decoded frame of the latest read was later than the one before it."""
        return self._met.is_in_order

    @property
    def is_as_listed(self) -> bool:
        """Whether the latest read met what the packets list, each frame at its time, and no damage."""
        return self.packets is not None and self._met.is_as_listed

    def entry_of(self, start: int) -> Entry | None:
        """Where a read from frame `start` begins to decode; None: at the start of the video."""
        return self.packets.entry_before(start) if self.packets is not None and self.enters else None

    def length_hint(self) -> int | None:
        """How many frames the container claims to hold: for a progress bar, because it may lie."""
        try:
            return claims_of(self.path).frames
        except SourceError:
            return None

    def read(
        self, start: int = 0, end: int | None = None, every: int = 1, is_cancelled: IsCancelled = never
    ) -> Generator[Frame | Gap, None, None]:
        """Frames start, start + every ... below end, and the gaps between. Close the iterator to close the file.

        Frames before `start` and between are decoded and counted all the same (only their pixels are not
        converted), so frame `k` is the same frame from wherever a read begins. Gaps of a read from `start` are
        those with after_index from start - 1 to end - 2. `is_cancelled` is asked at every decoded frame, and ends
        the read. Raises SourceError when there is no frame in the file, ValueError when the numbers make no sense.
        """
        self._met.begin()
        return self._read(Selection(start, end, every), is_cancelled)

    def frames(self, start: int = 0, end: int | None = None, every: int = 1) -> Generator[Frame, None, None]:
        """The frames alone of `read`."""
        return frames_of(self.read(start, end, every))

    def _read(self, selection: Selection, is_cancelled: IsCancelled) -> Generator[Frame | Gap, None, None]:
        claims = claims_of(self.path)
        self._met.remarks += claims.remarks
        convert = Converter(self.path)
        clock = _Clock(claims)
        rhythm = Rhythm(clock.time_base)
        damages = Damages()
        entry = self.entry_of(selection.start)
        index = entry.index if entry else 0
        if self.packets is not None:
            for k, pts in enumerate(self.packets.times[:index]):
                rhythm.gap_before(k, pts)
                clock.passes(pts)
        with closing(
            decoded_strictly(self.path, entry) if entry else decoded(self.path, claims.codec)
        ) as items:
            for item in items:
                if selection.ends_before(index) or is_cancelled():
                    return
                if isinstance(item, Damage):
                    damages.add(item, index)
                    self._unlike(entry)
                    continue
                if self.packets is not None and not _is_listed(item, index, self.packets.times):
                    self._unlike(entry)
                pts = clock.pts(item)
                self._met.is_in_order = clock.is_in_order
                if index == 0 and (lost := lost_before(claims, pts, item.pict_type)):
                    damages.add(lost, index)
                    self._unlike(entry)
                pause = rhythm.gap_before(index, pts)
                gap = damages.before(index, pts, item.is_corrupt) or pause
                if gap and index >= selection.start:
                    yield gap
                if index >= MOST_FRAMES:
                    raise SourceError(f"{self.path}: has more than {MOST_FRAMES:,} frames; cut it into parts")
                if index in selection:
                    yield convert(item, index, pts, clock.time_base)
                index += 1
        if self.packets is not None and index != len(self.packets.times):
            self._unlike(entry)
        gap = damages.at_end(index, missing_bytes(self.path))
        if index == 0:
            why = f" ({gap.reason})" if gap else ""
            raise SourceError(
                f"{self.path}: not one frame of this video can be decoded{why}; copy or record it again"
            )
        if gap and index >= selection.start:
            yield gap

    def _unlike(self, entry: Entry | None) -> None:
        """Something isn't as listed."""
        self._met.is_as_listed = False
        if entry is not None:
            raise Flaw("not as listed")


def _is_listed(frame: Any, index: int, times: Sequence[int]) -> bool:
    return bool(index < len(times) and frame.pts == times[index] and not frame.is_corrupt)


@dataclass
class _Met:
    """What a read has met so far."""

    remarks: list[str] = field(default_factory=list)
    is_in_order: bool = True
    is_as_listed: bool = True

    def begin(self) -> None:
        """Nothing so far."""
        self.remarks.clear()
        self.is_in_order = self.is_as_listed = True


class _Clock:
    """Presentation times; a frame without one follows the frame before it at the average rate."""

    def __init__(self, claims: Claims) -> None:
        self.time_base = claims.time_base
        self._frame_ticks = claims.frame_ticks
        self._previous: int | None = None
        self.is_in_order = True  # each later than the one before it

    def pts(self, frame: Any) -> int:
        """Presentation time of the next frame in ticks."""
        previous = self._previous
        pts = 0 if previous is None else previous + self._frame_ticks
        if frame.pts is not None:
            pts = int(frame.pts)
        self.passes(pts)
        return pts

    def passes(self, pts: int) -> None:
        """A frame of this time is passed."""
        previous = self._previous
        self.is_in_order &= previous is None or pts > previous
        self._previous = pts
