"""The dashcam: what its lens and sensor do to a picture, and the bonnet in front of it."""

from __future__ import annotations

import cv2
import numpy as np

from annotator.synthetic.camera import Floats
from annotator.synthetic.paint import Image


class Lens:
    """What a camera does to a picture: blur, tone, vignette, noise."""

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        height, width = size
        self.blur = float(rng.uniform(0.35, 0.8) * width / 768)
        gamma, contrast = rng.uniform(0.68, 1.05), rng.uniform(0.0, 0.3)
        balance = rng.uniform(0.95, 1.05, 3) * (rng.uniform(0.85, 1.1))
        tone = np.linspace(0, 1, 256)[:, None] ** gamma
        tone = tone * (1 - contrast) + contrast * (3 * tone**2 - 2 * tone**3)
        self.tone = np.clip(255 * tone * balance, 0, 255).astype(np.uint8).reshape(1, 256, 3)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        dark = 255 * (1 - rng.uniform(0.05, 0.3) * (0.6 * x**2 + 0.4 * y**2))
        self.vignette = cv2.cvtColor(dark.astype(np.uint8), cv2.COLOR_GRAY2RGB)
        strength = rng.uniform(1.0, 5.0)
        grain = rng.normal(128, strength, (height + 31, width + 31, 3))
        self.grain = np.clip(np.round(grain), 0, 255).astype(np.uint8)

    def expose(self, image: Image, index: int) -> Image:
        """The picture as the sensor delivers it; the noise differs from frame to frame."""
        height, width = image.shape[:2]
        if self.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        image = cv2.multiply(cv2.LUT(image, self.tone), self.vignette, scale=1 / 255)
        y, x = index * 17 % 31, index * 11 % 29
        grain = self.grain[y : y + height, x : x + width]
        return np.asarray(cv2.addWeighted(image, 1.0, grain, 1.0, -128.0), np.uint8)


def draw_bonnet(rng: np.random.Generator, size: tuple[int, int]) -> tuple[list[Floats], Floats]:
    """The ego car's bonnet, at the lower edge."""
    height, width = size
    top = height * rng.uniform(0.93, 0.99)
    u = np.linspace(-0.1, 1.1, 13)
    edge = np.stack([u * width, top + (u - 0.5) ** 2 * height * 0.12], -1)
    low = np.array([[1.1 * width, height + 4.0], [-0.1 * width, height + 4.0]])
    colour = rng.uniform(16, 90) + rng.uniform(-8, 8, 3)
    outline = np.concatenate([edge, low])
    gleam = np.concatenate([np.add(edge, (0, 0.012 * height)), low])
    colours = np.array([[*colour * 1.5, 255.0], [*colour, 255.0]])
    return [outline, gleam], colours
