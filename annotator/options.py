"""What can be asked for: frozen records, checked at birth. Default, bounds and help of an option stand here.

The command line and its help, `run.json` and the checks are all made from these records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from annotator.errors import UsageError
from annotator.labels import BY_NAME, class_ids

FORMATS = (
    "cityscapes",
    "coco",
    "cvat",
    "mots",
)  # what annotator.formats can write, in the order it is written
METRICS = ("cityscapes", "coco", "tracks", "boundary", "edits")  # what annotator.evaluation can score
HOLES = ("fill", "keyhole", "mask")  # what becomes of holes in CVAT polygons
DEVICES = ("auto", "cpu", "cuda")
ARCHITECTURES = ("unet_efficientnet_lite0", "erfnet")
PRECISIONS = ("auto", "32", "bf16", "16")


@dataclass(frozen=True)
class Option:
    """What there is to know of a field beyond its name, type and default."""

    help: str
    flag: str = ""  # as written on the command line, when that is not the field's name
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def flag_of(self, name: str) -> str:
        """The option of field `name` as it is written on the command line."""
        return self.flag or "--" + name.replace("_", "-")

    def check(self, name: str, value: object) -> None:
        """Raise UsageError when `value` is out of bounds or not one of the choices."""
        flag = self.flag_of(name)
        values = value if isinstance(value, tuple) else (value,)
        for number in values:
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                self._check_bounds(flag, number)
        if self.choices:
            for unknown in (v for v in values if v is not None and v not in self.choices):
                raise UsageError(f"{flag} does not know {unknown!r}; choose from {', '.join(self.choices)}")

    def _check_bounds(self, flag: str, value: float) -> None:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not low <= value <= high:  # also false for nan
            bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            raise UsageError(f"{flag} must be {bounds}, not {value:g}")


def option(help: str, **details: Any) -> dict[str, Option]:
    """Metadata that makes a field an option."""
    return {"option": Option(help=help, **details)}


def options_of(record: type | object) -> Mapping[str, Option]:
    """The options of a record by field name, in order; fields that are no options are left out."""
    return {f.name: f.metadata["option"] for f in _fields(record) if "option" in f.metadata}


def check(record: object) -> None:
    """Check every option of a record against its bounds and choices."""
    for name, spec in options_of(record).items():
        spec.check(name, getattr(record, name))


def _fields(record: Any) -> tuple[Field[Any], ...]:
    return fields(record)


@dataclass(frozen=True)
class DetectionOptions:
    """How frames become instances. All of it shapes the labels, so all of it is in a store's fingerprint."""

    classes: tuple[str, ...] | None = field(
        default=None,
        metadata=option(
            "Classes to label, by Cityscapes name, separated by commas  [default: all that the weights know]"
        ),
    )
    every: int = field(default=1, metadata=option("Label every N-th frame.", minimum=1))
    start: int = field(
        default=0, metadata=option("First frame to label, counted from 0 as decoded.", minimum=0)
    )
    end: int | None = field(
        default=None, metadata=option("Frame to stop before  [default: label to the end]", minimum=1)
    )
    scale: float | None = field(
        default=None,
        metadata=option(
            "Process frames at this multiple of their size  [default: near the size the weights know]",
            minimum=0.05,
            maximum=4,
        ),
    )
    seed_threshold: float = field(
        default=0.65,
        metadata=option("Seed score from which a pixel can found an instance.", minimum=0, maximum=1),
    )
    min_pixels: int | None = field(
        default=None,
        metadata=option(
            "Smallest instance, in pixels of the processed image  [default: follows the weights]", minimum=1
        ),
    )

    def __post_init__(self) -> None:
        check(self)
        if self.end is not None and self.end <= self.start:
            raise UsageError(f"--end {self.end} leaves no frame to label after --start {self.start}")
        if self.classes is not None:
            ids = class_ids(self.classes)
            if not ids:
                raise UsageError("--classes names no class; leave it out to label all that the weights know")
            if plain := [name for name in self.classes if not BY_NAME[name].has_instances]:
                raise UsageError(f"--classes {plain[0]}: this class has no instances to find")

    @property
    def class_ids(self) -> tuple[int, ...] | None:
        """Cityscapes ids of `classes`, ascending; None = all that the checkpoint knows."""
        return None if self.classes is None else tuple(sorted(set(class_ids(self.classes))))


@dataclass(frozen=True)
class TrackingOptions:
    """How instances become tracks. Changing them redoes tracks and files, not detection."""

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
class PublishOptions:
    """How labels become CVAT files: the other formats hold masks and tracks as they are."""

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


PUBLISHED_AS_USUAL = PublishOptions()


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
        default=False, metadata=option("Also where people edited tracks: their edits are lost.")
    )
    tracking: TrackingOptions = field(default_factory=TrackingOptions)

    def __post_init__(self) -> None:
        check(self)
        if not self.inputs:
            raise UsageError("nothing to track: name a run, a recording of a run, or MOTS text")


