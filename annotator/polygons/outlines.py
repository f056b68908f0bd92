"""Masks of a frame as polygons: of few vertices within a bound of the overlap, and neighbours with one border.

The price of a vertex is searched for every ring by itself; a border between two takes the lower of their prices. What
falls short of the bound or overlaps a neighbour then, gets a lower price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.masks import Rle
from annotator.polygons.borders import Borders, Curves, Integers, Outline, trace
from annotator.polygons.rings import Ring, area, fill_all, length, with_keyholes
from annotator.polygons.stretches import Simplifier

Floats = npt.NDArray[np.float64]
MIN_IOU = 0.97
SPECK = 0.01  # of its mask: smaller parts are left out, smaller holes are filled
LEVELS = 16  # prices that are tried, a factor of STEP between two
STEP = 2**0.5
# Where prices begin. For a smooth outline the best price is near (1 - IoU)^2 * area^2 / length.
LOWEST = 0.04


@dataclass(frozen=True)
class Limits:
    """How polygons may differ from masks."""

    min_iou: float = MIN_IOU  # of a polygon with the part that it stands for
    max_vertices: int | None = None  # of a polygon, at the cost of the overlap
    keyholes: bool = False  # whether holes are kept, the ring going to them and back, or filled


@dataclass(frozen=True)
class Part:
    """An 8-connected part of a mask as a polygon."""

    ring: Ring
    exact: Rle  # what it stands for: holes are in it where the ring goes around them
    holes: int  # that are large enough to be kept
    lost_holes: int  # that are filled


@dataclass(frozen=True)
class _Piece:
    """A part before it is a polygon."""

    mask: int
    outer: Outline
    holes: tuple[Outline, ...]  # those that the ring goes to
    large_holes: int
    lost_holes: int

    @property
    def arcs(self) -> list[int]:
        return [arc for outline in (self.outer, *self.holes) for arc, _ in outline.arcs]

    def ring(self, curves: Curves) -> Ring:
        return with_keyholes(self.outer.ring(curves), [hole.ring(curves) for hole in self.holes])


def outline(rles: Sequence[Rle], size: tuple[int, int], limits: Limits = Limits()) -> list[list[Part]]:
    """The parts of each of N disjoint masks in a frame of `size` (H, W), largest first; specks are left out."""
    borders = trace(masks.paint(rles, size))
    pieces = _pieces(borders, masks.areas(rles).tolist(), limits.keyholes)
    exact = fill_all([piece.ring(borders.arcs) for piece in pieces], size)
    rings = _Search(pieces, exact, borders, size, limits).rings()
    parts: list[list[Part]] = [[] for _ in rles]
    for piece, ring, rle in zip(pieces, rings, exact, strict=True):
        parts[piece.mask].append(Part(ring, rle, piece.large_holes, piece.lost_holes))
    return parts


def _pieces(borders: Borders, areas: Sequence[int], keyholes: bool) -> list[_Piece]:
    """The parts that are no specks, by mask, the largest first."""
    rings: dict[int, tuple[list[Outline], list[Outline]]] = {}
    for each in borders.outlines:
        rings.setdefault(each.label, ([], []))[each.area < 0].append(each)
    pieces = []
    for label, (outers, holes) in sorted(rings.items()):
        outers.sort(key=lambda outer: -outer.area)
        speck = SPECK * areas[label - 1]
        inside: list[list[Outline]] = [[] for _ in outers]
        for hole in holes:
            inside[_around(hole, outers, borders)].append(hole)
        for place, (outer, within) in enumerate(zip(outers, inside, strict=True)):
            if place and outer.area + sum(hole.area for hole in within) < speck:
                continue
            large = tuple(hole for hole in within if -hole.area >= speck)
            kept = large if keyholes else ()
            pieces.append(_Piece(label - 1, outer, kept, len(large), len(within) - len(kept)))
    return pieces


def _around(hole: Outline, outers: Sequence[Outline], borders: Borders) -> int:
    """Which of the parts of a mask a hole is in: the smallest whose ring goes around its first pixel."""
    if len(outers) == 1:
        return 0
    ring = hole.ring(borders.arcs)
    x, y = ring[np.lexsort(ring.T)[0]] + 0.5
    for place in reversed(range(len(outers))):
        ends = outers[place].ring(borders.arcs)
        others = np.roll(ends, 1, axis=0)
        is_left = (ends[:, 0] < x) & ((ends[:, 1] < y) != (others[:, 1] < y))  # sides along y, before the pixel
        if is_left.sum() % 2:
            return place
    return 0


class _Search:
    """The search for the level, from 0 for the raw ring to LEVELS, at which every ring has few vertices."""

    def __init__(
        self, pieces: Sequence[_Piece], exact: Sequence[Rle], borders: Borders, size: tuple[int, int], limits: Limits
    ) -> None:
        self._pieces = pieces
        self._exact = exact
        self._size = size
        self._limits = limits
        self._simplifier = Simplifier(borders.arcs)
        self._levels = np.zeros(len(pieces), int)
        raw = [piece.ring(borders.arcs) for piece in pieces]
        slack = LOWEST * (1 - limits.min_iou) ** 2
        self._lowest = np.array([slack * area(ring) ** 2 / max(length(ring), 1) for ring in raw])

    def rings(self) -> list[Ring]:
        """A ring for each piece."""
        self._search()
        rings = self._shared()
        while (wrong := self._wrong(rings)).any():
            self._levels[wrong] = np.maximum(self._levels[wrong] - 2, 0)
            rings = self._shared()
        return rings

    def _search(self) -> None:
        """Bisect the level of every ring, as if it had no neighbours."""
        low, high = np.zeros(len(self._pieces), int), np.full(len(self._pieces), LEVELS)
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low + high + 1) // 2
            prices = self._prices(middle)
            wanted = [(arc, prices[k]) for k in open_ for arc in self._pieces[k].arcs]
            curves = iter(self._simplifier.curves(wanted))
            rings = [self._pieces[k].ring({arc: next(curves) for arc in self._pieces[k].arcs}) for k in open_]
            fits = self._overlap(rings, open_) >= self._limits.min_iou
            low[open_[fits]] = middle[open_[fits]]
            high[open_[~fits]] = middle[open_[~fits]] - 1
        self._levels = low

    def _shared(self) -> list[Ring]:
        """The rings at their levels, every arc at the lower one of its sides."""
        price_of: dict[int, float] = {}
        for piece, price in zip(self._pieces, self._prices(self._levels).tolist(), strict=True):
            for arc in piece.arcs:
                price_of[arc] = min(price, price_of.get(arc, price))
        curves = dict(zip(price_of, self._simplifier.curves(list(price_of.items())), strict=True))
        return [piece.ring(curves) for piece in self._pieces]

    def _wrong(self, rings: Sequence[Ring]) -> npt.NDArray[np.bool_]:
        """Whose level must go down: what falls short of the bound, and what overlaps others."""
        short = self._overlap(rings, range(len(rings))) < self._limits.min_iou
        filled = fill_all(rings, self._size)
        if not masks.are_disjoint(filled):
            meet = (masks.iou(filled, filled) > 0) & (masks.iou(self._exact, self._exact) == 0)
            short |= meet.any(axis=1)
        return short & (self._levels > 0)

    def _overlap(self, rings: Sequence[Ring], of: Sequence[int] | Integers) -> Floats:
        """IoU of rings with the parts that they stand for, given by number: (N,)."""
        filled = fill_all(rings, self._size)
        return np.array([masks.iou([one], [self._exact[k]])[0, 0] for one, k in zip(filled, of, strict=True)])

    def _prices(self, levels: Integers) -> Floats:
        return np.where(levels > 0, self._lowest * STEP**levels, 0)
