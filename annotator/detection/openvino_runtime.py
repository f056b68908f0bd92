"""The network as OpenVINO compiles it for CPUs, in full precision or with numbers of eight bits.

A graph of full precision is made of the checkpoint at first use, which takes seconds, compared with PyTorch, and kept
in the user's cache folder under the hash of the weights; one of eight bits comes inside the checkpoint.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import defusedxml.ElementTree
import numpy as np
import platformdirs
import torch
from torch import Tensor, nn

from annotator.errors import CheckpointError, UsageError
from annotator.model.checkpoint import Checkpoint, QuantizedGraph
from annotator.model.network import RawMaps, SpatialEmbeddingNetwork, padded, trimmed
from annotator.model.preprocess import processed_size, resize

GRAPH_VERSION = 1  # of how graphs are made of networks
TESTED_SIZE = (96, 160)  # of the image that a graph and its network are compared on
MOST_DIFFERENCE = 1e-3  # of raw maps, in parts of their largest value
EXAMPLE_SIZE = (64, 96)
# What graphs of this tool consist of: nothing else is handed to OpenVINO, as checkpoints come from anywhere.
KNOWN_LAYERS = frozenset(
    {
        *(
            "Add",
            "Clamp",
            "Concat",
            "Const",
            "Convert",
            "Divide",
            "Elu",
            "FakeQuantize",
            "Gather",
            "Interpolate",
        ),
        *("Convolution", "ConvolutionBackpropData", "GroupConvolution", "GroupConvolutionBackpropData"),
        *("MaxPool", "Multiply", "Pad", "Parameter", "ReLU", "Reshape", "Result", "ShapeOf", "Squeeze"),
        *("StridedSlice", "Subtract", "Transpose", "Unsqueeze"),
    }
)
HINTS = {"32": "f32", "bf16": "bf16", "int8": "f32"}  # of what isn't quantized

log = logging.getLogger(__name__)


class OpenVinoUnusable(Exception):
    """OpenVINO isn't there, or doesn't do what the network does; PyTorch can take its place."""


class OpenVinoRuntime:
    """OpenVINO on the CPU."""

    name = "openvino"

    def __init__(self, checkpoint: Checkpoint, precision: str = "32") -> None:
        """Compile the network with numbers of "32" bits, as "bf16", or the checkpoint's own graph of "int8".

        Raises OpenVinoUnusable.
        """
        self.checkpoint = checkpoint
        self.device = torch.device("cpu")
        self.precision = precision
        with _faults():
            import openvino

            core = openvino.Core()
            model_of = _quantized_model if precision == "int8" else _converted_model
            model = model_of(core, checkpoint)
            self._compiled = _compiled(core, model, precision)
        # What is left to PyTorch is too small to be shared: its threads would wait, spinning, on OpenVINO's cores.
        torch.set_num_threads(1)
        self._requests = threading.local()  # a request is of one thread at a time

    @torch.inference_mode()
    def maps(self, images: Tensor, scale: float | None) -> RawMaps:
        """Images (B, 3, H, W) uint8 RGB on the CPU -> their raw maps."""
        spec = self.checkpoint.spec
        size = processed_size((images.shape[-2], images.shape[-1]), scale, spec.trained_size)
        x = padded(resize(images, size), spec.multiple).contiguous()
        # One image at a time comes out with the same bits in any batch.
        outputs = [self._infer(part, size) for part in x.split(1)]
        fields, features = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        return RawMaps(fields, spec, size, spec.stride, features)

    def _infer(self, image: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The maps of a padded image, as large as those of one of `size` (H, W), and the encoder's features."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        outputs = request.infer({0: image.numpy()}, share_inputs=True)
        # The request's own memory is written to again.
        body, features = (torch.from_numpy(outputs[k]) for k in (0, 1))
        return trimmed(body, size, self.checkpoint.spec).clone(), features.clone()


def graph_folder() -> Path:
    """Where graphs are kept between runs."""
    return Path(platformdirs.user_cache_dir("spatialemb-annotate", appauthor=False)) / "graphs"


class GraphBody(nn.Module):
    """What goes into a graph: padded images in [0, 1] -> what the body makes of them, and the encoder's features."""

    def __init__(self, network: SpatialEmbeddingNetwork) -> None:
        super().__init__()
        self._network = network
        self._features: Tensor | None = None
        network.body.encoder.register_forward_hook(self._keep)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> (B, 2 + S + C, H / stride, W / stride), (B, C, H / 8, W / 8); sides as it takes them."""
        return self._network.body(self._network.normalized(images)), self._features

    def _keep(self, encoder: nn.Module, images: object, features: Tensor | list[Tensor]) -> None:
        self._features = features if isinstance(features, Tensor) else features[1]


def convert(checkpoint: Checkpoint) -> Any:
    """Make an OpenVINO model (of images of any size) of a checkpoint's network."""
    import copy

    import openvino

    from annotator.detection.torch_runtime import fold_batch_norms

    network = copy.deepcopy(checkpoint.network).eval()
    fold_batch_norms(network)
    _fix_padding(network)
    with torch.inference_mode(), warnings.catch_warnings(action="ignore"):  # of tracing, about shapes
        model = openvino.convert_model(GraphBody(network), example_input=torch.rand(1, 3, *EXAMPLE_SIZE))
    model.reshape([1, 3, -1, -1])
    return model


