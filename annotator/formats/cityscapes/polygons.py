"""Cityscapes' own annotations, `CITY_SEQ_FRAME_gtFine_polygons.json`: a file a frame, as its label tool edits them.

Polygons come from back to front: what is drawn later lies on top, and deleted ones are not drawn. Each one of a class
with instances is an instance, numbered in their order; `cargroup` and the like are several that nobody told apart.
Drawn as Cityscapes draws its instanceIds, so that both are read alike. Written are one polygon an instance, through
the centres of its border pixels, with holes cut in; parts are joined by lines, on which all others lie.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image, ImageDraw
from scipy.spatial import KDTree

from annotator import masks
from annotator.errors import FormatLimitError, LabelFileError
from annotator.files import atomic_folder, find_files
from annotator.formats.cityscapes import gtfine
from annotator.formats.class_map import ClassMap
from annotator.formats.fields import flag, shown, whole
from annotator.formats.findings import verify
from annotator.formats.image_files import Points, Record, Size, entries, load_json, points_xy
from annotator.formats.interface import LabelReader, Reading, RecordingInfo, Written
from annotator.formats.names import POLYGONS, frame_stem, numbers
from annotator.formats.summary import LabelSummary, frame_without_time, lost
from annotator.instances import GroundTruth, Instances
from annotator.labels import BY_ID, BY_NAME, INSTANCES_PER_CLASS, instance_id
from annotator.limits import require_frame_size

FOLDER = "cityscapes_polygons"
STEM = re.compile(r"(.+?)(?:_gt(?:Fine|Coarse))?_polygons\.json")
GROUP = "group"
DELETED = "deleted polygons"
JOINED = "objects in parts, which lines join"
NO_CLASS = "polygons of labels that are left out"


def write(reader: LabelReader, source: RecordingInfo, folder: Path) -> Written:
    """Write DIR/cityscapes_polygons/. Scores and tracks are lost: the format has neither."""
    goal, losses, instances, frames = folder / FOLDER, Counter[str](), 0, 0
    summary = LabelSummary.of(reader)
    with atomic_folder(goal) as temporary:
        for found in reader.instances():
            shown = summary.disjoint(found)
            file = temporary / f"{frame_stem(source, found.frame)}_gtFine{POLYGONS}"
            if file.exists():
                raise FormatLimitError(
                    f"{source.path}: two images would both be labelled as {_stem(file)}; rename one"
                )
            drawn = _drawn(shown)
            losses[JOINED] += sum(one.parts > 1 for one in drawn)
            losses.update(lost(found, shown))
            file.write_bytes(orjson.dumps(_content(found.frame.size, drawn)))
            instances += len(shown)
            frames += 1
        written = sum(1 for _ in temporary.iterdir())
        verify(written == frames, temporary, f"{written} files of {frames} frames")
    return Written((goal,), frames, instances, +losses)


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield the frames of a folder of polygons, or of one file, as `gtfine.read` does those of instanceIds.

    Polygons that are none go to `bad`; what is deleted is counted in `skipped`. Raises FormatError.
    """
    reading = reading or Reading()
    return reading.bad.sift(path, _truths(path, reading))


def names(path: Path) -> list[str]:
    """CITY_SEQ_FRAME of every frame of a folder, in the order of `read`."""
    return [_stem(file) for file in _find(path)]


def _find(path: Path) -> list[Path]:
    files = [path] if path.is_file() else find_files(path, f"*{POLYGONS}")
    if not files:
        raise LabelFileError(f"{path}: no *{POLYGONS} in this folder")
    return sorted(files, key=_stem)


def _stem(file: Path) -> str:
    found = STEM.fullmatch(file.name)
    return found[1] if found else file.stem


