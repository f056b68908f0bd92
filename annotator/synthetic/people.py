"""People on foot and on two wheels, and what they ride: hulls of spheres with joints."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, pi, sin, sqrt

import numpy as np

from annotator.synthetic.camera import Floats
from annotator.synthetic.shapes import Colour, Part

Point = tuple[float, float, float]
CRANK = 0.17  # metres


@dataclass(frozen=True)
class Person:
    """How somebody looks."""

    height: float  # metres
    girth: float  # 1 is slim
    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    hem: float  # where the coat or skirt ends, fraction of the height; 0 for none
    hem_colour: Colour
    sleeves: bool
    shorts: bool
    long_hair: bool
    bag: str  # "", "back", "hand", "shoulder"
    bag_colour: Colour
    hat: str  # "", "cap", "helmet"
    hat_colour: Colour
    posture: str  # of the arms: "swing", "pockets", "phone"
    phase: float  # radians


def draw_person(rng: np.random.Generator, rider: bool = False) -> Person:
    """Somebody."""
    child = not rider and rng.random() < 0.1
    bottom = _cloth(rng, dark=0.75)
    top = _cloth(rng, dark=0.45)
    dress = rng.random()
    hem, hem_colour = 0.0, top
    if rider:
        pass
    elif dress < 0.22:
        hem = rng.uniform(0.3, 0.46)  # a coat
    elif dress < 0.36:
        hem, hem_colour = (
            rng.uniform(0.14, 0.36),
            top if rng.random() < 0.4 else _cloth(rng, dark=0.5),
        )  # a skirt
    bag = str(rng.choice(["", "back", "hand", "shoulder"], p=[0.45, 0.25, 0.12, 0.18]))
    helmet = rider and rng.random() < 0.45
    tone = rng.choice([0, 1, 2, 3], p=[0.55, 0.2, 0.15, 0.1])
    skins = ((224, 178, 150), (198, 148, 116), (150, 102, 74), (96, 64, 48))
    hairs = ((38, 30, 26), (70, 48, 32), (120, 88, 54), (180, 150, 100), (170, 168, 165), (24, 22, 22))
    return Person(
        height=float(rng.uniform(1.05, 1.4) if child else np.clip(rng.normal(1.72, 0.085), 1.5, 1.95)),
        girth=float(rng.uniform(0.95, 1.4)),
        skin=_rgb(np.array(skins[tone]) * rng.uniform(0.92, 1.06)),
        hair=_rgb(np.array(hairs[rng.integers(len(hairs))]) * rng.uniform(0.85, 1.1)),
        top=top,
        bottom=bottom,
        shoes=_cloth(rng, dark=0.7),
        hem=float(hem),
        hem_colour=hem_colour,
        sleeves=bool(rng.random() < 0.72),
        shorts=bool(rng.random() < 0.2),
        long_hair=bool(rng.random() < 0.42),
        bag="" if rider and rng.random() < 0.7 else bag,
        bag_colour=_cloth(rng, dark=0.6),
        hat="helmet" if helmet else str(rng.choice(["", "cap"], p=[0.88, 0.12])),
        hat_colour=_cloth(rng, dark=0.4),
        posture=str(rng.choice(["swing", "pockets", "phone"], p=[0.68, 0.16, 0.16])),
        phase=float(rng.uniform(0, 2 * pi)),
    )


def walking(person: Person, travelled: float, still: bool, fine: bool) -> list[Part]:
    """The parts of somebody who has walked `travelled` metres, or who stands.

    `fine` is for those who are near: with hands, neck and shoes.
    """
    h, g = person.height, person.girth
    stride = 0.84 * h  # metres per two steps
    phase = person.phase + (0.0 if still else 2 * pi * travelled / stride)
    swing = 0.03 if still else 0.47
    parts: list[Part] = []
    ankles = []
    legs = []
    for side in (-1, 1):
        wave = phase if side > 0 else phase + pi
        thigh = swing * sin(wave) + 0.05
        bend = 0.08 + (0.0 if still else 0.8 * max(0.0, cos(wave)) ** 1.5)
        hip = (side * 0.05 * h * g, 0.515 * h, 0.0)
        knee = (hip[0], hip[1] - 0.245 * h * cos(thigh), hip[2] + 0.245 * h * sin(thigh))
        shin = thigh - bend
        ankle = (hip[0], knee[1] - 0.24 * h * cos(shin), knee[2] + 0.24 * h * sin(shin))
        ankles.append(ankle[1])
        legs.append((hip, knee, ankle, shin))
    drop = min(ankles) - 0.033 * h  # the lower foot stands on the ground

    def lower(p: Point) -> Point:
        return (p[0], p[1] - drop, p[2])

    covered = person.shorts or (person.hem > 0 and person.hem_colour is not person.top)
    for hip, knee, ankle, shin in legs:
        toe = (ankle[0], ankle[1] - 0.012 * h + 0.07 * h * max(0.0, -shin) * 0.5, ankle[2] + 0.085 * h)
        bare = person.skin if covered else person.bottom
        parts.append(Part([lower(hip), lower(knee)], [0.05 * h * g, 0.035 * h * g**0.5], person.bottom))
        parts.append(Part([lower(knee), lower(ankle)], [0.034 * h * g**0.5, 0.023 * h], bare))
        if fine:
            parts.append(Part([lower(ankle), lower(toe)], [0.024 * h, 0.017 * h], person.shoes))
    lean = 0.0 if still else 0.015 * h
    shoulders = [(x * 0.082 * h * g, 0.785 * h - drop, lean) for x in (-1, 1)]
    waist = [(x * 0.048 * h * g, 0.63 * h - drop, lean * 0.5) for x in (-1, 1)]
    hips = [(x * 0.046 * h * g, 0.54 * h - drop, 0.0) for x in (-1, 1)]
    trunk = [0.045 * h * g**0.6, 0.045 * h * g**0.6, 0.05 * h * g, 0.05 * h * g, 0.055 * h * g, 0.055 * h * g]
    parts.append(Part(shoulders + waist + hips, trunk, person.top))
    if person.hem:
        flare = (0.07 if person.hem_colour is person.top else 0.095) * h * g**0.5
        foot = [
            (x * 0.045 * h, (person.hem + 0.04) * h - drop, 0.02 * h * sin(phase) * (not still))
            for x in (-1, 1)
        ]
        parts.append(Part(waist + foot, [0.05 * h * g] * 2 + [flare, flare], person.hem_colour, nearer=0.08))
    parts += _arms(person, phase, swing, shoulders, fine)
    parts += _head(person, (0.0, 0.0, lean), -drop)
    parts += _bag(person, shoulders, drop)
    return parts


def _arms(person: Person, phase: float, swing: float, shoulders: list[Point], fine: bool) -> list[Part]:
    h, g = person.height, person.girth
    parts = []
    for side, shoulder in zip((-1, 1), shoulders, strict=True):
        wave = phase + pi if side > 0 else phase
        posture = person.posture if not (person.posture == "phone" and side < 0) else "swing"
        upper = 0.75 * swing * sin(wave) + (0.12 if posture == "phone" else -0.02)
        fold = {"swing": 0.25 + 0.25 * swing, "pockets": 0.75, "phone": 1.75}[posture]
        x = shoulder[0] + side * 0.03 * h * g
        top = (x, shoulder[1] + 0.005 * h, shoulder[2])
        elbow = (x + side * 0.022 * h, top[1] - 0.165 * h * cos(upper), top[2] + 0.165 * h * sin(upper))
        lower = upper + fold
        inward = {"swing": 0.0, "pockets": -0.03, "phone": -0.07}[posture] * h * side
        wrist = (
            elbow[0] + inward,
            elbow[1] - 0.145 * h * cos(lower),
            elbow[2] + 0.145 * h * sin(lower),
        )
        hand = (wrist[0], wrist[1] - 0.03 * h * cos(lower), wrist[2] + 0.03 * h * sin(lower))
        sleeve = person.top if person.sleeves else person.skin
        shade = _darker(person.top, 0.9)
        parts.append(Part([top, elbow], [0.036 * h * g**0.5, 0.027 * h * g**0.5], shade))
        parts.append(Part([elbow, wrist], [0.026 * h * g**0.5, 0.019 * h], _darker(sleeve, 0.92)))
        if fine:
            parts.append(Part([wrist, hand], [0.018 * h, 0.019 * h], person.skin, nearer=0.03))
        if person.bag == "hand" and side > 0 and posture == "swing":
            grip = (hand[0], hand[1] - 0.1 * h, hand[2])
            corners = [
                (grip[0], grip[1] + dy, grip[2] + dz)
                for dy in (-0.07 * h, 0.05 * h)
                for dz in (-0.08 * h, 0.08 * h)
            ]
            parts.append(Part(corners, [0.022 * h] * 4, person.bag_colour))
    return parts


def _head(person: Person, at: Point, up: float) -> list[Part]:
    """Neck, head, hair and hat of a person whose feet would be at `up` if they stood straight."""
    h = person.height
    x, z = at[0], at[2]
    parts = [
        Part([(x, 0.82 * h + up, z), (x, 0.87 * h + up, z + 0.004)], [0.032 * h, 0.03 * h], person.skin),
        Part(
            [(x, 0.9 * h + up, z + 0.012 * h), (x, 0.94 * h + up, z + 0.004 * h)],
            [0.04 * h, 0.048 * h],
            person.skin,
            nearer=0.02,
        ),
    ]
    back = [(x, 0.95 * h + up, z - 0.015 * h), (x, 0.925 * h + up, z - 0.025 * h)]
    parts.append(Part(back, [0.047 * h, 0.041 * h], person.hair))
    if person.long_hair:
        parts.append(Part([back[1], (x, 0.84 * h + up, z - 0.035 * h)], [0.045 * h, 0.038 * h], person.hair))
    crown = (x, 0.962 * h + up, z)
    if person.hat == "helmet":
        parts.append(
            Part(
                [crown, (x, 0.95 * h + up, z - 0.012 * h)],
                [0.056 * h, 0.058 * h],
                person.hat_colour,
                nearer=0.05,
            )
        )
    elif person.hat == "cap":
        parts.append(
            Part(
                [crown, (x, 0.965 * h + up, z + 0.05 * h)],
                [0.05 * h, 0.016 * h],
                person.hat_colour,
                nearer=0.05,
            )
        )
    else:
        parts.append(Part([(x, 0.971 * h + up, z - 0.013 * h)], [0.039 * h], person.hair, nearer=0.03))
    return parts


def _bag(person: Person, shoulders: list[Point], drop: float) -> list[Part]:
    h = person.height
    z = shoulders[0][2]
    if person.bag == "back":
        corners = [(dx * h, y * h - drop, z - 0.1 * h) for dx in (-0.05, 0.05) for y in (0.63, 0.77)]
        return [Part(corners, [0.045 * h] * 4, person.bag_colour)]
    if person.bag == "shoulder":
        corners = [(0.12 * h, y * h - drop, z + dz * h) for dz in (-0.06, 0.06) for y in (0.5, 0.58)]
        return [Part(corners, [0.025 * h] * 4, person.bag_colour)]
    return []


@dataclass(frozen=True)
class Bicycle:
    """How a bicycle looks."""

    frame: Colour
    radius: float  # of a wheel, metres
    basket: bool
    step_through: bool


def draw_bicycle(rng: np.random.Generator) -> Bicycle:
    """A bicycle."""
    return Bicycle(
        _cloth(rng, dark=0.55),
        float(rng.uniform(0.31, 0.36)),
        bool(rng.random() < 0.3),
        bool(rng.random() < 0.5),
    )


def bicycle_parts(bicycle: Bicycle, travelled: float, fine: bool) -> list[Part]:
    """Wheels, frame, handlebar and saddle, in the bicycle's coordinates."""
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


