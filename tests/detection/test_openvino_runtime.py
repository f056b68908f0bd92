"""OpenVINO computes what PyTorch does, from graphs that are kept whole, or says why not."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotator.detection import openvino_runtime as module
from annotator.detection.openvino_runtime import OpenVinoRuntime, OpenVinoUnusable, convert, graph_folder
from annotator.detection.runtime import load_runtime
from annotator.detection.torch_runtime import TorchRuntime
from annotator.errors import CheckpointError, UsageError
from annotator.model.checkpoint import Checkpoint, QuantizedGraph, load_checkpoint, save_checkpoint
from tests.detection.test_runtime import CPU, SPECS, images, scrambled_checkpoint

openvino = pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the graphs of both scrambled networks: making them takes seconds each."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "graph_folder", lambda: folder)
        for architecture in SPECS:
            OpenVinoRuntime(scrambled_checkpoint(architecture))
    return folder


@pytest.fixture(autouse=True)
def cache(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own that has them already."""
    shutil.copytree(made, tmp_path / "graphs")
    monkeypatch.setattr(module, "graph_folder", lambda: tmp_path / "graphs")
    return tmp_path / "graphs"


@pytest.fixture
def no_cache(cache: Path) -> Path:
    """One that is empty."""
    shutil.rmtree(cache)
    return cache


def weights_of(architecture: str, tmp_path: Path, **others: Any) -> Path:
    """A file of weights, whose graph the cache has, too."""
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, scrambled_checkpoint(architecture).network, {}, torch.float32, **others)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    for file in list((tmp_path / "graphs").glob(f"{architecture}*")):
        shutil.copy(file, file.with_name(file.name.replace(architecture, sha256, 1)))
    return path


def graph_of(checkpoint: Checkpoint, folder: Path) -> QuantizedGraph:
    """A graph to carry inside a checkpoint; that it isn't quantized makes no difference to how it is carried."""
    (structure,) = (folder / "graphs").glob(f"{checkpoint.sha256}*.xml")
    return QuantizedGraph(structure.read_bytes(), structure.with_suffix(".bin").read_bytes(), {"images": 0})


# ---- maps


@pytest.mark.parametrize("architecture", SPECS)
@pytest.mark.parametrize(("size", "scale"), [((64, 96), 1.0), ((33, 45), 1.0), ((50, 70), 0.7)])
def test_maps_and_features_are_those_of_pytorch(
    architecture: str, size: tuple[int, int], scale: float
) -> None:
    checkpoint, batch = scrambled_checkpoint(architecture), images(2, size)
    expected, found = (
        TorchRuntime(checkpoint, CPU).maps(batch, scale),
        OpenVinoRuntime(checkpoint).maps(batch, scale),
    )
    torch.testing.assert_close(found.raw, expected.raw, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.features, expected.features, atol=1e-4, rtol=1e-4)


def test_an_image_has_the_same_bits_alone_in_any_batch_and_after_others() -> None:
    runtime, batch = OpenVinoRuntime(scrambled_checkpoint("unet")), images(3, (50, 70))
    together = runtime.maps(batch, 1.0).raw
    runtime.maps(images(1, (64, 96)), 1.0)
    for k in range(3):
        assert torch.equal(runtime.maps(batch[k : k + 1], 1.0).raw[0], together[k])
    again = OpenVinoRuntime(scrambled_checkpoint("unet"))
    assert torch.equal(again.maps(batch, 1.0).raw, together)


WATCHED = """
import os, sys, threading
from contextlib import suppress
from pathlib import Path

import torch

from annotator.detection import openvino_runtime as module
from tests.detection.test_runtime import images, scrambled_checkpoint

module.graph_folder = lambda: Path(sys.argv[1])
torch.set_num_threads(1)
allowed, met, is_over = os.sched_getaffinity(0), set(), threading.Event()

def watch():
    while not is_over.is_set():
        for task in os.listdir("/proc/self/task"):
            with suppress(OSError):  # it has ended
                met.add(frozenset(os.sched_getaffinity(int(task))))

runtime = module.OpenVinoRuntime(scrambled_checkpoint("unet"))
watcher = threading.Thread(target=watch)  # compiling ties threads to cores, too, and lets them go
watcher.start()
for _ in range(3):
    runtime.maps(images(2, (192, 320)), 1.0)
is_over.set()
watcher.join()
print(met == {frozenset(allowed)}, met)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to tell where threads may run")
def test_processes_of_one_thread_do_not_all_run_on_the_first_core(cache: Path) -> None:
    """OpenVINO by default ties its threads to cores while they work: in every process to the same ones."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    # In a process of its own: graphs that other tests compile tie this one's threads meanwhile.
    said = subprocess.run(
        [sys.executable, "-c", WATCHED, str(cache)], capture_output=True, text=True, check=False
    )
    assert said.stdout.startswith("True"), said.stdout + said.stderr


