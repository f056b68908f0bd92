"""What writers read, what they give back, and what a format is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from annotator.frames import FrameRef
from annotator.instances import Instances


class LabelReader(Protocol):
    """Labels of one recording, read again and again, frame by frame. A `Store` is one."""

    def frames(self) -> Iterator[FrameRef]:
        """Every labelled frame, in order, those without instances included."""

    def instances(self) -> Iterator[Instances]:
        """The instances of every labelled frame, in the same order."""


class RecordingInfo(Protocol):
    """What a writer needs to know of the recording. A `Source` is one."""

    @property
    def path(self) -> Path:
        """The video file, or the folder of images."""

    @property
    def name(self) -> str:
        """Its relative name, with `/` between folders."""

    @property
    def is_video(self) -> bool:
        """Whether frames are counted in one file, or are files themselves."""


@dataclass(frozen=True)
class Written:
    """What a writer published."""

    files: tuple[Path, ...]  # files and folders, each whole
    frames: int
    instances: int
    losses: Mapping[str, int]  # what the format could not hold, in words, and how many; empty when nothing


class Format(Protocol):
    """A label format: writer and reader. The modules of this folder are such."""

    def write(self, reader: LabelReader, source: RecordingInfo, folder: Path) -> Written:
        """Write the labels of a recording into `folder`: whole, or not at all, and equal for equal labels.

        Pixels that several instances claim go to the best scored. Raises FormatError for labels that the
        format can't hold, OutputError when the files can't be written.
        """

    def read(self, path: Path) -> Iterator[Instances]:
        """Yield what a file (or folder) of this format holds, in frame order. Raises FormatError.

        Scores that the format doesn't keep are 1, tracks that it doesn't keep are 0; frames without a time
        count one a second.
        """
