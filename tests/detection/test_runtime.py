"""The runtime: images of any size in, raw maps at the processed size out, the same in any batch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from annotator.detection.runtime import load_runtime
from annotator.detection.torch_runtime import TorchRuntime, fold_batch_norms
from annotator.errors import UsageError
from annotator.labels import INSTANCE_CLASSES
from annotator.model.checkpoint import Checkpoint, save_checkpoint
from annotator.model.network import SpatialEmbeddingNetwork, erfnet_spec
from annotator.model.preprocess import processed_size, resize
from annotator.options import TrainingOptions
from annotator.training.initialization import spec_of

UNET = spec_of(TrainingOptions())
CPU = torch.device("cpu")
SPECS = {"erfnet": erfnet_spec(INSTANCE_CLASSES, 2), "unet": UNET}


def scrambled_checkpoint(architecture: str) -> Checkpoint:
    """A network with random weights whose output follows the image in every channel."""
    torch.manual_seed(0)
    network = SpatialEmbeddingNetwork(SPECS[architecture]).eval()
    for decoder in network.body.decoders:
        torch.nn.init.normal_(decoder.output_conv.weight, std=0.1)
    return Checkpoint.of(network, architecture)  # whose name stands for the hash of the weights


def images(count: int, size: tuple[int, int]) -> torch.Tensor:
    """(B, 3, H, W) uint8 in memory as the loader gives them."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2)


# ---- precision


@pytest.mark.parametrize("architecture", SPECS)
def test_bf16_is_nearly_the_same_and_the_same_in_any_batch(architecture: str) -> None:
    batch = images(3, (64, 96))
    exact = TorchRuntime(scrambled_checkpoint(architecture), CPU).maps(batch, 1.0)
    rounded = TorchRuntime(scrambled_checkpoint(architecture), CPU, "bf16").maps(batch, 1.0)
    assert rounded.raw.dtype == torch.float32
    assert rounded.features is not None
    assert rounded.features.dtype == torch.float32
    assert not torch.equal(rounded.raw, exact.raw)
    assert (rounded.raw - exact.raw).norm() < 0.05 * exact.raw.norm()
    alone = TorchRuntime(scrambled_checkpoint(architecture), CPU, "bf16").maps(batch[1:2], 1.0)
    assert torch.equal(alone.raw[0], rounded.raw[1])


