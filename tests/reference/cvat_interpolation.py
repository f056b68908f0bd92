"""What CVAT shows of a track of polygons, frame by frame: its rule, written down point by point.

From what CVAT does between two keyframes (shared/design/formats.md), with plain loops over points and without a look at
the product's version.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator

Point = tuple[float, float]


def shown(track: ET.Element, step: int, last: int) -> Iterator[tuple[int, list[Point]]]:
    """Frame and ring wherever the object of a <track> is seen; `last` is the last frame of the task."""
    shapes = [shape for shape in track if shape.get("keyframe") == "1"]
    for shape, following in zip(shapes, [*shapes[1:], None], strict=True):
        if shape.attrib["outside"] == "1":
            continue
        begin = int(shape.attrib["frame"])
        end = int(following.attrib["frame"]) if following is not None else last + step
        for frame in range(begin, end, step):
            if frame == begin or following is None:
                yield frame, points_of(shape)
            else:
                share = (frame - begin) / (end - begin)
                yield frame, between(points_of(shape), points_of(following), share)


def points_of(shape: ET.Element) -> list[Point]:
    pairs = [pair.split(",") for pair in shape.attrib["points"].split(";")]
    return [(float(x), float(y)) for x, y in pairs]


def between(first: list[Point], second: list[Point], share: float) -> list[Point]:
    """The ring at a share of the way from one keyframe to the next."""
    left, right = [*first, first[0]], [*second, second[0]]
    partners = matching(fractions(left), fractions(right))
    moved = []  # one point for each pair, in order
    pairs_of: list[list[int]] = []  # by point on the left: its pairs
    for i, of_point in enumerate(partners):
        pairs_of.append([])
        for j in of_point:
            pairs_of[i].append(len(moved))
            moved.append(
                (
                    left[i][0] + (right[j][0] - left[i][0]) * share,
                    left[i][1] + (right[j][1] - left[i][1]) * share,
                )
            )
    return reduced(moved, pairs_of, partners, left, right)[:-1]


def distance(one: Point, other: Point) -> float:
    return math.sqrt((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2)


def way(points: list[Point]) -> float:
    return sum(distance(points[k - 1], points[k]) for k in range(1, len(points)))


def fractions(points: list[Point]) -> list[float]:
    """How far along the line each point is."""
    whole = way(points)
    return [way(points[: k + 1]) / whole for k in range(len(points))]


def nearest(value: float, values: list[float]) -> int:
    best = 0
    for k in range(1, len(values)):
        if abs(value - values[k]) < abs(value - values[best]):
            best = k
    return best


def matching(left: list[float], right: list[float]) -> list[list[int]]:
    """By point on the left the points on the right: its nearest one, and those that nobody else took."""
    partners = [[nearest(value, right)] for value in left]
    taken = {j for of_point in partners for j in of_point}
    for j in range(len(right)):
        if j not in taken:
            partners[nearest(right[j], left)].append(j)
    return [sorted(of_point) for of_point in partners]


def reduced(
    moved: list[Point],
    pairs_of: list[list[int]],
    partners: list[list[int]],
    left: list[Point],
    right: list[Point],
) -> list[Point]:
    """Leave out points that came close to each other because one vertex became several, or several one."""
    kept: list[Point] = []
    opened: int | None = None  # the first of left points in a row that have one and the same partner

    def close(stop: int) -> None:
        assert opened is not None
        start, end = pairs_of[opened][0], pairs_of[stop][0]
        if start == end:
            kept.append(moved[start])
        else:
            kept.extend(thinned(moved[start : end + 1], way(left[opened : stop + 1]), stop - opened + 1))

    for i in range(len(left)):
        if len(partners[i]) == 1:
            if opened is not None and partners[i][0] == partners[opened][0]:
                continue
            if opened is not None:
                close(i - 1)
            opened = i
        else:
            if opened is not None:
                close(i - 1)
            opened = None
            start, stop = partners[i][0], partners[i][-1]
            kept.extend(
                thinned(
                    moved[pairs_of[i][0] : pairs_of[i][-1] + 1],
                    way(right[start : stop + 1]),
                    stop - start + 1,
                )
            )
    if opened is not None:
        close(len(left) - 1)
    return kept


def thinned(points: list[Point], base: float, count: int) -> list[Point]:
    threshold = base / (2 * count)
    kept = [points[0]]
    for point in points[1:-1]:
        if distance(kept[-1], point) >= threshold:
            kept.append(point)
    kept.append(points[-1])
    if len(kept) == 2 and distance(points[0], points[-1]) < threshold:
        return [((points[0][0] + points[-1][0]) / 2, (points[0][1] + points[-1][1]) / 2)]
    return kept
