"""labelme, and tools that write as it does (AnyLabeling and others): a JSON file an image, with shapes in pixels.

Polygons, circles and masks of one label and `group_id` are one object; boxes, lines and points are left out. Polygons
are filled through pixel centres, as labelme fills them. `imageData` is not looked at.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annotator import masks
from annotator.errors import LabelFileError
from annotator.files import find_files
from annotator.formats.class_map import ClassMap
from annotator.formats.coco.index import WITHOUT_MASKS
from annotator.formats.fields import score_of, shown, whole
from annotator.formats.image_files import (
    Record,
    Size,
    checked,
    entries,
    filled_through_centres,
    image_size,
    in_order,
    load_json,
    points_xy,
    start_of,
)
from annotator.formats.interface import Reading
from annotator.formats.summary import frame_without_time
from annotator.instances import GroundTruth, Instances, Region
from annotator.limits import require_frame_size

IGNORED, BACKGROUND = "__ignore__", "_background_"  # labels that labelme's own examples have
BOXES = ("rectangle", "rotation")
LINES = ("line", "linestrip", "point", "points")
WITHOUT_AREA = "lines and points"
LEFT_OUT = "shapes of labels that are left out"
SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
CIRCLE = 128  # vertices of a circle


class Shape(NamedTuple):
    """An object, or a part of one."""

    label: str
    group: Any  # parts of one object have the same; None: of its own
    score: float
    mask: masks.Rle


def sniff(start: bytes) -> bool:
    """Whether the beginning of a JSON file is one of labelme's."""
    return SHAPES.search(start) is not None


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield the images of a folder of files, or of one, in natural order, with what is labelled `__ignore__`.

    What has no area is counted in `skipped`, shapes that are none go to `bad`. Raises FormatError.
    """
    reading = reading or Reading()
    return reading.bad.sift(path, _truths(path, reading))


def names(path: Path) -> list[str]:
    """The file of every image, in the order of `read`."""
    return [_name(path, file, load_json(file)) for file in _find(path)]


def _find(path: Path) -> list[Path]:
    """Files of labelme; other JSON beside them is not theirs."""
    files = [path] if path.is_file() else in_order(find_files(path, "*.json"))
    found = [file for file in files if sniff(start_of(file))]
    if not found:
        raise LabelFileError(f"{path}: no labelme JSON")
    return found


def _name(path: Path, file: Path, content: Record) -> str:
    """The image, where its labels lie: many a tool keeps the folder that it was in elsewhere."""
    image = str(content.get("imagePath") or file.stem).replace("\\", "/").rpartition("/")[2]
    folder = file.parent.relative_to(path).as_posix() if path.is_dir() else "."
    return image if folder == "." else f"{folder}/{image}"


def _truths(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    files, skipped = _find(path), reading.skipped
    for index, file in enumerate(files):
        content = load_json(file)
        size = _size(content, file)
        shapes: list[Shape] = []
        for number, entry in enumerate(entries(content, "shapes", file)):
            with reading.bad.entry(f"{file.name}: shape {number}"):
                shape = _shape(entry, size, skipped)
                shapes += [shape] if shape else []
        class_ids = _class_ids(shapes, reading.classes, files)
        frame = frame_without_time(index, size, _name(path, file, content))
        objects = _objects([shape for shape in shapes if class_ids.get(shape.label)], size)
        skipped[LEFT_OUT] += sum(shape.label in class_ids and not class_ids[shape.label] for shape in shapes)
        found = Instances.of(
            frame,
            [one.mask for one in objects],
            [class_ids[one.label] or 0 for one in objects],
            [one.score for one in objects],
        )
        ignored = [shape.mask for shape in shapes if shape.label == IGNORED]
        yield GroundTruth(found, (Region(0, masks.union(ignored, size)),) if ignored else ())


def _class_ids(shapes: list[Shape], classes: ClassMap, files: list[Path]) -> dict[str, int | None]:
    """The class of every label of a file. Raises FormatError that names all labels of all files that are not known."""
    labels = {shape.label for shape in shapes} - {IGNORED, BACKGROUND}
    if not all(map(classes.knows, labels)):
        every = (entry for file in files for entry in entries(load_json(file), "shapes", file))
        labels = {
            entry["label"]
            for entry in every
            if isinstance(entry, dict) and isinstance(entry.get("label"), str)
        } - {IGNORED, BACKGROUND}
    return classes.ids_of(sorted(labels))


def _size(content: Record, file: Path) -> Size:
    """The size of an image, asked of its file where the labels don't tell it."""
    try:
        if content.get("imageHeight") is None or content.get("imageWidth") is None:
            return image_size(file.parent / str(content.get("imagePath")).replace("\\", "/"))
        size = whole("imageHeight", content["imageHeight"]), whole("imageWidth", content["imageWidth"])
        require_frame_size(*size)
    except ValueError as error:
        raise LabelFileError(f"{file}: no labels of labelme ({error})") from error
    return size


