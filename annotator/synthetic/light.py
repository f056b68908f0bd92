"""The light of a drive: sun, sky and haze, for the time of day and the weather that its seed draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from annotator.synthetic.camera import Floats


@dataclass(frozen=True)
class Light:
    """Colours are RGB, 255 = white; `sunlight` and `ambient` multiply what they fall on."""

    sun: Floats  # (3,) unit vector towards it
    sunlight: Floats  # (3,)
    ambient: Floats  # (3,)
    sky_high: Floats  # (3,)
    sky_low: Floats  # (3,), at the horizon; the haze has its colour
    haze_distance: float  # metres at which 63 % of a thing's own colour is gone
    shadow: float  # how dark a shadow is, 0 to 1
    cloud: float  # how much of the sky is clouded, 0 to 1
    lamps: bool  # are headlights on?

    def shade(self, albedo: Floats, normals: Floats, gloss: Floats) -> Floats:
        """Colours (N, 3) of faces with unit normals (N, 3); `gloss` (N,): how much of the sky they mirror."""
        up = normals[:, 1:2]
        lit = np.maximum(normals @ self.sun, 0.0)[:, None]
        matte = albedo * (self.ambient * (0.8 + 0.25 * up) + self.sunlight * lit)
        mirrored = np.where(up > 0.1, self.sky_high * 0.4 + self.sky_low * 0.6, self.sky_low * 0.35)
        weight = gloss[:, None] * (0.35 + 0.65 * np.clip(up + 0.15, 0, 1))
        return np.asarray(matte * (1 - weight) + mirrored * weight, np.float64)

    def left_after(self, depth: float) -> float:
        """How much of a thing's own colour is left, seen through `depth` metres of air."""
        return math.exp(-max(depth, 0.0) / self.haze_distance)

    def haze(self, colours: Floats, depth: float) -> Floats:
        """Colours (..., 3) seen through `depth` metres of air."""
        return self.sky_low + self.left_after(depth) * (colours - self.sky_low)


def draw_light(rng: np.random.Generator) -> Light:
    """A time of day and a weather."""
    kind = rng.choice(["clear", "overcast", "dull", "golden", "dusk"], p=[0.28, 0.27, 0.2, 0.15, 0.1])
    elevation = np.radians(rng.uniform(28, 62) if kind != "golden" else rng.uniform(14, 26))
    azimuth = rng.uniform(0, 2 * np.pi)
    sun = np.array(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
    )
    # sunlight, ambient, sky high, sky low, haze distance, shadow, cloud
    looks = {
        "clear": ([0.86, 0.82, 0.74], [0.50, 0.53, 0.58], [92, 142, 205], [196, 214, 232], 420, 0.5, 0.35),
        "overcast": ([0.22, 0.22, 0.22], [0.70, 0.72, 0.73], [188, 194, 200], [222, 225, 226], 330, 0.3, 0.9),
        "dull": ([0.10, 0.10, 0.10], [0.52, 0.55, 0.54], [176, 186, 186], [228, 234, 232], 420, 0.3, 0.8),
        "golden": ([0.98, 0.76, 0.50], [0.52, 0.51, 0.55], [120, 150, 196], [250, 216, 172], 300, 0.48, 0.4),
        "dusk": ([0.16, 0.13, 0.14], [0.46, 0.47, 0.55], [84, 98, 140], [212, 182, 172], 260, 0.22, 0.5),
    }
    sunlight, ambient, high, low, haze, shadow, cloud = looks[str(kind)]
    gain = rng.uniform(0.9, 1.15)
    tint = rng.uniform(0.96, 1.04, 3)
    return Light(
        sun=sun,
        sunlight=np.array(sunlight) * gain * tint,
        ambient=np.array(ambient) * gain * tint,
        sky_high=np.clip(np.array(high) * rng.uniform(0.9, 1.08) * tint, 0, 255),
        sky_low=np.clip(np.array(low) * tint, 0, 255),
        haze_distance=haze * rng.uniform(0.6, 1.5),
        shadow=shadow * rng.uniform(0.85, 1.1),
        cloud=cloud,
        lamps=bool(kind in ("dusk", "dull") or rng.random() < 0.2),
    )
