"""The labels of a recording as they lie on disk, and all those of a path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import IDENTITY_MAP, ClassMap
from annotator.formats.interface import Format, Found, Reading, Size
from annotator.formats.pairing import FrameNames
from annotator.instances import GroundTruth, Instances


@dataclass(frozen=True)
class RecordingLabels:
    """The labels of one recording, as they lie on disk."""

    name: str  # of the recording
    path: Path
    format: Format

    classes: ClassMap = IDENTITY_MAP  # what labels with other names are
    skip_bad: bool = False  # leave out entries that are no labels
    images: Path | None = None  # of labels that don't hold the size of their images
    skipped: Counter[str] = field(default_factory=Counter, compare=False, repr=False)  # by the latest reading

    def instances(self, size: Size | None = None) -> Iterator[Instances]:
        """The instances of every frame; `size` is that of frames of which the labels don't tell it."""
        frames = self.format.read(self.path, self._reading(size, only_instances=True))
        return (truth.instances for truth in frames)

    def truth(self) -> Iterator[GroundTruth]:
        """The same as truth, with what is not labelled."""
        return self.format.read(self.path, self._reading())

    def frame_names(self) -> FrameNames:
        """What its frames are called, in their order; nothing where only their places tell them apart."""
        return self.format.frame_names(Found(self.name, self.path), Reading(images=self.images))

    def _reading(self, size: Size | None = None, only_instances: bool = False) -> Reading:
        """For a new reading, which counts anew what is skipped."""
        self.skipped.clear()
        bad = BadEntries(self.skip_bad, self.skipped)
        return Reading(self.classes, bad, self.skipped, self.images, size, only_instances)


@dataclass(frozen=True)
class LabelSet:
    """What a path holds."""

    path: Path
    format: Format  # that of the first recording
    labels: tuple[RecordingLabels, ...]  # by recording; at least one