def test_every_graph_has_the_threads_that_pytorch_leaves_to_the_first() -> None:
    before = torch.get_num_threads()
    try:
        module._threads_at_first.cache_clear()
        torch.set_num_threads(2)
        runtimes = [OpenVinoRuntime(scrambled_checkpoint("unet")) for _ in range(2)]
        assert torch.get_num_threads() == 1
        assert [each._compiled.get_property("INFERENCE_NUM_THREADS") for each in runtimes] == [2, 2]
    finally:
        module._threads_at_first.cache_clear()
        torch.set_num_threads(before)


def test_the_network_of_the_checkpoint_stays_as_it_is() -> None:
    checkpoint = scrambled_checkpoint("unet")
    before = {name: value.clone() for name, value in checkpoint.network.state_dict().items()}
    OpenVinoRuntime(checkpoint)
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.network.state_dict().items())
    assert not checkpoint.network.body.encoder._forward_hooks


# ---- the cache


def test_a_graph_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = scrambled_checkpoint("unet")
    first = OpenVinoRuntime(checkpoint).maps(images(1, (64, 96)), 1.0).raw
    monkeypatch.setattr(module, "convert", pytest.fail)
    assert torch.equal(OpenVinoRuntime(checkpoint).maps(images(1, (64, 96)), 1.0).raw, first)


def test_a_graph_of_other_weights_is_another(
    no_cache: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sound,) = made.glob("erfnet*.xml")
    monkeypatch.setattr(module, "convert", lambda checkpoint: openvino.Core().read_model(sound))
    checkpoint = scrambled_checkpoint("erfnet")
    for sha256 in ("c0ffee", "decaf"):
        OpenVinoRuntime(dataclasses.replace(checkpoint, sha256=sha256))
    assert len(list(no_cache.glob("*.xml"))) == 2
    assert all(file.suffix in (".xml", ".bin") for file in no_cache.iterdir())


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
@pytest.mark.parametrize("content", [b"", bytes(100)], ids=["empty", "zeros"])
def test_a_damaged_graph_is_made_anew(
    suffix: str, content: bytes, cache: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = scrambled_checkpoint("erfnet")
    (sound,) = made.glob("erfnet*.xml")
    monkeypatch.setattr(module, "convert", lambda checkpoint: openvino.Core().read_model(sound))
    expected = OpenVinoRuntime(checkpoint).maps(images(1, (64, 96)), 1.0).raw
    (file,) = cache.glob(f"erfnet*{suffix}")
    file.write_bytes(content)
    assert torch.equal(OpenVinoRuntime(checkpoint).maps(images(1, (64, 96)), 1.0).raw, expected)


def test_without_write_access_the_graph_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "graph_folder", lambda: tmp_path / "file" / "graphs")
    OpenVinoRuntime(scrambled_checkpoint("erfnet"))
    assert "can't be kept" in caplog.text


def test_graphs_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert graph_folder().parts[-2:] == ("spatialemb-annotate", "graphs")


# ---- what can't be used


def broken(*arguments: Any, **others: Any) -> Any:
    raise RuntimeError("Exception from src/core:\nthis CPU is too old\n")


def test_where_openvino_fails_pytorch_takes_its_place_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weights = weights_of("erfnet", tmp_path)
    monkeypatch.setattr(module, "_compiled", broken)
    with caplog.at_level(logging.WARNING):
        assert load_runtime(weights, "cpu").name == "torch"
    assert "this CPU is too old" in caplog.text
    with pytest.raises(UsageError, match=r"this CPU is too old.*`runtime` torch"):
        load_runtime(weights, "cpu", runtime="openvino")


