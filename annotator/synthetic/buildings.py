"""Houses along the street."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from annotator.synthetic.camera import Camera, Floats
from annotator.synthetic.light import Light
from annotator.synthetic.paint import Canvas, Image, halvings, noise

FAR = 170.0  # metres; the street is built up to here


@lru_cache(maxsize=64)
def facade(variant: int) -> tuple[Image, int]:
    """The front of a house (h, w, 3) in even light, and how many floors it has; drawn by its number."""
    rng = np.random.default_rng([variant, 5])
    floors, bays = int(rng.integers(2, 7)), int(rng.integers(4, 8))
    cell, storey = 44, 44
    h, w = floors * storey + 10, bays * cell
    if rng.random() < 0.55:
        wall = rng.uniform(120, 225) * np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.7, 0.98)])
    else:
        wall = np.array(
            [[150, 92, 74], [128, 120, 112], [178, 150, 110], [96, 98, 104], [196, 190, 176]][rng.integers(5)]
        ) * rng.uniform(0.8, 1.15)
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


def _shop_front(image: Any, top: int, storey: int, rng: np.random.Generator) -> None:
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


def _box(image: Any, x: float, y: float, w: float, h: float, colour: Floats) -> None:
    image[max(int(y), 0) : max(int(y + h), 0), max(int(x), 0) : max(int(x + w), 0)] = colour


class House:
    """One building: its front along the street, its side towards the camera, and a roof edge."""

    def __init__(self, rng: np.random.Generator, light: Light, side: int):
        texture, floors = facade(int(rng.integers(48)))
        self.height = floors * float(rng.uniform(2.9, 3.5)) + 0.8
        front = np.array([-side, 0.0, 0.0])
        end = np.array([0.0, 0.0, -1.0])
        tint = rng.uniform(0.9, 1.08, 3)
        self.front = halvings(_lit(texture, light, front, tint))
        self.end = halvings(_lit(facade(int(rng.integers(48)))[0], light, end, tint))
        self.side = side
        self.depth = float(rng.uniform(9, 14))

    def paint(self, canvas: Canvas, camera: Camera, light: Light, x: float, s0: float, s1: float) -> None:
        """Paints what is seen of it: it stands on [s0, s1], its front at x."""
        near, far = max(s0, camera.s + 0.8), s1
        if far <= near:
            return
        part = (near - s0) / (s1 - s0)
        walls = self.front
        if part > 0:  # its left end is near on the left of the street and far on the right
            cuts = [int(part * wall.shape[1]) for wall in walls]
            sides = zip(walls, cuts, strict=True)
            walls = tuple(w[:, : w.shape[1] - cut] if self.side > 0 else w[:, cut:] for w, cut in sides)
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
        if walls[-1].shape[1]:
            corners = np.array(
                [[x, 0, ends[0]], [x, 0, ends[1]], [x, self.height, ends[1]], [x, self.height, ends[0]]]
            )
            fade = light.left_after((near + far) / 2 - camera.s)
            canvas.wall(walls, camera.project(corners), fade, light.sky_low)


def _lit(texture: Image, light: Light, normal: Floats, tint: Floats) -> Image:
    gain = (light.ambient * 0.92 + light.sunlight * max(float(normal @ light.sun), 0)) * tint
    return np.asarray(cv2.multiply(texture, (*gain.tolist(), 0.0)), np.uint8)
