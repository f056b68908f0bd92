"""YOLO segmentation text: a file an image, lines `class x1 y1 x2 y2 ...` in shares of width and height.

Trackers and detectors may add a score, a track id, or both. Boxes (four numbers) are left out. Classes are numbers,
whose names are in `data.yaml` or `classes.txt`; sizes are those of the images: beside the labels, or in `images/` where
the labels are in `labels/`. An image without a file has no objects. Polygons follow pixel edges, as in COCO.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annotator import masks
from annotator.errors import LabelFileError
from annotator.formats.coco.index import WITHOUT_MASKS
from annotator.formats.fields import score_of, shown
from annotator.formats.image_files import Points, Size, checked, image_size, in_order, is_image, label_texts
from annotator.formats.interface import Reading
from annotator.formats.names import BOM
from annotator.formats.object_ids import TRACK_IDS
from annotator.formats.summary import frame_without_time
from annotator.instances import GroundTruth, Instances
from annotator.limits import LARGEST_IMAGE_LABELS, MOST_VERTICES

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
LINE = re.compile(rf"\d+(?:\.0*)?(?:[ \t]+{NUMBER}){{4,}}")
NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "predefined_classes.txt")
MOST_CLASSES = 10_000
ABOVE = 3  # folders above the labels where names are looked for
LARGEST_NAMES = 1 << 20  # bytes
OUTSIDE = 0.5  # of the frame by which polygons may leave it; what is further out is no share of it
LABELS, IMAGES = "labels", "images"
LEFT_OUT = "objects of classes that are left out"


class Object(NamedTuple):
    """A line."""

    label: str
    mask: masks.Rle
    score: float
    track_id: int


@dataclass(frozen=True)
class Frame:
    """An image and its labels, one of which may be missing."""

    name: str  # of the image, relative to what is read
    text: Path | None
    image: Path | None


def sniff(start: bytes) -> bool:
    """Whether a text begins with a line of YOLO: shares of the frame, unlike the whole numbers of MOTS."""
    line = start.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if not LINE.fullmatch(line) or "." not in line:
        return False
    numbers = [float(text) for text in line.split()[1:]]
    return all(-OUTSIDE <= number <= 1 + OUTSIDE for number in numbers[: max(4, len(numbers) - 2)])


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield every image of a folder, or of one file, by name in natural order.

    `images` is the folder of the images, by default where YOLO has them; `size` (H, W) that of those that are missing.
    Lines that are none go to `bad`, boxes are counted in `skipped`. Raises FormatError.
    """
    reading = reading or Reading()
    found = _Folder(path, reading).frames(frames(path, reading.images))
    return reading.bad.sift(path, map(GroundTruth, found))


def names(path: Path, images: Path | None = None) -> list[str]:
    """The file of every image, in the order of `read`."""
    return [frame.name for frame in frames(path, images)]


def frames(path: Path, images: Path | None = None) -> list[Frame]:
    """The images of a folder and the labels of each. Raises FormatError when there are neither."""
    texts = label_texts(path)
    root = path if path.is_dir() else path.parent
    found: dict[Path, Frame] = {}  # by path without suffix
    of_folder: dict[Path, dict[str, Path]] = {}
    for text in texts:
        for folder in _folders(text, root, images):
            files = of_folder.setdefault(folder, _images(folder))
            if text.stem in files:
                break
        image = files.get(text.stem)
        found[image or text.with_suffix("")] = Frame(
            _relative(image or text.with_suffix(""), root), text, image
        )
    used = {frame.image.parent for frame in found.values() if frame.image}
    if path.is_dir():
        for image in (image for folder in used for image in of_folder[folder].values()):
            found.setdefault(image, Frame(_relative(image, root), None, image))
    if not found:
        raise LabelFileError(f"{path}: no YOLO text in this folder")
    return [found[key] for key in in_order(found)]


def _folders(text: Path, root: Path, images: Path | None) -> Iterator[Path]:
    """Where the image of a text may be, most likely first."""
    inner = text.parent.relative_to(root)
    if images is not None:
        yield images / inner
        yield images / Path(*(part for part in inner.parts if part != LABELS))
        yield images
        return
    yield text.parent
    parts = text.absolute().parent.parts
    if LABELS in parts:
        at = len(parts) - 1 - parts[::-1].index(LABELS)
        yield Path(*parts[:at], IMAGES, *parts[at + 1 :])
    if text.parent.name == LABELS:  # as predictions are saved
        yield text.absolute().parent.parent
    yield text.parent / IMAGES