def test_a_graph_that_computes_something_else_is_refused(
    no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, other = scrambled_checkpoint("erfnet"), scrambled_checkpoint("erfnet")
    torch.nn.init.normal_(other.network.body.decoders[0].output_conv.weight)
    model = convert(other)
    monkeypatch.setattr(module, "convert", lambda checkpoint: model)
    with pytest.raises(OpenVinoUnusable, match="computes other maps"):
        OpenVinoRuntime(checkpoint)
    assert not no_cache.exists()


def test_without_openvino_pytorch_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights_of("erfnet", tmp_path)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert load_runtime(weights, "cpu").name == "torch"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "hold no graph of eight bits"),
        ({"precision": "int8", "runtime": "torch"}, "is for OpenVINO"),
        ({"precision": "16", "runtime": "openvino"}, "32, bf16 or int8"),
        ({"precision": "16"}, "is for CUDA"),
    ],
)
def test_what_cannot_be_had_is_wrong_usage(tmp_path: Path, options: dict[str, str], message: str) -> None:
    weights = weights_of("erfnet", tmp_path)
    with pytest.raises(UsageError, match=message):
        load_runtime(weights, "cpu", **options)


# ---- graphs of eight bits


def test_a_checkpoint_carries_its_graph(tmp_path: Path) -> None:
    checkpoint = scrambled_checkpoint("unet")
    graph = graph_of(checkpoint, tmp_path)
    weights = weights_of("unet", tmp_path, quantized=graph)
    assert load_checkpoint(weights).quantized == graph
    runtime = load_runtime(weights, "cpu")
    assert (runtime.name, runtime.precision) == ("openvino", "int8")
    found = runtime.maps(images(1, (64, 96)), 1.0).raw
    expected = OpenVinoRuntime(checkpoint).maps(images(1, (64, 96)), 1.0).raw
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_only_layers_of_this_tool_are_handed_to_openvino(tmp_path: Path) -> None:
    checkpoint = scrambled_checkpoint("erfnet")
    graph = graph_of(checkpoint, tmp_path)
    evil = dataclasses.replace(graph, structure=graph.structure.replace(b'type="ReLU"', b'type="If"'))
    with pytest.raises(CheckpointError, match="unknown kinds: If"):
        OpenVinoRuntime(dataclasses.replace(checkpoint, quantized=evil), "int8")


@pytest.mark.parametrize(
    "structure", [b"", b"<net>", b"\xff\xfe", b"<!DOCTYPE x [<!ENTITY a 'b'>]><net>&a;</net>"]
)
def test_a_damaged_graph_of_a_checkpoint_is_refused(tmp_path: Path, structure: bytes) -> None:
    checkpoint = scrambled_checkpoint("erfnet")
    damaged = QuantizedGraph(structure, b"", {})
    with pytest.raises((CheckpointError, OpenVinoUnusable)):
        OpenVinoRuntime(dataclasses.replace(checkpoint, quantized=damaged), "int8")


def test_weights_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    checkpoint = scrambled_checkpoint("erfnet")
    graph = graph_of(checkpoint, tmp_path)
    cut = dataclasses.replace(graph, weights=graph.weights[: len(graph.weights) // 2])
    with pytest.raises(OpenVinoUnusable):
        OpenVinoRuntime(dataclasses.replace(checkpoint, quantized=cut), "int8")


def test_half_a_graph_is_a_damaged_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "net.safetensors"
    checkpoint = scrambled_checkpoint("erfnet")
    save_checkpoint(path, checkpoint.network, {}, quantized=graph_of(checkpoint, tmp_path))
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        about = file.metadata()
    tensors = load_file(path)
    del tensors["int8.weights"]
    save_file(tensors, path, about)
    with pytest.raises(CheckpointError, match="part of a quantized graph"):
        load_checkpoint(path)
    tensors["int8.weights"] = torch.from_numpy(np.zeros(3, np.uint8))
    tensors["int8.structure"] = tensors["int8.structure"][:-9]
    save_file(tensors, path, about)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path)


def test_a_graph_of_eight_bits_needs_no_network_in_pytorch() -> None:
    script = (
        "import sys, torch; from annotator.detection import Detector; detector = Detector.load(device='cpu');"
        " detector.maps(torch.zeros(1, 3, 64, 96, dtype=torch.uint8)); print(detector.runtime.precision, *sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    precision, *modules = run.stdout.split()
    assert precision == "int8"
    assert not {"timm", "torchvision", "torch._dynamo"} & set(modules)
