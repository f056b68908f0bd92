"""The picture and its labels, painted by the same strokes: what wins a pixel in one wins it in the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from annotator.synthetic.camera import Floats

Image = npt.NDArray[np.uint8]

OPAQUE = 255.0


class Canvas:
    """A picture (H, W, 3) uint8 RGB and its label map (H, W) int32: the object on top of each pixel, or 0."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.labels: npt.NDArray[np.int32] = np.zeros(image.shape[:2], np.int32)

    def polygons(
        self, shapes: Sequence[Floats], colours: Floats, object_id: int, grain: Image | None = None
    ) -> None:
        """Paints the convex polygons of one object, the last on top.

        They are painted finer than the pixels; a pixel of which they cover half or more is the object's.

        Args:
            shapes: positions (k, 2) each, in pixels.
            colours: (N, 4) RGB and opacity, 0 to 255.
            object_id: goes into the label map; 0 for scenery, which hides objects all the same.
            grain: a texture (h, w, 3), 128 = unchanged, stretched over the object.
        """
        points = np.concatenate(shapes)
        low, high = points.min(0), points.max(0)
        left, top = np.maximum(np.floor(low), 0).astype(int)
        right, bottom = np.minimum(np.ceil(high), self.labels.shape[::-1]).astype(int)
        width, height = int(right - left), int(bottom - top)
        if width <= 0 or height <= 0:
            return
        fine = 4 if width * height < 1500 else 2
        stroke: Image = np.zeros((height * fine, width * fine, 4), np.uint8)
        # cv2 counts from pixel centres, in sixteenths of a pixel
        fixed = np.clip(((points - (left, top)) * fine - 0.5) * 16, -400_000, 400_000).astype(np.int32)
        ends = np.cumsum([len(shape) for shape in shapes]).tolist()
        begin = 0
        premultiplied = np.clip(colours, 0, 255)
        premultiplied[:, :3] *= premultiplied[:, 3:] / 255
        for end, colour in zip(ends, premultiplied.tolist(), strict=True):
            cv2.fillConvexPoly(stroke, fixed[begin:end], colour, cv2.LINE_8, 4)
            begin = end
        small = cv2.resize(stroke, (width, height), interpolation=cv2.INTER_AREA)
        rgb, alpha = small[:, :, :3], small[:, :, 3]
        if grain is not None and width * height > 200:
            scale = np.array(grain.shape[1::-1]) / np.maximum(high - low, 1)
            offset = ((left, top) - low) * scale
            to_grain = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            texture = cv2.warpAffine(
                grain, to_grain, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
            )
            rgb = cv2.multiply(rgb, texture, scale=1 / 128)
        self._blend(rgb, alpha, left, top, object_id)

    def picture(
        self, levels: Sequence[Image], left: float, top: float, width: float, height: float, gain: Floats
    ) -> None:
        """Paints scenery: a premultiplied picture, stretched over a rectangle, times `gain` (3,).

        `levels` are the picture (h, w, 4) and its halvings.
        """
        x0, y0 = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
        x1 = min(int(np.ceil(left + width)), self.labels.shape[1])
        y1 = min(int(np.ceil(top + height)), self.labels.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        rgba: Any = next((level for level in levels if level.shape[0] < 2 * height), levels[-1])
        sx, sy = rgba.shape[1] / width, rgba.shape[0] / height
        to_source = np.array([[sx, 0, (x0 + 0.5 - left) * sx - 0.5], [0, sy, (y0 + 0.5 - top) * sy - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        part = cv2.warpAffine(rgba, to_source, (x1 - x0, y1 - y0), flags=flags, borderValue=(0, 0, 0, 0))
        rgb = cv2.multiply(part[:, :, :3], (*gain.tolist(), 0.0))
        self._blend(rgb, part[:, :, 3], x0, y0, 0)

    def wall(self, levels: Sequence[Image], corners: Floats, fade: float, air: Floats) -> None:
        """Paints scenery: a texture on a quadrilateral (4, 2), from its bottom left corner, anticlockwise.

        `levels` are the texture (h, w, 3) and its halvings. `fade` is how much of its colour is left; the
        rest is the colour `air`.
        """
        low, high = corners.min(0), corners.max(0)
        left, top = np.maximum(np.floor(low), 0).astype(int)
        right, bottom = np.minimum(np.ceil(high), self.labels.shape[::-1]).astype(int)
        if right <= left or bottom <= top:
            return
        extent = np.abs(np.diff(corners[:, 0])).max(), np.abs(np.diff(corners[:, 1])).max()
        fits = (
            t for t in levels if min(t.shape[1] / max(extent[0], 1), t.shape[0] / max(extent[1], 1)) <= 1.6
        )
        texture = next(fits, levels[-1])
        if texture.shape[1] / max(extent[0], 1) > 1.6:  # a wall seen along its length
            columns = max(int(extent[0] * 1.3), 2)
            texture = cv2.resize(texture, (columns, texture.shape[0]), interpolation=cv2.INTER_AREA)
        if fade < 0.97:
            texture = cv2.add(cv2.multiply(texture, (fade,) * 4), (*((1 - fade) * air).tolist(), 0.0))
        h, w = texture.shape[:2]
        source = np.array([[0, h], [w, h], [w, 0], [0, 0]], np.float32) - 0.5
        goal = (corners - (left, top) - 0.5).astype(np.float32)
        homography = cv2.getPerspectiveTransform(source, goal)
        region = self.image[top:bottom, left:right]
        cv2.warpPerspective(
            texture, homography, (int(right - left), int(bottom - top)), region,
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip
        fixed = np.clip((corners - 0.5) * 16, -400_000, 400_000).astype(np.int32)
        cv2.fillConvexPoly(self.labels, fixed, 0.0, cv2.LINE_8, 4)

    def _blend(self, rgb: Any, alpha: Any, left: int, top: int, object_id: int) -> None:
        """Lays a premultiplied picture over the canvas; where it covers half or more, it has the pixel."""
        height, width = alpha.shape
        region = self.image[top : top + height, left : left + width]
        through = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB)
        cv2.add(cv2.multiply(region, through, scale=1 / 255), rgb, region)
        self.labels[top : top + height, left : left + width][alpha > 127] = object_id


def halvings(picture: Image) -> tuple[Image, ...]:
    """A picture and its halves, quarters ... down to a few pixels."""
    levels = [picture]
    while min(levels[-1].shape[:2]) > 8:
        half = (levels[-1].shape[1] // 2, levels[-1].shape[0] // 2)
        levels.append(np.asarray(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA), np.uint8))
    return tuple(levels)


@lru_cache(maxsize=32)
def noise(seed: int, size: int = 256, smooth: float = 1.0, strength: float = 10.0) -> Image:
    """A texture (size, size, 3) around 128 that tiles: blurred noise of the given standard deviation."""
    rng = np.random.default_rng([seed, 77])
    field = rng.standard_normal((size, size)).astype(np.float32)
    margin = int(4 * smooth) + 1
    padded = cv2.copyMakeBorder(field, margin, margin, margin, margin, cv2.BORDER_WRAP)
    field = cv2.GaussianBlur(padded, (0, 0), smooth)[margin:-margin, margin:-margin]
    grey = np.clip(128 + strength * field / field.std(), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
