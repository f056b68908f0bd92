"""Bicycles, motorcycles and scooters: hulls of spheres."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi, sin

import numpy as np

from annotator.synthetic.colours import cloth, darker
from annotator.synthetic.shapes import Colour, Part

Point = tuple[float, float, float]
CRANK = 0.17  # metres


@dataclass(frozen=True)
class Bicycle:
    """How a bicycle looks."""

    frame: Colour
    radius: float  # of a wheel, metres
    basket: bool
    step_through: bool


def draw_bicycle(rng: np.random.Generator) -> Bicycle:
    """Draw a bicycle."""
    return Bicycle(
        cloth(rng, dark=0.55),
        float(rng.uniform(0.31, 0.36)),
        bool(rng.random() < 0.3),
        bool(rng.random() < 0.5),
    )


def bicycle_parts(bicycle: Bicycle, travelled: float, fine: bool) -> list[Part]:
    """List wheels, frame, handlebar and saddle, in the bicycle's coordinates."""
    r, frame = bicycle.radius, bicycle.frame
    rear, front = (0.0, r, -0.5), (0.0, r, 0.56)
    bottom, seat, head = (0.0, 0.29, -0.02), (0.0, 0.86, -0.2), (0.0, 0.84, 0.4)
    bar = (0.0, 1.04, 0.36)
    tube = 0.02
    parts = [*_spoked(rear, r, fine), *_spoked(front, r, fine)]
    low = (0.0, 0.5, 0.05) if bicycle.step_through else (0.0, 0.8, -0.18)
    for a, b in (
        (bottom, seat),
        (bottom, head),
        (low, head),
        (rear, bottom),
        (rear, (0.0, 0.78, -0.18)),
        (front, head),
    ):
        parts.append(Part([a, b], [tube, tube], frame, nearer=0.05))
    parts.append(Part([head, bar], [0.016, 0.016], (60, 60, 62), nearer=0.05))
    parts.append(Part([(-0.28, 1.05, 0.3), (0.28, 1.05, 0.3)], [0.017, 0.017], (40, 40, 42), nearer=0.05))
    parts.append(Part([(0.0, 0.95, -0.32), (0.0, 0.95, -0.1)], [0.055, 0.03], (30, 28, 28), nearer=0.05))
    if not fine:
        return parts
    parts.append(Part([(0.0, 2 * r + 0.02, -0.62), (0.0, 2 * r + 0.02, -0.36)], [0.02, 0.02], (36, 36, 38)))
    angle = travelled / 0.75
    for side in (-1, 1):
        pedal = (side * 0.1, 0.29 - side * CRANK * cos(angle), -0.02 + side * CRANK * sin(angle))
        parts.append(Part([(side * 0.05, 0.29, -0.02), pedal], [0.014, 0.018], (80, 80, 82), nearer=0.06))
    parts.append(Part([(0.0, 0.29, -0.02)], [0.08], (70, 70, 72), nearer=0.05))
    if bicycle.basket:
        corners = [(dx, y, z) for dx in (-0.16, 0.16) for y in (0.86, 1.04) for z in (0.5, 0.72)]
        parts.append(Part(corners, [0.02] * 8, (92, 84, 72), nearer=0.02))
    return parts


def _spoked(axle: Point, radius: float, fine: bool) -> list[Part]:
    """A wheel: a thin disc that lets half of the light through, and a tyre in pieces around it."""
    angle = np.linspace(0, 2 * pi, 17 if fine else 11)
    rim: list[Point] = [
        (0.0, axle[1] + radius * 0.97 * float(cos(a)), axle[2] + radius * 0.97 * float(sin(a))) for a in angle
    ]
    spokes: Colour = (92, 92, 94) if fine else (50, 50, 51)
    parts = [Part(rim, [0.012] * len(rim), spokes, 140.0 if fine else 190.0, nearer=-0.4)]
    if not fine:
        return parts
    parts += [Part([p, q], [0.021, 0.021], (22, 22, 23)) for p, q in pairwise(rim)]
    return parts


