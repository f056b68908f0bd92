"""What can be asked of a training: its recipe, presets, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from annotator.options.labelling import DEVICES
from annotator.options.reading import AS_WRITTEN, ReadingOptions
from annotator.options.record import check, option

ARCHITECTURES = ("unet_efficientnet_lite0", "erfnet")
PRECISIONS = ("auto", "32", "bf16", "16")


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
    small: float = field(
        default=0.0,
        metadata=option(
            "How much crops are drawn to small objects: by 1 / area to this power; 0: all objects alike.",
            flag="--small-objects",
            minimum=0,
            maximum=2,
        ),
    )
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
    minutes: float | None = field(
        default=None,
        metadata=option(
            "Minutes of the whole training, loading and validations included, instead of --steps.",
            minimum=0.01,
        ),
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
    compiled: bool = field(
        default=False,
        metadata=option(
            "Compile the network first, a minute or two that long trainings earn back.", flag="--compile"
        ),
    )
    validate_every: int = field(default=1000, metadata=option("Steps between validations.", minimum=1))
    validation_images: int = field(
        default=200, metadata=option("Most images to validate with; evenly chosen.", minimum=1)
    )
    options: TrainingOptions = field(default_factory=TrainingOptions)
    reading: ReadingOptions = AS_WRITTEN  # of labels that a .toml doesn't say otherwise of

    def __post_init__(self) -> None:
        check(self)
