"""Shapes of CVAT XML as they stand in its elements."""

from __future__ import annotations

from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from annotator import masks
from annotator.filling import require_ring
from annotator.formats.cvat.shape_buffer import MASK, POLYGON, ShapeRow
from annotator.formats.fields import score_of, shown, whole
from annotator.polygons import Ring

SHAPES = ("polygon", "mask")


class Shape(NamedTuple):
    """One shape of an image or a track."""

    is_keyframe: bool
    ring: Ring | None  # None: a mask
    drawn: ShapeRow


def ring_of(polygon: Element) -> Ring:
    """The ring of a polygon: (N, 2), 3 points or more."""
    pairs = [point.split(",") for point in polygon.attrib["points"].split(";")]
    if {len(pair) for pair in pairs} != {2}:
        raise ValueError(f"points {shown(polygon.attrib['points'])} that are no pairs of numbers")
    try:
        ring = np.array(pairs, np.float64)
    except ValueError:
        raise ValueError(f"points {shown(polygon.attrib['points'])} that are no numbers") from None
    require_ring(ring)
    return ring


def shape_of(
    element: Element, frame: int, of: tuple[int, int], class_id: int, size: tuple[int, int]
) -> Shape:
    """The shape of an element in a frame of `size`; `of` are the numbers of its object and track. Raises ValueError."""
    score = score_of(attribute(element, "score") or 1)
    ring = ring_of(element) if element.tag == "polygon" else None
    content = _counts(element, size) if ring is None else ring.astype("<f8").tobytes()
    z_order = whole("z_order", element.attrib.get("z_order", 0))
    kind = MASK if ring is None else POLYGON
    drawn = ShapeRow(frame, *of, class_id, score, z_order, kind, content)
    return Shape(element.get("keyframe") == "1", ring, drawn)


def _counts(element: Element, size: tuple[int, int]) -> bytes:
    """The RLE of a <mask> in a frame of `size`; in the file are runs along the rows of its box, off first."""
    left, top, width, height = (whole(key, element.attrib[key]) for key in ("left", "top", "width", "height"))
    try:
        runs = np.array(element.attrib["rle"].split(","), np.int64)
    except (ValueError, OverflowError):
        raise ValueError(f"rle {shown(element.attrib['rle'])} that is no list of numbers") from None
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError("a mask that leaves the frame")
    is_of_box = min(width, height) >= 1 and runs.min() >= 0 and runs.max() <= width * height
    if not is_of_box or runs.sum() != width * height:
        raise ValueError("a mask whose runs don't add up to its box")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return bytes(masks.encode_window(pixels, top, left, size)["counts"])


def attribute(shape: Element, name: str) -> str:
    """The value of an attribute of a shape, "" if there is none."""
    return next((each.text or "" for each in shape.iter("attribute") if each.get("name") == name), "")


def whole_of(element: Element, name: str) -> int:
    """The whole number in a child of an element. Raises ValueError."""
    return whole(name, element.findtext(name) or "")


def place_of(of: Element, element: Element) -> str:
    """Where a shape of an image or a track stands, in words."""
    number, frame = (
        text if len(text) < 20 else shown(text) for text in (of.get("id", "?"), element.get("frame", ""))
    )
    return f"in {of.tag} {number}" + (f", frame {frame}" if frame else "")
