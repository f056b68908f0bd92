"""Solids and how they become polygons: meshes (vehicles) and hulls of spheres (people, bicycles)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np

from annotator.synthetic.camera import NEAR, Camera, Floats, Pose
from annotator.synthetic.light import Light
from annotator.synthetic.paint import OPAQUE

Colour = Sequence[float] | Floats  # RGB, 0 to 255


class Polygons(NamedTuple):
    """What a solid looks like from the camera: convex polygons in painting order."""

    shapes: list[Floats]  # (k, 2) each, pixels
    colours: Floats  # (N, 4) RGB and opacity


@dataclass
class Mesh:
    """Quadrilateral faces with details painted on them, in object coordinates.

    Faces belong to groups (the cab and the box of a lorry), painted far to near.
    """

    points: list[Floats] = field(default_factory=list)  # (k, 3) each
    count: int = 0  # of points
    faces: list[tuple[int, ...]] = field(default_factory=list)  # 4 points each
    corners: list[Floats] = field(default_factory=list)  # (4, 3) of each face
    middles: list[Floats] = field(default_factory=list)  # (3,) inside the solid, behind each face
    albedo: list[Colour] = field(default_factory=list)
    gloss: list[float] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    details: list[tuple[int, list[int], Colour, bool]] = field(
        default_factory=list
    )  # face, points, colour, shines
    tyres: list[list[int]] = field(default_factory=list)  # hulls, painted first
    discs: list[tuple[list[int], Colour, int]] = field(
        default_factory=list
    )  # painted last where side +-1 is seen

    def add_points(self, points: Floats) -> list[int]:
        """Adds points (k, 3); their numbers."""
        first = self.count
        self.points.append(points)
        self.count += len(points)
        return list(range(first, self.count))

    def add_face(self, corners: Floats, middle: Floats, colour: Colour, gloss: float, group: int = 0) -> int:
        """Adds a face (4, 3) of the solid around `middle`; its number."""
        self.faces.append(tuple(self.add_points(corners)))
        self.corners.append(corners)
        self.middles.append(middle)
        self.albedo.append(colour)
        self.gloss.append(gloss)
        self.groups.append(group)
        return len(self.faces) - 1

    def add_detail(
        self, face: int, outline: Sequence[Sequence[float]], colour: Colour, shines: bool = False
    ) -> None:
        """Paints a convex outline, (k, 2) in the face's own [0, 1] x [0, 1], on a face."""
        weights = np.array([((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v) for u, v in outline])
        on_face = weights @ self.corners[face]
        self.details.append((face, self.add_points(on_face), colour, shines))

    def add_wheel(self, z: float, radius: float, outer_x: float, width: float, rim: Colour) -> None:
        """Adds a wheel that touches the road; its outer side is at `outer_x`, to either side."""
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        side = 1 if outer_x > 0 else -1

        def circle(r: float, x: float) -> list[int]:
            return self.add_points(
                np.column_stack([np.full(14, x), radius + r * np.sin(angle), z + r * np.cos(angle)])
            )

        arch = circle(radius * 1.12, outer_x * 1.0)
        self.discs.append((arch, (14.0, 14.0, 15.0), side))
        tyre = circle(radius, outer_x)
        self.tyres.append(tyre + circle(radius, outer_x - side * width))
        self.discs.append((tyre, (26.0, 26.0, 27.0), side))
        self.discs.append((circle(radius * 0.66, outer_x), rim, side))
        self.discs.append((circle(radius * 0.2, outer_x), (60.0, 60.0, 60.0), side))


class Solid:
    """A finished mesh, ready to be seen from anywhere."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.points = np.concatenate(mesh.points)
        self.faces = np.array(mesh.faces)
        corners = np.array(mesh.corners)
        normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        out = (normals * (corners.mean(1) - np.array(mesh.middles))).sum(1)
        self.outward = np.where(out >= 0, 1.0, -1.0)[:, None]  # turns a face's normal outwards
        self.albedo = np.array(mesh.albedo, np.float64)
        self.gloss = np.array(mesh.gloss)
        self.groups = np.array(mesh.groups)
        self.details: dict[int, list[int]] = {}
        for number, detail in enumerate(mesh.details):
            self.details.setdefault(detail[0], []).append(number)
        self.detail_face = np.array([detail[0] for detail in mesh.details], int)
        self.detail_albedo = np.array([detail[2] for detail in mesh.details], np.float64).reshape(-1, 3)
        self.detail_shines = np.array([detail[3] for detail in mesh.details], bool)[:, None]
        self.detail_size = np.array(
            [np.ptp(self.points[d[1]], 0).sum() for d in mesh.details]
        )  # about width + height
        self.low, self.high = self.points.min(0), self.points.max(0)

    def polygons(self, pose: Pose, camera: Camera, light: Light) -> Polygons:
        """The faces that look at the camera, far to near."""
        view = camera.view(pose.place(self.points))
        pixels = camera.pixels(view)
        corners = view[self.faces]  # (F, 4, 3)
        normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]) * self.outward
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        middles = corners.mean(1)
        distance = np.linalg.norm(middles, axis=1)
        seen = ((normals * middles).sum(1) < 0) & (corners[:, :, 2].max(1) > NEAR)
        colours = light.shade(self.albedo, normals, self.gloss)
        by_group = np.zeros(self.groups.max() + 1)
        np.maximum.at(by_group, self.groups, distance)
        order = np.lexsort((-distance, -by_group[self.groups]))

        shapes: list[Floats] = []
        painted: list[Colour] = []
        dark = light.ambient * 22
        for tyre in self.mesh.tyres:
            shapes.append(hull(pixels[tyre]))
            painted.append(dark)
        ambient = light.ambient + 0.3 * light.sunlight
        on_face = light.ambient * (0.85 + 0.25 * normals[:, 1:2])
        on_face = on_face + light.sunlight * np.maximum(normals @ light.sun, 0)[:, None]
        detail_colours = self.detail_albedo * np.where(self.detail_shines, 1.0, on_face[self.detail_face])
        large = (
            self.detail_size * camera.focal > 2.5 * np.maximum(distance[self.detail_face], NEAR)
        ).tolist()
        for face in order[seen[order]].tolist():
            shapes.append(pixels[self.faces[face]])
            painted.append(colours[face])
            for detail in self.details.get(face, ()):
                if not large[detail]:
                    continue
                shapes.append(pixels[self.mesh.details[detail][1]])
                painted.append(detail_colours[detail])
        side_seen = self._side_seen(pose, view)
        for points, colour, side in self.mesh.discs:
            if side == side_seen:
                shapes.append(pixels[points])
                painted.append(np.asarray(colour) * ambient)
        hazed = light.haze(np.array(painted), float(np.median(distance)))
        return Polygons(shapes, np.concatenate([hazed, np.full((len(hazed), 1), OPAQUE)], 1))

    def _side_seen(self, pose: Pose, view: Floats) -> int:
        """1 if the camera sees the object's right side, -1 if its left."""
        right = pose.turn(np.array([1.0, 0.0, 0.0]))
        middle = view.mean(0)
        return 1 if right @ (middle * (1, 0, 1)) < 0 else -1


class Part(NamedTuple):
    """The convex hull of a few spheres, in object coordinates: an arm, a coat, a tube of a bicycle."""

    centres: Sequence[tuple[float, float, float]]
    radii: Sequence[float]
    colour: Colour
    opacity: float = OPAQUE
    nearer: float = 0.0  # metres by which it is put forward in painting order


class Figure:
    """Parts as arrays."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.counts = np.array([len(part.radii) for part in parts])
        self.centres = np.array([centre for part in parts for centre in part.centres])
        self.radii = np.array([radius for part in parts for radius in part.radii])
        self.colours = np.array([part.colour for part in parts])
        self.opacity = np.array([part.opacity for part in parts])
        self.nearer = np.array([part.nearer for part in parts])


class Crowd:
    """All figures of a frame: seen together, because that is many times faster than one by one."""

    def __init__(self, camera: Camera, light: Light) -> None:
        self.camera, self.light = camera, light
        self.figures: list[Figure] = []
        self.places: list[Floats] = []  # street coordinates of the spheres
        self._seen: list[Polygons] = []

    def add(self, figure: Figure, pose: Pose) -> int:
        """Adds a figure before the first one is asked for; its number."""
        self.figures.append(figure)
        self.places.append(pose.place(figure.centres))
        return len(self.figures) - 1

    def polygons(self, number: int) -> Polygons:
        """A figure's parts, far to near; round ones get a lit side when they are large enough to show it."""
        if not self._seen:
            self._seen = self._see()
        return self._seen[number]

    def _see(self) -> list[Polygons]:
        camera, light, figures = self.camera, self.light, self.figures
        counts = np.concatenate([figure.counts for figure in figures])  # spheres of each part
        starts = np.cumsum(counts) - counts
        view = camera.view(np.concatenate(self.places))
        pixels = camera.pixels(view)
        radii = np.concatenate([figure.radii for figure in figures])
        size = camera.focal * radii / np.maximum(view[:, 2], NEAR)
        away = np.add.reduceat(view[:, 2], starts) / counts
        depth = away - np.concatenate([figure.nearer for figure in figures])
        opacity = np.concatenate([figure.opacity for figure in figures])
        large = (np.maximum.reduceat(size, starts) > 2.5) & (opacity == OPAQUE)

        direct = 0.45 + 0.35 * max(-float(light.sun[2]), 0.0)  # a low sun behind us lights what we see
        matte = light.ambient * 0.86 + light.sunlight * direct * 0.45
        sunny = light.ambient * 1.05 + light.sunlight * (direct * 0.7 + 0.3)
        shades = np.stack(
            [
                np.where(large[:, None], matte, 0.6 * matte + 0.4 * sunny),
                np.broadcast_to(sunny, (len(large), 3)),
            ]
        )
        albedo = np.concatenate([figure.colours for figure in figures])
        left = np.exp(-np.maximum(away, 0) / light.haze_distance)[:, None]
        colours = light.sky_low + left * (albedo * shades - light.sky_low)  # (2, parts, 3)
        towards_sun = np.array([light.sun[0], -light.sun[1] * 0.6])
        middles = np.stack([pixels, pixels + 0.34 * size[:, None] * towards_sun])
        sizes = np.stack([size, 0.62 * size])

        parts_of = np.array([len(figure.counts) for figure in figures])
        order = np.lexsort((-depth, np.repeat(np.arange(len(figures)), parts_of)))
        strokes = 1 + large[order]  # of each part: itself, and its lit side
        part = np.repeat(order, strokes)
        layer = np.arange(len(part)) - np.repeat(np.cumsum(strokes) - strokes, strokes)
        shapes = list(_capsules(middles, sizes, starts, counts)[layer, part])
        rings = middles[:, :, None] + sizes[..., None, None] * _RING
        for i in np.flatnonzero(counts[part] > 2).tolist():
            begin, end = starts[part[i]], starts[part[i]] + counts[part[i]]
            shapes[i] = hull(rings[layer[i], begin:end].reshape(-1, 2))
        painted = np.concatenate([colours[layer, part], opacity[part][:, None]], 1)
        ends = np.cumsum(np.add.reduceat(strokes, np.cumsum(parts_of) - parts_of)).tolist()
        return [Polygons(shapes[a:b], painted[a:b]) for a, b in pairwise([0, *ends])]


def _capsules(pixels: Floats, size: Floats, starts: Any, counts: Any) -> Floats:
    """The hull of every part's first two circles: pixels (L, S, 2), radii (L, S) -> (L, parts, k, 2)."""
    last = starts + np.minimum(counts - 1, 1)
    a, b, ra, rb = pixels[:, starts], pixels[:, last], size[:, starts], size[:, last]
    apart = b - a
    distance = np.maximum(np.hypot(apart[..., 0], apart[..., 1]), 1e-6)
    tangent = np.arccos(np.clip((ra - rb) / distance, -1, 1))[..., None]  # where the outer tangents touch
    along = np.arctan2(apart[..., 1], apart[..., 0])[..., None]
    angle = np.concatenate([tangent * _FAN, np.pi + (np.pi - tangent) * _FAN], -1) + along  # of b, then of a
    radius = np.repeat(np.stack([rb, ra], -1), len(_FAN), -1)
    middle = np.repeat(np.stack([b, a], -2), len(_FAN), -2)
    rims: Floats = middle + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return rims


_FAN = np.linspace(-1, 1, 7)
_RING = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], -1)


def hull(points: Floats) -> Floats:
    """The convex hull of points (k, 2) in the plane."""
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], np.float64)
