"""Motion of the camera, fitted to that of objects: what comes into sight moves as what stands around it does.

A camera that pans moves everything alike. One that drives makes what stands expand from the focus of expansion, by
x V / Z, if x is how far it is from there: the nearer the object, the faster. Objects of roads are about as tall as one
another, so their height in pixels stands for 1 / Z (Longuet-Higgins and Prazdny, "The interpretation of a moving
retinal image", 1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotator.tracking.arrays import Floats, Indices
from annotator.tracking.detections import Detections
from annotator.tracking.parameters import EGO_MOTION

# Of `expansion`: pixels per step of an object 100 pixels tall and 100 from the focus.
EXPANSION_UNIT = 1e-4


@dataclass(frozen=True)
class CameraMotion:
    """How the camera moves in T frames, as flow of the picture."""

    pan: Floats  # (T,) pixels per step to the right
    expansion: Floats  # (T,) pixels per step of an object 100 pixels tall and 100 from the focus
    focus_of_expansion: Floats  # (2,) x and y

    @classmethod
    def still(cls, frames: Sequence[Detections]) -> CameraMotion:
        """Make that of a camera at rest; the focus is the middle of what is seen in the frames."""
        boxes = np.concatenate([np.zeros((0, 4)), *(detections.boxes_xyxy for detections in frames)])
        focus = np.zeros(2)
        if len(boxes):
            left, top, right, bottom = boxes.T
            horizon = np.median(top + EGO_MOTION.horizon * (bottom - top))
            focus = np.array([(left.min() + right.max()) / 2, horizon])
        return cls(np.zeros(len(frames)), np.zeros(len(frames)), focus)

    def at_rest(self) -> CameraMotion:
        """Make that of a camera at rest, in as many frames and of the same focus."""
        return CameraMotion(np.zeros_like(self.pan), np.zeros_like(self.expansion), self.focus_of_expansion)

    def velocity(self, boxes: Floats, frames: Indices | int) -> Floats:
        """(N, 4) pixels per step by which what stands at boxes (N, 4) moves in frames, (N,) or the same for all."""
        pan, expansion = np.reshape(self.pan[frames], (-1, 1)), np.reshape(self.expansion[frames], (-1, 1))
        velocity = np.empty_like(boxes)
        outwards = EXPANSION_UNIT * expansion * _heights(boxes)[:, None]
        velocity[:, ::2] = outwards * (boxes[:, ::2] - self.focus_of_expansion[0]) + pan
        velocity[:, 1::2] = outwards * (boxes[:, 1::2] - self.focus_of_expansion[1])
        return velocity

    def fit(self, frame: int, before: int, boxes: Floats, velocity: Floats) -> None:
        """Fit pan and expansion of a frame to the velocity (N, 4) of boxes (N, 4), some of which move by themselves.

        By weighted least squares in which what is far off counts for less, beginning with the frame `before`.
        """
        height = _heights(boxes)
        outwards = EXPANSION_UNIT * height * ((boxes[:, 0] + boxes[:, 2]) / 2 - self.focus_of_expansion[0])
        moved = (velocity[:, 0] + velocity[:, 2]) / 2
        std = EGO_MOTION.object_std.pixels + EGO_MOTION.object_std.relative * height
        terms = np.stack([np.ones(len(boxes)), outwards, outwards**2, moved, outwards * moved])
        pan, expansion = self.pan[before], self.expansion[before]
        for done in range(1, EGO_MOTION.max_rounds + 1):
            expected = pan
            off = np.abs(moved - pan - expansion * outwards) / std
            weights, first, second, along, across = (terms @ (1 / (std * np.maximum(off, 1)))).tolist()
            weights, second = weights + EGO_MOTION.pan_prior, second + EGO_MOTION.expansion_prior
            determinant = weights * second - first**2
            pan = (second * along - first * across) / determinant
            expansion = (weights * across - first * along) / determinant
            if done >= EGO_MOTION.rounds and abs(pan - expected) < EGO_MOTION.object_std.pixels:
                break
        self.pan[frame], self.expansion[frame] = pan, expansion


def _heights(boxes: Floats) -> Floats:
    return np.maximum(boxes[:, 3] - boxes[:, 1], 1)
