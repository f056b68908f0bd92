"""Results as the Cityscapes benchmark wants them: a text file a frame, `CITY_SEQ_FRAME*.txt`, and a mask PNG an object.

Lines are `relative_mask.png labelID score`; all pixels of a mask but black ones are the object.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annotator import masks
from annotator.errors import LabelFileError
from annotator.files import find_files
from annotator.formats.cityscapes import mask_png
from annotator.formats.interface import Reading
from annotator.formats.names import RESULTS, numbers
from annotator.formats.summary import EMPTY, frame_without_time
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances
from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.masks import Rle

BY_TRAIN_ID = {BY_ID[class_id].train_id: BY_ID[class_id] for class_id in INSTANCE_CLASSES}


class Line(NamedTuple):
    """One line of a file."""

    mask: Path
    class_id: int
    score: float


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield the frames of a folder of results, by name; index and name as in `gtfine.read`.

    Empty masks and objects of other classes than the eight are left out, a mask that is named twice counts as
    its last line says, and scores keep their 64 bits: all as in the official script. What is left out is counted in
    `skipped`, which the script doesn't. `size` (H, W) is for frames without a mask; by default it is that of the
    first mask of the folder. Raises FormatError, also when all classes are trainIds.
    """
    reading = reading or Reading()
    files = find(path)
    _require_label_ids(files.values(), path)
    size = reading.size or _first_size(files.values(), path)
    for index, (stem, file) in zip(numbers(list(files)), files.items(), strict=True):
        named = _judged(lines(file, path), reading.skipped)
        rles = [mask_png.read(line.mask) for line in named]
        sizes = {(rle["size"][0], rle["size"][1]) for rle in rles} or {size}
        if len(sizes) > 1:
            raise LabelFileError(f"{file}: its masks are not all of one size")
        seen = np.flatnonzero(masks.areas(rles))
        reading.skipped[EMPTY] += len(rles) - len(seen)
        frame = frame_without_time(index, sizes.pop(), stem)
        yield GroundTruth(_instances(frame, [named[k] for k in seen], [rles[k] for k in seen]))


def names(path: Path) -> list[str]:
    """CITY_SEQ_FRAME of every frame of a folder, in the order of `read`."""
    return list(find(path))


def find(path: Path) -> dict[str, Path]:
    """The text file of every frame of a folder, by CITY_SEQ_FRAME, in order."""
    files: dict[str, Path] = {}
    for file in sorted(find_files(path, "*.txt"), key=lambda file: file.name):
        name = RESULTS.fullmatch(file.name)
        if name and name[1] in files:
            raise LabelFileError(f"{file}: {files[name[1]].name} is of the same frame; remove one")
        if name and file.is_file():
            files[name[1]] = file
    if not files:
        raise LabelFileError(f"{path}: no CITY_SEQ_FRAME.txt in this folder")
    return files


def lines(file: Path, root: Path) -> list[Line]:
    """The lines of a text file, one a mask; masks lie in `root`. Raises FormatError, naming the line."""
    found: dict[Path, Line] = {}
    with file.open(encoding="utf-8", errors="replace") as text:
        for number, content in enumerate(text, 1):
            try:
                line = _line(content, file.parent, root)
            except ValueError as error:
                raise LabelFileError(
                    f"{file}: line {number} is not 'mask.png labelID score' ({error})"
                ) from error
            found[line.mask] = line
    return list(found.values())


def _judged(named: Iterable[Line], skipped: Counter[str]) -> list[Line]:
    """The lines of classes that the benchmark judges."""
    judged = []
    for line in named:
        if line.class_id in INSTANCE_CLASSES:
            judged.append(line)
        else:
            skipped[f"lines of class {line.class_id} ({BY_ID[line.class_id].name})"] += 1
    return judged


def _require_label_ids(files: Iterable[Path], root: Path) -> None:
    """Raise FormatError when no line is of a class that is judged, and all would be by their trainIds."""
    met: set[int] = set()
    for line in (line for file in files for line in lines(file, root)):
        if line.class_id in INSTANCE_CLASSES:
            return
        met.add(line.class_id)
    if met and met <= BY_TRAIN_ID.keys():
        one = min(met)
        raise LabelFileError(
            f"{root}: its classes are trainIds, as {one} for {BY_TRAIN_ID[one].name}; the benchmark takes ids,"
            f" {BY_TRAIN_ID[one].id} for {BY_TRAIN_ID[one].name}: write these"
        )


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
        displacement=np.full((len(named), 2), np.nan, np.float32),
    )


def _first_size(files: Iterable[Path], root: Path) -> tuple[int, int]:
    """The size of the first mask that a file names."""
    for line in (line for file in files for line in lines(file, root)):
        if line.class_id not in INSTANCE_CLASSES:
            continue
        return mask_png.size(line.mask)
    raise LabelFileError(f"{root}: the size of its frames is not known, because no file names a mask")


def _line(content: str, folder: Path, root: Path) -> Line:
    fields = content.removesuffix("\n").split(" ")
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields instead of 3")
    name, label, score = fields
    if "\\" in name and not (folder / name).exists():  # as Windows writes it
        name = name.replace("\\", "/")
    mask = Path(os.path.normpath(folder / name))
    if os.path.isabs(name) or not mask.is_relative_to(os.path.normpath(root)):
        raise ValueError(f"{name} leads out of the folder")
    class_id = int(_number(label, "labelID"))
    if class_id not in BY_ID:
        raise ValueError(f"{label} is no Cityscapes label")
    return Line(mask, class_id, _number(score, "score"))


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} {text!r} is no number")
    return number