def _truths(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    files = _find(path)
    stems = [_stem(file) for file in files]
    for index, stem, file in zip(numbers(stems), stems, files, strict=True):
        content = load_json(file)
        size = _size(content, file)
        canvas = _Canvas(size, reading.classes, reading.skipped)
        for number, entry in enumerate(entries(content, "objects", file)):
            drawn = None
            with reading.bad.entry(f"{file.name}: object {number}"):
                drawn = _polygon(entry)
            if drawn:
                canvas.add(*drawn, file)
            elif drawn is not None:
                reading.skipped[DELETED] += 1
        yield gtfine.truth_of(canvas.ids(), frame_without_time(index, size, stem), file)


def _size(content: Record, file: Path) -> Size:
    try:
        size = whole("imgHeight", content.get("imgHeight")), whole("imgWidth", content.get("imgWidth"))
        require_frame_size(*size)
    except ValueError as error:
        raise LabelFileError(f"{file}: no Cityscapes polygons ({error})") from error
    return size


def _polygon(entry: Any) -> tuple[str, Points] | tuple[()]:
    """The label and the polygon of an object; nothing of a deleted one. Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError(f"{shown(entry)} is no object")
    if flag("deleted", entry.get("deleted")):
        return ()
    if not isinstance(entry.get("label"), str):
        raise ValueError(f"label {shown(entry.get('label'))} is no text")
    return entry["label"], points_xy(entry.get("polygon", ()), fewest=2)  # as in the official script


class _Canvas:
    """The instanceIds of a frame while its polygons are drawn, from back to front."""

    def __init__(self, size: Size, classes: ClassMap, skipped: Counter[str]) -> None:
        self._classes, self._skipped = classes, skipped
        self._picture = Image.new("I", (size[1], size[0]), 0)
        self._draw = ImageDraw.Draw(self._picture)
        self._counts = Counter[int]()  # instances by class

    def add(self, name: str, points: Points, file: Path) -> None:
        """Draw a polygon. Raises FormatError for a label that is not known, or the 1001st instance of a class."""
        class_id, has_instances = self._meaning(name)
        if class_id is None:
            self._skipped[NO_CLASS] += 1
            return
        if class_id < 0:  # a license plate is not drawn
            return
        pixel = class_id
        if has_instances:
            if self._counts[class_id] == INSTANCES_PER_CLASS:
                raise LabelFileError(f"{file}: more than {INSTANCES_PER_CLASS} instances of {name}")
            pixel = class_id * INSTANCES_PER_CLASS + self._counts[class_id]
            self._counts[class_id] += 1
        self._draw.polygon([*map(tuple, points.tolist())], fill=pixel)

    def ids(self) -> npt.NDArray[np.uint16]:
        """The instance ids (H, W)."""
        return np.asarray(self._picture).astype(np.uint16)

    def _meaning(self, name: str) -> tuple[int | None, bool]:
        """The class of a label, None for one that is left out, and whether it is one of its instances."""
        known = BY_NAME.get(name) or BY_NAME.get(name.strip().casefold())
        if known and name not in self._classes.given:
            return known.id, known.has_instances
        group = BY_NAME.get(name.removesuffix(GROUP)) if name.endswith(GROUP) else None
        if group and name not in self._classes.given:
            return group.id, False
        return self._classes.id_of(name), True


# ---- writing


class _Drawn(NamedTuple):
    """An instance as it is written."""

    label: str
    ring: npt.NDArray[np.int64]  # (N, 2) x, y of pixels
    parts: int


def _drawn(shown: Instances) -> list[_Drawn]:
    """The instances from back to front: those in parts behind all others. Raises FormatError above 1000 of a class."""
    numbers = Counter[int]()
    drawn = []
    windows = masks.decode_windows(shown.masks)
    for class_id, (window, top, left) in zip(shown.class_ids.tolist(), windows, strict=True):
        instance_id(class_id, numbers[class_id])
        numbers[class_id] += 1
        ring, parts = _ring(window)
        drawn.append(_Drawn(BY_ID[class_id].name, ring + np.array([left, top]), parts))
    return sorted(drawn, key=lambda one: -one.parts)


def _ring(window: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], int]:
    """One ring (N, 2) around all that is on in a window, through pixel centres, and how many parts it joins.

    From the outline of the largest part it goes to the nearest point of another part, or of a hole, and back.
    """
    outlines, tree = cv2.findContours(window.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [outline[:, 0].astype(np.int64) for outline in outlines]
    is_hole = [bool(above >= 0) for above in tree[0, :, 3]]
    order = sorted(range(len(rings)), key=lambda k: (is_hole[k], -cv2.contourArea(outlines[k])))
    joined = rings[order[0]]
    for ring in (rings[k] for k in order[1:]):
        nearest, there = KDTree(joined).query(ring)
        j = int(nearest.argmin())
        i = int(there[j])
        joined = np.concatenate([joined[: i + 1], ring[j:], ring[: j + 1], joined[i:]])
    # A pixel, or a line of them, is a polygon too: label tools want three vertices.
    return np.concatenate([joined, joined[:1].repeat(max(3 - len(joined), 0), axis=0)]), is_hole.count(False)


def _content(size: Size, drawn: list[_Drawn]) -> Record:
    """A file, with all that the label tool asks of an object."""
    objects = [
        {
            "label": one.label,
            "id": number,
            "deleted": 0,
            "verified": 0,
            "user": "",
            "date": "",
            "polygon": one.ring.tolist(),
        }
        for number, one in enumerate(drawn)
    ]
    return {"imgHeight": size[0], "imgWidth": size[1], "objects": objects}
