"""Masks of a frame as polygons: of few vertices within a bound of the overlap, and neighbours with one border.

The price of a vertex is searched for every ring by itself; a border between two takes the lower of their prices. What
falls short of the bound or overlaps a neighbour then, gets a lower price. In the end vertices go that no neighbour has,
as many as the bound allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.masks import SPECK, Rle
from annotator.polygons.borders import Borders, Curves, Integers, Outline, trace
from annotator.polygons.rings import Ring, area, fill_all, length, with_keyholes
from annotator.polygons.segments import Simplifier
from annotator.polygons.vertex_removal import are_alone, removal_order

Floats = npt.NDArray[np.float64]
MIN_IOU = 0.97
LEVELS = 16  # prices that are tried, a factor of STEP between two
HIGHEST = 48  # when vertices must be few at any price
STEP = 2**0.5
LOWEST = 2.0**3  # times the squared distance by which a ring may be off: where prices begin


@dataclass(frozen=True)
class Limits:
    """How polygons may differ from masks."""

    min_iou: float = MIN_IOU  # of a polygon with the part that it stands for
    max_vertices: int | None = None  # of a polygon, at the cost of the overlap
    keyholes: bool = False  # whether holes are kept, the ring going to them and back, or filled


DEFAULT = Limits()


@dataclass(frozen=True)
class PolygonPart:
    """An 8-connected part of a mask as a polygon."""

    ring: Ring
    exact: Rle  # what it stands for: holes are in it where the ring goes around them
    iou: float  # of the two
    holes: int  # that are no specks, kept or filled


@dataclass(frozen=True)
class Polygons:
    """A mask as polygons."""

    parts: tuple[PolygonPart, ...]  # largest first
    lost_parts: int  # specks
    lost_holes: int  # that are filled


@dataclass(frozen=True)
class _Piece:
    """A part before it is a polygon."""

    outer: Outline
    holes: tuple[Outline, ...]  # those that the ring goes to
    large_holes: int

    @property
    def arcs(self) -> list[int]:
        return [arc for outline in (self.outer, *self.holes) for arc, _ in outline.arcs]

    def ring(self, curves: Curves) -> Ring:
        return with_keyholes(self.outer.ring(curves), [hole.ring(curves) for hole in self.holes])


def polygonize(rles: Sequence[Rle], size: tuple[int, int], limits: Limits = DEFAULT) -> list[Polygons]:
    """The polygons of N disjoint masks in a frame of `size` (H, W)."""
    borders = trace(masks.paint(rles, size))
    of_label: dict[int, list[Outline]] = {label: [] for label in range(1, len(rles) + 1)}
    for each in borders.outlines:
        of_label[each.label].append(each)
    areas = masks.areas(rles).tolist()
    of_mask = [_pieces(of_label[k + 1], SPECK * areas[k], borders, limits.keyholes) for k in range(len(rles))]
    pieces = [piece for of_one in of_mask for piece in of_one]
    exact = fill_all([piece.ring(borders.arcs) for piece in pieces], size)
    rings, overlaps = _Search(pieces, exact, borders, size, limits).rings()
    parts = iter(map(PolygonPart, rings, exact, overlaps.tolist(), [piece.large_holes for piece in pieces]))
    polygons = []
    for k, of_one in enumerate(of_mask):
        rims = of_label[k + 1]
        lost_parts = sum(each.area > 0 for each in rims) - len(of_one)
        lost_holes = sum(each.area < 0 for each in rims) - sum(len(piece.holes) for piece in of_one)
        polygons.append(Polygons(tuple(islice(parts, len(of_one))), lost_parts, lost_holes))
    return polygons


def _pieces(outlines: Sequence[Outline], speck: float, borders: Borders, keyholes: bool) -> list[_Piece]:
    """The parts of a mask that are larger than a speck, or the largest, with such holes as a ring goes to."""
    outers = sorted((each for each in outlines if each.area > 0), key=lambda outer: -outer.area)
    outers = [outer for outer in outers if outer.area >= speck] or outers[:1]
    holes: list[list[Outline]] = [[] for _ in outers]
    for hole in outlines:
        if hole.area < 0 and -hole.area >= speck:
            holes[_around(hole, outers, borders)].append(hole)
    return [
        _Piece(outer, tuple(within) if keyholes else (), len(within))
        for outer, within in zip(outers, holes, strict=True)
    ]


def _around(hole: Outline, outers: Sequence[Outline], borders: Borders) -> int:
    """Which of the parts of a mask a hole is in: the smallest whose ring goes around its first pixel."""
    if len(outers) == 1:
        return 0
    ring = hole.ring(borders.arcs)
    x, y = ring[np.lexsort(ring.T)[0]] + 0.5
    for place in reversed(range(len(outers))):
        ends = outers[place].ring(borders.arcs)
        others = np.roll(ends, 1, axis=0)
        is_left = (ends[:, 0] < x) & (
            (ends[:, 1] < y) != (others[:, 1] < y)
        )  # sides along y, before the pixel
        if is_left.sum() % 2:
            return place
    return 0


class _Search:
    """The search for the level, from 0 for the raw ring to LEVELS, at which every ring has few vertices."""

    def __init__(
        self,
        pieces: Sequence[_Piece],
        exact: Sequence[Rle],
        borders: Borders,
        size: tuple[int, int],
        limits: Limits,
    ) -> None:
        self._pieces = pieces
        self._exact = exact
        self._size = size
        self._limits = limits
        self._simplifier = Simplifier(borders.arcs, {arc for piece in pieces for arc in piece.arcs}, size)
        self._levels = np.zeros(len(pieces), int)
        raw = [piece.ring(borders.arcs) for piece in pieces]
        off = [(1 - limits.min_iou) * area(ring) / max(length(ring), 1) for ring in raw]
        self._lowest = LOWEST * np.square(off)

    def rings(self) -> tuple[list[Ring], Floats]:
        """A ring for each piece, and its IoU with what it stands for."""
        self._search()
        rings = self._shared()
        while (wrong := self._wrong(rings)).any():
            self._levels[wrong] = np.maximum(self._levels[wrong] - 2, 0)
            rings = self._shared()
        rings, filled = self._thinned(rings)
        if self._limits.max_vertices is not None:
            rings = self._cut(rings, self._limits.max_vertices)
            filled = fill_all(rings, self._size)
        return rings, self._overlap(filled, range(len(rings)))

    def _cut(self, rings: list[Ring], most: int) -> list[Ring]:
        """Rings of few vertices at any price; neighbours follow."""
        forced = np.zeros(len(rings), int)
        while True:
            long = np.array([len(ring) > most for ring in rings], bool) & (forced < HIGHEST)
            if not long.any():
                return rings
            forced[long] = np.maximum(forced[long], self._levels[long]) + 2
            cut, _ = self._thinned(self._shared(forced))
            rings = [new if _is_solid(new) else old for new, old in zip(cut, rings, strict=True)]

    def _search(self) -> None:
        """Search the level of every ring, as if it had no neighbours."""

        def fit(of: Integers, levels: Integers) -> npt.NDArray[np.bool_]:
            prices = np.where(levels > 0, self._lowest[of] * STEP**levels, 0)
            pieces = [self._pieces[k] for k in of.tolist()]
            wanted = [(arc, price) for piece, price in zip(pieces, prices, strict=True) for arc in piece.arcs]
            curves = iter(self._simplifier.curves(wanted))
            rings = [piece.ring({arc: next(curves) for arc in piece.arcs}) for piece in pieces]
            return self._overlap(fill_all(rings, self._size), of) >= self._limits.min_iou

        self._levels = _highest(np.full(len(self._pieces), LEVELS), fit)

    def _thinned(self, rings: list[Ring]) -> tuple[list[Ring], list[Rle]]:
        """The rings without such vertices as no other ring has and the bound can do without, and what they fill."""
        orders = [removal_order(*each) for each in zip(rings, are_alone(rings), strict=True)]

        def without(k: int, count: int) -> Ring:
            return np.delete(rings[k], orders[k][:count], axis=0)

        def fit(of: Integers, counts: Integers) -> npt.NDArray[np.bool_]:
            thin = [without(*each) for each in zip(of.tolist(), counts.tolist(), strict=True)]
            return self._overlap(fill_all(thin, self._size), of) >= self._limits.min_iou

        counts = _highest(np.array([len(order) for order in orders], int), fit)
        while True:
            thin = [without(*each) for each in enumerate(counts.tolist())]
            filled = fill_all(thin, self._size)
            wrong = self._meeting(filled) & (counts > 0)
            if not wrong.any():
                return thin, filled
            counts[wrong] = 0

    def _shared(self, forced: Integers | None = None) -> list[Ring]:
        """The rings at their levels, every arc at the lower one of its sides, or at one that is forced."""
        price_of: dict[int, float] = {}
        for piece, price in zip(self._pieces, self._prices(self._levels).tolist(), strict=True):
            for arc in piece.arcs:
                price_of[arc] = min(price, price_of.get(arc, price))
        if forced is not None:
            for piece, price in zip(self._pieces, self._prices(forced).tolist(), strict=True):
                for arc in piece.arcs:
                    price_of[arc] = max(price, price_of[arc])
        curves = dict(zip(price_of, self._simplifier.curves(list(price_of.items())), strict=True))
        return [piece.ring(curves) for piece in self._pieces]

    def _wrong(self, rings: Sequence[Ring]) -> npt.NDArray[np.bool_]:
        """Whose level must go down: those that fall short of the bound or overlap others."""
        filled = fill_all(rings, self._size)
        falls_short = self._overlap(filled, range(len(rings))) < self._limits.min_iou
        return np.asarray((falls_short | self._meeting(filled)) & (self._levels > 0))

    def _meeting(self, filled: Sequence[Rle]) -> npt.NDArray[np.bool_]:
        """Which rings share pixels with another one that they should not, given what they fill."""
        if masks.are_disjoint(filled):
            return np.zeros(len(filled), np.bool_)
        meet = (masks.iou(filled, filled) > 0) & (masks.iou(self._exact, self._exact) == 0)
        return np.asarray(meet.any(axis=1))

    def _overlap(self, filled: Sequence[Rle], of: Sequence[int] | Integers) -> Floats:
        """IoU of what rings fill with the parts that they stand for, given by number: (N,)."""
        return masks.iou(filled, [self._exact[k] for k in of]).diagonal()

    def _prices(self, levels: Integers) -> Floats:
        return np.where(levels > 0, self._lowest * STEP**levels, 0)


def _highest(most: Integers, fit: Callable[[Integers, Integers], npt.NDArray[np.bool_]]) -> Integers:
    """For each of N things the highest number from 0 to its `most` that fits, by bisection.

    `fit` is given things by number, and a number for each. 0 always does.
    """
    low, high = np.zeros_like(most), most.copy()
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_] + 1) // 2
        fits = fit(open_, middle)
        low[open_[fits]] = middle[fits]
        high[open_[~fits]] = middle[~fits] - 1
    return low


def _is_solid(ring: Ring) -> bool:
    return len(ring) > 2 and area(ring) > 0
