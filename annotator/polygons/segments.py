"""Arcs as few straight stretches: lines fitted to the border, ends where the sum of errors is least.

How a digital curve is cut is found by dynamic programming over the squared distance of its points from the line of
every stretch, which sums over points give at once (Perez and Vidal, "Optimum polygonal approximation of digitized
curves", 1994). Lines are fitted (total least squares) rather than drawn from point to point, so that they lie on both
sides of a curve and cut no convex outline smaller; vertices are where neighbouring lines meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from annotator.polygons.borders import Curve, Integers

Floats = npt.NDArray[np.float64]
FINEST = 0.3  # pixels from a line through two possible ends that points between them may be off
MOST_ENDS = 96  # possible ends of stretches in an arc; with more of them, they are chosen more coarsely
FARTHEST = 2.0  # pixels from the border where two lines may meet in a vertex
DECIMALS = 1  # of a vertex; the filling rule knows fifths of a pixel


class Simplifier:
    """Some of the arcs of a label map, to be had with few vertices."""

    def __init__(self, arcs: Sequence[Curve], wanted: Iterable[int], size: tuple[int, int]) -> None:
        self._arcs = arcs
        self._corner = np.array(size[::-1], np.float64)  # of the frame, below and right
        self._groups: list[_Group] = []
        self._place: dict[int, tuple[int, int]] = {}  # by arc: its group, and row in it
        self._known: dict[tuple[int, float], Curve] = {}  # by arc and price
        by_size: dict[int, list[tuple[int, _Border]]] = {}
        for arc in sorted(wanted):
            if (border := _Border.of(arcs[arc])) is not None:
                by_size.setdefault((len(border.ends) - 1).bit_length(), []).append((arc, border))
        for members in by_size.values():
            for row, (arc, _) in enumerate(members):
                self._place[arc] = len(self._groups), row
            self._groups.append(_Group.of([border for _, border in members]))

    def curves(self, wanted: Sequence[tuple[int, float]]) -> list[Curve]:
        """Curves for arcs, each given with the price of a vertex in squared pixels times points; 0: as it is."""
        of_group: dict[int, list[tuple[int, float]]] = {}
        for arc, price in wanted:
            if price > 0 and arc in self._place and (arc, price) not in self._known:
                of_group.setdefault(self._place[arc][0], []).append((arc, price))
        for group, requests in of_group.items():
            rows, prices = zip(*((self._place[arc][1], price) for arc, price in requests), strict=True)
            for request, vertices in zip(requests, self._groups[group].vertices(rows, prices), strict=True):
                within = np.clip(vertices, 0, self._corner)
                self._known[request] = _between_ends(self._arcs[request[0]], within)
        return [self._known.get(request, self._arcs[request[0]]) for request in wanted]


def _between_ends(arc: Curve, vertices: Floats) -> Curve:
    """A curve with the ends of an arc; a closed one begins and ends at its first vertex instead."""
    if _is_closed(arc):
        return np.concatenate([vertices, vertices[:1]]) if len(vertices) > 2 else arc
    return np.concatenate([arc[:1], vertices, arc[-1:]])


def _is_closed(arc: Curve) -> bool:
    return arc[0].tolist() == arc[-1].tolist()


@dataclass(frozen=True)
class _Border:
    """The points of an arc, one in the middle of every pixel edge, and where stretches may end."""

    points: Floats  # (N, 2)
    ends: Integers  # (M,) points before the end, from 0 to N
    is_closed: bool

    @classmethod
    def of(cls, arc: Curve) -> _Border | None:
        """None for an arc too short to be had with fewer vertices."""
        sides = np.diff(arc, axis=0)
        lengths = np.abs(sides).sum(axis=1).astype(int)
        steps = np.repeat(np.sign(sides), lengths, axis=0)
        corners = arc[0] + np.cumsum(steps, axis=0)
        points, is_closed = corners - steps / 2, _is_closed(arc)
        if len(points) < (8 if is_closed else 2):
            return None
        half = int(np.square(points - points[0]).sum(axis=1).argmax()) if is_closed else 0
        tolerance = FINEST
        while True:
            ends = [
                *_ends(points[: half + 1], tolerance)[:-1],
                *(half + k for k in _ends(points[half:], tolerance)),
            ]
            if len(ends) <= MOST_ENDS:
                return cls(points, np.array([0, *ends[1:-1], len(points)]), is_closed)
            tolerance *= 1.5


def _ends(points: Floats, tolerance: float) -> list[int]:
    """The points that Douglas and Peucker keep, by index."""
    if len(points) < 3:
        return list(range(len(points)))
    kept = cv2.approxPolyDP(points.astype(np.float32), tolerance, closed=False)[:, 0]
    # No point of an arc is there twice: a number for each, to find them again.
    numbers, wanted = (2 * np.asarray(p, np.float64) @ np.array([1.0, 1 << 20]) for p in (points, kept))
    order = np.argsort(numbers)
    return np.sort(order[np.searchsorted(numbers[order], wanted)]).tolist()


@dataclass(frozen=True)
class _Group:
    """A borders of like size, worked on at once. M: the most ends that one of them has.

    T = M * (M - 1) / 2 stretches, each from an end to a later one, go by that one, then by the other.
    """

    most: int  # M
    last: Integers  # (A,) place of the last end
    is_closed: npt.NDArray[np.bool_]  # (A,)
    at: Floats  # (A, M, 2) where the border is at each end
    origins: Floats  # (A, 2) that `sums` count from
    sums: Floats  # (6, A, M) over the points before each end
    errors: Floats  # (A, T) squared distance of a stretch's points from its line

    @classmethod
    def of(cls, borders: Sequence[_Border]) -> _Group:
        most = max(len(border.ends) for border in borders)
        ends = np.stack([np.pad(b.ends, (0, most - len(b.ends)), mode="edge") for b in borders])
        origins = np.stack([border.points.mean(axis=0) for border in borders])
        sums = np.stack([_sums(b.points - o)[e] for b, o, e in zip(borders, origins, ends, strict=True)])
        sums = np.ascontiguousarray(np.moveaxis(sums, 2, 0))
        later, earlier = np.tril_indices(most, -1)
        *_, xx, yy, xy = _moments(sums[:, :, later] - sums[:, :, earlier])
        errors = np.maximum((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy), 0)
        at = np.stack([_at(border, end) for border, end in zip(borders, ends, strict=True)])
        last = np.array([len(border.ends) - 1 for border in borders])
        is_closed = np.array([border.is_closed for border in borders])
        return cls(most, last, is_closed, at, origins, sums, errors)

    def vertices(self, rows: Sequence[int], prices: Sequence[float]) -> Iterator[Floats]:
        """The vertices of some borders, (K, 2) each, given the price of one; without the ends of open ones."""
        chosen = np.array(rows)
        before = self._cheapest(chosen, np.array(prices))
        ways = [
            self._way(previous, int(self.last[row]), bool(self.is_closed[row]))
            for row, previous in zip(rows, before.tolist(), strict=True)
        ]
        corners = [list(zip(way[:-2], way[1:-1], way[2:], strict=True)) for way in ways]
        for row, way, corner in zip(rows, ways, corners, strict=True):
            if self.is_closed[row]:  # the first vertex, between the last stretch and the first
                corner.insert(0, (way[-2], way[-1], way[1]))
        row_of = np.repeat(chosen, [len(of_row) for of_row in corners])
        flat = np.array([corner for of_row in corners for corner in of_row], np.intp).reshape(-1, 3)
        met = self._met(row_of, *flat.T)
        yield from np.split(met, np.cumsum([len(of_row) for of_row in corners])[:-1])

    def _cheapest(self, rows: Integers, prices: Floats) -> Integers:
        """For every end the one before it on the cheapest way from the first: (rows, M)."""
        cost = np.zeros((len(rows), self.most))
        before = np.zeros((len(rows), self.most), np.intp)
        errors, stretches = self.errors[rows] + prices[:, None], 0
        for end in range(1, self.most):
            whole = cost[:, :end] + errors[:, stretches : stretches + end]
            whole.argmin(axis=1, out=before[:, end])
            whole.min(axis=1, out=cost[:, end])
            stretches += end
        return before

    def _way(self, before: list[int], last: int, is_closed: bool) -> list[int]:
        """The ends of the stretches; a closed way has three at least."""
        way = [last]
        while way[-1]:
            way.append(before[way[-1]])
        return way[::-1] if len(way) > 3 or not is_closed else [0, last // 3, 2 * last // 3, last]

    def _met(self, row: Integers, first: Integers, end: Integers, last: Integers) -> Floats:
        """Where the lines of the stretches before and behind an end meet: (K, 2).

        Where they are nearly parallel it is between them, beside the border's end.
        """
        is_first = end == self.last[row]  # of a closed border: its first end is its last one, too
        one, along = self._lines(row, first, end)
        two, on = self._lines(row, np.where(is_first, 0, end), last)
        at = self.at[row, end]
        beside = (_on_line(at, one, along) + _on_line(at, two, on)) / 2
        cross = along[:, 0] * on[:, 1] - along[:, 1] * on[:, 0]
        apart = two - one
        with np.errstate(divide="ignore", invalid="ignore"):
            meeting = one + along * ((apart[:, 0] * on[:, 1] - apart[:, 1] * on[:, 0]) / cross)[:, None]
            is_near = np.hypot(*(meeting - at).T) <= FARTHEST
        met: Floats = np.where(is_near[:, None], meeting, beside)
        return met.round(DECIMALS)

    def _lines(self, row: Integers, first: Integers, last: Integers) -> tuple[Floats, Floats]:
        """The centres (K, 2) of stretches, and the directions (K, 2) of their lines."""
        x, y, xx, yy, xy = _moments(self.sums[:, row, last] - self.sums[:, row, first])
        angle = np.arctan2(2 * xy, xx - yy) / 2
        return np.stack([x, y], axis=1) + self.origins[row], np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _moments(sums: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """The mean of x and y, and the central moments xx, yy and xy of points, given the sums over them (6, ...)."""
    count, x, y, xx, yy, xy = sums
    count = np.maximum(count, 1)
    x, y = x / count, y / count
    return x, y, xx - count * x * x, yy - count * y * y, xy - count * x * y


def _sums(points: Floats) -> Floats:
    """Sums over the points before each, and over all: of 1, x, y, their squares and product: (N + 1, 6)."""
    x, y = points.T
    terms = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
    return np.concatenate([np.zeros((1, 6)), np.cumsum(terms, axis=0)])


def _at(border: _Border, ends: Integers) -> Floats:
    """Where a border is between the points before and behind an end; a closed one goes on at its first."""
    count = len(border.points)
    behind = ends % count if border.is_closed else np.minimum(ends, count - 1)
    return (border.points[ends - 1] + border.points[behind]) / 2


def _on_line(points: Floats, centre: Floats, along: Floats) -> Floats:
    """The points of lines, given by a centre and a direction, that are nearest to some."""
    return centre + along * ((points - centre) * along).sum(axis=1, keepdims=True)
