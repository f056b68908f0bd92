"""A small network that judges each instance as a whole: of which class it is, and how likely it is to be right.

It lies beside the weights whose maps it was fitted to, as NAME.head.safetensors beside NAME.safetensors; weights may
have none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn

from annotator.errors import CheckpointError

SUFFIX = ".head.safetensors"
METADATA_KEY = "spatialemb-head"
NAMES = ("mean", "scale", "hidden", "hidden_bias", "out", "out_bias")
MOST_BYTES = 1 << 24
LARGEST = 6.0  # standard deviations that a feature may be off its mean: what lies beyond was never seen
REMEDY = "delete it, to label without it, or fit it anew (python -m annotator.training.instance_head)"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class InstanceHead:
    """M networks of a hidden layer whose answers are averaged; F features, H hidden units, C classes."""

    mean: Floats = field(repr=False)  # (F,)
    scale: Floats = field(repr=False)  # (F,) of a standard deviation, inverted
    hidden: Floats = field(repr=False)  # (M, F, H)
    hidden_bias: Floats = field(repr=False)  # (M, H)
    out: Floats = field(repr=False)  # (M, H, C + 1)
    out_bias: Floats = field(repr=False)  # (M, C + 1)
    is_judged: npt.NDArray[np.bool_]  # (C,) classes that it saw enough of; others are left to the network
    network: str  # `digest` of the network that it was fitted to
    provenance: dict[str, Any]  # on what it was fitted

    def __post_init__(self) -> None:
        shapes = [getattr(self, name).shape for name in NAMES]
        members, features, hidden = self.hidden.shape
        answers = self.out_bias.shape[-1]
        expected = [(features,), (features,), (members, features, hidden), (members, hidden)]
        if shapes != [*expected, (members, hidden, answers), (members, answers)] or not members:
            raise ValueError(f"its tensors don't fit together: {shapes}")
        if self.is_judged.shape != (answers - 1,):
            raise ValueError("it judges classes that it doesn't know")
        if not all(np.isfinite(getattr(self, name)).all() for name in NAMES):
            raise ValueError("it holds values that are no numbers")

    @property
    def width(self) -> int:
        """F, the features of an instance."""
        return len(self.mean)

    @property
    def classes(self) -> int:
        """C."""
        return self.out.shape[-1] - 1

    def normalized(self, features: Floats) -> Floats:
        """Features (N, F) in standard deviations."""
        return ((features - self.mean) * self.scale).clip(-LARGEST, LARGEST)

    def probabilities(self, features: Floats) -> Floats:
        """(N, C + 1) of features (N, F): how likely each instance is of each class, and, last, of none."""
        x = self.normalized(features)
        total = np.zeros((len(x), self.classes + 1), np.float32)
        for hidden, hidden_bias, out, out_bias in zip(
            self.hidden, self.hidden_bias, self.out, self.out_bias, strict=True
        ):
            logits = np.maximum(x @ hidden + hidden_bias, 0) @ out + out_bias
            odds = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
            total += odds / odds.sum(1, keepdims=True)
        return total / np.float32(len(self.hidden))


def digest(network: nn.Module) -> str:
    """A hash of a network's parameters as files hold them, with 16 bits: a head belongs to one network."""
    return digest_of(network.state_dict())


def digest_of(parameters: Mapping[str, Tensor]) -> str:
    """`digest` of a network with these parameters."""
    found = hashlib.sha256()
    for name, tensor in sorted(parameters.items()):
        found.update(f"{name}\0".encode())
        found.update(tensor.detach().cpu().half().contiguous().numpy().tobytes())
    return found.hexdigest()


def head_path(weights: Path) -> Path:
    """Where the head of some weights lies, if they have one."""
    return weights.with_name(weights.stem + SUFFIX)


def to_bytes(head: InstanceHead) -> bytes:
    """The content of a head's file; parameters with 16 bits."""
    arrays = {name: np.ascontiguousarray(getattr(head, name), np.float16) for name in NAMES}
    arrays |= {name: np.ascontiguousarray(getattr(head, name), np.float32) for name in NAMES[:2]}
    described = {"judged": head.is_judged.tolist(), "network": head.network, "provenance": head.provenance}
    content: bytes = save(arrays, {METADATA_KEY: json.dumps(described, sort_keys=True)})
    return content


def load_head(path: Path, parameters: Mapping[str, Tensor], classes: int) -> InstanceHead:
    """Read the head of a network with these parameters and so many classes.

    Raises CheckpointError for a file that isn't that.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        with safe_open(path, "np") as file:
            described = json.loads((file.metadata() or {})[METADATA_KEY])
            if set(file.keys()) != set(NAMES):
                raise ValueError("it holds other tensors than a head's")
            arrays = {name: file.get_tensor(name).astype(np.float32) for name in NAMES}
        is_judged = np.array(described["judged"], np.bool_)
        head = InstanceHead(
            **arrays, is_judged=is_judged, network=described["network"], provenance=described["provenance"]
        )
    except OSError as error:
        raise CheckpointError(
            f"can't read the instance head {path}: {error.strerror or error}; {REMEDY}"
        ) from error
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged or no instance head ({str(error)[:200]}); {REMEDY}"
        ) from error
    if head.network != digest_of(parameters) or head.classes != classes:
        raise CheckpointError(f"{path} was fitted to other weights than those beside it; {REMEDY}")
    return head
