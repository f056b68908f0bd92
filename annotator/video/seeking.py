"""Entries: keyframes from which a video decodes to the frames that decoding from its start gives, each with its index.

The packets are listed without decoding them. An entry is a picture behind which nothing refers to what was before it,
neither pictures nor parameters. Its index is the number of packets before it, which holds if each of them decodes to
one frame at its time: whoever decodes those shows that, and what isn't as listed is to be decoded from the start.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.errors import SourceError
from annotator.limits import MOST_FRAMES
from annotator.video.h264 import EntryJudge
from annotator.video.opening import opened
from annotator.video.truncation import missing_bytes

# Only codecs whose decoder reports all damage, so that what it makes of damage can't depend on where it began: that of
# HEVC doesn't. With other pixels that of H.264 goes by who encoded them, which only the first packet tells.
PIXELS = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv420p10le", "yuv422p10le"}


@dataclass(frozen=True)
class Entry:
    """A packet to begin with."""

    index: int  # of the first frame from here on
    pts: int
    dts: int | None
    size: int  # bytes

    def is_at(self, packet: Any) -> bool:
        """Whether it is this packet."""
        return bool(packet.is_keyframe and packet.pts == self.pts and packet.size == self.size)


@dataclass(frozen=True)
class PacketList:
    """What the packets of a video promise."""

    times: Sequence[int]  # of the frames, in order
    entries: Sequence[Entry]  # by index

    def entry_before(self, index: int) -> Entry | None:
        """The last entry at or before a frame; None where that is the start of the video."""
        at = bisect_right(self.entries, index, key=lambda entry: entry.index) - 1
        return self.entries[at] if at >= 0 and self.entries[at].index > 0 else None


def packets_of(path: Path) -> PacketList | None:
    """The list of a video's packets; None where there is no telling frames by them. Reads the whole file."""
    import av

    try:
        if missing_bytes(path):
            return None
        with opened(path) as (container, stream):
            judge = _judge(stream)
            return _listed(container, stream, judge) if judge else None
    except (SourceError, OSError, av.FFmpegError, ValueError):
        return None


def _listed(container: Any, stream: Any, is_entry: Callable[[bytes, bool], bool]) -> PacketList | None:
    packets: list[Entry] = []
    candidates: list[int] = []  # places in `packets`
    for packet in container.demux(stream):
        if packet.size == 0 and packet.dts is None:
            continue  # the end
        if (
            packet.size == 0
            or packet.pts is None
            or packet.is_discard
            or packet.is_corrupt
            or packet.has_sidedata("new_extradata")
            or len(packets) >= MOST_FRAMES
        ):
            return None
        if is_entry(bytes(packet), packet.is_keyframe):
            candidates.append(len(packets))
        packets.append(Entry(len(packets), packet.pts, packet.dts, packet.size))
    times = sorted(packet.pts for packet in packets)
    if len(set(times)) != len(times):
        return None
    later: dict[int, int] = {}  # the earliest time of a candidate and all behind it
    earliest = None
    wanted = set(candidates)
    for place in reversed(range(len(packets))):
        pts = packets[place].pts
        earliest = pts if earliest is None else min(earliest, pts)
        if place in wanted:
            later[place] = earliest
    entries, latest, reached = [], None, 0
    for place in candidates:
        for packet in packets[reached:place]:
            latest = packet.pts if latest is None else max(latest, packet.pts)
        reached = place
        if latest is not None and latest < later[place]:
            entries.append(packets[place])
    return PacketList(times, entries)


def _judge(stream: Any) -> Callable[[bytes, bool], bool] | None:
    """What says of each packet in turn whether it is an entry; None for a codec that can't be judged."""
    context = stream.codec_context
    if context.name == "vp9":
        return _is_vp9_keyframe
    if context.name != "h264" or context.pix_fmt not in PIXELS or "4:4:4" in str(context.profile):
        return None
    return EntryJudge(bytes(context.extradata or b""))


def _is_vp9_keyframe(packet: bytes, is_keyframe: bool) -> bool:
    """Whether a packet begins with a key frame that is shown: it resets all that a VP9 decoder keeps."""
    marker, profile, shows_other, is_inter, is_shown = (
        packet[0] >> 6,
        packet[0] >> 4 & 3,
        packet[0] >> 3 & 1,
        packet[0] >> 2 & 1,
        packet[0] >> 1 & 1,
    )
    return is_keyframe and marker == 2 and profile != 3 and not shows_other and not is_inter and is_shown == 1
