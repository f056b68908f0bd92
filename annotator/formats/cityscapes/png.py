"""Plain PNGs of labels, encoded in an eighth and decoded in less than half of the time that libpng takes.

Pictures of labels repeat themselves: nearly all of the time goes into inflating rows, one by one, and into their
checksums. So zlib-ng inflates them at once, and FFmpeg, which ignores checksums, undoes the filters of a PNG that
is stored without compression: of all rows, or of those that matter. Encoding takes the difference to the row above
everywhere, which is 0 nearly everywhere; zlib-ng makes smaller files of it than libpng does by its fast settings.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from annotator.limits import MOST_PIXELS, require_frame_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD = struct.Struct(">IIBBBBB")  # width, height, bits, colour type, compression, filter, interlace
LENGTH = struct.Struct(">I")  # of a chunk
NO_CHECKSUM = bytes(4)
BLOCK = struct.Struct(
    "<BHH"
)  # of bytes that are stored: whether it is the last, their number, and its complement
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type
MOST_IN_BLOCK = (1 << 16) - 1
GREY, RGB = 0, 2  # colour types
UP = 2  # the filter that takes the difference to the row above
EFFORT = 3  # of zlib-ng: more takes longer and saves next to nothing
PIXELS: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 16: np.dtype(">u2")}  # by bits


class Rows(NamedTuple):
    """What a plain PNG holds: grey, 8 or 16 bits, not interlaced."""

    width: int
    bits: int
    filtered: npt.NDArray[np.uint8]  # (H, 1 + bytes of a row): a filter, then differences that it undoes


def encode(pixels: npt.NDArray[Any]) -> bytes:
    """The PNG file of pixels (H, W) uint8 or uint16, grey, or (H, W, 3) uint8, RGB."""
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    rows = np.ascontiguousarray(pixels, PIXELS[bits]).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    head = HEAD.pack(width, height, bits, GREY if pixels.ndim == 2 else RGB, 0, 0, 0)
    parts = [SIGNATURE]
    for kind, content in (
        (b"IHDR", head),
        (b"IDAT", zlib_ng.compress(filtered.data, EFFORT)),
        (b"IEND", b""),
    ):
        checksum = zlib_ng.crc32(content, zlib_ng.crc32(kind))
        parts += [LENGTH.pack(len(content)), kind, content, LENGTH.pack(checksum)]
    return b"".join(parts)


def decode_grey(content: bytes, bits: int) -> npt.NDArray[Any]:
    """The pixels (H, W), uint8 or uint16, of a grey PNG file of `bits`. Raises ValueError for any other.

    What its header says decides before anything is unpacked.
    """
    if not content.startswith(SIGNATURE) or len(content) < 16 + HEAD.size:
        raise ValueError("no PNG")
    width, height, own_bits, colour_type, *_ = HEAD.unpack_from(content, 16)
    if (own_bits, colour_type) != (bits, 0):
        channels = CHANNELS.get(colour_type, "unknown")
        raise ValueError(f"{own_bits} bits and {channels} channels instead of {bits} bits and one")
    require_frame_size(height, width)
    rows = inflate(content)
    pixels = unfilter(rows) if rows else None
    if pixels is None and _is_whole(content):  # interlaced, or not sound in every bit
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2 or pixels.dtype.itemsize * 8 != bits:
        raise ValueError("no picture that can be read")
    return pixels


def inflate(content: bytes) -> Rows | None:
    """The rows of a plain and sound PNG file, None of any other."""
    try:
        width, height, bits, colour_type, _, _, is_interlaced = HEAD.unpack_from(content, 16)
        is_plain = content.startswith(SIGNATURE) and bits in PIXELS and not colour_type and not is_interlaced
        if not is_plain or not 0 < width * height < MOST_PIXELS:
            return None
        row = 1 + width * bits // 8
        coded = b"".join(_chunks(content, b"IDAT"))
        stream = zlib_ng.decompressobj()
        filtered = stream.decompress(coded, height * row + 1)
        if not stream.eof:  # cut off, or longer than it may be
            return None
        return Rows(width, bits, np.frombuffer(filtered, np.uint8).reshape(height, row))
    except (struct.error, ValueError, zlib_ng.error):  # type: ignore[misc]  # a class, not as its stub has it
        return None


def unfilter(rows: Rows) -> npt.NDArray[Any] | None:
    """The pixels (H, W) uint8 or uint16, None where a filter is none."""
    import av  # here: who reads other labels needs no FFmpeg
    from av.video.frame import VideoFrame

    decoder = av.CodecContext.create("png", "r")
    decoder.thread_count = 1
    try:
        (picture,) = decoder.decode(av.Packet(_store(rows)))
    except (av.FFmpegError, ValueError):
        return None
    if not isinstance(picture, VideoFrame):
        return None
    plane, dtype = picture.planes[0], PIXELS[rows.bits]
    lines = np.frombuffer(memoryview(plane), dtype).reshape(picture.height, plane.line_size // dtype.itemsize)
    return lines[:, : rows.width].astype(dtype.newbyteorder("="))


def _store(rows: Rows) -> bytes:
    """A PNG of the rows, not compressed."""
    plain = rows.filtered.data.cast("B")
    stored: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(plain), MOST_IN_BLOCK):
        block = plain[start : start + MOST_IN_BLOCK]
        is_last = start + MOST_IN_BLOCK >= len(plain)
        stored += [BLOCK.pack(is_last, len(block), len(block) ^ MOST_IN_BLOCK), block]
    stored.append(LENGTH.pack(zlib_ng.adler32(plain)))
    head = HEAD.pack(rows.width, len(rows.filtered), rows.bits, 0, 0, 0, 0)
    parts: list[bytes | memoryview] = [SIGNATURE]
    for kind, content in ((b"IHDR", [head]), (b"IDAT", stored), (b"IEND", [])):
        parts += [LENGTH.pack(sum(map(len, content))), kind, *content, NO_CHECKSUM]
    return b"".join(parts)


def _is_whole(content: bytes) -> bool:
    """Whether chunks are as long as they say: OpenCV takes memory for what they say."""
    at = len(SIGNATURE)
    while content[at + 4 : at + 8] not in (b"IEND", b""):
        at += LENGTH.unpack_from(content, at)[0] + 12
    return at + 12 <= len(content)


def _chunks(content: bytes, kind: bytes) -> Iterator[bytes]:
    """What the chunks of one kind hold."""
    at = len(SIGNATURE)
    while at < len(content):
        (length,) = LENGTH.unpack_from(content, at)
        if content[at + 4 : at + 8] == kind:
            yield content[at + 8 : at + 8 + length]
        at += length + 12  # length, kind and checksum
