"""What can be asked of labelling: detection, tracking, publishing, and the run that does all three."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from annotator.errors import UsageError
from annotator.labels import BY_NAME, class_ids
from annotator.options.faults import Attempts, FaultOptions
from annotator.options.fleet import EngineOptions, Shard, StorageOptions
from annotator.options.record import check, option

FORMATS = (
    "cityscapes",
    "coco",
    "cvat",
    "mots",
    "cityscapes-polygons",
)  # what annotator.formats can write, in the order it is written
HOLES = ("fill", "keyhole", "mask")  # what becomes of holes in CVAT polygons
DEVICES = ("auto", "cpu", "cuda")
KNOWN_DEVICE = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]?))?")
PRECISIONS = ("auto", "32", "16", "bf16", "int8")  # of labelling
QUALITIES = ("fast", "default", "best")
LONGEST_CARRY = 60  # frames from one that the network sees to the next: masks are carried no farther
RUNTIMES = ("auto", "torch", "openvino")


@dataclass(frozen=True)
class DetectionOptions:
    """How frames become instances. All of it shapes the labels, so all of it is in a store's fingerprint.

    >>> from annotator import DetectionOptions
    >>> DetectionOptions(scale=0.5, classes=("person", "car")).class_ids
    (24, 26)
    >>> DetectionOptions(scale=0)
    Traceback (most recent call last):
    annotator.errors.UsageError: `scale` must be between 0.05 and 4, not 0
    """

    GROUP: ClassVar[str] = "Detection"

    classes: tuple[str, ...] | None = field(
        default=None,
        metadata=option(
            "Classes to label, by Cityscapes name, separated by commas  [default: all that the weights know]"
        ),
    )
    every: int = field(default=1, metadata=option("Label every N-th frame.", minimum=1, group="Input"))
    fill_every: bool = field(
        default=False,
        metadata=option(
            "With --every: carry masks to the frames between by optical flow, marked as interpolated.",
            group="Input",
        ),
    )
    start: int = field(
        default=0,
        metadata=option("First frame to label, counted from 0 as decoded.", minimum=0, group="Input"),
    )
    end: int | None = field(
        default=None,
        metadata=option("Frame to stop before  [default: label to the end]", minimum=1, group="Input"),
    )
    quality: str = field(
        default="default",
        metadata=option(
            "How long to look at a frame: fast at three quarters of the size, best twice, the second time mirrored and"
            " up to half as large again, as far as the frame has the pixels.",
            choices=QUALITIES,
        ),
    )
    scale: float | None = field(
        default=None,
        metadata=option(
            "Process frames at this multiple of their size  [default: near the size the weights know]",
            minimum=0.05,
            maximum=4,
        ),
    )
    precision: str = field(
        default="auto",
        metadata=option(
            "Numbers that the network computes with; auto takes the fastest that the weights and the hardware have.",
            choices=PRECISIONS,
        ),
    )
    runtime: str = field(
        default="auto",
        metadata=option(
            "What runs the network; auto takes OpenVINO on CPUs, PyTorch elsewhere.", choices=RUNTIMES
        ),
    )
    seed_threshold: float = field(
        default=0.65,
        metadata=option("Seed score from which a pixel can found an instance.", minimum=0.5, maximum=1),
    )
    min_score: float | None = field(
        default=None,
        metadata=option(
            "Lowest score of an instance, how likely it is to be right  [default: 0.08; 0.3 without a head]",
            minimum=0,
            maximum=1,
        ),
    )
    min_pixels: int | None = field(
        default=None,
        metadata=option(
            "Pixels of the processed image above which a cluster is an instance  [default: follows the weights]",
            minimum=1,
        ),
    )

    def __post_init__(self) -> None:
        check(self)
        if self.end is not None and self.end <= self.start:
            raise UsageError(f"`end` {self.end} leaves no frame to label after `start` {self.start}")
        if self.fill_every and not 1 < self.every <= LONGEST_CARRY:
            raise UsageError(
                f"`fill_every` fills between every 2nd to every {LONGEST_CARRY}th frame, and `every` is {self.every}"
            )
        if self.classes is not None:
            ids = class_ids(self.classes)
            if not ids:
                raise UsageError("`classes` names no class; leave it out to label all that the weights know")
            if plain := [name for name in self.classes if not BY_NAME[name].has_instances]:
                raise UsageError(f"`classes` {plain[0]}: this class has no instances to find")

    @property
    def class_ids(self) -> tuple[int, ...] | None:
        """Cityscapes ids of `classes`, ascending; None = all that the checkpoint knows."""
        return None if self.classes is None else tuple(sorted(set(class_ids(self.classes))))


@dataclass(frozen=True)
class TrackingOptions:
    """How instances become tracks. Changing them redoes tracks and files, not detection."""

    GROUP: ClassVar[str] = "Tracks"

    enabled: bool = field(
        default=True, metadata=option("Label every frame by itself, without identities.", flag="--no-track")
    )
    min_track: int = field(
        default=4,
        metadata=option(
            "Instances that a track has at least; those of low score count for less, others are left out.",
            minimum=1,
        ),
    )
    max_gap: float = field(
        default=2.5,
        metadata=option(
            "Longest time, in seconds, that an object may be out of sight; 25 frames where those are far apart.",
            minimum=0,
            maximum=60,
        ),
    )
    fill_gaps: int = field(
        default=15,
        metadata=option(
            "Longest gap of a track, in frames, that is filled with interpolated masks; 0 fills none.",
            minimum=0,
            maximum=500,
        ),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CvatOptions:
    """How labels become CVAT files: the other formats hold masks and tracks as they are."""

    GROUP: ClassVar[str] = "CVAT"

    poly_iou: float = field(
        default=0.97,
        metadata=option(
            "CVAT: overlap (IoU) that a polygon keeps with its mask; lower gives fewer vertices.",
            minimum=0.5,
            maximum=1,
        ),
    )
    max_vertices: int | None = field(
        default=None,
        metadata=option("CVAT: most vertices of a polygon, at the cost of --poly-iou.", minimum=4),
    )
    holes: str = field(
        default="fill",
        metadata=option(
            "CVAT: fill holes; or cut them in with a keyhole; or draw what has holes as a mask, off its track.",
            choices=HOLES,
        ),
    )
    keyframe_iou: float = field(
        default=0.9,
        metadata=option(
            "CVAT: overlap (IoU) that frames between keyframes keep with their mask; 1 makes all keyframes.",
            minimum=0.5,
            maximum=1,
        ),
    )
    split_frames: int | None = field(
        default=None,
        metadata=option(
            "CVAT: files of so many frames, with 5 in common as CVAT's jobs of a video  [default: one file]",
            minimum=10,
        ),
    )

    def __post_init__(self) -> None:
        check(self)


DEFAULT_CVAT = CvatOptions()


@dataclass(frozen=True)
class TrackingJob:
    """Labels whose tracks are to be made anew."""

    inputs: tuple[Path, ...]  # runs, recordings of runs, MOTS text
    out: Path | None = field(
        default=None,
        metadata=option(
            "For MOTS text: folder for the tracked files, or a .txt for one; runs are changed in place."
        ),
    )
    overwrite: bool = field(
        default=False,
        metadata=option(
            "Also replace a text that is there, and tracks that people edited: their edits are lost."
        ),
    )
    tracking: TrackingOptions = field(default_factory=TrackingOptions)

    def __post_init__(self) -> None:
        check(self)
        if not self.inputs:
            raise UsageError("nothing to track: name a run, a recording of a run, or MOTS text")


@dataclass(frozen=True)
class AnnotationJob:
    """Everything that one run is asked to do."""

    inputs: tuple[Path, ...]  # videos, image folders, folders of recordings
    out: Path = field(
        metadata=option("Folder for the labels; every recording gets a folder in it.", group="Output")
    )
    formats: tuple[str, ...] = field(
        default=("cityscapes", "coco", "cvat"),
        metadata=option(
            f"Formats to write, separated by commas: {', '.join(FORMATS)}.",
            flag="--format",
            choices=FORMATS,
            group="Output",
        ),
    )
    weights: Path | None = field(
        default=None,
        metadata=option(
            "Weights: .safetensors of this tool, or the authors' .pth  [default: the model in the package]",
            group="Detection",
        ),
    )
    device: str = field(
        default="auto",
        metadata=option(
            "Where the network runs: cpu, cuda or cuda:N; auto takes a GPU if there is one.",
            group="Detection",
        ),
    )
    batch_size: int = field(
        default=4,
        metadata=option("Frames per step of the network.", minimum=1, maximum=256, group="Detection"),
    )
    detection: DetectionOptions = field(default_factory=DetectionOptions)
    tracking: TrackingOptions = field(default_factory=TrackingOptions)
    publishing: CvatOptions = field(default_factory=CvatOptions)
    preview: bool = field(
        default=False,
        metadata=option(
            "Draw the labels over each recording, too: preview.mp4 and a sheet of its frames.", group="Output"
        ),
    )
    faults: FaultOptions = field(default_factory=FaultOptions)
    storage: StorageOptions = field(default_factory=StorageOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    past: Attempts = field(default_factory=Attempts)
    shard: str | None = field(
        default=None,
        metadata=option(
            "Take one part of the recordings, as 3/8: for several machines that share one --out"
            "  [default: all of them]",
            group="Long runs",
        ),
    )
    overwrite: bool = field(
        default=False,
        metadata=option(
            "Start again: delete what an earlier run wrote for these recordings.", group="Output"
        ),
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.inputs:
            raise UsageError("nothing to label: name a video, an image folder, or a folder of recordings")
        if not KNOWN_DEVICE.fullmatch(self.device):
            raise UsageError(f"`device` does not know {self.device!r}; choose from auto, cpu, cuda, cuda:N")
        if self.detection.fill_every and self.engine.engine == "ray":
            raise UsageError(
                "`fill_every` follows recordings from frame to frame, and `engine` ray cuts them into chunks;"
                " leave one of them out"
            )
        if not self.formats:
            raise UsageError(f"`formats` names no format; choose from {', '.join(FORMATS)}")
        _ = self.part

    @property
    def part(self) -> Shard | None:
        """The part of the recordings that `shard` says; None for all of them. Raises UsageError."""
        return None if self.shard is None else Shard.parse(self.shard)
