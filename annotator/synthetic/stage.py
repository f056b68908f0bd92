"""What stands on the street in a frame: in which order it is painted, and the shadows that it throws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from annotator.synthetic.camera import Camera, Floats
from annotator.synthetic.light import Light
from annotator.synthetic.paint import Canvas, Image
from annotator.synthetic.shapes import hull


class Item(NamedTuple):
    """Something to paint, and the ground that it stands on."""

    box: tuple[float, float, float, float]  # x0, x1, s0, s1
    paint: Callable[[Canvas], None]
    footprint: Floats | None  # (k, 2) x, s of what throws a shadow
    height: float


def paint_order(boxes: Floats) -> list[int]:
    """The order, back to front, in which to paint boxes (N, 4): x0, x1, s0, s1 from the camera.

    A box can't hide another if a plane parts them, along or across the street, and the camera is on the
    other's side of it.
    """
    x0, x1, z0, z1 = boxes.T
    beyond = z0[:, None] >= z1  # [i, j]: i can't hide j
    right = (x0[:, None] >= x1) & (x0[:, None] >= 0)
    left = (x1[:, None] <= x0) & (x1[:, None] <= 0)
    hides = ~(beyond | right | left)
    # where boxes overlap, they are parted along the axis on which they overlap less
    across, middle = (x0 + x1) / 2, (z0 + z1) / 2
    deep_x = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    deep_z = np.minimum(z1[:, None], z1) - np.maximum(z0[:, None], z0)
    outer = np.abs(across[:, None]) > np.abs(across)
    behind = np.where(deep_x < deep_z, outer, middle[:, None] > middle)
    before = hides.T & (~hides | behind)
    np.fill_diagonal(before, False)
    waiting = before.sum(0)  # how many must be painted earlier
    open_ = np.ones(len(boxes), bool)
    order = []
    for _ in range(len(boxes)):
        ready = np.where(open_ & (waiting <= 0), middle, -np.inf)
        i = int(np.argmax(ready))
        if not np.isfinite(ready[i]):  # a circle: the farthest first
            i = int(np.argmax(np.where(open_, middle, -np.inf)))
        order.append(i)
        open_[i] = False
        waiting = waiting - before[i]
    return order


def cast_shadows(image: Image, camera: Camera, light: Light, items: Sequence[Item]) -> None:
    """Darkens the ground: softly under things, and where the sun is hidden."""
    first = max(int(camera.centre[1]), 0)
    below = image[first:]
    if below.shape[0] < 4:
        return
    half = (below.shape[1] // 2, below.shape[0] // 2)
    under, cast = (np.zeros((half[1], half[0]), np.uint8) for _ in range(2))
    sun = light.sun
    lean = -sun[[0, 2]] / max(float(sun[1]), 0.25)
    shapes: list[tuple[Image, Floats]] = []
    for item in items:
        if item.footprint is None or not item.box[3] - camera.s > 1 or item.box[2] - camera.s > 90:
            continue
        if item.height < 4 and item.box[2] - camera.s < 60:
            shapes.append((under, item.footprint))
        if light.shadow > 0.35 and (item.height > 4 or item.box[2] - camera.s < 40):
            leaning = item.footprint + lean * item.height
            whole = len(leaning) == 4  # else the crown of a tree
            shapes.append((cast, hull(np.concatenate([item.footprint, leaning])) if whole else leaning))
    if shapes:
        points = (camera.ground(np.concatenate([shape for _, shape in shapes])) - (0, first)) / 2 - 0.5
        fixed = np.clip(points * 16, -300_000, 300_000).astype(np.int32)
        begin = 0
        for mask, shape in shapes:
            cv2.fillConvexPoly(mask, fixed[begin : begin + len(shape)], 255.0, cv2.LINE_8, 4)
            begin += len(shape)
    soft = camera.size[1] / 768
    under = cv2.GaussianBlur(under, (0, 0), 2.2 * soft + 0.3).astype(np.uint16)
    cast = cv2.GaussianBlur(cast, (0, 0), 1.2 * soft + 0.3).astype(np.uint16)
    left = 255 - (under * 140) // 255
    left = left * (255 - cast * int(255 * light.shadow) // 255) // 255
    full = cv2.resize(left.astype(np.uint8), (below.shape[1], below.shape[0]), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(below, cv2.cvtColor(full, cv2.COLOR_GRAY2RGB), below, 1 / 255)
