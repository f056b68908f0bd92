"""Folders of images: every image in natural order is a frame."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from annotator.errors import SourceError
from annotator.frames import Frame, FrameRef, Gap
from annotator.limits import require_frame_size
from annotator.video.media import APPLE_SUFFIXES, Media, entry_media
from annotator.video.selection import IsCancelled, Selection, frames_of, never

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

TIME_BASE = Fraction(1)  # a folder has no clock: the time of an image is its position
DECODERS = min(4, os.cpu_count() or 1)  # images decoded at once: a large PNG takes longer than the network


@dataclass(frozen=True)
class ImageFolder:
    """The images directly in a folder, in natural order (frame2 before frame10); or one image.

    A frame's index and pts are its position in this order, with a time base of 1 second. An image that can't
    be decoded leaves a gap and keeps its position. Images may differ in size.
    """

    path: Path  # the folder, or the image
    name: str

    @property
    def is_video(self) -> bool:
        """False."""
        return False

    @property
    def files(self) -> tuple[Path, ...]:
        """The images, in order. Raises SourceError when there are none."""
        try:
            files = sorted(images_in(self.path), key=natural) if os.path.isdir(self.path) else [self.path]
        except OSError as error:
            raise SourceError(
                f"{self.path}: can't be read ({error.strerror or error}); check its permissions"
            ) from error
        if not files:
            raise SourceError(
                f"{self.path}: holds no videos and no images that can be read; give the folder that does"
            )
        return tuple(files)

    @property
    def remarks(self) -> list[str]:
        """None."""
        return []

    @property
    def is_in_order(self) -> bool:
        """True."""
        return True

    def length_hint(self) -> int | None:
        """How many images there are."""
        try:
            return len(self.files)
        except SourceError:
            return None

    def read(
        self, start: int = 0, end: int | None = None, every: int = 1, is_cancelled: IsCancelled = never
    ) -> Generator[Frame | Gap, None, None]:
        """Images start, start + every ... below end, a gap for each that can't be decoded; others are not opened.

        A few images are decoded ahead, in threads that end with the iterator: close it. `is_cancelled` is asked at
        every image, and ends the read. Raises SourceError when there is no image or not one of them can be decoded,
        ValueError when the numbers make no sense.
        """
        return self._read(Selection(start, end, every), is_cancelled)

    def frames(self, start: int = 0, end: int | None = None, every: int = 1) -> Generator[Frame, None, None]:
        """The frames alone of `read`."""
        return frames_of(self.read(start, end, every))

    def _read(self, selection: Selection, is_cancelled: IsCancelled) -> Generator[Frame | Gap, None, None]:
        files = self.files
        wanted = [index for index in range(len(files)) if index in selection]
        is_readable, first_reason = False, ""
        for index, image in _decoded_ahead(files, wanted):
            if is_cancelled():
                return
            if isinstance(image, str):
                reason = f"{files[index].name}: {image}"
                first_reason = first_reason or reason
                yield Gap(index - 1, index, reason)
                continue
            is_readable = True
            height, width = image.shape[:2]
            yield Frame(FrameRef(index, index, TIME_BASE, (height, width), files[index].name), image)
        if wanted and not is_readable and not _any_decodes(files[: wanted[0]]):
            raise SourceError(f"{self.path}: not one image can be decoded ({first_reason}); copy them again")


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder, hidden files left out, in any order; links that lead nowhere count.

    Raises OSError.
    """
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry_media(entry) is Media.IMAGE]


def natural(path: Path) -> tuple[list[str | int], str]:
    """Sort key: numbers by their value, letters whatever their case; the path itself decides ties."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], str(path)


def _decoded_ahead(files: Sequence[Path], wanted: Sequence[int]) -> Iterator[tuple[int, Pixels | str]]:
    """The wanted images in order, each decoded or the reason why not."""
    pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode-image")
    ahead: deque[tuple[int, Future[Pixels | str]]] = deque()
    try:
        for index in wanted:
            ahead.append((index, pool.submit(decode, files[index])))
            if len(ahead) > DECODERS:
                first, future = ahead.popleft()
                yield first, future.result()
        while ahead:
            first, future = ahead.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _any_decodes(files: Sequence[Path]) -> bool:
    return any(not isinstance(decode(file), str) for file in files)


def decode(path: Path) -> Pixels | str:
    """The upright RGB pixels (H, W, 3) of an image, or the reason why there are none."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not path.is_file():
            return "a link that leads nowhere" if path.is_symlink() else "not a file"
        if path.suffix.lower() in APPLE_SUFFIXES:
            _register_apple()
        with Image.open(path) as image:
            require_frame_size(image.height, image.width)
            image.load()
            return _rgb(_upright(image))
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # damaged images make Pillow raise nearly anything
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"can't be decoded ({said.splitlines()[0]})"


@cache
def _register_apple() -> None:
    """Let Pillow read HEIC, where the package for it is."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation means it to be seen; unreadable EXIF means nothing."""
    from PIL import ExifTags
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # cameras write all kinds of EXIF; the pixels are sound
        return image
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Pixels:
    """RGB of 8 bits: 16-bit values keep their high byte, so equal values stay equal from frame to frame;
    grey is repeated, palettes are looked up, transparency is dropped.
    """
    is_deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    if is_deep:
        grey = (np.clip(np.asarray(image), 0, 0xFFFF) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no known range; save it with 8 or 16 bits")
    if image.mode == "P":
        image = image.convert("RGBA")  # Pillow warns of the straight way when entries are transparent
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))
