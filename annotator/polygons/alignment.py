"""Rings of one object laid on each other, so that CVAT's interpolation between them does not twist."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotator.polygons.rings import Ring, area

SAMPLES = 64  # points around a ring by which two of them are laid on each other


def align(ring: Ring, previous: Ring) -> Ring:
    """The same ring, wound as `previous` and begun at the vertex that lies as the start of `previous` does.

    CVAT interpolates by the way along the ring from its first vertex: rings that begin elsewhere, or run the
    other way, twist. Position is left aside, so that a moving object keeps its start.
    """
    if area(ring) * area(previous) < 0:
        ring = ring[::-1]
    wanted, _ = _resample(previous)
    points, starts = _resample(ring)
    wanted, points = wanted - wanted.mean(axis=0), points - points.mean(axis=0)
    turned = points[(np.arange(SAMPLES) + np.arange(SAMPLES)[:, None]) % SAMPLES]
    shift = np.square(turned - wanted).sum(axis=(1, 2)).argmin() / SAMPLES
    away = np.abs(starts - shift)
    return np.roll(ring, -int(np.minimum(away, 1 - away).argmin()), axis=0)


def _resample(ring: Ring) -> tuple[Ring, npt.NDArray[np.float64]]:
    """SAMPLES points at equal steps along a ring, and the place of its vertices along it in [0, 1)."""
    closed = np.vstack([ring, ring[:1]])
    along = np.append(0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T)))
    along /= max(along[-1], 1e-9)
    at = np.arange(SAMPLES) / SAMPLES
    points = np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    return points, along[:-1]
