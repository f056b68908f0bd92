"""Keyframes: those shapes of a track that CVAT needs to show all of them within a bound of their overlap.

CVAT interpolates between keyframes, and this replays it: the next keyframe is the farthest one (found by doubling and
halving the distance) up to which every shape between is shown well enough. Shapes come one by one, and wait until that
is known; at most LONGEST of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from annotator import masks, polygons
from annotator.formats.cvat.interpolation import interpolate
from annotator.formats.cvat.shapes import Shape
from annotator.polygons import Ring

LONGEST = 128  # frames from one keyframe to the next


class Keyframe(NamedTuple):
    """A shape of a track as it is written; the object is seen in it, or no longer."""

    shape: Shape
    is_outside: bool


class Keyframes:
    """The keyframes of one track, found while its shapes come in."""

    def __init__(self, min_iou: float, step: int, last: int, exact: Container[int] = ()) -> None:
        """`exact`: indices of frames in which every shape is a keyframe."""
        self._min_iou = min_iou
        self._exact = exact
        self._step = step  # indices from one frame to the next
        self._last = last  # index of the last frame there is
        self._waiting: list[Shape] = []  # frame by frame, from the last keyframe on
        self._reachable = 1  # the farthest of them that is known to do as the next keyframe

    def add(self, shape: Shape) -> Iterator[Keyframe]:
        """Go on with a shape of a later frame; yield what is decided by it."""
        if self._waiting and shape.frame > self._waiting[-1].frame + self._step:
            yield from self.end(comes_back=True)
        self._waiting.append(shape)
        while len(self._waiting) > 2 * self._reachable:
            if self._can_skip_to(2 * self._reachable):
                self._reachable *= 2
            else:
                yield self._emit_keyframe(self._farthest(self._reachable, 2 * self._reachable - 1))
            if self._reachable >= LONGEST:
                yield self._emit_keyframe(self._reachable)

    def end(self, comes_back: bool = False) -> Iterator[Keyframe]:
        """The object is not seen any more, or not for now; yield the keyframes that are left, and a closing one.

        One that comes back has a keyframe where it is seen last. Where a job of a task begins between keyframes and
        the first in it are closing ones, CVAT leaves these out, and shows the object on to where it comes back.
        """
        while self._waiting:
            closing, count = self._closing(), len(self._waiting)
            if count == 1 or (
                closing is not None
                and not comes_back
                and self._is_within_bound(self._waiting[1:], closing.ring, count)
            ):
                yield Keyframe(self._merged(count), False)
                if closing is not None:
                    yield Keyframe(closing, True)
                self._waiting, self._reachable = [], 1
            else:
                yield self._emit_keyframe(self._farthest(min(self._reachable, count - 1), count - 1))

    def _emit_keyframe(self, place: int) -> Keyframe:
        """Make a waiting shape the last keyframe; the one before it, which is decided now."""
        decided = self._merged(place)
        self._waiting = [self._aligned(self._waiting[place]), *self._waiting[place + 1 :]]
        self._reachable = 1
        return Keyframe(decided, False)

    def _merged(self, until: int) -> Shape:
        """The last keyframe with all that is to be said until the next one: attributes hold on in CVAT."""
        review = dict.fromkeys(remark for shape in self._waiting[:until] for remark in shape.review)
        doubts = [shape.doubt for shape in self._waiting[:until] if shape.doubt is not None]
        return self._waiting[0]._replace(review=tuple(review), doubt=max(doubts, default=None))

    def _farthest(self, low: int, high: int) -> int:
        """The farthest of some waiting shapes that does as the next keyframe; the nearest is known to do."""
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._can_skip_to(middle) else (low, middle - 1)
        return low

    def _can_skip_to(self, place: int) -> bool:
        """Whether a waiting shape can be the next keyframe."""
        if place == 1:
            return True
        return self._is_within_bound(self._waiting[1:place], self._aligned(self._waiting[place]).ring, place)

    def _is_within_bound(self, between: Sequence[Shape], ring: Ring, steps: int) -> bool:
        """Whether shapes are shown well enough on the way from the last keyframe to a ring so many steps on."""
        if self._min_iou >= 1 or any(shape.frame in self._exact for shape in between):
            return not between
        begin, (height, width) = self._waiting[0], between[0].exact["size"]
        # What lies in the middle is shown worst: most often one look is enough.
        for chosen in (range(len(between) // 2, len(between) // 2 + 1), range(len(between))):
            shares = [(between[k].frame - begin.frame) / (steps * self._step) for k in chosen]
            rings = interpolate(begin.ring, ring, shares)
            for k, filled in zip(chosen, polygons.fill_all(rings, (height, width)), strict=True):
                if masks.iou([filled], [between[k].exact])[0, 0] < self._min_iou:
                    return False
        return True

    def _aligned(self, shape: Shape) -> Shape:
        return shape._replace(ring=polygons.align(shape.ring, self._waiting[0].ring))

    def _closing(self) -> Shape | None:
        """The last shape moved on by a step, where it would be seen next; None if there is no such frame."""
        last = self._waiting[-1]
        if last.frame + self._step > self._last:
            return None
        shape = self._aligned(last) if len(self._waiting) > 1 else last
        moved = _centre(last) - _centre(self._waiting[-2]) if len(self._waiting) > 1 else np.zeros(2)
        return shape._replace(frame=last.frame + self._step, ring=np.round(shape.ring + moved, 1), review=())


def _centre(shape: Shape) -> Ring:
    left, top, width, height = masks.boxes_xywh([shape.exact])[0]
    return np.array([left + width / 2, top + height / 2])
