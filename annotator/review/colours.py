"""Colours of tracks and classes, equally light whatever their hue: the same ones in pictures, videos and pages.

Source: B. Ottosson, "A perceptual color space for image processing" (OKLab), 2020.
"""

from __future__ import annotations

import math
from functools import cache

from annotator.labels import BY_ID, INSTANCE_CLASSES

Rgb = tuple[int, int, int]

GOLDEN = (math.sqrt(5) - 1) / 2  # of a turn: numbers that follow one another get hues far apart
LIGHTNESS = (0.75, 0.6, 0.87)  # by turns
CHROMA = 0.17


@cache
def track_colour(track_id: int, class_id: int) -> Rgb:
    """The colour of a track, whatever frame it is in; that of its class without a track (0)."""
    if not track_id:
        return class_colour(class_id)
    return _oklch(LIGHTNESS[track_id % len(LIGHTNESS)], CHROMA, track_id * GOLDEN % 1)


@cache
def class_colour(class_id: int) -> Rgb:
    """The colour of a class in charts; those of Cityscapes are too dark and too near to one another for that."""
    if class_id not in INSTANCE_CLASSES:
        return _oklch(0.7, 0.04, 0.7)
    return _oklch(0.68, CHROMA, (0.07 + INSTANCE_CLASSES.index(class_id) * 3 / len(INSTANCE_CLASSES)) % 1)


def hexadecimal(colour: Rgb) -> str:
    """A colour as pages write it, "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def ink_on(colour: Rgb) -> Rgb:
    """Black or white, whichever is read more easily on a colour (contrast of WCAG 2)."""
    return (0, 0, 0) if _luminance(colour) > 0.18 else (255, 255, 255)


def class_name(class_id: int) -> str:
    """The name of a class of Cityscapes."""
    return BY_ID[class_id].name


def _luminance(colour: Rgb) -> float:
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _oklch(lightness: float, chroma: float, turn: float) -> Rgb:
    """sRGB of OKLCH, as near to it as a screen shows."""
    a, b = chroma * math.cos(2 * math.pi * turn), chroma * math.sin(2 * math.pi * turn)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    return _srgb(red), _srgb(green), _srgb(blue)


def _srgb(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    value = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * value)