@dataclass(frozen=True)
class Motorcycle:
    """How a motorcycle or scooter looks."""

    paint: Colour
    scooter: bool
    lamp: Colour


def draw_motorcycle(rng: np.random.Generator, lamps: bool) -> Motorcycle:
    """Draw a motorcycle or a scooter."""
    paint = cloth(rng, dark=0.35)
    return Motorcycle(paint, bool(rng.random() < 0.5), (255, 250, 230) if lamps else (190, 194, 196))


BLACK: Colour = (24, 24, 25)
DARK: Colour = (52, 52, 55)


def motorcycle_parts(m: Motorcycle) -> list[Part]:
    """List wheels, engine, tank, seat, fork and lamps, in the motorcycle's coordinates."""
    r = 0.24 if m.scooter else 0.3
    fork = [(dx, y, z) for dx in (-0.09, 0.09) for y, z in ((r, 0.68), (0.95, 0.42))]
    shield = [(dx, y, 0.5) for dx in (-0.08, 0.08) for y in (0.82, 1.02)]
    return [
        *(part for z in (-0.62, 0.68) for part in _solid_wheel(r, z)),
        *(_scooter_body(m.paint) if m.scooter else _motorcycle_body(m.paint)),
        Part([(0.0, 0.8, -0.15), (0.0, 0.86, -0.7)], [0.11, 0.08], BLACK, nearer=0.03),
        Part(fork, [0.03] * 4, (120, 122, 125)),
        Part(shield, [0.1] * 4, m.paint, nearer=0.03),
        Part([(0.0, 0.9, 0.6)], [0.085], m.lamp, nearer=0.1),
        Part([(-0.36, 1.04, 0.36), (0.36, 1.04, 0.36)], [0.022, 0.022], BLACK, nearer=0.02),
        *(Part([(side * 0.38, 1.16, 0.4)], [0.05], DARK) for side in (-1, 1)),
        Part([(-0.05, 0.78, -0.82), (0.05, 0.78, -0.82)], [0.045, 0.045], (170, 30, 26), nearer=0.05),
        Part([(-0.07, 0.6, -0.86), (0.07, 0.6, -0.86)], [0.06, 0.06], (210, 210, 205), nearer=0.03),
    ]


def _solid_wheel(r: float, z: float) -> list[Part]:
    """A tyre around a disc, at z."""
    ring = [
        (dx, r + r * cos(a) * 0.9, z + r * sin(a) * 0.9)
        for a in np.linspace(0, 2 * pi, 9)[:-1]
        for dx in (-0.03, 0.03)
    ]
    return [
        Part(ring, [0.045] * len(ring), BLACK),
        Part([(-0.05, r, z), (0.05, r, z)], [r * 0.5, r * 0.5], (86, 88, 90), nearer=0.02),
    ]


def _scooter_body(paint: Colour) -> list[Part]:
    rear = ((0.42, -0.7), (0.42, -0.25), (0.72, -0.65), (0.7, -0.2))
    return [
        Part([(dx, y, z) for dx in (-0.14, 0.14) for y, z in rear], [0.06] * 8, paint),
        Part([(dx, 0.24, z) for dx in (-0.14, 0.14) for z in (-0.3, 0.4)], [0.05] * 4, darker(paint, 0.8)),
        Part(
            [(dx, y, z) for dx in (-0.16, 0.16) for y, z in ((0.34, 0.45), (0.86, 0.38))], [0.05] * 4, paint
        ),
    ]


def _motorcycle_body(paint: Colour) -> list[Part]:
    engine = [(dx, y, z) for dx in (-0.12, 0.12) for y in (0.35, 0.58) for z in (-0.22, 0.25)]
    return [
        Part(engine, [0.08] * 8, DARK),
        Part([(0.0, 0.8, 0.28), (0.0, 0.78, -0.02)], [0.15, 0.12], paint, nearer=0.02),
        Part([(-0.16, 0.38, -0.3), (-0.16, 0.46, -0.85)], [0.05, 0.06], (150, 150, 152)),
    ]
