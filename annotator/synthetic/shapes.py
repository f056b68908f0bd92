"""Solids and how they become polygons: meshes with flat faces (vehicles) and hulls of spheres (people, bicycles)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from annotator.synthetic.camera import NEAR, Camera, Floats, Pose
from annotator.synthetic.light import Light
from annotator.synthetic.paint import OPAQUE

Colour = Sequence[float]  # RGB, 0 to 255


class Polygons(NamedTuple):
    """What a solid looks like from the camera: convex polygons in painting order."""

    shapes: list[Floats]  # (k, 2) each, pixels
    colours: Floats  # (N, 4) RGB and opacity


@dataclass
class Mesh:
    """Quadrilateral faces with details painted on them, in object coordinates.

    Faces belong to groups (the cab and the box of a lorry), painted far to near.
    """

    points: list[Floats] = field(default_factory=list)  # (3,) each
    faces: list[tuple[int, ...]] = field(default_factory=list)  # 4 points each
    outward: list[float] = field(default_factory=list)  # sign that turns the face's normal outwards
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
        first = len(self.points)
        self.points.extend(points)
        return list(range(first, len(self.points)))

    def add_face(self, corners: Floats, middle: Floats, colour: Colour, gloss: float, group: int = 0) -> int:
        """Adds a face (4, 3) of the solid around `middle`; its number."""
        normal = np.cross(corners[2] - corners[0], corners[3] - corners[1])
        self.faces.append(tuple(self.add_points(corners)))
        self.outward.append(1.0 if normal @ (corners.mean(0) - middle) >= 0 else -1.0)
        self.albedo.append(colour)
        self.gloss.append(gloss)
        self.groups.append(group)
        return len(self.faces) - 1

    def add_detail(
        self, face: int, outline: Sequence[Sequence[float]], colour: Colour, shines: bool = False
    ) -> None:
        """Paints a convex outline, (k, 2) in the face's own [0, 1] x [0, 1], on a face."""
        a, b, c, d = (self.points[i] for i in self.faces[face])
        u, v = np.asarray(outline, np.float64).T[:, :, None]
        on_face = (1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d
        self.details.append((face, self.add_points(on_face), colour, shines))

    def add_wheel(self, z: float, radius: float, outer_x: float, width: float, rim: Colour) -> None:
        """Adds a wheel that touches the road; its outer side is at `outer_x`, to either side."""
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        side = 1 if outer_x > 0 else -1

        def circle(r: float, x: float) -> list[int]:
            ring = np.stack([np.full(14, x), radius + r * np.sin(angle), z + r * np.cos(angle)], -1)
            return self.add_points(ring)

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
        self.points = np.array(mesh.points)
        self.faces = np.array(mesh.faces)
        self.outward = np.array(mesh.outward)[:, None]
        self.albedo = np.array(mesh.albedo, np.float64)
        self.gloss = np.array(mesh.gloss)
        self.groups = np.array(mesh.groups)
        self.details: dict[int, list[tuple[list[int], Colour, bool]]] = {}
        for face, points, colour, shines in mesh.details:
            self.details.setdefault(face, []).append((points, colour, shines))
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
        for face in order[seen[order]].tolist():
            shapes.append(pixels[self.faces[face]])
            painted.append(colours[face])
            for points, colour, shines in self.details.get(face, ()):
                shapes.append(pixels[points])
                lit = self._detail_light(normals[face], light) if not shines else 1.0
                painted.append(np.asarray(colour) * lit)
        side_seen = self._side_seen(pose, view)
        for points, colour, side in self.mesh.discs:
            if side == side_seen:
                shapes.append(pixels[points])
                painted.append(np.asarray(colour) * ambient)
        hazed = light.haze(np.array(painted), float(np.median(distance)))
        return Polygons(shapes, np.concatenate([hazed, np.full((len(hazed), 1), OPAQUE)], 1))

    def _detail_light(self, normal: Floats, light: Light) -> Floats:
        return light.ambient * (0.85 + 0.25 * normal[1]) + light.sunlight * max(
            float(normal @ light.sun), 0.0
        )

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


_CIRCLE = np.linspace(0, 2 * np.pi, 10, endpoint=False)
_RING = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], -1)


def part_polygons(parts: Sequence[Part], pose: Pose, camera: Camera, light: Light) -> Polygons:
    """Parts far to near; round ones get a lit side when they are large enough to show it."""
    counts = [len(part.radii) for part in parts]
    centres = np.array([centre for part in parts for centre in part.centres])
    radii = np.array([radius for part in parts for radius in part.radii])
    view = camera.view(pose.place(centres))
    pixels = camera.pixels(view)
    size = camera.focal * radii / np.maximum(view[:, 2], NEAR)
    rims = pixels[:, None] + size[:, None, None] * _RING  # (S, 10, 2)
    ends = np.cumsum(counts)
    starts = ends - counts
    depth = np.add.reduceat(view[:, 2], starts) / counts - [part.nearer for part in parts]
    albedo = np.array([part.colour for part in parts], np.float64)
    towards_sun = np.array([light.sun[0], -light.sun[1] * 0.6])
    directness = 0.45 + 0.35 * max(
        -float(light.sun[2]), 0.0
    )  # a low sun behind the camera lights what we see
    base = albedo * (light.ambient * 0.86 + light.sunlight * directness * 0.45)
    lit = albedo * (light.ambient * 1.05 + light.sunlight * (directness * 0.7 + 0.3))
    away = float(view[:, 2].mean())
    base, lit = light.haze(base, away), light.haze(lit, away)

    shapes: list[Floats] = []
    colours: list[list[float]] = []
    for i in np.argsort(-depth, kind="stable").tolist():
        a, b = int(starts[i]), int(ends[i])
        shapes.append(hull(rims[a:b].reshape(-1, 2)))
        opacity = parts[i].opacity
        colours.append([*base[i], opacity])
        if size[a:b].max() > 2.0 and opacity == OPAQUE:
            inner = rims[a:b] * 0.62 + 0.38 * (pixels[a:b] + size[a:b, None] * towards_sun * 0.9)[:, None]
            shapes.append(hull(inner.reshape(-1, 2)))
            colours.append([*lit[i], opacity])
    return Polygons(shapes, np.array(colours))


def hull(points: Floats) -> Floats:
    """The convex hull of points (k, 2) in the plane."""
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], np.float64)
