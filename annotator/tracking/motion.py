"""Where an object will be: the edges of its box move at constant velocities, by a forgiving Kalman filter.

Source: R. E. Kalman, "A new approach to linear filtering and prediction problems", 1960; white noise in velocity as
in Bar-Shalom et al., "Estimation with applications to tracking and navigation", 2001, section 6.2. Time is in ticks:
a tenth of a second, or a frame where frames are far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.tracking.observations import Bools, Floats, Indices, sizes

Deviation = tuple[float, float]  # a share of the object's size and some pixels

# Fitted on KITTI MOTS with noise.
SEEN = (0.04, 1.0)  # of an edge as it is seen
PUSHED = (0.02, 0.7)  # of the change of velocity in a tick
STARTED = (0.35, 6.0)  # of the velocity of something seen once
HIDDEN = 6.0  # times as much variance of an edge behind which the object is expected to go on, and may
OUTLIER = 6.0  # squared deviation from which an edge counts for less: legs, and what is half hidden
OUTWARDS = np.array([-1, -1, 1, 1])  # directions


@dataclass(frozen=True)
class Motion:
    """The motion of N objects."""

    edges: Floats  # (N, 4) left, top, right, bottom, pixels
    velocity: Floats  # (N, 4) pixels per tick
    variance: Floats  # (N, 4, 3) of the edge, of edge with velocity, of the velocity

    def __len__(self) -> int:
        return len(self.edges)

    @classmethod
    def begin(
        cls, edges: Floats, velocity: Floats, deviation: Deviation = SEEN, moving: Floats | None = None
    ) -> Motion:
        """Objects seen for the first time, which are expected to move by `velocity` (N, 4).

        `moving` (N, 2) pixels per tick is how their pixels were seen to move; nan = not known. That is wrong at times,
        where something passes in front, so that it counts as no surer than `velocity`.
        """
        seen, started = noise(edges, deviation), noise(edges, STARTED)
        if moving is not None and not np.isnan(moving).all():
            is_known = np.tile(~np.isnan(moving), 2)
            velocity = np.where(is_known, np.tile(moving, 2), velocity)
        return cls(edges, velocity, np.stack([seen, np.zeros_like(seen), started], -1))

    @classmethod
    def none(cls) -> Motion:
        """That of no object."""
        return cls(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4, 3)))

    def only(self, which: Indices) -> Motion:
        """Some of them."""
        return Motion(self.edges[which], self.velocity[which], self.variance[which])

    def with_others(self, others: Motion) -> Motion:
        """These and others."""
        return Motion(
            np.concatenate([self.edges, others.edges]),
            np.concatenate([self.velocity, others.velocity]),
            np.concatenate([self.variance, others.variance]),
        )

    def after(self, ticks: Floats | float) -> Motion:
        """The motion some ticks later, (N, 1) or the same for all."""
        pushed = noise(self.edges, PUSHED)
        edge, both, velocity = self.variance.transpose(2, 0, 1)
        variance = np.empty_like(self.variance)
        variance[..., 0] = edge + 2 * ticks * both + ticks**2 * velocity + pushed * ticks**3 / 3
        variance[..., 1] = both + ticks * velocity + pushed * ticks**2 / 2
        variance[..., 2] = velocity + pushed * ticks
        return Motion(self.edges + self.velocity * ticks, self.velocity, variance)

    def seen_at(self, edges: Floats, hidden: Bools, deviation: Deviation = SEEN) -> Motion:
        """The motion, given where the objects are seen now, and which (N, 4) edges are hidden."""
        away = edges - self.edges
        seen = noise_of_seen(self.edges, edges, hidden, deviation)
        doubt = 1 + np.maximum(0, away**2 / (self.variance[..., 0] + seen) - OUTLIER) / OUTLIER
        total = self.variance[..., 0] + seen * doubt
        edge, both, velocity = self.variance.transpose(2, 0, 1)
        gain, velocity_gain = edge / total, both / total
        variance = np.empty_like(self.variance)
        variance[..., 0] = (1 - gain) * edge
        variance[..., 1] = (1 - gain) * both
        variance[..., 2] = velocity - velocity_gain * both
        return Motion(self.edges + gain * away, self.velocity + velocity_gain * away, variance)

    def put(self, which: Indices, others: Motion) -> None:
        """Replace some of them, in place."""
        self.edges[which], self.velocity[which], self.variance[which] = (
            others.edges,
            others.velocity,
            others.variance,
        )

    def reversed(self) -> Motion:
        """The same motion with time running the other way."""
        return Motion(self.edges, -self.velocity, self.variance * np.array([1, -1, 1]))


def noise(edges: Floats, deviation: Deviation) -> Floats:
    """(..., 4) variance of each edge, given a share of the size and some pixels."""
    return np.asarray((deviation[0] * sizes(edges) + deviation[1]) ** 2)


def noise_of_seen(expected: Floats, edges: Floats, hidden: Bools, deviation: Deviation = SEEN) -> Floats:
    """(..., 4) variance of edges as they are seen; more where the object is expected to go on behind a hidden one."""
    goes_on = hidden & ((expected - edges) * OUTWARDS > 0)
    return np.asarray(noise(edges, deviation) * np.where(goes_on, HIDDEN, 1.0))
