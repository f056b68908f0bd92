"""Is a video file cut short? The file's own structure tells; FFmpeg reads it to its end and says nothing.

Only the few headers that say how long the file should be are read, so it takes the same time for any length.
Formats without such a promise (raw streams, live recordings) count as whole.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

MP4_FIRST_BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
MP4_DATA_BOXES = {b"mdat", b"moov", b"moof"}
EBML_HEADER, MATROSKA_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
TS_SYNC = 0x47


def missing_bytes(path: Path) -> int:
    """How many bytes the file lacks of those that its structure promises; 0 = whole, or not to be known.

    Raises OSError when the file can't be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[4:8] in MP4_FIRST_BOXES:
            end = _mp4_end(file, size)
        elif head[:4] == EBML_HEADER:
            end = _matroska_end(file)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            end = _avi_end(file, size)
        else:
            end = _transport_stream_end(file, size)
    return max(0, end - size)


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the boxes of an mp4 or mov end: size and type, one behind the other."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:  # too long for 32 bits
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or (at + length > size and kind not in MP4_DATA_BOXES):
            break  # "to the end of the file", or not a box at all
        at += length
    return at


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment of an mkv or webm ends; 0 when it is open, as in a live recording."""
    file.seek(len(EBML_HEADER))
    header = _matroska_size(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(len(MATROSKA_SEGMENT)) != MATROSKA_SEGMENT:
        return 0
    segment = _matroska_size(file)
    return 0 if segment is None else file.tell() + segment


def _matroska_size(file: BinaryIO) -> int | None:
    """A size whose leading zero bits say how many bytes it has; None when unknown (all ones)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + file.read(extra), "big")
    return None if value == (1 << 7 * (extra + 1)) - 1 else value


def _avi_end(file: BinaryIO, size: int) -> int:
    """Where the RIFF chunks end; a long avi has several."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(8)
        if header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:], "little")
        at += 8 + length + length % 2
    return at - 1 if at == size + 1 else at  # the last chunk may go without its padding byte


def _transport_stream_end(file: BinaryIO, size: int) -> int:
    """Where the packet ends that a transport stream breaks off in; 0 when it doesn't, or is none."""
    for length, sync in ((188, 0), (192, 4)):
        rest = size % length
        last = size - rest
        starts = (0, last - length, last)
        if last >= 2 * length and rest > sync and all(_byte(file, at + sync) == TS_SYNC for at in starts):
            return last + length
    return 0


def _byte(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return file.read(1)[0]
