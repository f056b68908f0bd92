"""Decoded frames as upright RGB."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.errors import SourceError
from annotator.frames import Frame, FrameRef
from annotator.limits import require_frame_size


class Converter:
    """Decoded frames to upright RGB, by libswscale as PyAV and CVAT use it; colour tags are respected."""

    def __init__(self, path: Path) -> None:
        from av.video.reformatter import VideoReformatter

        self._path = path
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame

    def __call__(self, frame: Any, index: int, pts: int, time_base: Fraction) -> Frame:
        """Frame `index` of a decoded one (av.VideoFrame). Raises SourceError where that can't be."""
        try:
            require_frame_size(frame.height, frame.width)
        except ValueError as error:
            raise SourceError(f"{self._path}: frame {index}: {error}") from error
        image = self._upright(frame)
        height, width = image.shape[:2]
        return Frame(FrameRef(index, pts, time_base, (height, width)), image)

    def _upright(self, frame: Any) -> npt.NDArray[np.uint8]:
        """The pixels (H, W, 3), without a copy where FFmpeg's rows lie close and the frame is upright."""
        import av

        try:
            # One thread: starting several for every frame costs more than it saves.
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
            image = np.asarray(rgb.to_ndarray(), np.uint8)
        except (av.FFmpegError, ValueError) as error:
            raise SourceError(
                f"{self._path}: pixels of format {frame.format.name} can't be turned into RGB ({error}); "
                "convert the video to H.264 with yuv420p first"
            ) from error
        return np.ascontiguousarray(_as_shown(image, frame))


def _as_shown(image: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.uint8]:
    """The image turned and mirrored by the display matrix of its frame, to the nearest quarter turn, as FFmpeg does it.

    Of the matrix the rows (a, b, u), (c, d, v), (x, y, w) take what is at (x, y) to (a * x + c * y, b * x + d * y).
    """
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
