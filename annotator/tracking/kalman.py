"""Kalman filter of boxes: each side moves at constant velocity, and what is far off counts for less.

Source: R. E. Kalman, "A new approach to linear filtering and prediction problems", 1960; white noise in velocity as
in Bar-Shalom et al., "Estimation with applications to tracking and navigation", 2001, section 6.2. Time is in steps:
a tenth of a second, or a frame where frames are far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.tracking.arrays import Bools, Floats, Indices
from annotator.tracking.overlap import sizes
from annotator.tracking.parameters import KALMAN, Std

OUTWARDS = np.array([-1, -1, 1, 1])  # directions


@dataclass(frozen=True)
class KalmanState:
    """The states of N objects: four sides each, which are independent of each other."""

    boxes_xyxy: Floats  # (N, 4) left, top, right, bottom, pixels
    velocity: Floats  # (N, 4) pixels per step
    covariance: (
        Floats  # (N, 4, 3) variance of the side, covariance of side and velocity, variance of the velocity
    )

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def __getitem__(self, which: Indices) -> KalmanState:
        return KalmanState(self.boxes_xyxy[which], self.velocity[which], self.covariance[which])

    def __setitem__(self, which: Indices, others: KalmanState) -> None:
        self.boxes_xyxy[which] = others.boxes_xyxy
        self.velocity[which] = others.velocity
        self.covariance[which] = others.covariance

    @classmethod
    def initiate(
        cls,
        boxes: Floats,
        velocity: Floats,
        measurement_noise: Std = KALMAN.measurement_noise,
        flow_velocity: Floats | None = None,
    ) -> KalmanState:
        """Begin the states of objects that are seen for the first time.

        Args:
            boxes: (N, 4) where they are seen.
            velocity: (N, 4) by which they are expected to move, pixels per step.
            measurement_noise: of the boxes.
            flow_velocity: (N, 2) how their pixels were seen to move, pixels per step; nan = not known. That is wrong
                at times, where something passes in front, so that it counts as no surer than `velocity`.
        """
        seen, started = (
            side_variance(boxes, measurement_noise),
            side_variance(boxes, KALMAN.initial_velocity_std),
        )
        if flow_velocity is not None and not np.isnan(flow_velocity).all():
            is_known = np.tile(~np.isnan(flow_velocity), 2)
            velocity = np.where(is_known, np.tile(flow_velocity, 2), velocity)
        return cls(boxes, velocity, np.stack([seen, np.zeros_like(seen), started], -1))

    @classmethod
    def empty(cls) -> KalmanState:
        """Make the state of no object."""
        return cls(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4, 3)))

    def concatenate(self, others: KalmanState) -> KalmanState:
        """Put others behind these."""
        return KalmanState(
            np.concatenate([self.boxes_xyxy, others.boxes_xyxy]),
            np.concatenate([self.velocity, others.velocity]),
            np.concatenate([self.covariance, others.covariance]),
        )

    def predict(self, steps: Floats | float) -> KalmanState:
        """Predict the states some steps later, (N, 1) or the same for all."""
        pushed = side_variance(self.boxes_xyxy, KALMAN.process_noise)
        side, both, velocity = self.covariance.transpose(2, 0, 1)
        covariance = np.empty_like(self.covariance)
        covariance[..., 0] = side + 2 * steps * both + steps**2 * velocity + pushed * steps**3 / 3
        covariance[..., 1] = both + steps * velocity + pushed * steps**2 / 2
        covariance[..., 2] = velocity + pushed * steps
        return KalmanState(self.boxes_xyxy + self.velocity * steps, self.velocity, covariance)

    def update(
        self, boxes: Floats, occluded: Bools, measurement_noise: Std = KALMAN.measurement_noise
    ) -> KalmanState:
        """Correct the states by (N, 4) boxes that are seen now, of which (N, 4) sides are occluded.

        The further a side is off, beyond KALMAN.outlier, the less it counts.
        """
        residual = boxes - self.boxes_xyxy
        noise = measurement_variance(self.boxes_xyxy, boxes, occluded, measurement_noise)
        distance = residual**2 / (self.covariance[..., 0] + noise)
        doubt = 1 + np.maximum(0, distance - KALMAN.outlier) / KALMAN.outlier
        total = self.covariance[..., 0] + noise * doubt
        side, both, velocity = self.covariance.transpose(2, 0, 1)
        gain, velocity_gain = side / total, both / total
        covariance = np.empty_like(self.covariance)
        covariance[..., 0] = (1 - gain) * side
        covariance[..., 1] = (1 - gain) * both
        covariance[..., 2] = velocity - velocity_gain * both
        return KalmanState(
            self.boxes_xyxy + gain * residual, self.velocity + velocity_gain * residual, covariance
        )

    def reversed(self) -> KalmanState:
        """Turn time round."""
        return KalmanState(self.boxes_xyxy, -self.velocity, self.covariance * np.array([1, -1, 1]))


def side_variance(boxes: Floats, std: Std) -> Floats:
    """(N, 4) variance of each side, given its standard deviation."""
    return np.asarray((std.relative * sizes(boxes) + std.pixels) ** 2)


def measurement_variance(
    predicted: Floats, boxes: Floats, occluded: Bools, std: Std = KALMAN.measurement_noise
) -> Floats:
    """(N, 4) variance of sides as they are seen; more where an occluded one is predicted to be further out."""
    goes_on = occluded & ((predicted - boxes) * OUTWARDS > 0)
    return np.asarray(side_variance(boxes, std) * np.where(goes_on, KALMAN.occlusion_inflation, 1.0))
