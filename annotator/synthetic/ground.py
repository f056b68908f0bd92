"""The street itself: its cross-section, the sky above it and the ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from annotator.synthetic.camera import Camera, Floats
from annotator.synthetic.light import Light
from annotator.synthetic.paint import Image, noise


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
        self.horizon = (
            int(horizon) + height // 8 + 2
        )  # rows above the horizon that bounces can bring into view
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
                    cv2.ellipse(
                        self.image,
                        centre,
                        (max(int(step * 0.7), 1), max(int(tall * 0.7), 1)),
                        0,
                        180,
                        360,
                        colour.tolist(),
                        -1,
                    )
                else:
                    colour = light.haze(grey, distance * 0.6)
                    cv2.rectangle(
                        self.image,
                        (int(x), int(self.horizon - tall)),
                        (int(x + step), self.horizon),
                        colour.tolist(),
                        -1,
                    )
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
            along = slice(int(s * self.ALONG), int((s + d) * self.ALONG))
            across = slice(column(x), column(min(x + w, lay.kerb_right)))
            image[along, across] *= rng.uniform(0.78, 1.12)
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
        return np.asarray(np.clip(image * self.lit, 0, 255), np.uint8)

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