def _shape(entry: Any, size: Size, skipped: Counter[str]) -> Shape | None:
    """A shape with its mask, None for one without area. Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError(f"{shown(entry)} is no object")
    if not isinstance(entry.get("label"), str):
        raise ValueError(f"label {shown(entry.get('label'))} is no text")
    kind = entry.get("shape_type") or "polygon"  # as first versions of labelme left it out
    if kind in BOXES or kind in LINES:
        skipped[WITHOUT_MASKS if kind in BOXES else WITHOUT_AREA] += 1
        return None
    if kind not in ("polygon", "circle", "mask"):
        raise ValueError(f"shape_type {shown(kind)} is not known")
    score = 1.0 if entry.get("score") is None else score_of(entry["score"])
    points = points_xy(entry.get("points", ()), fewest=2)
    if kind == "circle" and len(points) != 2:
        raise ValueError(
            f"a circle of {len(points)} points, where a centre and a point of its edge should be"
        )
    if kind == "mask":
        mask = _pasted(entry.get("mask"), points[0].tolist(), size)
    else:
        mask = filled_through_centres(_circle(*points) if kind == "circle" else checked(points), size)
    return Shape(entry["label"], entry.get("group_id"), score, mask)


def _circle(centre: Any, edge: Any) -> Any:
    """Vertices around a centre, through a point."""
    radius = float(np.hypot(*(edge - centre)))
    angles = np.linspace(0, 2 * np.pi, CIRCLE, endpoint=False)
    return checked(centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _pasted(mask: Any, corner: list[float], size: Size) -> masks.Rle:
    """A PNG in base 64 whose first pixel is at a corner; what is beyond the frame is cut off. Raises ValueError."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(str(mask), validate=True)), formats=["PNG"]) as image:
            require_frame_size(image.height, image.width)
            pixels = np.asarray(image.convert("L")) != 0
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise ValueError(f"its mask is no PNG that can be read ({error})") from error
    left, top = round(corner[0]), round(corner[1])
    pixels = pixels[max(-top, 0) :, max(-left, 0) :]
    top, left = max(top, 0), max(left, 0)
    pixels = pixels[: max(size[0] - top, 0), : max(size[1] - left, 0)]
    return masks.encode_window(pixels, top, left, size) if pixels.size else masks.empty(size)


def _objects(shapes: list[Shape], size: Size) -> list[Shape]:
    """The shapes, with those of a label and a group as one."""
    together: dict[Any, list[Shape]] = {}
    for number, shape in enumerate(shapes):
        alone = shape.group is None
        key = (number,) if alone else (shape.label, shown(shape.group))
        together.setdefault(key, []).append(shape)
    return [
        parts[0]._replace(
            mask=masks.union([part.mask for part in parts], size), score=max(part.score for part in parts)
        )
        for parts in together.values()
    ]
