"""How Cityscapes calls frames and their files: CITY_SEQ_FRAME, whatever is appended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from annotator.escape import shortened
from annotator.frames import FrameRef

NAME = re.compile(r"(?P<city>[^_/\\]+)_(?P<seq>\d{6})_(?P<frame>\d{6})(?:_leftImg8bit)?")  # without suffix
INSTANCE_IDS = "_gtFine_instanceIds.png"
POLYGONS = "_polygons.json"  # behind _gtFine or _gtCoarse
RESULTS = re.compile(r"([^_/\\]+_\d{6}_\d{6}).*\.txt")
BOM = b"\xef\xbb\xbf"  # of UTF-8, as some tools begin a file
PART = re.compile(r"\d{6,}-\d{6,}\.xml")  # of a recording in CVAT XML: its first and last frame
GENERAL = (
    "annotations",
    "cityscapes",
    "coco",
    "cvat",
    "instances_default",
    "labels",
    "mots",
)  # names of label files that say nothing of the recording
CVAT_LABELS = "cvat_labels.json"  # the labels of a task, beside its XML
LONGEST_CITY = 200  # bytes; what stands behind it are at most 37
FRAMES_PER_SEQUENCE = 1_000_000  # what six digits hold


class Named(Protocol):
    """What has a name; a recording does."""

    @property
    def name(self) -> str:
        """Relative, with `/` between folders."""


def numbers(stems: Sequence[str]) -> list[int]:
    """The index of every frame, given their CITY_SEQ_FRAME in order.

    It is SEQ * 1,000,000 + FRAME where all are of one city, else its place.
    """
    names = [NAME.fullmatch(stem) for stem in stems]
    found = [int(n["seq"]) * FRAMES_PER_SEQUENCE + int(n["frame"]) if n else -1 for n in names]
    is_one_city = len({n["city"] if n else "" for n in names}) == 1 and len(set(found)) == len(stems)
    is_one_city &= all(names)
    return found if is_one_city else list(range(len(stems)))


def frame_stem(source: Named, ref: FrameRef) -> str:
    """CITY_SEQ_FRAME of a frame; an image that has a Cityscapes name already keeps it.

    Else CITY is the recording's name without underscores, and SEQ and FRAME are the frame's index. A CITY that is too
    long for names of files is shortened.
    """
    given = NAME.fullmatch(Path(ref.name).stem)
    if given:
        return f"{shortened(given['city'], LONGEST_CITY)}_{given['seq']}_{given['frame']}"
    city = re.sub(r"[\W_]+", "-", source.name).strip("-") or "recording"
    seq, frame = divmod(ref.index, FRAMES_PER_SEQUENCE)
    return f"{shortened(city, LONGEST_CITY)}_{seq:06d}_{frame:06d}"


def name_in(folder: Path, path: Path) -> str:
    """The name of a recording by where it lies in a folder, or is the folder."""
    relative = path.absolute().relative_to(folder.absolute()).as_posix()
    return path.absolute().name if relative == "." else relative
