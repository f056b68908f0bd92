"""What formats with one label file an image share: finding the files, loading JSON, asking images for their size."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from annotator import masks
from annotator.errors import LabelFileError
from annotator.files import find_files
from annotator.formats.fields import shown
from annotator.formats.names import BOM
from annotator.limits import (
    FARTHEST,
    LARGEST_IMAGE_LABELS,
    MOST_DRAWN_VERTICES,
    require_file,
    require_frame_size,
)

Record = dict[str, Any]
Size = tuple[int, int]  # (H, W)
Points = npt.NDArray[np.float64]  # (N, 2) x, y
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
START = 4096  # bytes
ORIENTATION = 0x0112
NO_LABELS = {"classes.txt", "predefined_classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt"}
NO_LABELS |= {"readme.txt", "readme.dataset.txt", "readme.roboflow.txt", "labels.txt", "requirements.txt"}


def start_of(file: Path, count: int = START) -> bytes:
    """The beginning of a file, where formats show themselves."""
    with file.open("rb") as opened:
        return opened.read(count)


def text_start(file: Path, count: int = START) -> bytes:
    """The same as UTF-8, without white space before it, nor the mark that some tools begin a text with."""
    start = start_of(file, count)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        start = start[: len(start) // 2 * 2].decode("utf-16", "ignore").encode("utf-8", "ignore")
    return start.removeprefix(BOM).lstrip()


def label_texts(path: Path) -> list[Path]:
    """The text files of a folder that may be labels, in natural order; of a file itself."""
    if path.is_file():
        return [path]
    return in_order(file for file in find_files(path, "*.txt") if file.name.lower() not in NO_LABELS)


def load_json(file: Path) -> Record:
    """The object that a label file of one image holds. Raises FormatError."""
    try:
        if file.stat().st_size > LARGEST_IMAGE_LABELS:
            raise ValueError(f"of more than {LARGEST_IMAGE_LABELS:,} bytes, for one image")
        content = orjson.loads(file.read_bytes().removeprefix(BOM))
        if not isinstance(content, dict):
            raise ValueError(f"{shown(content)} instead of an object")
    except (OSError, ValueError) as error:
        raise LabelFileError(f"{file}: no JSON that can be read ({error})") from error
    return content


def entries(content: Record, name: str, file: Path) -> list[Any]:
    """A list of a file. Raises FormatError when it is none."""
    found = content.get(name)
    if not isinstance(found, list):
        raise LabelFileError(f"{file}: {name} is {shown(found)}, no list")
    return found


def points_xy(value: Any, fewest: int) -> Points:
    """Vertices from [[x, y], ...] in pixels. Raises ValueError."""
    try:
        points = np.array(value, np.float64).reshape(-1, 2) if len(value) else np.zeros((0, 2))
        is_pairs = all(len(pair) == 2 for pair in value)
    except (TypeError, ValueError, OverflowError):
        is_pairs, points = False, np.zeros((0, 2))
    if not is_pairs:
        raise ValueError(f"points {shown(value)} are no pairs of numbers")
    return checked(points, fewest)


def checked(points: Points, fewest: int = 3) -> Points:
    """The same vertices in pixels. Raises ValueError when they make no polygon."""
    if len(points) < fewest:
        raise ValueError(f"a polygon of {len(points)} point{'' if len(points) == 1 else 's'}")
    if len(points) > MOST_DRAWN_VERTICES:
        raise ValueError(f"a polygon of {len(points):,} points; up to {MOST_DRAWN_VERTICES:,} are read")
    if not np.all(np.abs(points) <= FARTHEST):  # nan neither
        raise ValueError(f"a point that is no place within {FARTHEST:,} pixels")
    return points


def filled_through_centres(points: Points, size: Size) -> masks.Rle:
    """The mask of a polygon as Pillow fills it, by which Cityscapes and labelme draw: vertices are pixel centres."""
    from PIL import Image, ImageDraw

    left, top = np.clip(np.floor(points.min(axis=0)).astype(int), 0, (size[1] - 1, size[0] - 1)).tolist()
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int), 0, (size[1] - 1, size[0] - 1)).tolist()
    window = Image.new("L", (right - left + 1, bottom - top + 1))
    ImageDraw.Draw(window).polygon([*map(tuple, (points - (left, top)).tolist())], fill=1, outline=1)
    return masks.encode_window(np.asarray(window) != 0, top, left, size)


def image_size(file: Path) -> Size:
    """Height and width of an image as it is seen, by its header alone. Raises FormatError."""
    from PIL import Image

    try:
        require_file(file)
        with Image.open(file) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION) in TURNED:
                width, height = height, width
        require_frame_size(height, width)
    except Exception as error:  # damaged images make Pillow raise nearly anything
        raise LabelFileError(f"{file}: no image whose size can be read ({error})") from error
    return height, width


def is_image(file: Path) -> bool:
    """Whether a file of this name counts as an image."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")


def in_order(files: Iterable[Path]) -> list[Path]:
    """Files as people count: numbers by their value, letters whatever their case; the path decides ties."""

    def key(file: Path) -> tuple[list[str | int], str]:
        parts = re.split(r"([0-9]+)", str(file).casefold())
        return [int(part) if k % 2 and len(part) < 1000 else part for k, part in enumerate(parts)], str(file)

    return sorted(files, key=key)
