"""Masks as pictures, of which only the rows with an object are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from annotator import masks
from annotator.errors import LabelFileError
from annotator.formats.cityscapes import png
from annotator.limits import require_file, require_frame_size
from annotator.masks import Rle

LOOKS_NOT_UP = (0, 1)  # filters that undo a row without the one above: none, and from the left


def size(path: Path) -> tuple[int, int]:
    """Height and width, by the header alone. Raises FormatError."""
    with _faults(path), Image.open(path) as image:
        require_frame_size(image.height, image.width)
        return image.height, image.width


def read(path: Path) -> Rle:
    """The RLE of all pixels but those that are black as grey values of 8 bits. Raises FormatError."""
    with _faults(path):
        rows = png.inflate(path.read_bytes())
        mask = _encode_rows(rows) if rows and rows.bits == 8 else None
        return mask or _encode_any(path)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        require_file(path)
        yield
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LabelFileError(f"{path}: not a picture of a mask ({error})") from error


def _encode_rows(rows: png.Rows) -> Rle | None:
    """The RLE by way of the rows from the first that differs from black to the last that may."""
    height = len(rows.filtered)
    differs = np.flatnonzero(rows.filtered[:, 1:].any(axis=1))
    if not len(differs):
        return masks.empty((height, rows.width))
    top, below = int(differs[0]), int(differs[-1]) + 1
    is_black = np.isin(rows.filtered[below:, 0], LOOKS_NOT_UP)
    below += int(is_black.argmax()) if is_black.any() else height - below
    pixels = png.unfilter(rows._replace(filtered=rows.filtered[top:below]))
    return None if pixels is None else _encode(pixels, top, height)


def _encode_any(path: Path) -> Rle:
    """The RLE by way of Pillow, as the official script reads masks."""
    with Image.open(path) as image:
        require_frame_size(image.height, image.width)
        pixels = np.asarray(image.convert("L"))
    return _encode(pixels, 0, len(pixels))


def _encode(pixels: npt.NDArray[np.uint8], top: int, height: int) -> Rle:
    """The RLE in a frame of `height`, given its pixels (h, W) from row `top` on."""
    left, first, width, count = cv2.boundingRect(pixels)
    window = pixels[first : first + count, left : left + width] != 0
    return masks.encode_window(window, top + first, left, (height, pixels.shape[1]))