def _fix_padding(module: nn.Module) -> None:
    """Pad by constants where timm asks for the size first: it is the same, as sides are multiples of the strides."""
    from timm.layers.conv2d_same import Conv2dSame

    for name, child in list(module.named_children()):
        if isinstance(child, Conv2dSame):
            lack = [kernel - stride for kernel, stride in zip(child.kernel_size, child.stride, strict=True)]
            top, left = (each // 2 for each in lack)
            plain = nn.Conv2d(
                child.in_channels, child.out_channels, child.kernel_size, child.stride, groups=child.groups
            )
            plain.weight, plain.bias = child.weight, child.bias
            padding = nn.ZeroPad2d((left, lack[1] - left, top, lack[0] - top))
            setattr(module, name, nn.Sequential(padding, plain))
        else:
            _fix_padding(child)


def _compiled(core: Any, model: Any, precision: str) -> Any:
    settings = {
        "INFERENCE_NUM_THREADS": max(torch.get_num_threads(), _threads_at_first()),
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # or all processes with one thread share the first core
    }
    return core.compile_model(model, "CPU", settings)


@cache
def _threads_at_first() -> int:
    """PyTorch's threads before it left the cores to the first graph."""
    return torch.get_num_threads()


# ---- graphs of full precision, kept in the cache folder


def _converted_model(core: Any, checkpoint: Checkpoint) -> Any:
    """Read the graph of a checkpoint from the cache, or make it."""
    version = metadata.version("openvino")
    path = graph_folder() / f"{checkpoint.sha256[:32]}-{GRAPH_VERSION}-{version}.xml"
    if path.is_file():
        try:
            return core.read_model(path)
        except RuntimeError as error:
            log.warning("%s: is damaged, and made anew (%s)", path, _first_line(error))
    model = convert(checkpoint)
    _require_agreement(core, model, checkpoint)
    _keep(model, path)
    return model


def _require_agreement(core: Any, model: Any, checkpoint: Checkpoint) -> None:
    """Raise OpenVinoUnusable where a graph computes other maps than its network."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 6, 10, generator=generator)
    image = nn.functional.interpolate(coarse, TESTED_SIZE, mode="bilinear")
    with torch.inference_mode():
        expected = checkpoint.network.body(checkpoint.network.normalized(image))
    request = _compiled(core, model, "32").create_infer_request()
    found = torch.from_numpy(np.array(request.infer({0: image.numpy()})[0]))
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference < MOST_DIFFERENCE:
        raise OpenVinoUnusable(f"its graph of this network computes other maps (by {difference:.3g})")


def _keep(model: Any, path: Path) -> None:
    """Write a graph into the cache, whole or not at all; without write access it is made anew next time."""
    import openvino

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            openvino.save_model(model, made, compress_to_fp16=False)
            os.replace(made.with_suffix(".bin"), path.with_suffix(".bin"))
            os.replace(made, path)  # which is looked for: last
    except (OSError, RuntimeError) as error:
        log.warning("%s: the compiled network can't be kept (%s)", path.parent, _first_line(error))


# ---- graphs of eight bits, inside checkpoints


def _quantized_model(core: Any, checkpoint: Checkpoint) -> Any:
    graph = checkpoint.quantized
    if graph is None:
        raise UsageError(
            "`precision` int8: these weights hold no graph of eight bits; make one with `spatialemb-quantize`"
        )
    require_known_layers(graph)
    weights = np.frombuffer(graph.weights, np.uint8)
    import openvino

    return core.read_model(model=graph.structure, weights=openvino.Tensor(weights))


def require_known_layers(graph: QuantizedGraph) -> None:
    """Raise CheckpointError for a graph of anything but the layers of this tool's networks."""
    try:
        root = defusedxml.ElementTree.fromstring(graph.structure)
        layers = {layer.get("type") for layer in root.iterfind("./layers/layer")}
    except Exception as error:
        raise CheckpointError(
            f"the weights' graph of eight bits is damaged ({_first_line(error)})"
        ) from error
    if unknown := layers - KNOWN_LAYERS:
        kinds = ", ".join(sorted(map(str, unknown)))
        raise CheckpointError(f"the weights' graph of eight bits has layers of unknown kinds: {kinds}")


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what goes wrong inside OpenVINO into OpenVinoUnusable."""
    try:
        yield
    except ImportError as error:
        raise OpenVinoUnusable(f"it can't be loaded ({_first_line(error)})") from error
    except RuntimeError as error:
        raise OpenVinoUnusable(f"it can't run this network ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
