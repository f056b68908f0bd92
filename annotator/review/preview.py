"""`preview.mp4`: the labels of a recording drawn over its frames, one by one; and a sheet of some of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Generator, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotator.errors import OutputError
from annotator.files import atomic_file
from annotator.formats.summary import LabelSummary
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.review.drawing import FrameDrawer, Picture, jpeg, picture_size
from annotator.review.recording import Span, labelled_frames
from annotator.store import Store
from annotator.video import Source

PREVIEW, SHEET = "preview.mp4", "contact_sheet.jpg"
FILES = (PREVIEW, SHEET)
LONGEST_SIDE = 1280  # pixels
CODEC = "libx264"
ENCODING = {"preset": "veryfast", "crf": "24"}
KEYFRAME_S = 1.0  # seconds from a keyframe to the next, for players that jump
TILES, COLUMNS, TILE_WIDTH = 12, 3, 640
VERSION = 1  # of the drawing: others are drawn anew


def write_preview(store: Store, source: Source, folder: Path) -> bool:
    """Write `preview.mp4` and `contact_sheet.jpg` of a recording's labels, each whole or not at all.

    Frame k of the video is the k-th labelled frame; which one of the recording that is stands in it. False when what
    is there is of these labels. Memory is the same for any length. Raises SourceError when the recording can't be
    read or is another one, OutputError when the files can't be written.
    """
    if is_current(store, folder):
        return False
    span = Span.of(store)
    drawer = FrameDrawer(picture_size(span.size, LONGEST_SIDE))
    sheet = _Sheet(span.count)
    frames = labelled_frames(store, source, LabelSummary.of(store), span)
    pictures = (sheet.add(drawer.draw(image, found, caption(found))) for image, found in frames)
    with atomic_file(folder / PREVIEW) as temporary:
        encode(temporary, pictures, drawer.size, span.fps, identity(store))
    with atomic_file(folder / SHEET) as temporary:
        temporary.write_bytes(jpeg(sheet.picture()))
    return True


def is_current(store: Store, folder: Path) -> bool:
    """Whether the preview that is there shows the labels that the store holds."""
    if not all((folder / name).is_file() for name in FILES):
        return False
    import av

    with suppress(OSError, av.error.FFmpegError), av.open(str(folder / PREVIEW)) as container:
        return container.metadata.get("comment") == identity(store)
    return False


def remove(folder: Path) -> None:
    """Delete the preview of labels that are to be made anew."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def caption(found: Instances) -> str:
    """What stands in the corner of a frame's picture: its number, as CVAT counts, and its name if it has one."""
    name = f"  {found.frame.name}" if found.frame.name else ""
    return f"frame {found.frame.index}{name}"


def identity(store: Store) -> str:
    """What tells the labels of a store from others, as a preview of them keeps it."""
    progress = store.progress
    made_by = repr(progress.tracking), progress.tracks_digest, progress.edits
    content = VERSION, store.fingerprint, store.frame_count, store.instance_count, made_by
    return "labels " + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def encode(path: Path, pictures: Iterable[Picture], size: tuple[int, int], fps: float, comment: str) -> None:
    """Write pictures (H, W, 3) of `size`, both even, as H.264 that browsers play from its beginning.

    Raises OutputError where FFmpeg has no encoder for it.
    """
    import av

    if CODEC not in av.codecs_available:
        raise OutputError(
            f"{path.parent}: no preview can be written, as this FFmpeg has no {CODEC}; install PyAV from PyPI"
        )
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = comment
        stream: Any = container.add_stream(CODEC, rate=rate, options=ENCODING)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = max(1, round(KEYFRAME_S * fps))
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def preview_pictures(
    folder: Path, refs: Iterator[FrameRef], wanted: Container[int] | None = None
) -> Generator[tuple[int, Picture], None, None]:
    """Yield the pictures of a preview, with the index of the frame that each shows, given all labelled frames.

    Of all of them, or of the `wanted` ones alone.
    """
    import av

    with av.open(str(folder / PREVIEW)) as container:
        for frame, ref in zip(container.decode(video=0), refs, strict=False):
            if wanted is None or ref.index in wanted:
                yield ref.index, frame.to_ndarray(format="rgb24")


class _Sheet:
    """Some of the pictures of a recording, evenly spread, side by side."""

    def __init__(self, count: int) -> None:
        self._wanted = set(np.linspace(0, count - 1, min(count, TILES)).round().astype(int).tolist())
        self._seen = 0
        self._tiles: list[Picture] = []

    def add(self, picture: Picture) -> Picture:
        """Take a picture if it is one of those; it comes back in any case."""
        if self._seen in self._wanted:
            width = min(TILE_WIDTH, picture.shape[1])
            height = max(1, round(picture.shape[0] * width / picture.shape[1]))
            tile = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            self._tiles.append(np.asarray(tile, np.uint8))
        self._seen += 1
        return picture

    def picture(self) -> Picture:
        """All of them, row by row."""
        columns = min(COLUMNS, len(self._tiles))
        missing = -len(self._tiles) % columns
        tiles = [*self._tiles, *([np.zeros_like(self._tiles[0])] * missing)]
        return np.vstack([np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)])
