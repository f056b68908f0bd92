"""Weights on disk: our safetensors with a description inside, and the authors' .pth files.

Nothing is ever unpickled but plain tensors: safetensors hold no code, and .pth files load with
`weights_only=True`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from annotator.errors import CheckpointError
from annotator.labels import BY_ID, BY_NAME, INSTANCE_CLASSES
from annotator.limits import require_file
from annotator.model.instance_head import InstanceHead, head_path, load_head, to_bytes
from annotator.model.network import NetworkSpec, SpatialEmbeddingNetwork, erfnet_spec

DEFAULT_MODEL = "street.safetensors"
METADATA_KEY = "spatialemb"
GRAPH_PREFIX = "int8."  # of the two parts of a quantized graph, among the tensors of a file
MOST_GRAPH_BYTES = 1 << 28
LONGEST_SIDE = 16384  # of the images that a network is trained on, in pixels
REMEDY = "give a checkpoint of this tool (.safetensors) or of the paper's authors (.pth)"


@dataclass(frozen=True)
class QuantizedGraph:
    """The network with numbers of eight bits, as OpenVINO reads it; made of the weights beside it."""

    structure: bytes = field(repr=False)  # XML
    weights: bytes = field(repr=False)
    report: dict[str, Any]  # on how many images it was calibrated, and what it costs


@dataclass(frozen=True)
class Checkpoint:
    """A network ready to run, and where it came from."""

    spec: NetworkSpec  # how the network is built and read
    build: Callable[[], SpatialEmbeddingNetwork] = field(repr=False)  # raises CheckpointError
    sha256: str  # of the file
    provenance: dict[str, Any]  # what training wrote: data, steps, options
    quantized: QuantizedGraph | None = None
    head: InstanceHead | None = None  # that lies beside the file

    @property
    def head_sha256(self) -> str | None:
        """A hash of the instance head, which shapes labels as the weights do; None without one."""
        return None if self.head is None else hashlib.sha256(to_bytes(self.head)).hexdigest()

    @classmethod
    def of(
        cls, network: SpatialEmbeddingNetwork, sha256: str = "", provenance: dict[str, Any] | None = None
    ) -> Checkpoint:
        """Of a network that is there."""
        return cls(network.spec, lambda: network.eval(), sha256, provenance or {})

    @cached_property
    def network(self) -> SpatialEmbeddingNetwork:
        """The network, float32, in evaluation mode; built when it is asked for, as a quantized graph needs none."""
        return self.build()


def default_weights() -> Path:
    """The model inside the package."""
    return Path(str(resources.files("annotator.model") / "weights" / DEFAULT_MODEL))


def load_checkpoint(path: Path | None = None) -> Checkpoint:
    """Load weights; None is the model inside the package. CheckpointError where they are not what they should be."""
    path = path or default_weights()
    try:
        require_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"can't read the weights {path}: {error.strerror}; {REMEDY}") from error
    read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_authors
    spec, state, provenance = read(path)
    quantized = _quantized(path, state, provenance)
    beside = head_path(path)
    head = load_head(beside, state, len(spec.class_ids)) if beside.is_file() else None
    sha256 = hashlib.sha256(content).hexdigest()
    checkpoint = Checkpoint(spec, partial(_network, path, spec, state), sha256, provenance, quantized, head)
    if quantized is None:  # the network will be needed, and faults in it are told here
        _ = checkpoint.network
    return checkpoint


def _network(path: Path, spec: NetworkSpec, state: dict[str, Tensor]) -> SpatialEmbeddingNetwork:
    """Build a network in evaluation mode from its weights. Raises CheckpointError where they are of another."""
    network = SpatialEmbeddingNetwork(spec)
    try:
        network.body.load_state_dict(
            {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        )
    except (RuntimeError, AttributeError) as error:  # AttributeError: not a tensor
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(
            f"{path} holds the weights of another network than {spec.architecture} ({first[:200]}); {REMEDY}"
        ) from error
    for name, tensor in network.body.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} is damaged ({name} holds values that are no numbers); {REMEDY}")
    return network.eval()


def save_checkpoint(
    path: Path,
    network: SpatialEmbeddingNetwork,
    provenance: dict[str, Any],
    dtype: torch.dtype = torch.float16,
    quantized: QuantizedGraph | None = None,
) -> None:
    """Write weights and all that is needed to run them; the file appears whole or not at all."""
    state = {
        name: _at_rest(tensor.detach().cpu(), dtype) for name, tensor in network.body.state_dict().items()
    }
    if quantized is not None:
        parts = {"structure": zlib.compress(quantized.structure, 9), "weights": quantized.weights}
        state |= {
            GRAPH_PREFIX + name: torch.frombuffer(bytearray(part), dtype=torch.uint8)
            for name, part in parts.items()
        }
        provenance = provenance | {"int8": quantized.report}
    described = {"spec": network.spec.to_dict(), "provenance": provenance}
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(save(state, {METADATA_KEY: json.dumps(described, sort_keys=True)}))
    partial.replace(path)


def _at_rest(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As `dtype`, unless it is no float, or holds values (of running_var, say) that are too large for that."""
    small = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return (small if torch.isfinite(small).all() else tensor).contiguous()