@pytest.mark.parametrize(("is_fast", "expected"), [(True, "bf16"), (False, "32")])
def test_by_default_bf16_is_taken_where_it_is_fast(
    is_fast: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotator.detection.runtime.has_fast_bf16", lambda device: is_fast)
    weights = tmp_path / "net.safetensors"
    save_checkpoint(weights, scrambled_checkpoint("unet").network, {})
    assert load_runtime(weights, "cpu").precision == expected
    assert load_runtime(weights, "cpu", "32").precision == "32"
    assert load_runtime(weights, "cpu", "bf16").precision == "bf16"


# ---- folded batch norms


@pytest.mark.parametrize("architecture", SPECS)
def test_a_network_computes_the_same_with_its_batch_norms_folded(architecture: str) -> None:
    network = scrambled_checkpoint(architecture).network
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    folded = copy.deepcopy(network)
    fold_batch_norms(folded)
    pixels = images(1, (64, 96)).float() / 255
    with torch.inference_mode():
        torch.testing.assert_close(folded(pixels), network(pixels), atol=1e-4, rtol=1e-4)
    left = sum(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    there = sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert left < there / 4


def test_the_runtime_leaves_the_network_of_a_checkpoint_as_it_is() -> None:
    checkpoint = scrambled_checkpoint("unet")
    before = copy.deepcopy(checkpoint.network.state_dict())
    TorchRuntime(checkpoint, CPU).maps(images(1, (64, 96)), 1.0)
    after = checkpoint.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


# ---- the size at which images are processed


@pytest.mark.parametrize(
    ("size", "processed"),
    [
        ((384, 768), (384, 768)),  # as it was trained
        ((768, 1536), (384, 768)),
        ((1080, 1920), (407, 724)),  # the same area in another shape
        ((192, 384), (384, 768)),  # small ones are enlarged
        ((1920, 1080), (724, 407)),
    ],
)
def test_by_default_images_are_processed_at_the_area_of_the_trained_size_in_their_own_shape(
    size: tuple[int, int], processed: tuple[int, int]
) -> None:
    assert processed_size(size, None, (384, 768)) == processed


@pytest.mark.parametrize(
    ("scale", "processed"), [(1, (1080, 1920)), (0.5, (540, 960)), (0.05, (54, 96)), (2, (2160, 3840))]
)
def test_scale_multiplies_the_image_s_own_size(scale: float, processed: tuple[int, int]) -> None:
    assert processed_size((1080, 1920), scale, (384, 768)) == processed


def test_no_image_vanishes() -> None:
    assert processed_size((3, 1000), 0.05, (384, 768)) == (1, 50)
    assert min(processed_size((1, 10_000_000), None, (384, 768))) == 1


# ---- maps


@pytest.mark.parametrize("architecture", SPECS)
def test_maps_are_what_the_network_makes_of_the_resized_image(architecture: str) -> None:
    checkpoint = scrambled_checkpoint(architecture)
    batch = images(1, (60, 90))
    maps = TorchRuntime(checkpoint, CPU).maps(batch, scale=0.5)
    with torch.inference_mode():
        expected = checkpoint.network.fields(resize(batch, (30, 45)))
    assert maps.spec == checkpoint.spec
    assert maps.raw.dtype == torch.float32
    assert (maps.size, maps.stride) == ((30, 45), checkpoint.network.stride)
    assert maps.raw.shape == (1, 2 + 2 + 8, -(-30 // maps.stride), -(-45 // maps.stride))
    torch.testing.assert_close(maps.raw, expected)


@pytest.mark.parametrize("architecture", SPECS)
@pytest.mark.parametrize(("size", "scale"), [((32, 64), 1), ((33, 45), 1), ((50, 70), 0.7)])
def test_an_image_has_the_same_bits_alone_and_in_any_batch(
    architecture: str, size: tuple[int, int], scale: float
) -> None:
    runtime = TorchRuntime(scrambled_checkpoint(architecture), CPU)
    batch = images(5, size)
    alone = torch.cat([runtime.maps(image[None], scale).raw for image in batch])
    assert torch.equal(runtime.maps(batch, scale).raw, alone)
    assert torch.equal(runtime.maps(batch[1:4], scale).raw, alone[1:4])


def test_the_layout_of_the_images_in_memory_doesn_t_matter() -> None:
    runtime = TorchRuntime(scrambled_checkpoint("unet"), CPU)
    batch = images(2, (40, 56))
    assert torch.equal(runtime.maps(batch.contiguous(), 0.8).raw, runtime.maps(batch, 0.8).raw)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("architecture", SPECS)
def test_a_gpu_gives_the_maps_of_the_cpu(architecture: str) -> None:
    batch = images(3, (70, 110))
    on_cpu = TorchRuntime(scrambled_checkpoint(architecture), CPU).maps(batch, 0.9).raw
    gpu = torch.device("cuda")
    on_gpu = TorchRuntime(scrambled_checkpoint(architecture), gpu).maps(batch.to(gpu), 0.9).raw
    assert on_gpu.device.type == "cuda"
    # cuDNN convolves in TF32, with 10 bits of mantissa.
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=0.02 * float(on_cpu.std()))


# ---- loading


def test_a_runtime_is_weights_on_a_device(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "net.safetensors", SpatialEmbeddingNetwork(UNET), {"step": 3})
    runtime = load_runtime(tmp_path / "net.safetensors", "cpu")
    assert runtime.device == CPU
    assert runtime.checkpoint.provenance == {"step": 3}
    assert runtime.maps(images(1, (32, 32)), 1).raw.shape == (1, 12, 16, 16)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "net.safetensors", SpatialEmbeddingNetwork(UNET), {})
    return tmp_path / "net.safetensors"


def test_auto_is_the_cpu_where_there_is_no_gpu(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_runtime(weights, "auto").device == CPU


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_isn_t_there_is_wrong_usage(
    weights: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="`device` cpu"):
        load_runtime(weights, device)


def test_a_gpu_beyond_those_there_are_is_wrong_usage(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="cuda:2"):
        load_runtime(weights, "cuda:2")


@pytest.mark.parametrize("device", ["", "gpu", "cuda:x", "cpu:-1", "meta", "mps"])
def test_an_unknown_device_is_wrong_usage(
    weights: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UsageError, match="auto, cpu"):
        load_runtime(weights, device)
