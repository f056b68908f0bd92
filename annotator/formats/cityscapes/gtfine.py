"""Cityscapes: three PNGs a frame, `CITY_SEQ_FRAME_gtFine_{instanceIds,labelIds,color}.png`.

instanceIds is 16-bit: class * 1000 + k, 0 where nothing is labelled. k stays the same along a track, and is
free again when the track has ended: a number is no identity over the whole recording.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.errors import FormatError, FormatLimitError, LabelFileError
from annotator.files import atomic_folder, find_files
from annotator.formats.cityscapes import png
from annotator.formats.findings import verify
from annotator.formats.interface import LabelReader, Reading, RecordingInfo, Written
from annotator.formats.names import INSTANCE_IDS, frame_stem, numbers
from annotator.formats.summary import LabelSummary, TrackSummary, frame_without_time, lost
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_ID, INSTANCE_CLASSES, INSTANCES_PER_CLASS, LABELS, instance_id
from annotator.masks import Rle

FOLDER = "cityscapes"
PALETTE = np.zeros((256, 3), np.uint8)  # RGB
for _label in LABELS:
    if _label.id >= 0:
        PALETTE[_label.id] = _label.colour

# By which id the pixels of every id are read; those of 0 are left out.
VOID = -1
INSTANCES_ALONE = np.arange(1 << 16)
INSTANCES_ALONE[:INSTANCES_PER_CLASS] = 0
INSTANCES_AND_IGNORED = np.arange(1 << 16)
for _label in LABELS:
    if _label.id >= 0:
        _name = _label.id if _label.id in INSTANCE_CLASSES else 0
        INSTANCES_AND_IGNORED[_label.id] = VOID if _label.ignore_in_eval else _name


def write(reader: LabelReader, source: RecordingInfo, folder: Path) -> Written:
    """Write DIR/cityscapes/. A frame without instances gets PNGs of background."""
    goal, losses, instances, frames = folder / FOLDER, Counter[str](), 0, 0
    summary = LabelSummary.of(reader)
    numbers = InstanceNumbers(summary.tracks)
    with atomic_folder(goal) as temporary:
        for found in reader.instances():
            shown = summary.disjoint(found)
            stem = frame_stem(source, found.frame)
            if (temporary / f"{stem}_gtFine_instanceIds.png").exists():
                raise FormatLimitError(
                    f"{source.path}: two images would both be labelled as {stem}; rename one"
                )
            label_map = cv2.transpose(masks.paint(shown.masks, shown.frame.size).T)
            ids = np.array([0, *numbers.of(shown)], np.uint16)
            classes = (ids // INSTANCES_PER_CLASS).astype(np.uint8)[label_map]
            colours = cv2.merge([cv2.LUT(classes, channel) for channel in PALETTE.T.copy()])
            _save(temporary / f"{stem}_gtFine_instanceIds.png", ids[label_map], check=True)
            _save(temporary / f"{stem}_gtFine_labelIds.png", classes)
            _save(temporary / f"{stem}_gtFine_color.png", colours)
            losses.update(lost(found, shown))
            instances += len(shown)
            frames += 1
        with os.scandir(temporary) as entries:
            written = sum(1 for _ in entries)
        verify(written == 3 * frames, temporary, f"{written} files of {frames} frames")
    return Written((goal,), frames, instances, +losses)


def read(path: Path, reading: Reading | None = None) -> Iterator[GroundTruth]:
    """Yield the frames of a folder of instanceIds, by name, with what official metrics do not count.

    A frame's index is SEQ * 1,000,000 + FRAME in a folder of one city, else its place in the folder; its
    name is CITY_SEQ_FRAME. Scores are 1. Void, one region of class 0, are pixels with the plain id of a label that
    evaluation ignores; groups are those with the plain id of one of the eight classes. Instances come by ascending id.
    """
    only_instances = reading is not None and reading.only_instances
    for index, stem, file in _numbered(path):
        ids = _load(file)
        yield truth_of(ids, frame_without_time(index, ids.shape, stem), file, only_instances)


def truth_of(
    ids: npt.NDArray[np.uint16], frame: FrameRef, file: Path, only_instances: bool = False
) -> GroundTruth:
    """What instance ids (H, W) say of a frame; `file` is where they are from. Raises FormatError."""
    rles = masks.encode_label_map(ids, names=INSTANCES_ALONE if only_instances else INSTANCES_AND_IGNORED)
    void = [Region(0, rles.pop(VOID))] if VOID in rles else []
    groups = [Region(c, rles.pop(c)) for c in INSTANCE_CLASSES if c in rles]
    return GroundTruth(_instances(frame, rles, file), (*void, *groups))


def names(path: Path) -> list[str]:
    """CITY_SEQ_FRAME of every frame of a folder, in the order of `read`."""
    return [stem for _, stem, _ in _numbered(path)]


class InstanceNumbers:
    """The k of every instance: the smallest free one of its class, kept from a track's birth to its end."""

    def __init__(self, tracks: dict[int, TrackSummary]) -> None:
        self._tracks = tracks
        self._held: dict[int, int] = {}  # by the id of a track that lives

    def of(self, found: Instances) -> list[int]:
        """The instanceIds of a frame's instances; frames come in order. Raises FormatError above k = 999."""
        index = found.frame.index
        self._held = {t: k for t, k in self._held.items() if self._tracks[t].last >= index}
        taken = {(self._tracks[t].class_id, k) for t, k in self._held.items()}
        ids = [0] * len(found)
        for i in sorted(range(len(found)), key=lambda i: found.track_ids[i] == 0):  # tracks choose first
            class_id, track_id = int(found.class_ids[i]), int(found.track_ids[i])
            k = self._held.get(track_id)
            if k is None:
                k = next(k for k in range(len(taken) + 1) if (class_id, k) not in taken)
                taken.add((class_id, k))
            if track_id:
                self._held[track_id] = k
            try:
                ids[i] = instance_id(class_id, k)
            except FormatError as error:
                raise FormatLimitError(f"frame {index}: {error}") from error
        return ids