def cycling(person: Person, travelled: float) -> list[Part]:
    """Somebody on a bicycle, pedalling."""
    hip: Point = (0.0, 0.99, -0.2)
    shoulder: Point = (0.0, 1.47, 0.08)
    feet = []
    angle = travelled / 0.75
    for side in (-1, 1):
        feet.append((side * 0.11, 0.32 - side * CRANK * cos(angle), 0.03 + side * CRANK * sin(angle)))
    return _seated(person, hip, shoulder, feet, [(-0.26, 1.07, 0.3), (0.26, 1.07, 0.3)])


def riding_motorcycle(person: Person) -> list[Part]:
    """Somebody on a motorcycle."""
    feet: list[Point] = [(-0.2, 0.34, 0.02), (0.2, 0.34, 0.02)]
    return _seated(
        person, (0.0, 0.9, -0.25), (0.0, 1.4, -0.02), feet, [(-0.32, 1.04, 0.4), (0.32, 1.04, 0.4)]
    )


def _seated(person: Person, hip: Point, shoulder: Point, feet: list[Point], hands: list[Point]) -> list[Part]:
    """A rider between saddle, pedals and handlebar."""
    g = person.girth**0.5
    parts: list[Part] = []
    for side, foot in zip((-1, 1), feet, strict=True):
        joint = (side * 0.09, hip[1] - 0.02, hip[2] + 0.03)
        ankle = (foot[0], foot[1] + 0.07, foot[2] - 0.05)
        knee = _elbow(joint, ankle, 0.44, 0.42, forward=1.0)
        shin = person.skin if person.shorts else person.bottom
        parts.append(Part([joint, knee], [0.09 * g, 0.062 * g], person.bottom))
        parts.append(Part([knee, ankle], [0.058 * g, 0.042], shin))
        parts.append(Part([ankle, (foot[0], foot[1], foot[2] + 0.12)], [0.045, 0.032], person.shoes))
    across = 0.15 * g
    trunk = [(x * across, shoulder[1] - 0.06, shoulder[2]) for x in (-1, 1)]
    trunk += [(x * 0.08 * g, hip[1] + 0.03, hip[2]) for x in (-1, 1)]
    parts.append(Part(trunk, [0.08 * g, 0.08 * g, 0.11 * g, 0.11 * g], person.top))
    for side, hand in zip((-1, 1), hands, strict=True):
        joint = (side * (across + 0.05), shoulder[1] - 0.05, shoulder[2])
        elbow = _elbow(joint, hand, 0.3, 0.28, forward=-1.0)
        sleeve = _darker(person.top if person.sleeves else person.skin, 0.92)
        parts.append(Part([joint, elbow], [0.062 * g, 0.048 * g], _darker(person.top, 0.92)))
        parts.append(Part([elbow, hand], [0.046 * g, 0.034], sleeve, nearer=0.02))
        parts.append(Part([hand], [0.042], person.skin, nearer=0.05))
    up = shoulder[1] - 0.82 * person.height
    parts += _head(person, (0.0, 0.0, shoulder[2] + 0.05), up)
    if person.bag == "back":
        corners = [
            (dx, shoulder[1] - dy, shoulder[2] - 0.17 - 0.3 * dy)
            for dx in (-0.09, 0.09)
            for dy in (0.06, 0.34)
        ]
        parts.append(Part(corners, [0.075] * 4, person.bag_colour))
    return parts