Contents = tuple[NetworkSpec, dict[str, Tensor], dict[str, Any]]


def _read_safetensors(path: Path) -> Contents:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}); {REMEDY}") from error
    try:
        described = json.loads(metadata[METADATA_KEY])
        spec, provenance = NetworkSpec.from_dict(described["spec"]), described["provenance"]
        _check(spec)
        if not isinstance(provenance, dict):
            raise ValueError("provenance is no dictionary")
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        if isinstance(error, (TypeError, AttributeError)):
            missing = "a field is missing, unknown, or holds a value of another kind"
        raise CheckpointError(
            f"{path} doesn't describe a network of this tool ({missing[:200]}); {REMEDY}"
        ) from error
    return spec, state, provenance


def _quantized(path: Path, state: dict[str, Tensor], provenance: dict[str, Any]) -> QuantizedGraph | None:
    """Take the quantized graph out of a state, if it has one."""
    parts = [state.pop(GRAPH_PREFIX + name, None) for name in ("structure", "weights")]
    structure, weights = parts
    if structure is None and weights is None:
        return None
    report = provenance.get("int8")
    is_right = isinstance(report, dict) and all(
        part is not None and part.dtype == torch.uint8 and part.ndim == 1 and len(part) <= MOST_GRAPH_BYTES
        for part in parts
    )
    if structure is None or weights is None or not isinstance(report, dict) or not is_right:
        raise CheckpointError(f"{path} holds a part of a quantized graph only; {REMEDY}")
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(structure.numpy().tobytes(), MOST_GRAPH_BYTES)
    except zlib.error as error:
        raise CheckpointError(f"{path} is damaged ({error}); {REMEDY}") from error
    if not unpacker.eof:
        raise CheckpointError(f"{path} is damaged (its quantized graph is cut off, or too large); {REMEDY}")
    return QuantizedGraph(text, weights.numpy().tobytes(), report)


def _check(spec: NetworkSpec) -> None:
    """Raise ValueError for a spec with values that no network has: a file may say anything."""
    grid, labels = spec.grid, [BY_ID.get(class_id) for class_id in spec.class_ids]
    right = {
        "class_ids": _within(spec.class_ids, 0, 255, int)
        and all(label and label.has_instances for label in labels)
        and len(set(labels)) == len(labels),
        "n_sigma": _within([spec.n_sigma], 1, 2, int),
        "grid": _within([grid.extent_x, grid.extent_y], 1e-3, 1e3, int, float)
        and _within([grid.points_x, grid.points_y], 2, LONGEST_SIDE, int),
        "mean": len(spec.mean) == 3 and _within(spec.mean, -1e3, 1e3, int, float),
        "std": len(spec.std) == 3 and _within(spec.std, 1e-3, 1e3, int, float),
        "fixed_sigma": spec.fixed_sigma is None or _within([spec.fixed_sigma], -10, 10, int, float),
        "trained_size": len(spec.trained_size) == 2 and _within(spec.trained_size, 1, LONGEST_SIDE, int),
    }
    if wrong := [name for name, is_right in right.items() if not is_right]:
        raise ValueError(f"{', '.join(wrong)} can't be right")


def _within(values: Iterable[Any], low: float, high: float, *types: type) -> bool:
    return all(type(value) in types and low <= value <= high for value in values)


def _read_authors(path: Path) -> Contents:
    """The authors' dictionaries: model_state_dict with keys prefixed `module.`, beside training state."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch muses about files that are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler fail in any way
        raise CheckpointError(
            f"{path} is damaged or holds more than weights (code in it is never run); {REMEDY}"
        ) from error
    try:
        state = {name.removeprefix("module."): tensor for name, tensor in content["model_state_dict"].items()}
        instance, seed = (state[f"decoders.{branch}.output_conv.weight"].shape[1] for branch in (0, 1))
        class_ids = {1: (BY_NAME["car"].id,), len(INSTANCE_CLASSES): INSTANCE_CLASSES}[seed]
        spec = erfnet_spec(class_ids, instance - 2)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds no branched ERFNet of cars or of the eight classes; {REMEDY}"
        ) from error
    epoch = content.get("epoch")
    provenance = {
        "origin": "the authors' checkpoint format",
        "epoch": epoch if isinstance(epoch, int) else None,
    }
    return spec, state, provenance
