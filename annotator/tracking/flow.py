"""How the picture moves with the camera: what comes into sight moves as what stands around it does.

A camera that turns moves everything alike. One that drives makes what stands go outwards from where it drives to, by
x V / Z, if x is how far it is from there: the nearer the object, the faster. Objects of roads are about as tall as one
another, so their height in pixels stands for 1 / Z (Longuet-Higgins and Prazdny, "The interpretation of a moving
retinal image", 1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotator.tracking.observations import Floats, Indices, Observed

HORIZON = 0.3  # of the height of objects, from the top: the eyes of a driver
UNIT = 1e-4  # of `approach`: pixels per tick of an object 100 pixels tall and 100 from the centre
DOUBT = (1.0, 0.1)  # how far objects move from the flow: pixels per tick, and share of their height
ROUNDS, MOST_ROUNDS = 2, 6  # of weighting; more than the first only where the camera begins to turn fast
FEW = (0.1, 0.2)  # what speaks for no turn and no approach: each counts as so much weight seen at none


@dataclass(frozen=True)
class Flow:
    """The flow of the picture in T frames, and where it comes from."""

    turn: Floats  # (T,) pixels per tick to the right
    approach: Floats  # (T,) pixels per tick of an object 100 pixels tall and 100 from the centre
    centre: Floats  # (2,) x and y

    @classmethod
    def still(cls, observed: Sequence[Observed]) -> Flow:
        """None, in these frames, and around the middle of what is seen there."""
        every = np.concatenate([np.zeros((0, 4)), *(seen.edges for seen in observed)])
        centre = np.zeros(2)
        if len(every):
            left, top, right, bottom = every.T
            centre = np.array([(left.min() + right.max()) / 2, np.median(top + HORIZON * (bottom - top))])
        return cls(np.zeros(len(observed)), np.zeros(len(observed)), centre)

    def unknown(self) -> Flow:
        """None, in as many frames and around the same middle."""
        return Flow(np.zeros_like(self.turn), np.zeros_like(self.approach), self.centre)

    def velocity(self, edges: Floats, frames: Indices | int) -> Floats:
        """(N, 4) pixels per tick by which what stands at edges (N, 4) moves in frames, (N,) or the same for all."""
        turn, approach = np.reshape(self.turn[frames], (-1, 1)), np.reshape(self.approach[frames], (-1, 1))
        velocity = np.empty_like(edges)
        outwards = UNIT * approach * _heights(edges)[:, None]
        velocity[:, ::2] = outwards * (edges[:, ::2] - self.centre[0]) + turn
        velocity[:, 1::2] = outwards * (edges[:, 1::2] - self.centre[1])
        return velocity

    def tell(self, frame: int, before: int, edges: Floats, velocity: Floats) -> None:
        """Find the flow in a frame, given edges (N, 4) of objects and their velocity; some of them move by themselves.

        By weighted least squares in which what is far off counts for less, beginning with the frame before.
        """
        height = _heights(edges)
        outwards = UNIT * height * ((edges[:, 0] + edges[:, 2]) / 2 - self.centre[0])
        moved = (velocity[:, 0] + velocity[:, 2]) / 2
        doubt = DOUBT[0] + DOUBT[1] * height
        terms = np.stack([np.ones(len(edges)), outwards, outwards**2, moved, outwards * moved])
        turn, approach = self.turn[before], self.approach[before]
        for done in range(1, MOST_ROUNDS + 1):
            expected = turn
            off = np.abs(moved - turn - approach * outwards) / doubt
            weights, first, second, along, across = (terms @ (1 / (doubt * np.maximum(off, 1)))).tolist()
            weights, second = weights + FEW[0], second + FEW[1]
            determinant = weights * second - first**2
            turn = (second * along - first * across) / determinant
            approach = (weights * across - first * along) / determinant
            if done >= ROUNDS and abs(turn - expected) < DOUBT[0]:
                break
        self.turn[frame], self.approach[frame] = turn, approach


def _heights(edges: Floats) -> Floats:
    return np.maximum(edges[:, 3] - edges[:, 1], 1)
