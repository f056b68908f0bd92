"""Trees, bushes, lamps, signs and other things beside the road."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from annotator.synthetic.camera import Floats
from annotator.synthetic.paint import Image, halvings
from annotator.synthetic.shapes import Colour, Part


@lru_cache(maxsize=32)
def foliage(variant: int) -> tuple[Image, ...]:
    """The crown of a tree, or a bush: a premultiplied picture (256, 256, 4), green, and its halvings."""
    rng = np.random.default_rng([variant, 9])
    size = 256
    image = np.zeros((size * 2, size * 2, 4), np.uint8)
    if variant % 5 == 4:
        _branch(image, np.array([size, 2.0 * size - 2]), -np.pi / 2, size * 0.5, 13.0, rng)
    else:
        lumps = (
            np.clip(rng.normal(0, 1, (int(rng.integers(12, 20)), 2)), -1.6, 1.6) * (0.32, 0.27) * size + size
        )
        leaves = []
        for lump in lumps:
            radius = rng.uniform(0.16, 0.34) * size
            count = int(radius * rng.uniform(9, 13))
            angle, reach = (
                rng.uniform(0, 2 * np.pi, count),
                radius * np.minimum(0.6 * rng.rayleigh(1, count), 1.4),
            )
            x, y = lump[0] + reach * np.cos(angle), lump[1] + 0.85 * reach * np.sin(angle)
            leaves.append(np.column_stack([x, y, np.full(count, lump[1]), np.full(count, radius)]))
        every = np.concatenate(leaves)
        every = every[np.argsort(-every[:, 1] + rng.normal(0, 0.25 * size, len(every)))]
        light = 0.72 + 0.35 * (every[:, 2] - every[:, 1]) / every[:, 3] - 0.25 * (every[:, 1] - size) / size
        light = np.clip(light + rng.normal(0, 0.1, len(every)), 0.25, 1.5)
        colours = np.clip(
            np.array([88, 112, 62]) * light[:, None] + rng.normal(0, 4, (len(every), 3)), 0, 255
        )
        axes = rng.uniform((3, 2), (8, 5), (len(every), 2))
        for (x, y, *_), colour, axis, turn in zip(
            every, colours.tolist(), axes, rng.uniform(0, 180, len(every)), strict=True
        ):
            cv2.ellipse(image, ((x, y), axis.tolist(), turn), (*colour, 255), -1)
    return halvings(np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8))


def _branch(
    image: Image, at: Floats, angle: float, length: float, width: float, rng: np.random.Generator
) -> None:
    """A bare tree."""
    end = at + length * np.array([np.cos(angle), np.sin(angle)])
    grey = float(rng.uniform(50, 90))
    cv2.line(
        image,
        at.astype(int).tolist(),
        end.astype(int).tolist(),
        (grey, grey * 0.92, grey * 0.8, 255),
        max(int(width), 1),
        cv2.LINE_AA,
    )
    if length < 9:
        return
    for _ in range(int(rng.integers(2, 5))):
        _branch(
            image,
            at + (end - at) * rng.uniform(0.45, 1.0),
            angle + rng.normal(0, 0.6),
            length * rng.uniform(0.5, 0.78),
            width * 0.62,
            rng,
        )


def _lamp(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    tall, reach = rng.uniform(4.5, 8.5), rng.uniform(-1.6, 1.6)
    return [
        Part([(0, 0.09, 0), (0, tall, 0)], [0.09, 0.05], steel),
        Part([(0, tall, 0), (reach, tall + 0.3, 0)], [0.045, 0.04], steel),
        Part([(reach, tall + 0.28, 0), (reach * 1.35, tall + 0.33, 0)], [0.1, 0.09], steel * 1.3),
    ]


def _sign(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    tall, size = rng.uniform(2.1, 2.9), rng.uniform(0.26, 0.36)
    face: Colour = (232, 232, 230) if rng.random() < 0.6 else bright
    return [
        Part([(0, 0, 0), (0, tall + size, 0)], [0.035, 0.035], steel),
        Part([(0, tall, 0)], [size], bright, nearer=0.05),
        Part([(0, tall, -0.02)], [size * 0.72], face, nearer=0.1),
    ]


def _panel(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    low, wide, high = rng.uniform(1.6, 2.6), rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.9)
    corners = [(x, y, 0.0) for x in (-wide, wide) for y in (low, low + high)]
    inner = [(x * 0.85, y, -0.02) for x in (-wide, wide) for y in (low + 0.12 * high, low + 0.5 * high)]
    return [
        Part([(0, 0, 0), (0, low, 0)], [0.05, 0.05], steel),
        Part(corners, [0.03] * 4, bright, nearer=0.05),
        Part(inner, [0.03] * 4, (236, 236, 232), nearer=0.1),
    ]


def _traffic_lights(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    lit, off = rng.integers(3), (50, 50, 50)
    colours = ((255, 50, 36), (255, 186, 40), (60, 240, 120))
    return [
        Part([(0, 0, 0), (0, 3.2, 0)], [0.07, 0.06], steel),
        Part([(0, 2.3, 0), (0, 3.1, 0)], [0.16, 0.16], (28, 28, 30), nearer=0.05),
        *(
            Part([(0, 2.98 - 0.28 * k, -0.05)], [0.1], colour if k == lit else off, nearer=0.2)
            for k, colour in enumerate(colours)
        ),
    ]


def _bin(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    return [Part(_drum(0.2, 0.04, rng.uniform(0.7, 1.0)), [0.04] * 8, _muted(bright))]


def _bollard(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    return [
        Part([(0, 0, 0), (0, 0.9, 0)], [0.07, 0.07], steel),
        Part([(0, 0.75, 0)], [0.08], (226, 226, 224), nearer=0.05),
    ]


def _column(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    poster = [(x * 0.42, y, -0.3) for x in (-1, 1) for y in (1.1, 2.3)]
    return [
        Part(_drum(0.5, 0.13, 2.7), [0.12] * 8, steel * 0.8),
        Part(poster, [0.08] * 4, _muted(bright), nearer=0.3),
        Part([(0, 2.85, 0)], [0.62], steel * 0.6, nearer=-0.2),
    ]


def _beacon(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    board = [(x, y, 0.0) for x in (-0.1, 0.1) for y in (0.1, 1.1)]
    stripes = [[(-0.1, 0.2 + 0.33 * k, 0.0), (0.1, 0.36 + 0.33 * k, 0.0)] for k in range(3)]
    return [
        Part(board, [0.03] * 4, (232, 230, 226)),
        *(Part(stripe, [0.06, 0.06], (206, 44, 32), nearer=0.05) for stripe in stripes),
    ]


def _box(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    wide, tall = rng.uniform(0.3, 0.8), rng.uniform(0.9, 1.5)
    corners = [(x * wide, y, z * 0.2) for x in (-1, 1) for y in (0.05, tall) for z in (-1, 1)]
    return [Part(corners, [0.05] * 8, steel * 1.1)]


def _umbrella(rng: np.random.Generator, steel: Floats, bright: Colour) -> list[Part]:
    brim = [(1.3 * np.cos(a), 2.2, 1.3 * np.sin(a)) for a in np.arange(0, 2 * np.pi, np.pi / 4)]
    return [
        Part([(0, 0, 0), (0, 2.4, 0)], [0.03, 0.03], steel),
        Part([*brim, (0.0, 2.75, 0.0)], [0.03] * 9, _muted(bright)),
    ]


class Furnishing(NamedTuple):
    """A kind of thing beside the road."""

    name: str
    share: int  # how often it stands there, beside the others
    draw: Callable[[np.random.Generator, Floats, Colour], list[Part]]  # in a steel and a bright colour


FURNITURE = (
    Furnishing("lamp", 2, _lamp),
    Furnishing("sign", 2, _sign),
    Furnishing("panel", 1, _panel),
    Furnishing("lights", 1, _traffic_lights),
    Furnishing("bin", 1, _bin),
    Furnishing("bollard", 2, _bollard),
    Furnishing("column", 1, _column),
    Furnishing("beacon", 1, _beacon),
    Furnishing("box", 1, _box),
    Furnishing("umbrella", 1, _umbrella),
)
STEEL = np.array([110, 112, 114])
BRIGHT = ((196, 30, 34), (30, 74, 168), (226, 180, 30), (230, 230, 228), (40, 120, 70))


def draw_furniture(rng: np.random.Generator) -> list[Part]:
    """Draw a thing beside the road."""
    every = [each for each in FURNITURE for _ in range(each.share)]
    thing = every[rng.integers(len(every))]
    steel = STEEL * rng.uniform(0.5, 1.3)
    return thing.draw(rng, steel, np.array(BRIGHT[rng.integers(len(BRIGHT))]))


def _drum(radius: float, low: float, high: float) -> list[tuple[float, float, float]]:
    sides = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return [(x * radius, y, z * radius) for x, z in sides for y in (low, high)]


def _muted(colour: Colour) -> Colour:
    return [0.6 * channel + 40 for channel in colour]
