"""What is wrong with a folder of Cityscapes PNGs, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.files import find_files
from annotator.formats.cityscapes import png
from annotator.formats.findings import ERROR, WARNING, Finding, Said
from annotator.formats.names import INSTANCE_IDS, NAME
from annotator.labels import BY_ID, INSTANCES_PER_CLASS

LABEL_IDS = "_gtFine_labelIds.png"


def check_cityscapes(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a folder."""
    files = find_files(path, f"*{INSTANCE_IDS}")
    if not files:
        yield Finding(ERROR, str(path), f"no *{INSTANCE_IDS} in this folder")
    stems: dict[str, Path] = {}
    sizes: dict[tuple[int, ...], Path] = {}
    for file in files:
        stem = file.name.removesuffix(INSTANCE_IDS)
        for severity, message in (*_name(stem, stems, file), *_frame(file, sizes)):
            yield Finding(severity, str(file), message)


def _name(stem: str, stems: dict[str, Path], file: Path) -> Iterator[Said]:
    if not NAME.fullmatch(stem):
        yield (
            ERROR,
            "its name is not CITY_SEQ_FRAME with six digits and no underscore in CITY: evaluators skip it",
        )
    if stems.setdefault(stem, file) != file:
        yield ERROR, f"the same frame as {stems[stem]}"


def _frame(file: Path, sizes: dict[tuple[int, ...], Path]) -> Iterator[Said]:
    try:
        ids = _pixels(file, 16)
    except ValueError as error:
        yield ERROR, str(error)
        return
    if sizes.setdefault(ids.shape, file) == file and len(sizes) > 1:
        yield WARNING, f"of another size ({ids.shape[1]}x{ids.shape[0]}) than the frames before"
    found = np.flatnonzero(np.bincount(ids.ravel()))  # sorting takes longer than counting
    for unknown in found[[not _is_known(i) for i in found.tolist()]].tolist():
        yield ERROR, f"{unknown} is no id of a Cityscapes class, nor of an instance of one"
    yield from _companion(file, ids, found)


def _is_known(i: int) -> bool:
    """Whether an id is one: of a label, or of an instance of a class that has instances."""
    if i < INSTANCES_PER_CLASS:
        return i in BY_ID
    label = BY_ID.get(i // INSTANCES_PER_CLASS)
    return label is not None and label.has_instances


def _companion(file: Path, ids: npt.NDArray[np.uint16], found: npt.NDArray[np.intp]) -> Iterator[Said]:
    """Compare with labelIds, if they are there: what runs over a thousand instances is another class."""
    beside = file.with_name(file.name.removesuffix(INSTANCE_IDS) + LABEL_IDS)
    if not beside.exists():
        yield WARNING, f"without {beside.name}, which evaluators of pixels read"
        return
    try:
        labels = _pixels(beside, 8)
    except ValueError as error:
        yield ERROR, f"{beside.name}: {error}"
        return
    if labels.shape != ids.shape:
        yield ERROR, f"{beside.name} is of another size"
        return
    class_of = np.zeros(int(found.max()) + 1 if found.size else 1, np.int64)
    class_of[found] = np.where(found < INSTANCES_PER_CLASS, found, found // INSTANCES_PER_CLASS)
    wrong = labels != class_of[ids]
    if wrong.any():
        k = int(wrong.argmax())
        pair = int(ids.ravel()[k]), int(labels.ravel()[k])
        yield ERROR, f"instance id {pair[0]} where {beside.name} says {pair[1]}: more than 999 of a class?"


def _pixels(file: Path, bits: int) -> npt.NDArray[Any]:
    """The pixels of a picture. Raises ValueError."""
    if not file.is_file():
        raise ValueError("no file")
    return png.decode_grey(file.read_bytes(), bits)
