"""What the network says of a frame, as pictures: seed map, bandwidth and offsets beside the instances."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from annotator.instances import Instances
from annotator.model.embedding import decode
from annotator.model.network import RawMaps, enlarge
from annotator.review.drawing import FrameDrawer, Picture, write_caption

LOG_RADIUS = (-6.0, 0.0)  # of two, in grid units: what bandwidths are shown from and to
FULL_OFFSET = 0.1  # grid units
SHOWN = 0.1  # seed score from which a bandwidth is shown
FONT_SIZE = 14


def maps_picture(maps: RawMaps, image: Picture, found: Instances) -> Picture:
    """Instances, seed map, bandwidth and offsets of the first image of a batch, each (h, w, 3), in two rows.

    h and w are the processed size. The seed map shows the highest of all classes, bandwidth the radius that follows
    from it, and offsets their direction as hue and their length as brightness.
    """
    size = maps.size
    fields = enlarge(maps.raw[:1].cpu(), size, maps.stride)[0]
    grid = maps.spec.grid.coordinates(size)
    decoded = decode(fields, maps.spec.n_sigma, grid)
    seed = decoded.seed.amax(0).numpy()
    radius = (0.5 * torch.log2(1 / decoded.sigma.mean(0))).numpy()  # its logarithm: objects as smooth areas
    offset = (decoded.embedding - grid).numpy()
    panels = {
        "instances of this frame alone": FrameDrawer(size).draw(image, found),
        "seed map": _heat(seed, 0, 1),
        "bandwidth": (_heat(radius, *LOG_RADIUS) * (seed > SHOWN)[..., None]).astype(np.uint8),
        "offsets": _directions(offset),
    }
    for title, panel in panels.items():
        write_caption(panel, title, FONT_SIZE)
    first, second, third, fourth = panels.values()
    return np.vstack([np.hstack([first, second]), np.hstack([third, fourth])])


def _heat(values: npt.NDArray[np.float32], low: float, high: float) -> Picture:
    scaled = (255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))


def _directions(offset: npt.NDArray[np.float32]) -> Picture:
    """Offsets (2, H, W) as colours."""
    hue = (np.arctan2(offset[1], offset[0]) + np.pi) / (2 * np.pi) * 179
    value = np.clip(np.hypot(*offset) / FULL_OFFSET, 0, 1) * 255
    hsv = np.stack([hue, np.full_like(hue, 255), value], 2).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
