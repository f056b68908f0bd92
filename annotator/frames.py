"""A frame: its pixels and its exact place in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from annotator.limits import require_frame_size


@dataclass(frozen=True)
class FrameRef:
    """Which frame of a source this is; everything about it but the pixels."""

    index: int  # 0-based, in decoded (presentation) order
    pts: int  # presentation time in ticks of time_base
    time_base: Fraction  # seconds per tick
    size: tuple[int, int]  # (H, W) after rotation
    name: str = ""  # the file of an image folder, relative to it; "" in a video

    def __post_init__(self) -> None:
        if self.index < 0 or self.time_base <= 0:
            raise ValueError(f"no frame has index {self.index}, time base {self.time_base}")
        require_frame_size(*self.size)

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    ref: FrameRef
    image: npt.NDArray[np.uint8] = field(repr=False)  # (H, W, 3) RGB, C-contiguous

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.shape != (*self.ref.size, 3):
            raise ValueError(
                f"image {self.image.dtype} {self.image.shape} of a frame of size {self.ref.size}"
            )


@dataclass(frozen=True)
class Gap:
    """A stretch of a recording that could not be decoded."""

    after_index: int  # the last frame before the gap, -1 at the beginning
    pts: int | None  # where it begins, in ticks, if known
    reason: str
