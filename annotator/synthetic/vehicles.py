"""Cars, vans, lorries, buses and trams: lofted bodies with windows, lamps and wheels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from annotator.synthetic.camera import Floats
from annotator.synthetic.shapes import Colour, Mesh, Solid

GLASS: Colour = (34, 40, 44)
DARK: Colour = (24, 25, 27)
PLATE: Colour = (225, 225, 215)

# Stations along the body, rear to front: z, sill, belt, top (fractions of the length and height), widths of
# body and roof (fractions of the full width).
_HATCH = (
    (0.00, 0.22, 0.52, 0.55, 0.84, 0.76),
    (0.02, 0.17, 0.62, 0.66, 0.95, 0.80),
    (0.11, 0.16, 0.63, 0.95, 1.0, 0.70),
    (0.33, 0.15, 0.63, 1.00, 1.0, 0.72),
    (0.55, 0.15, 0.62, 0.98, 1.0, 0.72),
    (0.75, 0.15, 0.60, 0.63, 1.0, 0.84),
    (0.92, 0.16, 0.53, 0.57, 0.95, 0.80),
    (0.98, 0.18, 0.47, 0.51, 0.86, 0.72),
    (1.00, 0.22, 0.40, 0.44, 0.78, 0.66),
)
_SEDAN = (
    (0.00, 0.24, 0.56, 0.60, 0.82, 0.72),
    (0.02, 0.18, 0.64, 0.68, 0.94, 0.80),
    (0.15, 0.16, 0.65, 0.70, 1.0, 0.80),
    (0.30, 0.15, 0.65, 0.97, 1.0, 0.70),
    (0.48, 0.15, 0.64, 1.00, 1.0, 0.71),
    (0.58, 0.15, 0.63, 0.98, 1.0, 0.71),
    (0.75, 0.15, 0.61, 0.64, 1.0, 0.84),
    (0.93, 0.16, 0.54, 0.58, 0.94, 0.80),
    (0.98, 0.18, 0.47, 0.52, 0.86, 0.72),
    (1.00, 0.22, 0.40, 0.45, 0.78, 0.66),
)
_ESTATE = (
    (0.00, 0.22, 0.54, 0.57, 0.86, 0.78),
    (0.015, 0.17, 0.62, 0.66, 0.96, 0.84),
    (0.07, 0.16, 0.63, 0.94, 1.0, 0.72),
    (0.22, 0.15, 0.63, 0.99, 1.0, 0.74),
    (0.40, 0.15, 0.63, 1.00, 1.0, 0.74),
    (0.58, 0.15, 0.62, 0.98, 1.0, 0.74),
    (0.74, 0.15, 0.60, 0.64, 1.0, 0.85),
    (0.92, 0.16, 0.54, 0.58, 0.96, 0.82),
    (0.98, 0.18, 0.47, 0.52, 0.88, 0.74),
    (1.00, 0.22, 0.40, 0.45, 0.80, 0.66),
)
_VAN = (
    (0.00, 0.16, 0.48, 0.95, 0.94, 0.84),
    (0.012, 0.13, 0.50, 0.99, 0.98, 0.88),
    (0.30, 0.13, 0.50, 1.0, 1.0, 0.90),
    (0.55, 0.13, 0.50, 1.0, 1.0, 0.90),
    (0.73, 0.13, 0.50, 0.97, 1.0, 0.88),
    (0.89, 0.13, 0.48, 0.55, 0.98, 0.90),
    (0.975, 0.14, 0.42, 0.48, 0.92, 0.84),
    (1.00, 0.17, 0.34, 0.40, 0.84, 0.76),
)
_BUS = (
    (0.00, 0.11, 0.38, 0.96, 0.96, 0.92),
    (0.01, 0.10, 0.36, 1.0, 1.0, 0.96),
    (0.17, 0.10, 0.36, 1.0, 1.0, 0.96),
    (0.33, 0.10, 0.36, 1.0, 1.0, 0.96),
    (0.50, 0.10, 0.36, 1.0, 1.0, 0.96),
    (0.67, 0.10, 0.36, 1.0, 1.0, 0.96),
    (0.84, 0.10, 0.36, 1.0, 1.0, 0.96),
    (0.975, 0.10, 0.36, 1.0, 1.0, 0.95),
    (1.00, 0.11, 0.36, 0.95, 0.94, 0.90),
)
_CAB = (
    (0.00, 0.16, 0.55, 1.0, 0.98, 0.94),
    (0.30, 0.14, 0.55, 1.0, 1.0, 0.94),
    (0.86, 0.14, 0.50, 0.97, 1.0, 0.92),
    (0.97, 0.15, 0.48, 0.55, 0.97, 0.92),
    (1.00, 0.17, 0.40, 0.48, 0.92, 0.86),
)
_BOX = (
    (0.00, 0.26, 0.55, 1.0, 1.0, 1.0),
    (0.33, 0.26, 0.55, 1.0, 1.0, 1.0),
    (0.66, 0.26, 0.55, 1.0, 1.0, 1.0),
    (1.00, 0.26, 0.55, 1.0, 1.0, 1.0),
)


class _Loft(NamedTuple):
    """The faces of a body: by level (0 sill, 1 door, 2 windows) and span between stations."""

    right: list[list[int]]  # [level][span]
    left: list[list[int]]
    top: list[int]
    front: list[int]  # by level
    rear: list[int]


def _loft(
    mesh: Mesh,
    stations: Sequence[Sequence[float]],
    box: tuple[float, float, float],
    paint: Colour,
    lower: Colour,
    gloss: float,
    z0: float = 0.0,
    group: int = 0,
) -> _Loft:
    """Adds a body of `box` = length, width, height, whose rear end is at z0."""
    length, width, height = box
    rings = []
    for z, sill, belt, high, body, roof in stations:
        door = sill + 0.5 * (belt - sill)
        profile = ((0.93 * body, sill), (body, door), (0.97 * body, belt), (roof, high))
        ring = [(0.5 * width * w, height * y, z0 + length * z) for w, y in profile]
        rings.append(ring + [(-x, y, z) for x, y, z in reversed(ring)])
    r = np.array(rings)  # (K, 8, 3)
    middle = np.array([0.0, 0.45 * height, z0 + 0.5 * length])
    colours = (lower, paint, paint)

    def face(corners: Floats, colour: Colour, shine: float) -> int:
        return mesh.add_face(corners, middle, colour, shine, group)

    spans = range(len(r) - 1)
    right = [
        [
            face(np.array([r[i, k], r[i + 1, k], r[i + 1, k + 1], r[i, k + 1]]), colours[k], gloss)
            for i in spans
        ]
        for k in range(3)
    ]
    left = [
        [
            face(np.array([r[i, 7 - k], r[i + 1, 7 - k], r[i + 1, 6 - k], r[i, 6 - k]]), colours[k], gloss)
            for i in spans
        ]
        for k in range(3)
    ]
    top = [face(np.array([r[i, 4], r[i + 1, 4], r[i + 1, 3], r[i, 3]]), paint, gloss * 1.6) for i in spans]
    front, rear = (
        [
            face(np.array([r[e, 7 - k], r[e, k], r[e, k + 1], r[e, 6 - k]]), colours[k], gloss * 0.6)
            for k in range(3)
        ]
        for e in (len(r) - 1, 0)
    )
    return _Loft(right, left, top, front, rear)


def _rect(u0: float, v0: float, u1: float, v1: float) -> list[tuple[float, float]]:
    return [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]


def _both(loft: _Loft, level: int, span: int) -> tuple[int, int]:
    return loft.right[level][span], loft.left[level][span]


def _glaze(
    mesh: Mesh, face: int, outline: Sequence[Sequence[float]], rng: np.random.Generator, sky: float
) -> None:
    """Glass, with a brighter part where the sky is mirrored."""
    mesh.add_detail(face, outline, np.array(GLASS) + 90 * sky)
    u = np.asarray(outline, np.float64)
    upper = u.copy()
    upper[:, 1] = np.maximum(
        upper[:, 1], u[:, 1].min() + (u[:, 1].max() - u[:, 1].min()) * rng.uniform(0.5, 0.75)
    )
    mesh.add_detail(face, upper.tolist(), np.array(GLASS) + 90 * sky + rng.uniform(6, 36))


class _CarBody(NamedTuple):
    """A kind of car."""

    share: float  # of all cars
    box: tuple[float, float, float]  # length, width, height, metres
    stations: Sequence[Sequence[float]]
    first: int  # span of the first side window, from the rear
    last: int  # and of the last one, before the windscreen


_CARS = {
    "hatch": _CarBody(0.33, (4.0, 1.74, 1.47), _HATCH, 2, 3),
    "sedan": _CarBody(0.22, (4.6, 1.82, 1.44), _SEDAN, 3, 4),
    "estate": _CarBody(0.18, (4.5, 1.8, 1.49), _ESTATE, 2, 4),
    "suv": _CarBody(0.15, (4.5, 1.88, 1.68), _ESTATE, 2, 4),
    "van": _CarBody(0.12, (4.9, 1.95, 2.05), _VAN, 3, 3),
}


def car(rng: np.random.Generator, parked: bool, lamps: bool) -> Solid:
    """Draw a car: hatchback, saloon, estate, off-roader or van."""
    kind = str(rng.choice(list(_CARS), p=[body.share for body in _CARS.values()]))
    body, is_van = _CARS[kind], kind == "van"
    length, width, height = (float(v) for v in np.array(body.box) * rng.uniform(0.93, 1.07, 3))
    paint = _car_paint(rng, is_van)
    lower = np.array(paint) * 0.8 if rng.random() < 0.7 else np.array([40.0, 41, 43])
    mesh = Mesh()
    gloss = rng.uniform(0.08, 0.24)
    loft = _loft(mesh, body.stations, (length, width, height), paint, lower, gloss, -length / 2)
    first = _car_windows(mesh, loft, body, is_van, rng)
    _car_doors(mesh, loft, range(first, body.last + 1), paint)
    lamp: Colour = (255, 250, 232) if lamps and not parked else (188, 194, 198)
    tail: Colour = (255, 46, 34) if (lamps or rng.random() < 0.4) and not parked else (142, 24, 22)
    _face_front(mesh, loft, lamp, rng, lamps and not parked)
    _face_rear(mesh, loft, tail, rng, not parked and (lamps or tail[0] == 255))
    radius = (0.17 if is_van else 0.215) * height
    rim: Colour = (150, 152, 155) if rng.random() < 0.75 else (62, 63, 66)
    for z in (-0.31, 0.315):
        for side in (-1, 1):
            mesh.add_wheel(z * length, radius, side * width * 0.5, 0.2, rim)
    return Solid(mesh)


def _car_windows(mesh: Mesh, loft: _Loft, body: _CarBody, is_van: bool, rng: np.random.Generator) -> int:
    """All its glass; the span of the first side window, which vans may lack."""
    windscreen, sky = body.last + 1, rng.uniform(0.1, 0.75)
    _glaze(mesh, loft.top[windscreen], _rect(0.04, 0.06, 0.96, 0.94), rng, sky)
    is_panelled = is_van and rng.random() < 0.6
    first = 1 if is_van and not is_panelled else body.first
    for span in range(first, body.last + 1):
        for face in _both(loft, 2, span):
            _glaze(mesh, face, _rect(0.05, 0.1, 0.95, 0.86), rng, sky * 0.2)
    for face in _both(loft, 2, windscreen):  # the quarter light behind the windscreen pillar
        _glaze(mesh, face, [(0.04, 0.1), (0.8, 0.2), (0.04, 0.84)], rng, sky * 0.2)
    if not is_van:
        rear = first - 1
        _glaze(mesh, loft.top[rear], _rect(0.08, 0.1, 0.94, 0.9), rng, sky * 0.7)
        for face in _both(loft, 2, rear):
            _glaze(mesh, face, [(0.96, 0.1), (0.96, 0.84), (0.45, 0.15)], rng, sky * 0.15)
    elif is_panelled:
        mesh.add_detail(loft.rear[2], _rect(0.495, 0, 0.505, 1), DARK)
    else:
        _glaze(mesh, loft.rear[2], _rect(0.1, 0.15, 0.9, 0.85), rng, sky * 0.3)
    return first


def _car_doors(mesh: Mesh, loft: _Loft, spans: range, paint: Floats) -> None:
    """Gaps and handles under the side windows, and mirrors before them."""
    for span in spans:
        for level in (0, 1):
            for face in _both(loft, level, span):
                mesh.add_detail(face, _rect(0.0, 0.0, 0.012, 1.0), paint * 0.45)
        for face in _both(loft, 1, span):
            mesh.add_detail(face, _rect(0.1, 0.68, 0.24, 0.78), paint * 0.6)
    for face in _both(loft, 2, spans.stop):
        mesh.add_detail(face, _rect(0.08, 0.0, 0.26, 0.28), paint * 0.8)


def _face_front(mesh: Mesh, loft: _Loft, lamp: Colour, rng: np.random.Generator, lit: bool) -> None:
    """Lamps, grille, plate."""
    for face in _both(loft, 1, -2):
        mesh.add_detail(face, _rect(0.3, 0.45, 1.0, 0.92), lamp, lit)
    for face in _both(loft, 1, -1):
        mesh.add_detail(face, _rect(0.0, 0.45, 1.0, 0.92), lamp, lit)
    cap = loft.front
    for u in (0.0, 0.84):
        mesh.add_detail(cap[1], _rect(u, 0.5, u + 0.16, 0.98), lamp, lit)
    mesh.add_detail(cap[1], _rect(0.24, 0.25, 0.76, 0.95), DARK)
    mesh.add_detail(cap[0], _rect(0.14, 0.1, 0.86, 0.6), (38, 39, 41))
    mesh.add_detail(cap[0], _rect(0.36, 0.62, 0.64, 0.98), PLATE)
    mesh.add_detail(cap[1], _rect(0.46, 0.55, 0.54, 0.8), (180, 182, 185))
    if rng.random() < 0.6:
        mesh.add_detail(cap[1], _rect(0.24, 0.86, 0.76, 0.95), (165, 168, 170))


def _face_rear(mesh: Mesh, loft: _Loft, tail: Colour, rng: np.random.Generator, lit: bool) -> None:
    """Lamps, plate, bumper."""
    low = rng.uniform(0.3, 0.55)
    for face in _both(loft, 1, 0):
        mesh.add_detail(face, _rect(0.0, low, 1.0, 0.96), tail, lit)
    cap = loft.rear
    width = rng.uniform(0.1, 0.24)
    for u in (0.0, 1 - width):
        mesh.add_detail(cap[1], _rect(u, low, u + width, 0.97), tail, lit)
    mesh.add_detail(cap[1], _rect(0.34, 0.12, 0.66, 0.52), PLATE)
    mesh.add_detail(cap[0], _rect(0.1, 0.05, 0.9, 0.45), (42, 43, 45))


def bus(rng: np.random.Generator, lamps: bool) -> Solid:
    """A town bus or a coach."""
    length, width, height = rng.uniform(10.5, 12.5), 2.52, rng.uniform(2.95, 3.3)
    paint = _livery(rng)
    band = _livery(rng)
    mesh = Mesh()
    loft = _loft(mesh, _BUS, (length, width, height), paint, np.array(band) * 0.8, 0.1, -length / 2)
    _glaze_coach(mesh, loft, rng, range(1, 7))
    _coach_ends(mesh, loft, rng, lamps)
    advert = _livery(rng)
    for face in loft.right[1][2:4] + loft.left[1][1:4] if rng.random() < 0.5 else []:
        mesh.add_detail(face, _rect(0, 0.1, 1, 0.95), advert)
    for z in (-0.27, 0.28):
        for side in (-1, 1):
            mesh.add_wheel(z * length, 0.5, side * width * 0.5, 0.35, (120, 122, 124))
    return Solid(mesh)


def tram(rng: np.random.Generator, lamps: bool) -> Solid:
    """A tram of two or three cars."""
    paint, band = _livery(rng), _livery(rng)
    mesh = Mesh()
    cars = int(rng.integers(2, 4))
    length = 9.0
    for i in range(cars):
        z0 = (i - cars / 2) * (length + 0.3)
        loft = _loft(mesh, _BUS, (length, 2.4, 3.4), paint, np.array(band) * 0.9, 0.1, z0, i)
        _glaze_coach(mesh, loft, rng, range(1, 7))
        if i == cars - 1:
            mesh.add_detail(loft.front[2], _rect(0.06, 0.05, 0.94, 0.75), np.array(GLASS) + 14)
            mesh.add_detail(loft.front[2], _rect(0.2, 0.8, 0.8, 0.94), (250, 190, 60), True)
            for u in (0.08, 0.8):
                mesh.add_detail(loft.front[1], _rect(u, 0.3, u + 0.12, 0.7), (255, 250, 235), lamps)
        if i == 0:
            mesh.add_detail(loft.rear[2], _rect(0.06, 0.05, 0.94, 0.75), np.array(GLASS) + 10)
            for u in (0.08, 0.8):
                mesh.add_detail(loft.rear[1], _rect(u, 0.3, u + 0.12, 0.7), (190, 30, 24), lamps)
        for z in (0.22, 0.78):
            for side in (-1, 1):
                mesh.add_wheel(z0 + z * length, 0.33, side * 1.12, 0.3, (50, 50, 52))
    return Solid(mesh)


def _glaze_coach(mesh: Mesh, loft: _Loft, rng: np.random.Generator, spans: Sequence[int]) -> None:
    sky = rng.uniform(0.0, 0.2)
    low = rng.uniform(0.02, 0.16)
    doors = set(rng.choice(list(spans), 2, replace=False).tolist())
    for span in spans:
        for face in _both(loft, 2, span):
            _glaze(mesh, face, _rect(0.02, low, 0.98, 0.74), rng, sky)
            if rng.random() < 0.7:
                mesh.add_detail(face, _rect(0.49, low, 0.52, 0.74), DARK)
        if span in doors:
            face = loft.right[1][span]
            mesh.add_detail(face, _rect(0.2, 0.0, 0.8, 1.0), np.array(GLASS) + 8)
            mesh.add_detail(loft.right[0][span], _rect(0.2, 0.1, 0.8, 1.0), np.array(GLASS) + 4)
            mesh.add_detail(face, _rect(0.48, 0.0, 0.52, 1.0), (150, 150, 150))


def _coach_ends(mesh: Mesh, loft: _Loft, rng: np.random.Generator, lamps: bool) -> None:
    _glaze(mesh, loft.front[2], _rect(0.04, 0.03, 0.96, 0.78), rng, rng.uniform(0.05, 0.4))
    mesh.add_detail(loft.front[2], _rect(0.12, 0.83, 0.88, 0.97), DARK)
    for k in range(int(rng.integers(4, 8))):  # the destination, in lamps
        mesh.add_detail(
            loft.front[2], _rect(0.18 + 0.09 * k, 0.86, 0.24 + 0.09 * k, 0.94), (250, 176, 50), True
        )
    for u in (0.04, 0.82):
        mesh.add_detail(loft.front[0], _rect(u, 0.4, u + 0.14, 0.95), (235, 236, 230), lamps)
        mesh.add_detail(loft.rear[1], _rect(u, 0.1, u + 0.1, 0.9), (176, 30, 26), lamps)
    mesh.add_detail(loft.front[0], _rect(0.38, 0.3, 0.62, 0.7), PLATE)
    _glaze(mesh, loft.rear[2], _rect(0.1, 0.35, 0.9, 0.85), rng, 0.1)
    mesh.add_detail(loft.rear[1], _rect(0.2, 0.1, 0.8, 0.9), DARK)
    mesh.add_detail(loft.rear[0], _rect(0.4, 0.4, 0.6, 0.8), PLATE)


def truck(rng: np.random.Generator, lamps: bool) -> Solid:
    """A lorry with a box, a tarpaulin or a flat bed."""
    mesh = Mesh()
    cab_height, width = rng.uniform(2.4, 3.0), rng.uniform(2.2, 2.5)
    cab_length, bed = rng.uniform(1.9, 2.3), rng.uniform(4.2, 7.5)
    height = cab_height * rng.uniform(1.02, 1.3)
    z0 = -(cab_length + bed) / 2
    paint = _livery(rng)
    cargo = np.array(_livery(rng)) if rng.random() < 0.6 else np.array([222.0, 222, 218])
    box = _loft(mesh, _BOX, (bed, width, height), cargo, (36, 37, 40), 0.03, z0, 0)
    cab = _loft(
        mesh, _CAB, (cab_length, width * 0.96, cab_height), paint, (46, 47, 50), 0.1, z0 + bed + 0.15, 1
    )
    for panels in (box.right, box.left):
        mark = _livery(rng)
        if rng.random() < 0.6:
            mesh.add_detail(panels[2][1], _rect(0.05, 0.1, 0.95, 0.7), mark)
        for span in range(3):
            mesh.add_detail(panels[1][span], _rect(0, 0.96, 1, 1), cargo * 0.7)
            mesh.add_detail(panels[2][span], _rect(0, 0, 0.02, 1), cargo * 0.75)
    mesh.add_detail(box.rear[2], _rect(0.49, 0, 0.51, 1), cargo * 0.5)
    mesh.add_detail(box.rear[1], _rect(0.49, 0, 0.51, 1), cargo * 0.5)
    for u in (0.04, 0.82):
        mesh.add_detail(box.rear[0], _rect(u, 0.55, u + 0.14, 0.8), (184, 30, 26), lamps)
        mesh.add_detail(cab.front[0], _rect(u, 0.3, u + 0.14, 0.85), (238, 238, 230), lamps)
    mesh.add_detail(box.rear[0], _rect(0.4, 0.5, 0.62, 0.72), PLATE)
    _glaze(mesh, cab.top[2], _rect(0.03, 0.05, 0.97, 0.95), rng, rng.uniform(0.1, 0.5))
    for face in _both(cab, 2, 1):
        _glaze(mesh, face, _rect(0.1, 0.06, 0.95, 0.8), rng, 0.08)
    for face in _both(cab, 2, 2):
        _glaze(mesh, face, [(0.05, 0.1), (0.7, 0.2), (0.05, 0.8)], rng, 0.05)
    mesh.add_detail(cab.front[1], _rect(0.15, 0.1, 0.85, 0.8), DARK)
    mesh.add_detail(cab.front[0], _rect(0.38, 0.2, 0.62, 0.5), PLATE)
    rear_axles: tuple[float, ...] = (0.13, 0.24) if bed > 6 else (0.2,)
    total = cab_length + bed + 0.15
    for z in (*rear_axles, 0.86):
        for side in (-1, 1):
            mesh.add_wheel(z0 + z * total, 0.47, side * width * 0.49, 0.35, (112, 114, 116))
    return Solid(mesh)


def _car_paint(rng: np.random.Generator, van: bool) -> Floats:
    """What cars are painted: mostly white, grey and black, and some colours."""
    if rng.random() < (0.85 if van else 0.72):
        grey = float(
            rng.choice([232, 200, 150, 95, 58, 30], p=[0.45, 0.15, 0.15, 0.1, 0.1, 0.05] if van else None)
        )
        return np.clip(grey * rng.uniform(0.85, 1.05) + rng.uniform(-6, 6, 3), 8, 242)
    return np.clip(_hue(rng, 0.5, 0.95, 45, 190), 8, 240)


def _livery(rng: np.random.Generator) -> Floats:
    if rng.random() < 0.4:
        return np.clip(rng.uniform(205, 240) + rng.uniform(-8, 8, 3), 0, 245)
    return _hue(rng, 0.3, 0.9, 90, 225)


def _hue(rng: np.random.Generator, s0: float, s1: float, v0: float, v1: float) -> Floats:
    """A colour of any hue, with saturation in s0..s1 and value in v0..v1."""
    hue = rng.uniform(0, 6)
    wheel = np.clip(np.abs((hue - np.array([0.0, 2.0, 4.0]) + 3) % 6 - 3) * -1 + 2, 0, 1)
    return np.asarray(rng.uniform(v0, v1) * (1 - rng.uniform(s0, s1) * (1 - wheel)), np.float64)
