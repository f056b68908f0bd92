"""The data of a training: one set of labels, or a TOML file that mixes several.

[[training]]
labels = "cityscapes/gtFine/train"    # any labels that can be read; paths start at the file's folder
share = 0.7                           # of the crops; by number of images where no set has a share

[[training]]
labels = "pedestrians.json"
images = "pedestrians/"
share = 0.2
labelled = ["person"]                 # the classes that are labelled here; others are not background
classes = { pedestrian = "person", cyclist = "none" }
skip_bad = true                       # leaves out annotations that can't be read

[[training]]
rendered = 40                         # streets drawn by this package
share = 0.1

[[validation]]
labels = "val.json"
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any

from annotator.errors import UsageError
from annotator.formats.class_map import ClassMap
from annotator.formats.fields import shown, whole
from annotator.formats.finished import require_finished
from annotator.formats.sniffing import bad_input, sniff
from annotator.instances import GroundTruth
from annotator.labels import class_ids
from annotator.limits import MOST_FRAMES, MOST_SETTINGS, require_file
from annotator.options import AS_WRITTEN, ReadingOptions
from annotator.training.image_lookup import frame_files
from annotator.training.images import ImageFiles, LabelledImages, RenderedImages, Size

KEYS = {"labels", "images", "share", "labelled", "classes", "skip_bad", "rendered"}
KINDS: dict[
    str, tuple[type | UnionType, str]
] = {  # of what they take, but for those that are looked at closer
    "labels": (str, "a path"),
    "images": (str, "a path"),
    "share": (int | float, "a number"),
    "labelled": (list, "a list of classes"),
    "classes": (dict, 'a table, as { lorry = "truck" }'),
    "skip_bad": (bool, "true or false"),
}


@dataclass(frozen=True)
class DatasetSpec:
    """One set of labelled images, as it is named."""

    labels: Path | None  # None: rendered streets
    images: Path | None = None  # None: found beside the labels
    share: float | None = None  # of the crops
    labelled: frozenset[int] | None = None
    reading: ReadingOptions = AS_WRITTEN
    streets: int = 0  # rendered

    @property
    def name(self) -> str:
        """What it is called in checkpoints: without folders."""
        return self.labels.name if self.labels else "rendered"


@dataclass(frozen=True)
class DatasetMix:
    """What to train on, and what to score with."""

    training: tuple[DatasetSpec, ...]
    validation: tuple[DatasetSpec, ...] = ()


@dataclass(frozen=True)
class WeightedDataset:
    """A set of images and its share of the crops."""

    name: str
    images: LabelledImages
    share: float
    skipped: Mapping[str, int] = field(default_factory=dict)  # of the labels, in words


def mix_of(
    labels: Path, images: Path | None, validation: Path | None, reading: ReadingOptions = AS_WRITTEN
) -> DatasetMix:
    """The mix that a command line names: labels, or a TOML file. Raises UsageError.

    Sets of a TOML file go by `reading`, and before that by what the file says of them.
    """
    mix = (
        read_mix(labels, reading)
        if labels.suffix == ".toml"
        else DatasetMix((DatasetSpec(labels, images, reading=reading),))
    )
    if validation is None:
        return mix
    named = read_mix(validation, reading).validation if validation.suffix == ".toml" else None
    return DatasetMix(mix.training, named or (DatasetSpec(validation, images, reading=reading),))


def read_mix(path: Path, reading: ReadingOptions = AS_WRITTEN) -> DatasetMix:
    """A mix from a TOML file. Raises UsageError."""
    try:
        require_file(path)
        if path.stat().st_size > MOST_SETTINGS:
            raise ValueError(f"of more than {MOST_SETTINGS:,} bytes")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no TOML (it is no text in UTF-8)") from error
    except RecursionError as error:
        raise UsageError(f"{path}: no TOML (lists or tables too deep in each other)") from error
    except ValueError as error:
        raise UsageError(f"{path}: no TOML ({error})") from error
    if unknown := content.keys() - {"training", "validation"}:
        raise UsageError(f"{path}: {min(unknown)} means nothing; it takes [[training]] and [[validation]]")
    try:
        for kind, entries in content.items():
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise ValueError(f"{kind} is {shown(entries)}; it takes sets, each below a [[{kind}]]")
        sets = {
            kind: tuple(_source(entry, path.parent, reading) for entry in content.get(kind, ()))
            for kind in ("training", "validation")
        }
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(f"{path}: {error}") from error
    return DatasetMix(**sets)


def _source(entry: Mapping[str, Any], folder: Path, reading: ReadingOptions) -> DatasetSpec:
    if unknown := entry.keys() - KEYS:
        raise ValueError(f"{min(unknown)} means nothing; a set takes {', '.join(sorted(KEYS))}")
    for key, (kind, called) in KINDS.items():
        if key in entry and not isinstance(entry[key], kind):
            raise ValueError(f"{key} is {shown(entry[key])}; it takes {called}")
    if not all(isinstance(name, str) for name in entry.get("labelled", ())):
        raise ValueError(f"labelled is {shown(entry['labelled'])}; it takes {KINDS['labelled'][1]}")
    if ("labels" in entry) == ("rendered" in entry):
        raise ValueError("a set has either labels or a number of rendered streets")
    streets = whole("rendered", entry.get("rendered", 0))
    if "rendered" in entry and not 1 <= streets <= MOST_FRAMES:
        raise ValueError(f"rendered = {streets} streets to draw; it takes 1 to {MOST_FRAMES:,}")
    share = entry.get("share")
    if share is not None and not 0 < share < float("inf"):
        raise ValueError(f"share {share} is not positive")
    named = tuple(f"{name}={known}" for name, known in entry.get("classes", {}).items())
    try:
        ClassMap.parse(named)  # now, and not when the other sets are open
    except UsageError as error:
        raise ValueError(f"classes can't be meant so ({error})") from error
    return DatasetSpec(
        labels=folder / entry["labels"] if "labels" in entry else None,
        images=folder / entry["images"] if "images" in entry else None,
        share=share,
        labelled=frozenset(class_ids(entry["labelled"])) if "labelled" in entry else None,
        reading=ReadingOptions(
            map=(*reading.map, *named),
            skip_bad=reading.skip_bad or bool(entry.get("skip_bad")),
            unfinished=reading.unfinished,
        ),
        streets=streets,
    )


def open_parts(sources: Sequence[DatasetSpec], size: Size, kept: Path) -> list[WeightedDataset]:
    """The images of every set; shares are as given, or all by number of images. Raises UsageError."""
    if not sources:
        raise UsageError("no data to train on: the mix names no [[training]]")
    given = [source.share for source in sources]
    if any(share is None for share in given) and any(share is not None for share in given):
        raise UsageError("give every set of the mix a share, or none")
    opened = [
        open_files(source, size, kept) if source.labels else RenderedImages(source.streets)
        for source in sources
    ]
    return [
        WeightedDataset(source.name, images, source.share or float(len(images)), _left_out(images))
        for source, images in zip(sources, opened, strict=True)
    ]


def _left_out(images: LabelledImages) -> Mapping[str, int]:
    return images.skipped if isinstance(images, ImageFiles) else {}


def open_files(source: DatasetSpec, size: Size, kept: Path) -> ImageFiles:
    """The labelled images of a set, of all its recordings. Raises UsageError."""
    if source.labels is None:
        raise UsageError("rendered streets are for training alone; name labels to validate with")
    truths: list[GroundTruth] = []
    files: list[Path] = []
    skipped = Counter[str]()
    with bad_input():
        reading = replace(source.reading, image_folder=source.images or source.reading.image_folder)
        side = sniff(source.labels, reading)
        require_finished(side, reading)
        for labels in side.labels:
            of_recording = list(labels.truth())
            refs = [truth.instances.frame for truth in of_recording]
            files += frame_files(labels, refs, source.images, kept) if refs else []
            truths += of_recording
            skipped += labels.skipped
    if not truths:
        raise UsageError(f"{source.labels}: holds no labelled images")
    return ImageFiles(truths, files, size, source.labelled, skipped)
