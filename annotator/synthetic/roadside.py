"""Trees, bushes, lamps, signs and other things beside the road."""

from __future__ import annotations

from functools import lru_cache

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


FURNITURE = (
    "lamp",
    "lamp",
    "sign",
    "sign",
    "panel",
    "lights",
    "bin",
    "bollard",
    "bollard",
    "column",
    "beacon",
    "box",
    "umbrella",
)


def furniture(kind: str, rng: np.random.Generator) -> list[Part]:
    """A thing beside the road."""
    steel = np.array([110, 112, 114]) * rng.uniform(0.5, 1.3)
    bright: Colour = np.array(
        [[196, 30, 34], [30, 74, 168], [226, 180, 30], [230, 230, 228], [40, 120, 70]][rng.integers(5)]
    )
    if kind == "lamp":
        tall, reach = rng.uniform(4.5, 8.5), rng.uniform(-1.6, 1.6)
        return [
            Part([(0, 0.09, 0), (0, tall, 0)], [0.09, 0.05], steel),
            Part([(0, tall, 0), (reach, tall + 0.3, 0)], [0.045, 0.04], steel),
            Part([(reach, tall + 0.28, 0), (reach * 1.35, tall + 0.33, 0)], [0.1, 0.09], steel * 1.3),
        ]
    if kind == "sign":
        tall, size = rng.uniform(2.1, 2.9), rng.uniform(0.26, 0.36)
        face: Colour = (232, 232, 230) if rng.random() < 0.6 else bright
        return [
            Part([(0, 0, 0), (0, tall + size, 0)], [0.035, 0.035], steel),
            Part([(0, tall, 0)], [size], bright, nearer=0.05),
            Part([(0, tall, -0.02)], [size * 0.72], face, nearer=0.1),
        ]
    if kind == "panel":
        low, wide, high = rng.uniform(1.6, 2.6), rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.9)
        corners = [(x, y, 0.0) for x in (-wide, wide) for y in (low, low + high)]
        inner = [(x * 0.85, y, -0.02) for x in (-wide, wide) for y in (low + 0.12 * high, low + 0.5 * high)]
        return [
            Part([(0, 0, 0), (0, low, 0)], [0.05, 0.05], steel),
            Part(corners, [0.03] * 4, bright, nearer=0.05),
            Part(inner, [0.03] * 4, (236, 236, 232), nearer=0.1),
        ]
    if kind == "lights":
        parts = [Part([(0, 0, 0), (0, 3.2, 0)], [0.07, 0.06], steel)]
        parts.append(Part([(0, 2.3, 0), (0, 3.1, 0)], [0.16, 0.16], (28, 28, 30), nearer=0.05))
        lit = rng.integers(3)
        colours = ((255, 50, 36), (255, 186, 40), (60, 240, 120))
        parts += [
            Part([(0, 2.98 - 0.28 * k, -0.05)], [0.1], colours[k] if k == lit else (50, 50, 50), nearer=0.2)
            for k in range(3)
        ]
        return parts
    if kind == "bin":
        tall = rng.uniform(0.7, 1.0)
        drum = [(x * 0.2, y, z * 0.2) for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1)) for y in (0.04, tall)]
        return [Part(drum, [0.04] * 8, _muted(bright))]
    if kind == "bollard":
        return [
            Part([(0, 0, 0), (0, 0.9, 0)], [0.07, 0.07], steel),
            Part([(0, 0.75, 0)], [0.08], (226, 226, 224), nearer=0.05),
        ]
    if kind == "column":
        drum = [(x * 0.5, y, z * 0.5) for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1)) for y in (0.13, 2.7)]
        poster = [(x * 0.42, y, -0.3) for x in (-1, 1) for y in (1.1, 2.3)]
        return [
            Part(drum, [0.12] * 8, steel * 0.8),
            Part(poster, [0.08] * 4, _muted(bright), nearer=0.3),
            Part([(0, 2.85, 0)], [0.62], steel * 0.6, nearer=-0.2),
        ]
    if kind == "beacon":
        boards = [Part([(x, y, 0) for x in (-0.1, 0.1) for y in (0.1, 1.1)], [0.03] * 4, (232, 230, 226))]
        for k in range(3):
            boards.append(
                Part(
                    [(-0.1, 0.2 + 0.33 * k, 0), (0.1, 0.36 + 0.33 * k, 0)],
                    [0.06, 0.06],
                    (206, 44, 32),
                    nearer=0.05,
                )
            )
        return boards
    if kind == "umbrella":
        brim = [(1.3 * np.cos(a), 2.2, 1.3 * np.sin(a)) for a in np.arange(0, 2 * np.pi, np.pi / 4)]
        return [
            Part([(0, 0, 0), (0, 2.4, 0)], [0.03, 0.03], steel),
            Part([*brim, (0.0, 2.75, 0.0)], [0.03] * 9, _muted(bright)),
        ]
    wide, tall = rng.uniform(0.3, 0.8), rng.uniform(0.9, 1.5)
    return [
        Part(
            [(x * wide, y, z * 0.2) for x in (-1, 1) for y in (0.05, tall) for z in (-1, 1)],
            [0.05] * 8,
            steel * 1.1,
        )
    ]


def _muted(colour: Colour) -> Colour:
    return [0.6 * channel + 40 for channel in colour]