def _elbow(a: Point, b: Point, first: float, second: float, forward: float) -> Point:
    """The joint between two limbs from a to b: before (forward > 0) or behind the line between them."""
    dy, dz = b[1] - a[1], b[2] - a[2]
    reach = min(float(hypot(dy, dz)), 0.999 * (first + second))
    reach = max(reach, 1e-3)
    along = (reach**2 + first**2 - second**2) / (2 * reach)
    off = sqrt(max(first**2 - along**2, 0.0))
    uy, uz = dy / reach, dz / reach
    # the perpendicular that points forward (or back)
    py, pz = (uz, -uy) if -uy * forward > 0 else (-uz, uy)
    return (
        a[0] + (b[0] - a[0]) * along / (first + second),
        a[1] + uy * along + py * off,
        a[2] + uz * along + pz * off,
    )


@dataclass(frozen=True)
class Motorcycle:
    """How a motorcycle or scooter looks."""

    paint: Colour
    scooter: bool
    lamp: Colour


def draw_motorcycle(rng: np.random.Generator, lamps: bool) -> Motorcycle:
    """A motorcycle or a scooter."""
    paint = _cloth(rng, dark=0.35)
    return Motorcycle(paint, bool(rng.random() < 0.5), (255, 250, 230) if lamps else (190, 194, 196))


