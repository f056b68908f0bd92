"""A drive along a street: who is where at which time, and the frame that the dashcam sees.

Everybody belongs to a stream: an endless row of slots that moves at one speed. Where slot j of a stream is at
a time is a formula, so any frame can be rendered without those before it, and identities never change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.synthetic import people, roadside, two_wheelers, vehicles
from annotator.synthetic.buildings import FAR, House
from annotator.synthetic.camera import Bend, Camera, Floats, Pose
from annotator.synthetic.ground import Backdrop, Ground
from annotator.synthetic.lens import Lens, draw_bonnet
from annotator.synthetic.light import draw_light
from annotator.synthetic.paint import Canvas, Image, noise
from annotator.synthetic.shapes import Crowd, Figure, Part, Solid
from annotator.synthetic.stage import Item, cast_shadows, paint_order
from annotator.synthetic.traffic import Slot, Stream, draw_layout, draw_streams

PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 31, 32, 33  # Cityscapes ids

SLOTS = 4096  # identities of a stream; after so many slots they come round again
FAINT = 6.0  # pixels; what is lower than this is not drawn
FINE = 30.0  # pixels; what is lower than this is drawn with fewer parts


@dataclass(frozen=True)
class SyntheticFrame:
    """A rendered frame and its exact truth."""

    index: int
    image: Image = field(repr=False)  # (H, W, 3) uint8 RGB
    label_map: npt.NDArray[np.int32] = field(repr=False)  # (H, W) object id, 0 = no instance
    classes: dict[int, int]  # the Cityscapes class id of every object in the label map


class View(NamedTuple):
    """A frame while it is put together."""

    camera: Camera
    time: float  # seconds
    crowd: Crowd
    objects: dict[int, int]  # id -> class, in the order in which the canvas numbers them

    def enter(self, number: int, class_id: int) -> int:
        """Enters an object; its number on the canvas."""
        self.objects[number] = class_id
        return len(self.objects)


class Street:
    """A drive along a rendered street. `frame(k)` needs no other frame.

    Args:
        seed: draws the street, its weather, its people and its camera.
        size: (H, W) of the frames; any, from about 32 x 48 up.
        fps: frames per second of the drive.
    """

    def __init__(self, seed: int, size: tuple[int, int] = (384, 768), fps: float = 10.0) -> None:
        if min(size) < 1 or fps <= 0:
            raise ValueError(f"no street has frames of size {size} at {fps} frames per second")
        self.seed, self.size, self.fps = seed, size, fps
        rng = np.random.default_rng([seed, 1])
        height, width = size
        self.light = draw_light(rng)
        self.focal = max(width, 1.6 * height) * rng.uniform(0.62, 1.12)
        self.horizon = height * rng.uniform(0.38, 0.5)
        self.camera_height = rng.uniform(1.2, 1.65)
        self.bend = Bend(rng.uniform(0, 5.0), rng.uniform(150, 320), rng.uniform(0, 2 * np.pi))
        self.layout = draw_layout(rng)
        self.drive = str(rng.choice(["cruise", "follow", "stop", "wait"], p=[0.3, 0.3, 0.2, 0.2]))
        self.speed = rng.uniform(5, 11)
        self.mirrored = bool(rng.random() < 0.12)
        self.phases = rng.uniform(0, 2 * np.pi, 6)
        self.streams = draw_streams(rng, self.layout, self.drive, self.speed)
        self.backdrop = Backdrop(size, self.horizon, self.focal, self.light, rng)
        self.ground = Ground(self.layout, self.light, rng)
        self.lens = Lens(size, rng)
        self.leaf = np.array(
            [[1.0, 1.0, 1.0], [1.0, 1.06, 0.9], [0.8, 0.9, 0.85], [1.5, 1.05, 0.55]][rng.integers(4)]
        )
        self.bonnet = draw_bonnet(rng, size) if rng.random() < 0.3 else None
        self._slot = lru_cache(maxsize=1024)(self._draw_slot)
        self._body = lru_cache(maxsize=1024)(self._draw_body)  # what stands still is drawn once
        self._house = lru_cache(maxsize=64)(self._draw_house)

    @property
    def stop(self) -> float:
        """Where the ego car stops, if it does: before the first crossing."""
        return self.layout.crossing_start - self.layout.crossing_half - 6.0

    def ego(self, time: float) -> float:
        """Metres that the ego car has come along the street."""
        if self.drive == "wait":
            return self.stop
        if self.drive == "stop":  # v before, 0 after, softly: the integral of a sigmoid
            left = self.stop / self.speed - time
            return float(self.stop - self.speed * np.logaddexp(0.0, left / 1.2) * 1.2)
        rate = 0.35
        return float(
            self.speed
            * (time + 0.35 / rate * (np.sin(rate * time + self.phases[0]) - np.sin(self.phases[0])))
        )

    def camera(self, time: float) -> Camera:
        """The dashcam at a time: it sways and bounces."""
        p = self.phases
        moving = 1.0 if self.drive != "wait" else 0.06
        pitch = (
            0.0022 * np.sin(7.3 * time + p[1])
            + 0.0016 * np.sin(12.1 * time + p[2])
            + 0.001 * np.sin(23 * time + p[3])
        )
        sway = 0.16 * np.sin(0.5 * time + p[4])
        yaw = 0.006 * np.sin(0.8 * time + p[5])
        centre = (self.size[1] / 2 + self.focal * yaw * moving, self.horizon + self.focal * pitch * moving)
        return Camera(
            self.size, self.focal, centre, self.camera_height, sway * moving, self.ego(time), self.bend
        )

    def frame(self, index: int) -> SyntheticFrame:
        """Renders frame `index` of the drive."""
        time = index / self.fps
        camera = self.camera(time)
        image = np.empty((*self.size, 3), np.uint8)
        k = 2 * np.pi / self.bend.wavelength
        heading = self.bend.amplitude * k * np.cos(k * camera.s + self.bend.phase)
        horizon = camera.centre[1]
        self.ground.paint(image, camera)
        self.backdrop.paint(image, horizon, self.focal * heading - (camera.centre[0] - self.size[1] / 2))

        view = View(camera, time, Crowd(camera, self.light), {})
        items = list(self._items(view))
        cast_shadows(image, camera, self.light, items)
        canvas = Canvas(image)
        boxes = np.array([item.box for item in items]).reshape(-1, 4)
        for i in paint_order(boxes - (camera.x, camera.x, camera.s, camera.s)):
            items[i].paint(canvas)
        if self.bonnet is not None:
            canvas.polygons(*self.bonnet, 0)

        ids = np.array([0, *view.objects], np.int32)
        visible = np.bincount(canvas.labels.ravel(), minlength=len(ids))
        classes = {
            number: view.objects[number]
            for number, count in zip(ids[1:].tolist(), visible[1:], strict=True)
            if count
        }
        label_map, picture = ids[canvas.labels], self.lens.expose(canvas.image, index)
        if self.mirrored:
            label_map, picture = (
                np.ascontiguousarray(label_map[:, ::-1]),
                np.ascontiguousarray(picture[:, ::-1]),
            )
        return SyntheticFrame(index, picture, label_map, classes)

    def _items(self, view: View) -> Iterator[Item]:
        """Everything that may be in view."""
        yield from self._houses(view.camera)
        for stream in self.streams:
            for j, along in self._slots_in_view(stream, view.camera, view.time):
                slot = self._slot(stream, j)
                if not slot.kind:
                    continue
                along += slot.shift * stream.gap
                if stream.keeps_clear and self.layout.at_crossing(along, 5.5):
                    continue
                yield from self._item(stream, j, slot, along, view)

    def _slots_in_view(self, stream: Stream, camera: Camera, time: float) -> Iterator[tuple[int, float]]:
        """Slots and where their row has carried them, metres."""
        if stream.crosses:
            ahead = max(stream.x - camera.s, 0.1)
            gate = max(self.layout.crossing_start - self.layout.crossing_half - 2.5 - camera.s, 1.0)
            walls = max(self.layout.wall_right, -self.layout.wall_left)  # they hide what is further aside
            reach = 8.0 + min(0.6 * ahead * self.size[1] / self.focal, walls * max(ahead / gate, 1.0))
            low, high = (-reach, reach) if 0.5 < ahead < 120 else (0.0, -1.0)
        else:
            low, high = camera.s - 10.0, camera.s + (130.0 if stream.driven else 105.0)
        moved = camera.s if stream.with_ego else stream.speed * time
        if stream.with_ego:
            low = camera.s + 9.0
        first, last = int(np.ceil((low - moved) / stream.gap)), int(np.floor((high - moved) / stream.gap))
        for j in range(first, last + 1):
            yield j, j * stream.gap + moved

    def _draw_slot(self, stream: Stream, j: int) -> Slot:
        rng = np.random.default_rng([self.seed, 2, stream.number, j + (1 << 30)])
        draw = rng.random()
        kind = ""
        for name, share in stream.kinds:
            draw -= share
            if draw < 0:
                kind = name
                break
        shift, aside = rng.uniform(-0.5, 0.5) * stream.jitter, rng.uniform(-1, 1) * stream.wobble
        turn = rng.normal(0, 0.012)
        lamps, still = self.light.lamps, stream.speed == 0 and not stream.with_ego
        figure: Any = None
        if kind == "car":
            figure = vehicles.car(rng, still and self.drive != "wait", lamps)
        elif kind == "truck":
            figure = vehicles.truck(rng, lamps)
        elif kind == "bus":
            figure = vehicles.bus(rng, lamps)
        elif kind == "train":
            figure = vehicles.tram(rng, lamps)
        elif kind == "person":
            figure = people.draw_person(rng)
            turn = rng.uniform(-np.pi, np.pi) if still else rng.normal(0, 0.12)
        elif kind in ("bicycle", "cyclist"):
            figure = two_wheelers.draw_bicycle(rng), people.draw_person(rng, rider=True)
            turn = rng.normal(0, 0.06 if kind == "cyclist" else 0.5) + (
                0 if kind == "cyclist" else rng.choice([0, 1.57])
            )
        elif kind in ("motorcycle", "biker"):
            figure = two_wheelers.draw_motorcycle(rng, lamps), people.draw_person(rng, rider=True)
            turn = rng.normal(0, 0.05 if kind == "biker" else 0.6)
        elif kind in ("tree", "bush"):
            figure = (int(rng.integers(15)), rng.uniform(0.8, 1.2), rng.uniform(0.85, 1.12, 3))
        elif kind == "furniture":
            figure = Figure(roadside.draw_furniture(rng))
        return Slot(kind, shift, aside, turn, figure)

    def _item(
        self,
        stream: Stream,
        j: int,
        slot: Slot,
        along: float,
        view: View,
    ) -> Iterator[Item]:
        """The thing in a slot, if it is near enough to be seen."""
        camera, time = view.camera, view.time
        across = stream.x + slot.aside
        if stream.with_ego:
            along += 1.5 * np.sin(0.4 * time + j)
        x, s = (along, across) if stream.crosses else (across, along)
        ahead = s - camera.s
        backwards = (stream.speed < 0) != stream.turned
        yaw = slot.turn + (np.pi if backwards else 0.0) + (np.pi / 2 if stream.crosses else 0.0)
        if ahead < -8 or (ahead > 0 and self._beside(x, ahead, camera) > 7.5):
            return
        pose = Pose(x, s, yaw)
        if slot.kind in ("tree", "bush"):
            if ahead > 1.5:
                yield self._tree(slot, pose, view)
            return
        tall = slot.figure.high[1] if isinstance(slot.figure, Solid) else 1.7
        if slot.kind == "furniture":
            tall = 0.6  # what small things are far away nobody misses
        if self.focal * tall < FAINT * max(ahead, 1.0):
            return
        if isinstance(slot.figure, Solid):
            yield self._vehicle(slot.kind, slot.figure, pose, view, _number(stream, j, 0))
            return
        if ahead < 1.2 or self._beside(x, ahead, camera) > 1.6:
            return
        fine = self.focal * tall > FINE * ahead
        travelled = abs(stream.speed) * time
        bodies = self._draw_body if travelled else self._body
        if slot.kind == "furniture":
            yield self._figure([(slot.figure, 0)], pose, view, 0.3, 2.5, (0.3, 0.3))
        elif slot.kind == "person":
            number = view.enter(_number(stream, j, 0), PERSON)
            (figure,) = bodies(stream, j, travelled, fine)
            yield self._figure([(figure, number)], pose, view, 0.3, 1.7, (0.22, 0.18))
        else:
            class_id = BICYCLE if slot.kind in ("bicycle", "cyclist") else MOTORCYCLE
            layers = [view.enter(_number(stream, j, 0), class_id)]
            if slot.kind in ("cyclist", "biker"):
                layers.append(view.enter(_number(stream, j, 1), RIDER))
            painted = list(zip(bodies(stream, j, travelled, fine), layers, strict=True))
            if np.cos(yaw) < -0.5:  # it comes towards us, and the handlebar is before the rider
                painted.reverse()
            yield self._figure(painted, pose, view, 0.8, 1.5, (0.18, 0.8))

    def _draw_body(self, stream: Stream, j: int, travelled: float, fine: bool) -> list[Figure]:
        """The figures of a slot: somebody on foot, or a machine and its rider if it has one."""
        slot = self._slot(stream, j)
        if slot.kind == "person":
            return [Figure(people.walking(slot.figure, travelled, stream.speed == 0, fine))]
        machine, person = slot.figure
        bicycle = slot.kind in ("bicycle", "cyclist")
        figures = [
            two_wheelers.bicycle_parts(machine, travelled, fine)
            if bicycle
            else two_wheelers.motorcycle_parts(machine)
        ]
        if slot.kind in ("cyclist", "biker"):
            figures.append(people.cycling(person, travelled) if bicycle else people.riding_motorcycle(person))
        return [Figure(parts) for parts in figures]

    def _beside(self, x: float, ahead: float, camera: Camera) -> float:
        """How far beside the field of view a place is, metres."""
        middle = self.size[1] / 2
        u = x - camera.x + float(camera.bend.offset(camera.s, np.float64(ahead)))
        return abs(u - (middle - camera.centre[0]) * ahead / self.focal) - middle * ahead / self.focal

    def _vehicle(self, kind: str, solid: Solid, pose: Pose, view: View, number: int) -> Item:
        low, high = solid.low, solid.high
        corners = np.array(
            [
                [x, 0, z]
                for x, z in ((low[0], low[2]), (high[0], low[2]), (high[0], high[2]), (low[0], high[2]))
            ]
        )
        ground = pose.place(corners)[:, [0, 2]]
        class_id = {"car": CAR, "truck": TRUCK, "bus": BUS, "train": TRAIN}[kind]
        label, camera = view.enter(number, class_id), view.camera

        def paint(canvas: Canvas) -> None:
            if ground[:, 1].max() - camera.s > 0.5:
                canvas.polygons(*solid.polygons(pose, camera, self.light), label, _GRAIN[0]())

        return Item(_bounds(ground), paint, ground, high[1])

    def _figure(
        self,
        layers: list[tuple[Figure, int]],
        pose: Pose,
        view: View,
        reach: float,
        height: float,
        foot: tuple[float, float],
    ) -> Item:
        """Figures with their labels, the last on top."""
        corners = np.array([[x * foot[0], 0, z * foot[1]] for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        ground = pose.place(corners)[:, [0, 2]]

        numbers = [(view.crowd.add(figure, pose), label) for figure, label in layers]

        def paint(canvas: Canvas) -> None:
            for number, label in numbers:
                canvas.polygons(*view.crowd.polygons(number), label, _GRAIN[1]() if label else None)

        box = (pose.x - reach, pose.x + reach, pose.s - reach, pose.s + reach)
        return Item(box, paint, ground, height)

    def _tree(self, slot: Slot, pose: Pose, view: View) -> Item:
        variant, grow, tint = slot.figure
        bush = slot.kind == "bush"
        tall, wide = ((1.6, 2.4) if bush else (6.5, 5.2)) * np.array(grow)
        base = 0.0 if bush else 2.1 * grow
        gain = self.leaf * tint * (self.light.ambient * 0.95 + 0.75 * self.light.sunlight)
        if variant % 5 == 4 and bush:
            variant += 1
        camera = view.camera
        if not bush:
            high = base + 0.05 if variant % 5 == 4 else base + 0.35 * tall
            stem = Part([(0, 0.15, 0), (0, high, 0)], [0.17 * grow, 0.11 * grow], (68, 60, 50))
            trunk = view.crowd.add(Figure([stem]), pose)

        def paint(canvas: Canvas) -> None:
            foot, crown = camera.view(np.array([[pose.x, 0.0, pose.s], [pose.x, base, pose.s]]))
            (_, v), (u, w) = camera.pixels(np.stack([foot, crown]))
            scale = camera.focal / foot[2]
            if not bush:
                canvas.polygons(*view.crowd.polygons(trunk), 0)
            fade = float(np.exp(-foot[2] / self.light.haze_distance))
            bottom = v if bush else w + 0.1 * tall * scale
            w_px, h_px = wide * scale, tall * scale
            seen = gain * fade + (1 - fade) * 1.6
            canvas.picture(roadside.foliage(variant), u - w_px / 2, bottom - h_px, w_px, h_px, seen)

        around = np.array([[-1, -0.4], [0, -1], [1, -0.4], [1, 0.4], [0, 1], [-1, 0.4]]) * wide * 0.4 + (
            pose.x,
            pose.s,
        )
        return Item(
            (pose.x - 0.3, pose.x + 0.3, pose.s - 0.3, pose.s + 0.3), paint, around, base + 0.4 * tall
        )

    def _draw_house(self, side: int, j: int) -> House:
        return House(np.random.default_rng([self.seed, 3, side + 1, j + (1 << 30)]), self.light, side)

    def _houses(self, camera: Camera) -> Iterator[Item]:
        lay = self.layout
        for side, x in ((1, lay.wall_right), (-1, lay.wall_left)):
            plot = 13.0 + 5 * np.sin(self.phases[0] + side)
            open_side = lay.open_right if side > 0 else lay.open_left
            for j in range(int(np.floor((camera.s - 2) / plot)), int((camera.s + FAR) / plot)):
                mix = np.sin(j * 12.9898 + side * 4.1 + self.phases[2] * 50) * 43758.5453 % 1.0
                if open_side or mix < 0.1:
                    continue
                s0, s1 = j * plot, (j + 1) * plot - (3.5 if mix < 0.2 + 0.3 * (lay.garden_left > 1) else 0.0)
                crossing = lay.crossing_near((s0 + s1) / 2)
                a, b = crossing - lay.crossing_half - 2.5, crossing + lay.crossing_half + 2.5
                if s0 < b and s1 > a:  # a crossing cuts the house short
                    s0, s1 = (s0, a) if (s0 + s1) / 2 < crossing else (b, s1)
                if s1 - s0 < 3:
                    continue
                house = self._house(side, j)
                away = x + side * house.depth
                box = (min(x, away), max(x, away), s0, s1)
                footprint = np.array([[x, s0], [away, s0], [away, s1], [x, s1]])

                def paint(
                    canvas: Canvas, house: House = house, x: float = x, s0: float = s0, s1: float = s1
                ) -> None:
                    house.paint(canvas, camera, self.light, x, s0, s1)

                yield Item(box, paint, footprint, house.height)


_GRAIN: tuple[Callable[[], Image], Callable[[], Image]] = (
    lambda: noise(30, 128, 5.0, 5.0),
    lambda: noise(31, 64, 1.6, 11.0),
)


def _number(stream: Stream, j: int, which: int) -> int:
    """The id of the first or second object of a slot: unique, positive, small."""
    return 1 + which + 2 * (j % SLOTS + SLOTS * stream.number)


def _bounds(ground: Floats) -> tuple[float, float, float, float]:
    (x0, s0), (x1, s1) = ground.min(0).tolist(), ground.max(0).tolist()
    return x0, x1, s0, s1