def _images(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem."""
    return {file.stem: file for file in sorted(folder.iterdir()) if is_image(file)} if folder.is_dir() else {}


def _relative(file: Path, root: Path) -> str:
    absolute, above = file.absolute(), root.absolute()
    return absolute.relative_to(above).as_posix() if absolute.is_relative_to(above) else file.name


@dataclass
class _Folder:
    """A folder while it is read."""

    path: Path
    reading: Reading

    def frames(self, found: Sequence[Frame]) -> Iterator[Instances]:
        """Make the instances of every image."""
        labels = class_names(self.path)
        class_ids: dict[str, int | None] = {}
        for index, frame in enumerate(found):
            size = self._size(frame)
            objects = [*self._objects(frame.text, size, labels)] if frame.text else []
            if new := {one.label for one in objects} - class_ids.keys():
                class_ids |= self._class_ids(new, found, labels)
            kept = [one for one in objects if class_ids[one.label]]
            self.reading.skipped[LEFT_OUT] += len(objects) - len(kept)
            yield Instances.of(
                frame_without_time(index, size, frame.name),
                [one.mask for one in kept],
                [class_ids[one.label] or 0 for one in kept],
                [one.score for one in kept],
                track_ids=[one.track_id for one in kept],
            )

    def _size(self, frame: Frame) -> Size:
        if frame.image:
            return image_size(frame.image)
        if self.reading.size is None:
            raise LabelFileError(
                f"{frame.text}: no image of this name tells its size; `image_folder` names the folder of images"
            )
        return self.reading.size

    def _objects(self, text: Path, size: Size, labels: Sequence[str]) -> Iterator[Object]:
        lines: dict[int, list[float]] = {}
        for number, line in enumerate(_lines(text), 1):
            with self.reading.bad.entry(f"{text.name}: line {number}"):
                if line.strip():
                    lines[number] = _values(line)
        are_tracked = any(len(values) % 2 and values[-1] > 1 + OUTSIDE for values in lines.values())
        for number, (class_number, *values) in lines.items():
            with self.reading.bad.entry(f"{text.name}: line {number}"):
                label = _label(class_number, labels)
                polygon, score, track_id = _parts(values, are_tracked)
                if len(polygon) == 2:
                    self.reading.skipped[WITHOUT_MASKS] += 1
                    continue
                pixels = checked(polygon * (size[1], size[0]))
                yield Object(label, masks.to_rle([pixels.ravel().tolist()], size), score, track_id)

    def _class_ids(
        self, new: set[str], found: Iterable[Frame], labels: Sequence[str]
    ) -> dict[str, int | None]:
        """The class of new labels. Raises FormatError that names all labels of all files that are not known."""
        if not all(map(self.reading.classes.knows, new)):
            lines = (line for frame in found if frame.text for line in _lines(frame.text))
            first = {line.split(None, 1)[0] for line in lines if LINE.fullmatch(line.strip())}
            new = {_label(float(number), labels) for number in first if float(number) < MOST_CLASSES}
        return self.reading.classes.ids_of(sorted(new))


def _lines(text: Path) -> Iterator[str]:
    if text.stat().st_size > LARGEST_IMAGE_LABELS:
        raise LabelFileError(f"{text}: of more than {LARGEST_IMAGE_LABELS:,} bytes, for one image")
    with text.open(encoding="utf-8-sig", errors="replace") as file:
        yield from file


def _values(line: str) -> list[float]:
    if not LINE.fullmatch(line.strip()):
        raise ValueError(f"{shown(line.strip())} is not 'class x1 y1 x2 y2 ...'")
    values = [float(text) for text in line.split()]
    if len(values) > 2 * MOST_VERTICES + 3:
        raise ValueError(f"a polygon of more than {MOST_VERTICES:,} points")
    return values


def _parts(values: Sequence[float], are_tracked: bool) -> tuple[Points, float, int]:
    """The points in shares, the score and the track of a line.

    A number left over is a score or, above 1, a track id. Where lines of the file are tracked, both are at the end.
    """
    score, track = 1.0, 0.0
    coordinates = list(values)
    if len(coordinates) % 2:
        tail = coordinates.pop()
        score, track = (1.0, tail) if tail > 1 else (tail, 0.0)
    elif are_tracked and len(coordinates) > 4:
        track, score = coordinates.pop(), coordinates.pop()
    points = np.array(coordinates).reshape(-1, 2)
    if not np.all((points >= -OUTSIDE) & (points <= 1 + OUTSIDE)):
        raise ValueError("numbers that are no shares of the frame's width and height")
    if not 0 <= track < TRACK_IDS.stop or track != int(track):
        raise ValueError(f"{track:g} is no track id")
    return points, score_of(score), int(track)


def _label(number: float, labels: Sequence[str]) -> str:
    """What a class is called: its number where nothing names it."""
    if number >= MOST_CLASSES or number != int(number):
        raise ValueError(f"class {number:g} is no whole number below {MOST_CLASSES:,}")
    return labels[int(number)] if int(number) < len(labels) and labels[int(number)] else str(int(number))


# ---- what classes are called


def class_names(path: Path) -> list[str]:
    """The names of the classes of a folder by number, from the nearest file that has them; else none."""
    folder = path.absolute() if path.is_dir() else path.absolute().parent
    for above in (folder, *list(folder.parents)[:ABOVE]):
        for name in NAMES:
            file = above / name
            if file.is_file() and (found := _names(file)):
                return found
    return []


def _names(file: Path) -> list[str]:
    with file.open("rb") as opened:
        content = opened.read(LARGEST_NAMES).removeprefix(BOM).decode("utf-8", "replace")
    if file.suffix not in (".yaml", ".yml"):
        return [line.strip() for line in content.splitlines()]
    import yaml

    try:
        loaded = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = str(error).splitlines()
        raise LabelFileError(
            f"{file}: no YAML that can be read ({said[0] if said else 'too deep'})"
        ) from error
    named = loaded.get("names") if isinstance(loaded, dict) else None
    if isinstance(named, dict):
        numbers = [key for key in named if isinstance(key, int) and 0 <= key < 10_000]
        return [str(named.get(k, "")) for k in range(max(numbers, default=-1) + 1)]
    return [str(name) for name in named] if isinstance(named, list) else []
