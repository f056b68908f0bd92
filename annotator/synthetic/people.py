"""People on foot and on two wheels: hulls of spheres with joints."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, pi, sin, sqrt

import numpy as np

from annotator.synthetic.colours import cloth, darker, rgb
from annotator.synthetic.shapes import Colour, Part
from annotator.synthetic.two_wheelers import CRANK, Point


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
    bottom = cloth(rng, dark=0.75)
    top = cloth(rng, dark=0.45)
    dress = rng.random()
    hem, hem_colour = 0.0, top
    if rider:
        pass
    elif dress < 0.22:
        hem = rng.uniform(0.3, 0.46)  # a coat
    elif dress < 0.36:
        hem, hem_colour = (
            rng.uniform(0.14, 0.36),
            top if rng.random() < 0.4 else cloth(rng, dark=0.5),
        )  # a skirt
    bag = str(rng.choice(["", "back", "hand", "shoulder"], p=[0.45, 0.25, 0.12, 0.18]))
    helmet = rider and rng.random() < 0.45
    tone = rng.choice([0, 1, 2, 3], p=[0.55, 0.2, 0.15, 0.1])
    skins = ((224, 178, 150), (198, 148, 116), (150, 102, 74), (96, 64, 48))
    hairs = ((38, 30, 26), (70, 48, 32), (120, 88, 54), (180, 150, 100), (170, 168, 165), (24, 22, 22))
    return Person(
        height=float(rng.uniform(1.05, 1.4) if child else np.clip(rng.normal(1.72, 0.085), 1.5, 1.95)),
        girth=float(rng.uniform(0.95, 1.4)),
        skin=rgb(np.array(skins[tone]) * rng.uniform(0.92, 1.06)),
        hair=rgb(np.array(hairs[rng.integers(len(hairs))]) * rng.uniform(0.85, 1.1)),
        top=top,
        bottom=bottom,
        shoes=cloth(rng, dark=0.7),
        hem=float(hem),
        hem_colour=hem_colour,
        sleeves=bool(rng.random() < 0.72),
        shorts=bool(rng.random() < 0.2),
        long_hair=bool(rng.random() < 0.42),
        bag="" if rider and rng.random() < 0.7 else bag,
        bag_colour=cloth(rng, dark=0.6),
        hat="helmet" if helmet else str(rng.choice(["", "cap"], p=[0.88, 0.12])),
        hat_colour=cloth(rng, dark=0.4),
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
        shade = darker(person.top, 0.9)
        parts.append(Part([top, elbow], [0.036 * h * g**0.5, 0.027 * h * g**0.5], shade))
        parts.append(Part([elbow, wrist], [0.026 * h * g**0.5, 0.019 * h], darker(sleeve, 0.92)))
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
        sleeve = darker(person.top if person.sleeves else person.skin, 0.92)
        parts.append(Part([joint, elbow], [0.062 * g, 0.048 * g], darker(person.top, 0.92)))
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
