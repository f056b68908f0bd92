"""Instances as CVAT draws them: a ring for every part, a mask for a part whose holes matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from annotator import masks, polygons
from annotator.formats.summary import shortest
from annotator.instances import Instances
from annotator.masks import Rle
from annotator.options import CvatOptions
from annotator.polygons import PolygonPart, Polygons, Ring

HOLES = "holes filled"
SPECKS = "parts of under 1% of their instance"
CUT_SHORT = "polygons under `poly_iou` to keep `max_vertices`"
TOO_LONG = "polygons of more than `max_vertices`, which neighbours need"


class Shape(NamedTuple):
    """One part of an object in one frame."""

    frame: int  # index
    ring: Ring
    exact: Rle  # what the ring stands for
    is_mask: bool  # drawn as `exact`, not as a ring
    uid: str
    score: float
    z_order: int
    review: tuple[str, ...] = ()  # what a person may want to look at
    doubt: int | None = None  # percent: how likely a person would change it; None: not known


def shapes_of(shown: Instances, losses: Counter[str], options: CvatOptions) -> list[list[Shape]]:
    """The parts of each of a frame's disjoint instances, largest first; what is lost is counted."""
    limits = polygons.Limits(options.poly_iou, options.max_vertices, options.holes != "fill")
    outlined = polygons.polygonize(shown.masks, shown.frame.size, limits)
    depths = _depths(outlined, shown.frame.size)
    shapes = []
    for k, of_instance in enumerate(outlined):
        track_id = int(shown.track_ids[k])
        uid = str(track_id) if track_id else f"frame{shown.frame.index}-{k}"
        score = shortest(shown.scores[k])
        shapes.append(
            [
                Shape(
                    shown.frame.index, part.ring, part.exact, _is_mask(part, options), uid, score, depths[k]
                )
                for part in of_instance.parts
            ]
        )
        losses[SPECKS] += of_instance.lost_parts
        losses[HOLES] += of_instance.lost_holes
        if options.max_vertices is not None:
            losses[CUT_SHORT] += sum(part.iou < options.poly_iou for part in of_instance.parts)
            losses[TOO_LONG] += sum(len(part.ring) > options.max_vertices for part in of_instance.parts)
    return shapes


def _is_mask(part: PolygonPart, options: CvatOptions) -> bool:
    return options.holes == "mask" and part.holes > 0


def _depths(outlined: Sequence[Polygons], size: tuple[int, int]) -> list[int]:
    """The z_order of instances: above every one that has pixels of it within a hole that is filled."""
    depths = [0] * len(outlined)
    if any(of_instance.lost_holes for of_instance in outlined):
        whole = [masks.union([part.exact for part in one.parts], size) for one in outlined]
        areas, meet = masks.areas(whole), masks.iou(whole, whole) > 0
        for k in np.argsort(-areas, kind="stable"):  # what surrounds is done before what is within
            for inner in np.flatnonzero(meet[k] & (areas < areas[k])):
                depths[inner] = max(depths[inner], depths[k] + 1)
    return depths


def polygon(shape: Shape, attributes: str) -> str:
    """The XML of a shape: a <polygon>, or a <mask> if it is one."""
    said = {"uid": shape.uid, "score": str(shape.score), "review": "; ".join(shape.review)}
    if shape.doubt is not None:
        said["doubt"] = str(shape.doubt)
    values = "".join(f'<attribute name="{name}">{escape(value)}</attribute>' for name, value in said.items())
    tag, points = ("mask", _runs(shape.exact)) if shape.is_mask else ("polygon", _points(shape.ring))
    return f'<{tag} {attributes} {points} z_order="{shape.z_order}">{values}</{tag}>\n'


def _points(ring: Ring) -> str:
    points = ";".join(f"{_number(x)},{_number(y)}" for x, y in ring.tolist())
    return f'points="{points}"'


def _number(x: float) -> str:
    """A coordinate as CVAT keeps it, with two decimals, without trailing zeros."""
    return f"{x:.2f}".rstrip("0").rstrip(".")


def _runs(rle: Rle) -> str:
    """A mask as CVAT has it: runs along the rows of its box, off first."""
    window, top, left = masks.decode_window(rle)
    pixels = window.ravel()
    ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, pixels.size)
    runs = np.diff(ends, prepend=0).tolist()
    counts = ", ".join(map(str, [0, *runs] if pixels[0] else runs))
    return f'rle="{counts}" left="{left}" top="{top}" width="{window.shape[1]}" height="{window.shape[0]}"'
