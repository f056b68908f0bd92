"""Colours of people and what they ride."""

from __future__ import annotations

from math import pi

import numpy as np

from annotator.synthetic.camera import Floats
from annotator.synthetic.shapes import Colour


def rgb(colour: Floats) -> Colour:
    """Bound a colour to what things are painted with."""
    return tuple(np.clip(colour, 6, 238).tolist())


def darker(colour: Colour, factor: float) -> Colour:
    """Shade a colour."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def cloth(rng: np.random.Generator, dark: float) -> Colour:
    """Draw a colour of clothes: dark with the given probability, else light or bright."""
    if rng.random() < dark:
        base = np.array(
            [(30, 31, 34), (44, 48, 62), (52, 62, 88), (70, 66, 60), (58, 44, 40), (40, 52, 46)][
                rng.integers(6)
            ]
        )
        return rgb(base * rng.uniform(0.6, 1.4) + rng.uniform(-6, 6, 3))
    if rng.random() < 0.4:
        return rgb(rng.uniform(140, 230) + rng.uniform(-10, 10, 3))
    hue = rng.uniform(0, 2 * pi) + np.array([0, 2.1, 4.2])
    return rgb(rng.uniform(80, 160) + rng.uniform(12, 75) * np.cos(hue))