def motorcycle_parts(m: Motorcycle) -> list[Part]:
    """Wheels, engine, tank, seat, fork and lamps."""
    r = 0.24 if m.scooter else 0.3
    parts: list[Part] = []
    black: Colour = (24, 24, 25)
    for z in (-0.62, 0.68):
        ring = [
            (dx, r + r * cos(a) * 0.9, z + r * sin(a) * 0.9)
            for a in np.linspace(0, 2 * pi, 9)[:-1]
            for dx in (-0.03, 0.03)
        ]
        parts.append(Part(ring, [0.045] * len(ring), black))
        parts.append(Part([(-0.05, r, z), (0.05, r, z)], [r * 0.5, r * 0.5], (86, 88, 90), nearer=0.02))
    dark: Colour = (52, 52, 55)
    if m.scooter:
        parts.append(
            Part(
                [
                    (dx, y, z)
                    for dx in (-0.14, 0.14)
                    for y, z in ((0.42, -0.7), (0.42, -0.25), (0.72, -0.65), (0.7, -0.2))
                ],
                [0.06] * 8,
                m.paint,
            )
        )
        parts.append(
            Part(
                [(dx, 0.24, z) for dx in (-0.14, 0.14) for z in (-0.3, 0.4)],
                [0.05] * 4,
                _darker(m.paint, 0.8),
            )
        )
        parts.append(
            Part(
                [(dx, y, z) for dx in (-0.16, 0.16) for y, z in ((0.34, 0.45), (0.86, 0.38))],
                [0.05] * 4,
                m.paint,
            )
        )
    else:
        parts.append(
            Part(
                [(dx, y, z) for dx in (-0.12, 0.12) for y in (0.35, 0.58) for z in (-0.22, 0.25)],
                [0.08] * 8,
                dark,
            )
        )
        parts.append(Part([(0.0, 0.8, 0.28), (0.0, 0.78, -0.02)], [0.15, 0.12], m.paint, nearer=0.02))
        parts.append(Part([(-0.16, 0.38, -0.3), (-0.16, 0.46, -0.85)], [0.05, 0.06], (150, 150, 152)))
    parts.append(Part([(0.0, 0.8, -0.15), (0.0, 0.86, -0.7)], [0.11, 0.08], black, nearer=0.03))
    parts.append(
        Part(
            [(dx, y, z) for dx in (-0.09, 0.09) for y, z in ((r, 0.68), (0.95, 0.42))],
            [0.03] * 4,
            (120, 122, 125),
        )
    )
    parts.append(
        Part([(dx, y, 0.5) for dx in (-0.08, 0.08) for y in (0.82, 1.02)], [0.1] * 4, m.paint, nearer=0.03)
    )
    parts.append(Part([(0.0, 0.9, 0.6)], [0.085], m.lamp, nearer=0.1))
    parts.append(Part([(-0.36, 1.04, 0.36), (0.36, 1.04, 0.36)], [0.022, 0.022], black, nearer=0.02))
    for side in (-1, 1):
        parts.append(Part([(side * 0.38, 1.16, 0.4)], [0.05], dark))
    parts.append(
        Part([(-0.05, 0.78, -0.82), (0.05, 0.78, -0.82)], [0.045, 0.045], (170, 30, 26), nearer=0.05)
    )
    parts.append(Part([(-0.07, 0.6, -0.86), (0.07, 0.6, -0.86)], [0.06, 0.06], (210, 210, 205), nearer=0.03))
    return parts


def _rgb(colour: Floats) -> Colour:
    return tuple(np.clip(colour, 6, 238).tolist())


def _darker(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _cloth(rng: np.random.Generator, dark: float) -> Colour:
    """A colour of clothes: dark with the given probability, else light or bright."""
    if rng.random() < dark:
        base = np.array(
            [(30, 31, 34), (44, 48, 62), (52, 62, 88), (70, 66, 60), (58, 44, 40), (40, 52, 46)][
                rng.integers(6)
            ]
        )
        return _rgb(base * rng.uniform(0.6, 1.4) + rng.uniform(-6, 6, 3))
    if rng.random() < 0.4:
        return _rgb(rng.uniform(140, 230) + rng.uniform(-10, 10, 3))
    hue = rng.uniform(0, 2 * pi) + np.array([0, 2.1, 4.2])
    return _rgb(rng.uniform(80, 160) + rng.uniform(12, 75) * np.cos(hue))
