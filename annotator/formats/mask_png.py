"""Masks as PNGs, of which only the rows with an object are decoded.

Most of such a picture is empty, and most time goes into inflating it. So that is done by zlib-ng, and OpenCV gets
a picture of the other rows alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from zlib_ng import zlib_ng

from annotator import masks
from annotator.errors import FormatError
from annotator.masks import Rle

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD = struct.Struct(">IIBBBBB")  # width, height, bits, colour type, compression, filter, interlace
LENGTH = struct.Struct(">I")  # of a chunk, and its checksum
LOOKS_NOT_UP = (0, 1)  # filters that undo a row without the one above: none, and from the left
MOST_PIXELS = 1 << 28


class Grey(NamedTuple):
    """What a plain PNG holds: grey, up to 8 bits, not interlaced."""

    width: int
    bits: int  # 1, 2, 4 or 8 a pixel
    rows: npt.NDArray[np.uint8]  # (height, 1 + bytes of a row): a filter, then differences that it undoes


def read(path: Path) -> Rle:
    """The RLE of all pixels but those that are black as grey values. Raises FormatError."""
    try:
        content = path.read_bytes()
        grey = _inflate(content) if content.startswith(SIGNATURE) else None
        return _encode_rows(grey) if grey else _encode_any(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path}: not a picture of a mask ({error})") from error


def _inflate(content: bytes) -> Grey | None:
    """The rows of a plain and sound PNG, None of any other."""
    try:
        width, height, bits, colour_type, _, _, is_interlaced = HEAD.unpack_from(content, 16)
        if colour_type or bits > 8 or is_interlaced or not 0 < width * height < MOST_PIXELS:
            return None
        row = 1 + (width * bits + 7) // 8
        coded = b"".join(_chunks(content, b"IDAT"))
        plain = zlib_ng.decompressobj().decompress(coded, height * row)
        return Grey(width, bits, np.frombuffer(plain, np.uint8).reshape(height, row))
    except (struct.error, ValueError, zlib_ng.error):  # type: ignore[misc]  # a class, not as its stub has it
        return None


def _encode_rows(grey: Grey) -> Rle:
    """The RLE by way of the rows from the first that differs from black to the last that may."""
    height = len(grey.rows)
    differs = np.flatnonzero(grey.rows[:, 1:].any(axis=1))
    if not len(differs):
        return masks.empty((height, grey.width))
    top, below = int(differs[0]), int(differs[-1]) + 1
    is_black = np.isin(grey.rows[below:, 0], LOOKS_NOT_UP)
    below += int(is_black.argmax()) if is_black.any() else height - below
    window = cv2.imdecode(_store(grey._replace(rows=grey.rows[top:below])), cv2.IMREAD_UNCHANGED)
    if window is None:
        raise ValueError("its rows can't be decoded")
    return _encode(window, top, height)


def _encode_any(path: Path) -> Rle:
    """The RLE by way of Pillow, as the official script reads masks."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    return _encode(pixels, 0, len(pixels))


def _encode(rows: npt.NDArray[np.uint8], top: int, height: int) -> Rle:
    """The RLE in a frame of `height`, given its rows (h, W) from `top` on."""
    left, first, width, count = cv2.boundingRect(rows)
    window = rows[first : first + count, left : left + width] != 0
    return masks.encode_window(window, top + first, left, (height, rows.shape[1]))


def _store(grey: Grey) -> npt.NDArray[np.uint8]:
    """A PNG of the rows, not compressed."""
    chunks = (
        (b"IHDR", HEAD.pack(grey.width, len(grey.rows), grey.bits, 0, 0, 0, 0)),
        (b"IDAT", zlib_ng.compress(grey.rows.tobytes(), 0)),
        (b"IEND", b""),
    )
    parts = [
        part
        for kind, content in chunks
        for part in (LENGTH.pack(len(content)), kind, content, LENGTH.pack(zlib_ng.crc32(kind + content)))
    ]
    return np.frombuffer(b"".join((SIGNATURE, *parts)), np.uint8)


def _chunks(content: bytes, kind: bytes) -> Iterator[bytes]:
    """What the chunks of one kind hold."""
    at = len(SIGNATURE)
    while at < len(content):
        (length,) = LENGTH.unpack_from(content, at)
        if content[at + 4 : at + 8] == kind:
            yield content[at + 8 : at + 8 + length]
        at += length + 12  # length, kind and checksum
