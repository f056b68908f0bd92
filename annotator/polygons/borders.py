"""The borders of a label map: arcs along pixel edges, each shared by the two labels that it parts.

An arc runs from a corner where three or four borders meet to the next such corner, or around a closed border.
What is done to it holds for both sides, so that neighbours go on fitting each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.polygons.rings import Ring, area

Curve = npt.NDArray[
    np.float64
]  # (N, 2) x and y in pixels, N >= 2; the last is the first again if it is closed
Curves = Sequence[Curve] | Mapping[int, Curve]  # by arc
Integers = npt.NDArray[np.integer[Any]]
TURNS = (1, 0, 3)  # right, straight on, left; added to a direction: 0 east, 1 south, 2 west, 3 north


@dataclass(frozen=True)
class Outline:
    """A ring around an 8-connected part of a label, or around a hole of it. It may touch itself in a corner."""

    label: int
    arcs: tuple[tuple[int, bool], ...]  # in order: index of the arc, and whether it runs backwards
    area: float  # pixels within; negative for a hole

    def ring(self, curves: Curves) -> Ring:
        """The ring, given the curve of every arc; clockwise on the screen around a part."""
        ways = [curves[arc][::-1] if is_backwards else curves[arc] for arc, is_backwards in self.arcs]
        return np.concatenate([way[:-1] for way in ways])


@dataclass(frozen=True)
class Borders:
    """All borders of a label map."""

    arcs: list[Curve]  # corners along pixel edges
    outlines: list[Outline]


def trace(label_map: Integers) -> Borders:
    """The borders of a label map (H, W), in which 0 is nobody's."""
    rows, columns = (np.flatnonzero(label_map.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return Borders([], [])
    top, left = int(rows[0]), int(columns[0])
    window = np.pad(label_map[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    edges = _Edges.of(window)
    return edges.borders(np.array([left, top]))


@dataclass(frozen=True)
class _Edges:
    """The N half-edges of a label map: pixel edges with a label on their right and another one on their left.

    A half-edge starts in a corner of a pixel. Corners count along rows.
    """

    starts: Integers  # (N,) corner
    direction: Integers  # (N,)
    ends: Integers  # (N,) corner
    labels: Integers  # (N,) on its right
    width: int  # corners in a row

    @classmethod
    def of(cls, window: Integers) -> _Edges:
        width = window.shape[1] - 1
        above, below = window[:-1, 1:-1], window[1:, 1:-1]
        before, behind = window[1:-1, :-1], window[1:-1, 1:]
        found = []
        # By both sides of a pixel edge: where its half-edge starts, from the first corner of the edge, and its way.
        for one, other, sides in (
            (above, below, ((below, 0, 0), (above, 1, 2))),
            (before, behind, ((before, 0, 1), (behind, width, 3))),
        ):
            rows, columns = np.divmod(np.flatnonzero(one != other), one.shape[1])
            corners = rows * width + columns
            for label, start, way in sides:
                labels = label[rows, columns]
                numbers = 4 * (corners + start) + way
                found.append((numbers[labels != 0], labels[labels != 0]))
        numbers, labels = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(numbers)
        starts, direction = numbers[order] >> 2, numbers[order] & 3
        return cls(
            starts, direction, starts + np.array([1, width, -1, -width])[direction], labels[order], width
        )

    def following(self) -> Integers:
        """The half-edge that goes on around the same label: (N,). It turns left where it can: 8-connected."""
        numbers = 4 * self.starts + self.direction
        following = np.zeros(len(numbers), np.intp)
        for turn in TURNS:
            wanted = 4 * self.ends + (self.direction + turn) % 4
            place = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
            fits = (numbers[place] == wanted) & (self.labels[place] == self.labels)
            following[fits] = place[fits]
        return following

    def start_at_nodes(self) -> npt.NDArray[np.bool_]:
        """Whether a half-edge starts where three or four borders meet: (N,)."""
        forth, back = 4 * self.starts + self.direction, 4 * self.ends + (self.direction + 2) % 4
        edges = np.sort(np.concatenate([forth, back]))
        corners = edges[np.append(True, edges[1:] > edges[:-1])] >> 2
        return np.searchsorted(corners, self.starts, "right") - np.searchsorted(corners, self.starts) > 2

    def pixel_edges(self) -> Integers:
        """The number of the pixel edge, one for both of its half-edges: (N,)."""
        return 2 * np.minimum(self.starts, self.ends) + (self.direction & 1)

    def borders(self, origin: Integers) -> Borders:
        """Go along all half-edges; `origin` is x and y of corner 0."""
        following = self.following()
        is_corner = np.zeros(len(following), np.bool_)
        is_corner[following] = self.direction[following] != self.direction
        corners = np.stack([self.starts % self.width, self.starts // self.width], axis=1) + origin
        points: Curve = corners.astype(np.float64)
        at_node, pixel_edge = self.start_at_nodes(), self.pixel_edges()
        arcs: list[Curve] = []
        known: dict[
            int, tuple[int, tuple[int, int]]
        ] = {}  # by an edge at its end: the arc, and how it begins
        outlines = []
        for cycle in _cycles(following):
            # Without a node a ring begins at its first corner along the rows, as the one on its other side does.
            nodes = np.flatnonzero(at_node[cycle]).tolist() or [int(self.starts[cycle].argmin())]
            closed = np.concatenate([cycle[nodes[0] :], cycle[: nodes[0] + 1]])
            cuts, ways = [*(node - nodes[0] for node in nodes), len(cycle)], []
            for first, last in pairwise(cuts):
                ends = int(pixel_edge[closed[first]]), int(pixel_edge[closed[last - 1]])
                begin = ends[0], int(self.starts[closed[first]])
                arc, its_begin = known.setdefault(min(ends), (len(arcs), begin))
                ways.append((arc, begin != its_begin))
                if arc == len(arcs):
                    way = closed[first : last + 1]
                    is_kept = is_corner[way]
                    is_kept[[0, -1]] = True
                    arcs.append(points[way[is_kept]])
            label = int(self.labels[cycle[0]])
            outlines.append(Outline(label, tuple(ways), area(points[cycle[is_corner[cycle]]])))
        return Borders(arcs, outlines)


def _cycles(following: Integers) -> list[Integers]:
    """The closed ways through the half-edges."""
    successor = following.tolist()
    is_done = bytearray(len(successor))
    cycles = []
    for first in range(len(successor)):
        cycle, at = [], first
        while not is_done[at]:
            is_done[at] = 1
            cycle.append(at)
            at = successor[at]
        if cycle:
            cycles.append(np.array(cycle))
    return cycles