def _numbered(path: Path) -> Iterator[tuple[int, str, Path]]:
    """Index, CITY_SEQ_FRAME and file of every frame of a folder, by name."""
    files = find_files(path, f"*{INSTANCE_IDS}")
    if not files:
        raise LabelFileError(f"{path}: no *{INSTANCE_IDS} in this folder")
    stems = [file.name.removesuffix(INSTANCE_IDS) for file in files]
    yield from zip(numbers(stems), stems, files, strict=True)


def _load(file: Path) -> npt.NDArray[np.uint16]:
    """The instance ids (H, W) of a frame."""
    if not file.is_file():  # a pipe would have us wait
        raise LabelFileError(
            f"{file}: not a 16-bit PNG of instance ids (a folder, or a link that leads nowhere)"
        )
    try:
        return png.decode_grey(file.read_bytes(), 16)
    except ValueError as error:
        raise LabelFileError(f"{file}: not a 16-bit PNG of instance ids ({error})") from error


def _instances(frame: FrameRef, rles: dict[int, Rle], file: Path) -> Instances:
    unknown = [i for i in rles if i < INSTANCES_PER_CLASS or i // INSTANCES_PER_CLASS not in BY_ID]
    if unknown:
        raise LabelFileError(f"{file}: {unknown[0]} is no id of a Cityscapes class or of an instance of one")
    return Instances.of(
        frame, list(rles.values()), [i // INSTANCES_PER_CLASS for i in rles], np.ones(len(rles))
    )


def _save(path: Path, pixels: npt.NDArray[Any], check: bool = False) -> None:
    """Write a PNG; `check` reads it back."""
    path.write_bytes(png.encode(pixels))
    if check:
        is_equal = np.array_equal(png.decode_grey(path.read_bytes(), 8 * pixels.dtype.itemsize), pixels)
        verify(is_equal, path, "it is not read as it was written")
