"""Where tracklets end and begin: motion there, filtered from inside, and how far two of these states are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotator.tracking.arrays import Floats, Indices
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import CameraMotion
from annotator.tracking.kalman import KalmanState
from annotator.tracking.parameters import ENDPOINTS
from annotator.tracking.tracklets import Tracklet


@dataclass(frozen=True)
class Endpoints:
    """One end of each of N tracklets, with time running as in the recording."""

    state: KalmanState
    frames: Indices  # (N,)
    times: Floats  # (N,) steps
    seen: Detections  # N
    lengths: Indices  # (N,) detections of the whole tracklet

    @classmethod
    def of_tracks(
        cls,
        tracks: Sequence[Tracklet],
        asked: Indices,
        frames: Sequence[Detections],
        times: Floats,
        camera: CameraMotion,
        is_end: bool,
    ) -> tuple[Endpoints, Indices]:
        """Filter the ends of tracks, or their beginnings backwards.

        Args:
            tracks: of the sequence.
            asked: (K,) numbers of those that are asked for; one may come many times.
            frames: detections of the sequence.
            times: (T,) of its frames, in steps.
            camera: its motion, by which an end begins to move.
            is_end: the end of each, or else the beginning.

        Returns the ends, each once, and (K,) where each is.
        """
        numbers, place = np.unique(asked, return_inverse=True)
        return cls._of([tracks[k] for k in numbers], frames, times, camera, is_end), place

    @classmethod
    def _of(
        cls,
        tracks: Sequence[Tracklet],
        frames: Sequence[Detections],
        times: Floats,
        camera: CameraMotion,
        is_end: bool,
    ) -> Endpoints:
        longest, noise = ENDPOINTS.detections, ENDPOINTS.measurement_noise
        parts = [track[-longest:] if is_end else track[:longest][::-1] for track in tracks]
        first = np.array([part[0][0] for part in parts])
        boxes = np.array([frames[frame].boxes_xyxy[place] for frame, place in (part[0] for part in parts)])
        velocity = camera.velocity(boxes, first)
        state = KalmanState.initiate(boxes, velocity if is_end else -velocity, noise)
        for k in range(1, longest):
            rows = np.array([row for row, part in enumerate(parts) if len(part) > k], np.intp)
            if not len(rows):
                break
            steps = [(parts[row][k - 1], parts[row][k]) for row in rows]
            elapsed = np.array([abs(times[b[0]] - times[a[0]]) for a, b in steps])[:, None]
            boxes = np.array([frames[frame].boxes_xyxy[place] for _, (frame, place) in steps])
            occluded = np.array([frames[frame].occluded_sides[place] for _, (frame, place) in steps])
            state[rows] = state[rows].predict(elapsed).update(boxes, occluded, noise)
        last = np.array([part[-1][0] for part in parts])
        return cls(
            state if is_end else state.reversed(),
            last,
            times[last],
            Detections.gather(frames, [part[-1] for part in parts]),
            np.array([len(track) for track in tracks]),
        )


def mahalanobis(
    before: Endpoints, after: Endpoints, first: Indices, second: Indices
) -> tuple[Floats, Floats]:
    """(K, 4) squared Mahalanobis distance of the states (side, velocity) of pairs, and the covariance's determinant."""
    a = before.state[first].predict((after.times[second] - before.times[first])[:, None])
    b = after.state[second]
    side, both, velocity = (a.covariance + b.covariance).transpose(2, 0, 1)
    determinant = np.maximum(side * velocity - both**2, 1e-9)
    away, faster = b.boxes_xyxy - a.boxes_xyxy, b.velocity - a.velocity
    distance = (velocity * away**2 - 2 * both * away * faster + side * faster**2) / determinant
    return np.maximum(distance, 0), determinant
