"""Every limit on what is read: beyond it, a file is refused with a sentence instead of eating time and memory.

They are far beyond what people have, and near enough that one frame at them fits in memory. Whoever meets a number or
a size in a file looks here before anything is made of it: before C code, which can't be stopped, before memory is
taken, and before a loop.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

LARGEST_SIDE = 65_535  # pixels of a frame; what JPEG and most codecs hold
MOST_PIXELS = 1 << 27  # of a frame: 16,384 x 8,192; pycocotools crashes from 2^32 on
MOST_FRAMES = 10_000_000  # of a recording, four days at 30 a second: what is beyond is no number of a frame
MOST_UNLABELLED = (
    1_000_000  # frames in a row without a label, nine hours: they are made up where a format leaves them out
)
LONGEST_BETWEEN = 100_000  # frames from one keyframe to the next, an hour: those between are interpolated
MOST_INTERPOLATED = 1 << 31  # bytes of shapes made between the keyframes of a recording, 16 a vertex; on disk
MOST_DRAWN_VERTICES = 100_000  # of a polygon that Pillow fills: its work follows vertices times rows
LARGEST_IMAGE_LABELS = 1 << 28  # bytes of a label file of one image, which may hold the image too
MOST_UNPACKED = 1 << 26  # bytes that are unpacked from a zip whatever their size there
DENSEST_ZIP = 100  # times that more may be as large as it is packed
DEEPEST_XML = 64  # elements in each other; CVAT's are ten deep
LONGEST_TAG = 1 << 22  # bytes of a single tag or text of XML
MOST_ELEMENTS = 1 << 18  # of XML within one that is kept until it ends
DEEPEST_JSON = 24  # lists and objects in each other, within a record
LONGEST_RECORD = 1 << 26  # bytes of a record of JSON
MOST_SETTINGS = 1 << 20  # bytes of a TOML file
FARTHEST = 1_000_000  # pixels from a frame's corner where a vertex may lie
MOST_VERTICES = 1_000_000  # of a polygon
MOST_CROSSINGS = 1 << 26  # columns of the frame that a polygon's border crosses, again and again


def require_frame_size(height: int, width: int) -> None:
    """Raise ValueError, saying what is possible, for a size in pixels that no frame has."""
    if min(height, width) < 1:
        raise ValueError(f"no frame is {_of(width)}x{_of(height)} pixels")
    if max(height, width) > LARGEST_SIDE or height * width > MOST_PIXELS:
        raise ValueError(
            f"a frame of {_of(width)}x{_of(height)} pixels is too large; up to {LARGEST_SIDE:,} a side and"
            f" {MOST_PIXELS:,} in all are read"
        )


def require_frames(stop: int) -> None:
    """Raise ValueError when frames are numbered up to `stop`, not included, and no recording has so many."""
    if stop > MOST_FRAMES:
        raise ValueError(f"more than {MOST_FRAMES:,} frames")


def require_file(path: Path) -> None:
    """Raise OSError for a pipe, a device and the like, which would be waited for; nothing for what isn't there."""
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever opens it says so
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no file", str(path))


def unlabelled(before: int, frame: int) -> str:
    """What is wrong with more than MOST_UNLABELLED frames between two."""
    return f"{frame - before - 1:,} frames without a label before frame {frame}; up to {MOST_UNLABELLED:,} are read"


def _of(side: int) -> str:
    """A number of pixels, short even where a file has thousands of digits."""
    return f"{side}" if abs(side) < 1 << 63 else "2^63 and more"
