"""Where things are: the bent street, the dashcam, and the pose of an object in the street.

Street coordinates are metres: x to the right of the ego lane's middle, y up from the road, s along it.
View coordinates are metres as the camera sees them: x right, y up, z ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NEAR = 0.35  # metres; what is nearer is pulled to this depth, along the street, so off to the side


@dataclass(frozen=True)
class Bend:
    """A street that winds gently: its middle runs along a sine, seen from a car that follows it."""

    amplitude: float  # metres
    wavelength: float  # metres
    phase: float  # radians

    def offset(self, s: float, ahead: npt.ArrayLike) -> Floats:
        """How far to the right the street's middle is, `ahead` metres in front of a car at `s`."""
        k = 2 * np.pi / self.wavelength
        here = k * s + self.phase
        ahead = np.asarray(ahead, np.float64)
        turned = np.sin(here + k * ahead) - np.sin(here) - np.cos(here) * k * ahead
        return self.amplitude * np.asarray(turned, np.float64)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in a car, looking along the street."""

    size: tuple[int, int]  # (H, W)
    focal: float  # pixels
    centre: tuple[float, float]  # (u, v) of the vanishing point, pixels; v is the horizon
    height: float  # metres above the road
    x: float  # street coordinates
    s: float
    bend: Bend

    def view(self, points: Floats) -> Floats:
        """Street coordinates (..., 3) -> view coordinates (..., 3)."""
        seen = np.subtract(points, (self.x, self.height, self.s))
        seen[..., 0] += self.bend.offset(self.s, seen[..., 2])
        return seen

    def pixels(self, view: Floats) -> Floats:
        """View coordinates (..., 3) -> image positions (..., 2), x then y; pixel i covers [i, i + 1)."""
        scale = self.focal / np.maximum(view[..., 2], NEAR)
        at = np.empty((*view.shape[:-1], 2))
        at[..., 0] = self.centre[0] + scale * view[..., 0]
        at[..., 1] = self.centre[1] - scale * view[..., 1]
        return at

    def project(self, points: Floats) -> Floats:
        """Street coordinates (..., 3) -> image positions (..., 2)."""
        return self.pixels(self.view(points))

    def ground(self, points: Floats) -> Floats:
        """Places on the road (..., 2), x and s -> image positions (..., 2)."""
        flat = np.zeros((*points.shape[:-1], 3))
        flat[..., 0], flat[..., 2] = points[..., 0], points[..., 1]
        return self.project(flat)


@dataclass(frozen=True)
class Pose:
    """Where an object stands, and which way it faces (0: away from the ego car, pi: towards it)."""

    x: float
    s: float
    yaw: float

    def turn(self, points: Floats) -> Floats:
        """Rotates object coordinates (..., 3): x right of the object, y up, z forward."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        turned: Floats = points @ np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        return turned

    def place(self, points: Floats) -> Floats:
        """Object coordinates (..., 3) -> street coordinates (..., 3)."""
        return np.add(self.turn(points), (self.x, 0.0, self.s))
