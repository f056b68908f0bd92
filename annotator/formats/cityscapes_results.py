"""Results as the Cityscapes benchmark wants them: a text file a frame, `CITY_SEQ_FRAME*.txt`, and a mask PNG an object.

Lines are `relative_mask.png labelID score`; all pixels of a mask but black ones are the object.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from annotator import masks
from annotator.errors import FormatError
from annotator.formats import mask_png
from annotator.formats.names import RESULTS, numbers
from annotator.formats.survey import frame_without_time
from annotator.formats.whole import find_whole
from annotator.frames import FrameRef
from annotator.instances import Instances, Truth
from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.masks import Rle


class Line(NamedTuple):
    """One line of a file."""

    mask: Path
    class_id: int
    score: float


def read(path: Path, size: tuple[int, int] | None = None) -> Iterator[Instances]:
    """Yield the frames of a folder of results, by name; index and name as in `cityscapes.read`.

    Empty masks and objects of other classes than the eight are left out, a mask that is named twice counts as
    its last line says, and scores keep their 64 bits: all as in the official script. `size` (H, W) is for frames
    without a mask; by default it is that of the first mask of the folder.
    """
    files = find(path)
    size = size or _first_size(files.values(), path)
    for index, (stem, file) in zip(numbers(list(files)), files.items(), strict=True):
        named = lines(file, path)
        rles = [mask_png.read(line.mask) for line in named]
        sizes = {(rle["size"][0], rle["size"][1]) for rle in rles} or {size}
        if len(sizes) > 1:
            raise FormatError(f"{file}: its masks are not all of one size")
        seen = np.flatnonzero(masks.areas(rles))
        yield _instances(
            frame_without_time(index, sizes.pop(), stem), [named[k] for k in seen], [rles[k] for k in seen]
        )


def read_truth(path: Path) -> Iterator[Truth]:
    """Yield the frames as `read` does: all that a file names is labelled."""
    return map(Truth, read(path))


def names(path: Path) -> list[str]:
    """CITY_SEQ_FRAME of every frame of a folder, in the order of `read`."""
    return list(find(path))


def find(path: Path) -> dict[str, Path]:
    """The text file of every frame of a folder, by CITY_SEQ_FRAME, in order."""
    files: dict[str, Path] = {}
    for file in sorted(find_whole(path, "*.txt"), key=lambda file: file.name):
        name = RESULTS.fullmatch(file.name)
        if name and name[1] in files:
            raise FormatError(f"{file}: {files[name[1]].name} is of the same frame; remove one")
        if name and file.is_file():
            files[name[1]] = file
    if not files:
        raise FormatError(f"{path}: no CITY_SEQ_FRAME.txt in this folder")
    return files


def lines(file: Path, root: Path) -> list[Line]:
    """The lines of a text file that count, one a mask; masks lie in `root`. Raises FormatError, naming the line."""
    found: dict[Path, Line] = {}
    with file.open(encoding="utf-8", errors="replace") as text:
        for number, content in enumerate(text, 1):
            try:
                line = _line(content, file.parent, root)
            except (ValueError, OverflowError) as error:
                raise FormatError(
                    f"{file}: line {number} is not 'mask.png labelID score' ({error})"
                ) from error
            found[line.mask] = line
    return [line for line in found.values() if line.class_id in INSTANCE_CLASSES]


def _instances(frame: FrameRef, named: list[Line], rles: list[Rle]) -> Instances:
    """The instances, with scores as they are: `Instances.of` would round them to 32 bits."""
    scores = np.array([line.score for line in named])
    order = np.argsort(-scores, kind="stable")
    return Instances(
        frame=frame,
        masks=tuple(rles[k] for k in order),
        class_ids=np.array([named[k].class_id for k in order], np.uint8),
        scores=scores[order],
        features=np.zeros((len(named), 0), np.float16),
        track_ids=np.zeros(len(named), np.int32),
        interpolated=np.zeros(len(named), np.bool_),
        moved=np.full((len(named), 2), np.nan, np.float32),
    )


def _first_size(files: Iterable[Path], root: Path) -> tuple[int, int]:
    """The size of the first mask that a file names."""
    for line in (line for file in files for line in lines(file, root)):
        try:
            with Image.open(line.mask) as image:
                return image.height, image.width
        except OSError as error:
            raise FormatError(f"{line.mask}: not a picture of a mask ({error})") from error
    raise FormatError(f"{root}: the size of its frames is not known, because no file names a mask")


def _line(content: str, folder: Path, root: Path) -> Line:
    fields = content.removesuffix("\n").split(" ")
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields instead of 3")
    name, label, score = fields
    mask = Path(os.path.normpath(folder / name))
    if os.path.isabs(name) or not mask.is_relative_to(os.path.normpath(root)):
        raise ValueError(f"{name} leads out of the folder")
    class_id = int(float(label))
    if class_id not in BY_ID:
        raise ValueError(f"{label} is no Cityscapes label")
    if not math.isfinite(float(score)):
        raise ValueError(f"{score} is no score")
    return Line(mask, class_id, float(score))
