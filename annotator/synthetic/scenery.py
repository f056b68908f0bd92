"""What stands still and is no instance: sky, ground, buildings, trees and street furniture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from annotator.synthetic.camera import Camera, Floats
from annotator.synthetic.light import Light
from annotator.synthetic.paint import Canvas, Image, noise
from annotator.synthetic.shapes import Colour, Part

FAR = 170.0  # metres; the street is built up to here


@dataclass(frozen=True)
class Layout:
    """The cross-section of the street and its crossings, in metres of street coordinates."""

    lane: float
    left_lanes: int  # of oncoming traffic
    right_lanes: int  # beside the ego lane
    parking_left: float  # width, 0 for none
    parking_right: float
    pavement_left: float
    pavement_right: float
    garden_left: float  # between pavement and walls
    garden_right: float
    crossing_start: float  # s of the first crossing's middle
    crossing_gap: float
    crossing_half: float  # half the width of the crossing street
    open_left: bool  # no houses: a park
    open_right: bool

    @property
    def kerb_right(self) -> float:
        """Where the right pavement begins."""
        return self.lane * (0.5 + self.right_lanes) + self.parking_right

    @property
    def kerb_left(self) -> float:
        """Where the left pavement begins (negative)."""
        return -self.lane * (0.5 + self.left_lanes) - self.parking_left

    @property
    def wall_right(self) -> float:
        """Where the buildings on the right stand."""
        return self.kerb_right + self.pavement_right + self.garden_right

    @property
    def wall_left(self) -> float:
        """Where the buildings on the left stand (negative)."""
        return self.kerb_left - self.pavement_left - self.garden_left

    def crossing_near(self, s: float) -> float:
        """The middle of the crossing that is nearest to s."""
        return self.crossing_start + self.crossing_gap * round((s - self.crossing_start) / self.crossing_gap)

    def at_crossing(self, s: float, margin: float = 0.0) -> bool:
        """Is s within a crossing, or within `margin` metres of one?"""
        return abs(s - self.crossing_near(s)) < self.crossing_half + margin


class Backdrop:
    """Sky, clouds and a skyline, which turn as the street winds."""

    def __init__(
        self, size: tuple[int, int], horizon: float, focal: float, light: Light, rng: np.random.Generator
    ):
        height, width = size
        self.margin = int(0.3 * focal) + 2
        self.horizon = int(horizon) + height // 8  # rows above the horizon that bounces can bring into view
        wide = width + 2 * self.margin
        up = np.linspace(1, 0, self.horizon)[:, None, None] ** 0.8
        sky = light.sky_low + up * (light.sky_high - light.sky_low)
        sky = np.repeat(sky, wide, 1).astype(np.float32)
        clouds = noise(int(rng.integers(4)), 256, 9.0, 40.0)[:, :, :1].astype(np.float32) / 128 - 1
        clouds = clouds + 0.5 * (
            noise(int(rng.integers(4, 8)), 256, 3.0, 40.0)[:, :, :1] / np.float32(128) - 1
        )
        stretched = cv2.resize(clouds, (wide, self.horizon * 2), interpolation=cv2.INTER_CUBIC)[
            : self.horizon
        ]
        cover = np.clip(stretched * 1.8 + 2 * light.cloud - 1.1, 0, 1)[:, :, None] * 0.75
        lump = np.clip(1.02 - 0.14 * stretched[:, :, None], 0.8, 1.1)
        sky += cover * (np.minimum(light.sky_low * 1.04 + 8, 255) * lump - sky)
        self.image = np.clip(sky, 0, 255).astype(np.uint8)
        self._skyline(light, rng, focal)

    def _skyline(self, light: Light, rng: np.random.Generator, focal: float) -> None:
        """Distant roofs and trees along the horizon."""
        wide = self.image.shape[1]
        for distance in (420.0, 300.0, 210.0):
            x = 0.0
            while x < wide:
                step = rng.uniform(6, 26) * focal / distance
                tall = rng.uniform(5, 20) * focal / distance
                grey = light.ambient * (rng.uniform(50, 130) + rng.uniform(-10, 10, 3))
                if rng.random() < 0.5:
                    green = light.ambient * np.array([62, 84, 46]) * rng.uniform(0.8, 1.3)
                    colour = light.haze(green, distance * 0.6)
                    centre = (int(x + step / 2), self.horizon)
                    cv2.ellipse(self.image, centre, (max(int(step * 0.7), 1), max(int(tall * 0.7), 1)), 0, 180, 360, colour.tolist(), -1)  # fmt: skip
                else:
                    colour = light.haze(grey, distance * 0.6)
                    cv2.rectangle(self.image, (int(x), int(self.horizon - tall)), (int(x + step), self.horizon), colour.tolist(), -1)  # fmt: skip
                x += step

    def paint(self, image: Image, horizon: float, turn: float) -> None:
        """Fills the rows above `horizon`; `turn` is how far the view has turned, in pixels to the right."""
        rows = min(int(np.ceil(horizon)) + 1, image.shape[0], self.horizon)
        left = int(np.clip(self.margin + turn, 0, 2 * self.margin))
        begin = self.horizon - rows
        image[:rows] = self.image[begin : self.horizon, left : left + image.shape[1]]


class Ground:
    """Road, kerbs and pavements: a texture that repeats along the street, seen in perspective."""

    ACROSS, ALONG = 26.0, 10.0  # texels per metre
    HALF, PERIOD = 22.0, 48.0  # metres

    def __init__(self, layout: Layout, light: Light, rng: np.random.Generator):
        self.layout, self.light = layout, light
        self.lit = light.ambient * 1.05 + light.sunlight * max(float(light.sun[1]), 0)
        grey = rng.uniform(70, 122)
        self.asphalt = np.clip(grey + rng.uniform(-7, 7, 3), 0, 255)
        self.paint_colour = np.clip(rng.uniform(185, 232) * self.lit, 0, 250)
        texture = self._texture(rng)
        self.levels = []
        for _ in range(6):
            padded = np.concatenate([texture, texture[:1]])  # one row more, for interpolation across the seam
            self.levels.append(padded)
            texture = cv2.resize(
                texture, (texture.shape[1], texture.shape[0] // 2), interpolation=cv2.INTER_AREA
            )
        self.dash, self.dash_gap = rng.uniform(2.5, 4), rng.uniform(4, 7)
        self.worn = rng.uniform(0.35, 1.0)
        self.edge_lines = bool(rng.random() < 0.5)
        self.zebra = bool(rng.random() < 0.75)
        self.rails = bool(rng.random() < 0.12)

    def _texture(self, rng: np.random.Generator) -> Image:
        rows, columns = int(self.PERIOD * self.ALONG), int(2 * self.HALF * self.ACROSS)
        lay = self.layout

        def column(x: float) -> int:
            return int(np.clip((x + self.HALF) * self.ACROSS, 0, columns))

        image = np.empty((rows, columns, 3), np.float32)
        image[:] = self._yard(rng)
        pavement = rng.uniform(105, 165) + rng.uniform(-10, 10, 3)
        stone = np.clip(pavement * rng.uniform(1.0, 1.3), 0, 225)
        for a, b in (
            (lay.kerb_right, lay.kerb_right + lay.pavement_right),
            (lay.kerb_left - lay.pavement_left, lay.kerb_left),
        ):
            image[:, column(a) : column(b)] = pavement
            for i in np.arange(a, b, rng.uniform(0.4, 1.2)):  # slabs
                image[:, column(i) : column(i) + 1] *= 0.86
            image[:: int(self.ALONG * 1), column(a) : column(b)] *= 0.88
        image[:, column(lay.kerb_left) : column(lay.kerb_right)] = self.asphalt
        for width, a in (
            (lay.parking_left, lay.kerb_left),
            (lay.parking_right, lay.kerb_right - lay.parking_right),
        ):
            if width:
                image[:, column(a) : column(a + width)] *= rng.uniform(0.85, 1.2)
        wheel = rng.uniform(0.88, 1.04)
        for centre in np.arange(-lay.left_lanes, lay.right_lanes + 1) * lay.lane:
            for side in (-0.8, 0.8):
                image[:, column(centre + side - 0.3) : column(centre + side + 0.3)] *= wheel
        for _ in range(int(rng.integers(2, 14))):  # repairs and stains
            x, s = rng.uniform(lay.kerb_left, lay.kerb_right), rng.uniform(0, self.PERIOD)
            w, d = rng.uniform(0.3, 2.0), rng.uniform(0.5, 8)
            patch = image[
                int(s * self.ALONG) : int((s + d) * self.ALONG),
                column(x) : column(min(x + w, lay.kerb_right)),
            ]
            patch *= rng.uniform(0.78, 1.12)
        for x in (lay.kerb_right, lay.kerb_left - 0.16):
            image[:, column(x) : column(x + 0.16)] = stone
            gutter = x - 0.3 if x > 0 else x + 0.16
            image[:, column(gutter) : column(gutter + 0.3)] *= 0.85
        image = cv2.GaussianBlur(image, (0, 0), 0.8)
        coarse = cv2.resize(noise(int(rng.integers(8)), 256, 6.0, 5.0)[:, :, 0], (columns, rows)).astype(
            np.float32
        )
        fine = np.tile(noise(11, 256, 0.7, 6.5)[:, :, 0], (rows // 256 + 1, columns // 256 + 1))[
            :rows, :columns
        ]
        image *= ((coarse * fine) / np.float32(128 * 128))[:, :, None]
        return np.clip(image * self.lit, 0, 255).astype(np.uint8)

    def _yard(self, rng: np.random.Generator) -> Floats:
        """What lies beyond the pavements: grass or paving."""
        if self.layout.garden_left + self.layout.garden_right > 1 and rng.random() < 0.75:
            return np.array([78, 98, 48]) * rng.uniform(0.7, 1.2)
        return rng.uniform(85, 150) + rng.uniform(-12, 12, 3)

    def paint(self, image: Image, camera: Camera) -> None:
        """Fills the rows below the horizon."""
        height, width = camera.size
        v0 = camera.centre[1]
        first = min(max(int(np.ceil(v0)), 0), height)
        if first >= height:
            return
        rows = np.arange(first, height) + 0.5
        depth = camera.focal * camera.height / np.maximum(rows - v0, 0.2)
        begin = max(first - 1, 0)
        image[begin : begin + 2] = np.clip(self.light.sky_low * 0.5 + self.asphalt * self.lit * 0.5, 0, 255)
        per_row = (
            depth**2 / (camera.focal * camera.height) * self.ALONG
        )  # texels along the street per image row
        level = np.clip(np.round(np.log2(np.maximum(per_row, 1)) - 0.2), 0, len(self.levels) - 1).astype(int)
        across = (np.arange(width) + 0.5 - camera.centre[0]) / camera.focal * self.ACROSS
        bend = camera.bend.offset(camera.s, depth)
        offset = ((camera.x - bend + self.HALF) * self.ACROSS - 0.5).astype(np.float32)
        map_x = across.astype(np.float32)[None] * depth.astype(np.float32)[:, None] + offset[:, None]
        along = ((camera.s + depth) % self.PERIOD) * self.ALONG
        for number in np.unique(level):
            chosen = np.flatnonzero(level == number)
            a, b = int(chosen[0]), int(chosen[-1]) + 1
            map_y = np.repeat((along[a:b] / 2**number).astype(np.float32)[:, None], width, 1)
            region = image[first + a : first + b]
            cv2.remap(self.levels[number], map_x[a:b], map_y, cv2.INTER_LINEAR, region, cv2.BORDER_REPLICATE)

        for s in self._crossings(camera):
            self._crossing(image, camera, s)
        self._markings(image, camera)

        weight = np.clip(256 * np.exp(-depth / self.light.haze_distance), 0, 256).astype(np.uint16)[
            :, None, None
        ]
        far = max(int(np.searchsorted(-depth, -8.0)), 1)  # nearer than this there is no haze to see
        hazy = image[first : first + far]
        air = self.light.sky_low.astype(np.uint16)
        hazy[:] = (hazy * weight[:far] + air * (256 - weight[:far])) >> 8

    def _crossings(self, camera: Camera) -> list[float]:
        lay = self.layout
        nearest = lay.crossing_near(camera.s)
        return [s for s in nearest + lay.crossing_gap * np.arange(4, -2, -1) if -8 < s - camera.s < 130]

    def _crossing(self, image: Image, camera: Camera, s: float) -> None:
        lay, half = self.layout, self.layout.crossing_half
        dark = self.asphalt * self.lit * 0.98
        for side, kerb in ((1, lay.kerb_right), (-1, lay.kerb_left)):
            corners = np.array(
                [[kerb, s - half], [side * 60, s - half], [side * 60, s + half], [kerb, s + half]]
            )
            _fill(image, camera.ground(corners), dark)
        if self.zebra:
            for end in (-half - 3.6, half + 0.6):
                for x in np.arange(lay.kerb_left + 0.3, lay.kerb_right - 0.3, 1.0):
                    self._line(image, camera, x, x + 0.5, s + end, s + end + 3.0)
        self._line(image, camera, -lay.lane / 2, lay.lane / 2, s - half - 5.0, s - half - 4.6)

    def _markings(self, image: Image, camera: Camera) -> None:
        lay = self.layout
        period = self.dash + self.dash_gap
        for lane in range(-lay.left_lanes, lay.right_lanes):
            x = (lane + 0.5) * lay.lane
            first = np.floor(camera.s / period)
            for s in (first + np.arange(int(100 / period), -1, -1)) * period:
                if not lay.at_crossing(s + 2, 6):
                    self._line(image, camera, x - 0.07, x + 0.07, s, s + self.dash)
        if self.edge_lines:
            for x in (
                lay.kerb_right - max(lay.parking_right, 0.35),
                lay.kerb_left + max(lay.parking_left, 0.35),
            ):
                for s in camera.s // 6 * 6 + np.arange(90, -7, -6):
                    if not lay.at_crossing(s + 3, 3):
                        self._line(image, camera, x - 0.06, x + 0.06, s, s + 6)
        if self.rails:
            for x in (-0.72, 0.72, -lay.lane - 0.72, -lay.lane + 0.72):
                for s in camera.s // 6 * 6 + np.arange(90, -7, -6):
                    corners = np.array([[x - 0.05, s], [x + 0.05, s], [x + 0.05, s + 6], [x - 0.05, s + 6]])
                    _fill(image, camera.ground(corners), self.asphalt * self.lit * 0.6 + 40 * self.lit)

    def _line(self, image: Image, camera: Camera, x0: float, x1: float, s0: float, s1: float) -> None:
        if s1 - camera.s < 1.0 or s0 - camera.s > 110:
            return
        corners = np.array([[x0, s0], [x1, s0], [x1, s1], [x0, s1]])
        worn = self.worn * (0.8 + 0.2 * np.sin(s0 * 12.9))
        _fill(image, camera.ground(corners), worn * self.paint_colour + (1 - worn) * self.asphalt * self.lit)


def _fill(image: Image, corners: Floats, colour: Floats) -> None:
    fixed = np.clip((corners - 0.5) * 16, -400_000, 400_000).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, np.clip(colour, 0, 255).tolist(), cv2.LINE_AA, 4)


@lru_cache(maxsize=64)
def facade(variant: int) -> tuple[Image, int]:
    """The front of a house (h, w, 3) in even light, and how many floors it has. Made from its number alone."""
    rng = np.random.default_rng([variant, 5])
    floors, bays = int(rng.integers(2, 7)), int(rng.integers(4, 8))
    cell, storey = 44, 44
    h, w = floors * storey + 10, bays * cell
    if rng.random() < 0.55:
        wall = rng.uniform(120, 225) * np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.7, 0.98)])
    else:
        wall = np.array([[150, 92, 74], [128, 120, 112], [178, 150, 110], [96, 98, 104], [196, 190, 176]][rng.integers(5)]) * rng.uniform(0.8, 1.15)  # fmt: skip
    image = np.empty((h, w, 3), np.float32)
    image[:] = wall
    texture = np.tile(noise(variant % 8, 256, 1.0, 7.0), (h // 256 + 1, w // 256 + 1, 1))[:h, :w]
    stains = cv2.resize(noise(20 + variant % 8, 256, 14.0, 8.0), (w, h))
    image *= texture.astype(np.float32) / 128 * (stains / np.float32(128))
    trim = np.clip(wall * rng.choice([0.72, 1.2]), 0, 240)
    ww, wh = rng.uniform(0.4, 0.8) * cell, rng.uniform(0.5, 0.72) * storey
    sash = np.array([228, 226, 220]) if rng.random() < 0.6 else np.array([70, 62, 56])
    shop = rng.random() < 0.55
    ribbon = rng.random() < 0.15  # an office block: bands of glass
    for floor in range(floors):
        top = 10 + floor * storey
        if shop and floor == floors - 1:
            _shop_front(image, top, storey, rng)
            continue
        if rng.random() < 0.6 or floor == 0:
            image[top - 3 : top, :] = trim
        for bay in range(bays):
            x = bay * cell + (cell - ww) / 2
            if ribbon:
                x, ww = bay * cell + 2, cell - 4
            y = top + (storey - wh) / 2
            glass = rng.uniform(28, 95) + np.array([0, 4, 9])
            if rng.random() < 0.2:
                glass = glass + rng.uniform(20, 90)  # a blind or the sky
            _box(image, x - 2, y - 2, ww + 4, wh + 5, trim * 0.9)
            _box(image, x, y, ww, wh, sash)
            for k in range(2):
                _box(image, x + 1.5 + k * ww / 2, y + 1.5, ww / 2 - 2.5, wh - 3, glass)
            _box(
                image,
                x + 1.5,
                y + 1.5,
                ww - 3,
                wh * rng.uniform(0.1, 0.45),
                np.minimum(glass * 1.5 + 12, 200),
            )
    image[:8] = trim * 0.8
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.6), 0, 255).astype(np.uint8), floors


def _shop_front(image: Floats, top: int, storey: int, rng: np.random.Generator) -> None:
    width = image.shape[1]
    x = 0.0
    while x < width - 20:
        step = min(rng.uniform(50, 120), width - x)
        sign = rng.uniform(30, 220, 3)
        glass = rng.uniform(24, 80) + np.array([2, 4, 6])
        _box(image, x, top, step, storey, np.clip(sign * 0.6 + 30, 0, 230))
        _box(image, x + 3, top + 9, step - 6, storey - 13, glass)
        for _ in range(int(rng.integers(2, 7))):  # goods and reflections
            gx, gy = rng.uniform(x + 4, x + step - 12), rng.uniform(top + 12, top + storey - 14)
            _box(
                image,
                gx,
                gy,
                rng.uniform(3, 14),
                rng.uniform(3, 16),
                np.clip(glass + rng.uniform(-10, 110, 3), 0, 255),
            )
        _box(image, x + 1, top, step - 2, 8, sign)
        for k in np.arange(x + step * 0.2, x + step * 0.75, 5):  # lettering
            _box(image, k, top + 2, rng.uniform(2, 4), 4, np.clip(255 - sign, 0, 255))
        _box(image, x + step * 0.45, top + 12, 12, storey - 12, glass * 0.6)
        x += step


def _box(image: Floats, x: float, y: float, w: float, h: float, colour: Floats) -> None:
    image[max(int(y), 0) : max(int(y + h), 0), max(int(x), 0) : max(int(x + w), 0)] = colour


@lru_cache(maxsize=32)
def foliage(variant: int) -> tuple[Image, ...]:
    """The crown of a tree, or a bush: a premultiplied picture (256, 256, 4) in even light, and its halvings."""
    rng = np.random.default_rng([variant, 9])
    size = 256
    image = np.zeros((size * 2, size * 2, 4), np.uint8)
    if variant % 5 == 4:
        _branch(image, np.array([size, 2.0 * size - 2]), -np.pi / 2, size * 0.5, 13.0, rng)
    else:
        lumps = rng.normal(0, 1, (int(rng.integers(10, 18)), 2)) * (0.34, 0.3) * size + (size, size)
        leaves = []
        for lump in lumps:
            radius = rng.uniform(0.16, 0.34) * size
            count = int(radius * rng.uniform(9, 13))
            angle, reach = rng.uniform(0, 2 * np.pi, count), radius * rng.uniform(0, 1, count) ** 0.55
            x, y = lump[0] + reach * np.cos(angle), lump[1] + 0.85 * reach * np.sin(angle)
            leaves.append(np.column_stack([x, y, np.full(count, lump[1]), np.full(count, radius)]))
        every = np.concatenate(leaves)
        every = every[np.argsort(-every[:, 1] + rng.normal(0, 0.25 * size, len(every)))]
        light = 0.72 + 0.35 * (every[:, 2] - every[:, 1]) / every[:, 3] - 0.25 * (every[:, 1] - size) / size
        light = np.clip(light + rng.normal(0, 0.1, len(every)), 0.25, 1.5)
        colours = np.clip(np.array([88, 112, 62]) * light[:, None] + rng.normal(0, 4, (len(every), 3)), 0, 255)
        axes = rng.uniform((3, 2), (8, 5), (len(every), 2))
        for (x, y, *_), colour, axis, turn in zip(every, colours.tolist(), axes, rng.uniform(0, 180, len(every)), strict=True):
            cv2.ellipse(image, ((x, y), axis.tolist(), turn), (*colour, 255), -1)
    levels = [np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)]
    while levels[-1].shape[0] > 8:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.uint8))
    return tuple(levels)


def _branch(
    image: Image, at: Floats, angle: float, length: float, width: float, rng: np.random.Generator
) -> None:
    """A bare tree."""
    end = at + length * np.array([np.cos(angle), np.sin(angle)])
    grey = float(rng.uniform(50, 90))
    cv2.line(image, at.astype(int).tolist(), end.astype(int).tolist(), (grey, grey * 0.92, grey * 0.8, 255), max(int(width), 1), cv2.LINE_AA)  # fmt: skip
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
            Part(drum, [0.12] * 8, steel * 0.8), Part(poster, [0.08] * 4, _muted(bright), nearer=0.3),
            Part([(0, 2.85, 0)], [0.62], steel * 0.6, nearer=-0.2),
        ]  # fmt: skip
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
            Part([*brim, (0.0, 2.75, 0.0)], [0.03] * 9, bright),
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


class House:
    """One building: its front along the street, its side towards the camera, and a roof edge."""

    def __init__(self, rng: np.random.Generator, light: Light, side: int):
        texture, floors = facade(int(rng.integers(48)))
        self.height = floors * float(rng.uniform(2.9, 3.5)) + 0.8
        front = np.array([-side, 0.0, 0.0])
        end = np.array([0.0, 0.0, -1.0])
        tint = rng.uniform(0.9, 1.08, 3)
        self.front = _lit(texture, light, front, tint)
        self.end = _lit(facade(int(rng.integers(48)))[0], light, end, tint)
        self.side = side
        self.depth = float(rng.uniform(9, 14))

    def paint(self, canvas: Canvas, camera: Camera, light: Light, x: float, s0: float, s1: float) -> None:
        """Paints what is seen of it: it stands on [s0, s1], its front at x."""
        near, far = max(s0, camera.s + 0.8), s1
        if far <= near:
            return
        part = (near - s0) / (s1 - s0)
        texture = self.front
        # its left end, as seen from the street, is near on the left of the street and far on the right
        cut = int(part * texture.shape[1])
        if self.side > 0:
            texture = texture[:, : texture.shape[1] - cut] if cut else texture
        else:
            texture = texture[:, cut:]
        ends = (far, near) if self.side > 0 else (near, far)
        if s0 > camera.s + 1:
            away = x + self.side * self.depth
            across = (x, away) if self.side > 0 else (away, x)
            corners = np.array(
                [
                    [across[0], 0, s0],
                    [across[1], 0, s0],
                    [across[1], self.height, s0],
                    [across[0], self.height, s0],
                ]
            )
            canvas.wall(self.end, camera.project(corners), light.left_after(s0 - camera.s), light.sky_low)
        if texture.shape[1] > 2:
            corners = np.array(
                [[x, 0, ends[0]], [x, 0, ends[1]], [x, self.height, ends[1]], [x, self.height, ends[0]]]
            )
            fade = light.left_after((near + far) / 2 - camera.s)
            canvas.wall(texture, camera.project(corners), fade, light.sky_low)


def _lit(texture: Image, light: Light, normal: Floats, tint: Floats) -> Image:
    gain = (light.ambient * 0.92 + light.sunlight * max(float(normal @ light.sun), 0)) * tint
    return np.asarray(cv2.multiply(texture, (*gain.tolist(), 0.0)), np.uint8)