@dataclass(frozen=True)
class Job:
    """Everything that one run is asked to do."""

    inputs: tuple[Path, ...]  # videos, image folders, folders of recordings
    out: Path = field(metadata=option("Folder for the labels; every recording gets a folder in it."))
    formats: tuple[str, ...] = field(
        default=("cityscapes", "coco", "cvat"),
        metadata=option(
            f"Formats to write, separated by commas: {', '.join(FORMATS)}.", flag="--format", choices=FORMATS
        ),
    )
    weights: Path | None = field(
        default=None,
        metadata=option(
            "Weights: .safetensors of this tool, or the authors' .pth  [default: the model in the package]"
        ),
    )
    device: str = field(
        default="auto",
        metadata=option("Where the network runs; auto takes a GPU if there is one.", choices=DEVICES),
    )
    batch_size: int = field(
        default=4, metadata=option("Frames per step of the network.", minimum=1, maximum=256)
    )
    detection: DetectionOptions = field(default_factory=DetectionOptions)
    tracking: TrackingOptions = field(default_factory=TrackingOptions)
    publishing: PublishOptions = field(default_factory=PublishOptions)
    overwrite: bool = field(
        default=False,
        metadata=option("Start again: delete what an earlier run wrote for these recordings."),
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.inputs:
            raise UsageError("nothing to label: name a video, an image folder, or a folder of recordings")
        if not self.formats:
            raise UsageError(f"--format names no format; choose from {', '.join(FORMATS)}")


RUN_FOLDER = "run"  # as a format of a conversion: a folder that can be tracked, trained on and evaluated


@dataclass(frozen=True)
class ConversionJob:
    """What a conversion is asked to do."""

    source: Path  # labels of any kind
    to: str = field(
        metadata=option(
            f"What to make: {', '.join(FORMATS)}, or a {RUN_FOLDER} folder.", choices=(*FORMATS, RUN_FOLDER)
        )
    )
    out: Path = field(metadata=option("Folder for it; every recording gets a folder in it."))
    like: Path | None = field(
        default=None,
        metadata=option("Run that the labels are of: frames get its names and times; others are refused."),
    )
    overwrite: bool = field(
        default=False, metadata=option("Replace recordings that are in the run folder already.")
    )
    map: tuple[str, ...] = ()  # NAME=CLASS
    publishing: PublishOptions = PUBLISHED_AS_USUAL

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class EditJob:
    """What is to be changed in a run, track by track, in this order; numbers are as they are at its turn."""

    run: Path  # with one recording, or a recording of it
    relabel: tuple[tuple[int, int], ...] = ()  # track, Cityscapes id
    cut: tuple[tuple[int, int], ...] = ()  # track, first frame of the new one
    join: tuple[tuple[int, ...], ...] = ()  # tracks; they get the number of the first
    delete: tuple[int, ...] = ()  # tracks, with their instances


@dataclass(frozen=True)
class PushJob:
    """What is to be sent to a CVAT server."""

    run: Path
    url: str = field(metadata=option("Address of the CVAT server, as https://app.cvat.ai"))
    project: str | None = field(
        default=None,
        metadata=option(
            "Project for the tasks, by number or name; made when it isn't there  [default: none]"
        ),
    )
    segment_size: int | None = field(
        default=None, metadata=option("Frames of a job  [default: the whole recording]", minimum=1)
    )
    image_quality: int = field(
        default=95, metadata=option("Quality of the frames that people see.", minimum=0, maximum=100)
    )
    replace: bool = field(default=False, metadata=option("Send tracks again, over what people edited since."))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PullJob:
    """What is to be fetched from a CVAT server."""

    run: Path  # that was pushed
    url: str = field(metadata=option("Address of the CVAT server, as https://app.cvat.ai"))
    out: Path = field(metadata=option("Run folder for the corrected labels."))
    overwrite: bool = field(
        default=False, metadata=option("Fetch recordings again that are in the run folder already.")
    )
    map: tuple[str, ...] = ()  # NAME=CLASS

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation scores, and where figures go beside the table."""

    metrics: tuple[str, ...] = field(
        default=(),
        metadata=option(
            f"Metrics, separated by commas: {', '.join(METRICS)}  [default: all that apply]", choices=METRICS
        ),
    )
    json: Path | None = field(default=None, metadata=option("File for all figures, as fractions of 1."))
    csv: Path | None = field(default=None, metadata=option("File for all figures, one a line."))
    plots: Path | None = field(
        default=None,
        metadata=option("Folder for curves, the confusion of classes, and the worst frames, as PNG."),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CropOptions:
    """How training crops are taken, from images at the size that the network processes."""

    size: tuple[int, int] = field(
        default=(256, 448),
        metadata=option("Height and width of a crop, as 256x448.", flag="--crop-size", minimum=32),
    )
    scale: tuple[float, float] = (0.6, 1.6)  # log-uniform
    mirrored: bool = True  # half of them
    recoloured: bool = True  # other light, another camera: gamma, gain, saturation, blur, noise
    centred: float = 0.85  # share of crops centred on an object; the others lie anywhere
    background: float = (
        0.05  # share of crops of the busiest background that a few tries find; of those anywhere
    )
    pasted: float = 0.35  # share of crops with objects of another image of the source
    rare: float = 0.4  # images with a class that fewer images than this share show are drawn more often
    min_field_pixels: int = 5  # objects that cover fewer pixels of the fields are ignored

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LossOptions:
    """Weights of the terms of the loss."""

    instance_weight: float = 1.0
    variance_weight: float = 10.0
    seed_weight: float = 1.0
    centre: str = field(
        default="pixels",
        metadata=option(
            "Centre of an object: mean of its pixels' places, or of their embeddings (learned).",
            choices=("pixels", "embedding"),
        ),
    )


@dataclass(frozen=True)
class TrainingOptions:
    """All that shapes the weights that a training makes; saved in its checkpoints."""

    architecture: str | None = field(
        default=None,
        metadata=option(
            f"Network: {' or '.join(ARCHITECTURES)}  [default: that of the weights, or the first]",
            choices=ARCHITECTURES,
        ),
    )
    n_sigma: int | None = field(
        default=None,
        metadata=option(
            "Bandwidths: 1 for circles, 2 for ellipses  [default: as the weights, or 2]", minimum=1, maximum=2
        ),
    )
    image_size: tuple[int, int] | None = field(
        default=None,
        metadata=option(
            "Height and width near which images are processed  [default: as the weights, or 384x768]",
            minimum=32,
        ),
    )
    steps: int = field(default=5000, metadata=option("Steps of the whole training.", minimum=1))
    epochs: int | None = field(
        default=None, metadata=option("Length as often as there are images, instead of --steps.", minimum=1)
    )
    batch_size: int = field(default=6, metadata=option("Crops per pass and process.", minimum=1))
    accumulate: int = field(
        default=1, metadata=option("Passes per step, where memory doesn't allow larger batches.", minimum=1)
    )
    learning_rate: float = field(
        default=8e-4, metadata=option("Highest learning rate of the decoders.", minimum=0, maximum=1)
    )
    seed: int = field(default=0, metadata=option("Seed of all that is drawn by chance.", minimum=0))
    precision: str = field(
        default="auto",
        metadata=option("Numbers of the passes; auto takes bf16 where that is fast.", choices=PRECISIONS),
    )
    optimizer: str = "adamw"  # or "adam", with weight decay in the gradient
    encoder_rate: float = 0.3  # learning rate of the encoder, relative
    frozen_stages: int = 3  # of a pretrained encoder, beside its stem
    frozen_statistics: bool = False  # of batch norm, everywhere
    fixed_sigma: float | None = None  # raw sigma of all pixels of a new network, instead of learned ones
    weight_decay: float = 1e-4
    warmup_steps: int = 150
    average_decay: float = (
        0.998  # of the weights' exponential moving average, which is what gets saved; 0: none
    )
    max_gradient: float | None = 10.0  # norm
    crop: CropOptions = field(default_factory=CropOptions)
    loss: LossOptions = field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        check(self)


_PAPER = TrainingOptions(
    architecture="erfnet",
    image_size=(1024, 2048),
    optimizer="adam",
    encoder_rate=1,
    frozen_stages=0,
    warmup_steps=1,
    average_decay=0,
    max_gradient=None,
    epochs=200,
    batch_size=16,
    learning_rate=5e-4,
    crop=CropOptions(
        size=(512, 512),
        scale=(1, 1),
        recoloured=False,
        centred=1,
        background=0,
        pasted=0,
        rare=0,
        min_field_pixels=1,
    ),
)
PRESETS = {
    "default": TrainingOptions(),
    # Neven et al., CVPR 2019: the first stage sees objects, the second also what doesn't fit a crop, and background.
    "paper": _PAPER,
    "paper-finetune": replace(
        _PAPER,
        epochs=50,
        batch_size=2,
        learning_rate=5e-5,
        frozen_statistics=True,
        crop=replace(_PAPER.crop, size=(1024, 1024), centred=0),
    ),
}


@dataclass(frozen=True)
class TrainingJob:
    """A training, and how it is run here; what is here doesn't shape the weights, but for the number of processes."""

    labels: Path  # of any kind that can be read, or a .toml that names several
    images: Path | None  # None: found beside the labels
    out: Path = field(metadata=option("Folder of the training; the same command again goes on in it."))
    weights: Path | None = field(
        default=None,
        metadata=option("Weights to start from  [default: ImageNet features; erfnet: random ones]"),
    )
    validation: Path | None = field(
        default=None, metadata=option("Labels to score the training with while it runs.", flag="--validate")
    )
    device: str = field(
        default="auto",
        metadata=option("Where the network runs; auto takes a GPU if there is one.", choices=DEVICES),
    )
    workers: int = field(default=1, metadata=option("Processes that make crops.", minimum=0, maximum=64))
    cache: float | None = field(
        default=None,
        metadata=option("GiB for decoded images  [default: a quarter of the free memory]", minimum=0),
    )
    save_every: int = field(default=100, metadata=option("Steps between checkpoints.", minimum=1))
    validate_every: int = field(default=1000, metadata=option("Steps between validations.", minimum=1))
    validation_images: int = field(
        default=200, metadata=option("Most images to validate with; evenly chosen.", minimum=1)
    )
    options: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        check(self)
