"""Checkpoints: ours and the authors' load; anything else is one sentence, and never runs code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from annotator.errors import CheckpointError, ExitCode
from annotator.labels import BY_NAME, INSTANCE_CLASSES
from annotator.model.checkpoint import default_weights, load_checkpoint, save_checkpoint
from annotator.model.instance_head import InstanceHead, digest, head_path, to_bytes
from annotator.model.network import NetworkSpec, SpatialEmbeddingNetwork, erfnet_spec
from annotator.options import TrainingOptions
from annotator.training.initialization import spec_of

UNET = spec_of(TrainingOptions())
CARS = erfnet_spec((BY_NAME["car"].id,), 1)
EIGHT_CLASSES = erfnet_spec(INSTANCE_CLASSES, 2)


@cache
def network(spec: NetworkSpec) -> SpatialEmbeddingNetwork:
    torch.manual_seed(0)
    return SpatialEmbeddingNetwork(spec).eval()


def save_ours(path: Path, spec: NetworkSpec = CARS, provenance: dict[str, Any] | None = None) -> Path:
    save_checkpoint(path, network(spec), provenance or {})
    return path


def save_description(path: Path, description: Any) -> Path:
    """A safetensors file with a description, and a tensor of no importance."""
    text = description if isinstance(description, str) else json.dumps(description)
    save_file({"weight": torch.zeros(1)}, path, {"spatialemb": text})
    return path


def authors_content(spec: NetworkSpec = CARS) -> dict[str, Any]:
    state = {f"module.{name}": tensor.clone() for name, tensor in network(spec).body.state_dict().items()}
    optimizer = torch.optim.Adam(network(spec).parameters())
    return {
        "epoch": 180,
        "best_iou": 0.7,
        "model_state_dict": state,
        "optim_state_dict": optimizer.state_dict(),
        "logger_data": {"train": [0.5, 0.4], "val": [0.6, 0.5], "iou": [0.1, 0.7]},
    }


def save_authors(path: Path, spec: NetworkSpec = CARS, **changes: Any) -> Path:
    torch.save({**authors_content(spec), **changes}, path)
    return path


def refusal(path: Path) -> str:
    """The sentence with which a file is refused; it is one line, and names the file and a remedy."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "give a checkpoint" in sentence
    assert "\n" not in sentence
    assert len(sentence) < len(str(path)) + 450
    assert caught.value.exit_code == ExitCode.USAGE
    return sentence


# ---- our files


@pytest.mark.parametrize("spec", [CARS, EIGHT_CLASSES, UNET], ids=["car", "eight", "default"])
def test_a_saved_network_comes_back_with_its_description_and_provenance(
    tmp_path: Path, spec: NetworkSpec
) -> None:
    provenance = {"data": "street", "steps": 12, "options": {"learning_rate": 8e-4}}
    path = save_ours(tmp_path / "net.safetensors", spec, provenance)

    loaded = load_checkpoint(path)

    assert loaded.spec == spec
    assert loaded.provenance == provenance
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.network.training
    for name, tensor in network(spec).body.state_dict().items():
        back = loaded.network.body.state_dict()[name]
        assert back.dtype == tensor.dtype
        assert torch.equal(back, tensor.half().float() if tensor.is_floating_point() else tensor)


def test_weights_rest_in_float16_and_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    path = save_ours(tmp_path / "net.safetensors")
    kinds = {tensor.dtype for tensor in load_file(path).values()}
    assert kinds == {torch.float16, torch.int64}
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_full_precision_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, network(CARS), {}, torch.float32)
    back = load_checkpoint(path).network.body.state_dict()
    assert all(torch.equal(back[name], tensor) for name, tensor in network(CARS).body.state_dict().items())


def test_a_value_too_large_for_float16_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    large = SpatialEmbeddingNetwork(CARS)
    large.body.encoder.initial_block.bn.running_var[0] = 1e6
    save_checkpoint(tmp_path / "net.safetensors", large, {})
    back = load_checkpoint(tmp_path / "net.safetensors").network
    assert back.body.encoder.initial_block.bn.running_var[0] == 1e6


def test_saving_replaces_the_file_that_was_there(tmp_path: Path) -> None:
    path = save_ours(tmp_path / "net.safetensors", CARS, {"step": 1})
    save_ours(path, EIGHT_CLASSES, {"step": 2})
    assert load_checkpoint(path).provenance == {"step": 2}


@pytest.mark.skipif(not default_weights().is_file(), reason="the model of the package is not there")
def test_the_model_in_the_package_loads_without_being_named() -> None:
    default = load_checkpoint()
    assert default.sha256 == hashlib.sha256(default_weights().read_bytes()).hexdigest()
    assert default.spec.class_ids == INSTANCE_CLASSES
    assert default.spec.n_sigma == 2


def test_the_hash_of_a_head_is_its_own(tmp_path: Path) -> None:
    path = save_ours(tmp_path / "net.safetensors", CARS)
    assert load_checkpoint(path).head_sha256 is None
    bare = load_checkpoint(path)
    zero = np.zeros(1, np.float32)
    head = InstanceHead(
        zero, zero, zero.reshape(1, 1, 1), zero[None], np.zeros((1, 1, 2), np.float32), np.zeros((1, 2), np.float32),
        np.ones(1, np.bool_), digest(bare.network.body), {},
    )  # fmt: skip
    head_path(path).write_bytes(to_bytes(head))
    loaded = load_checkpoint(path)
    assert loaded.sha256 == bare.sha256
    assert loaded.head_sha256 == hashlib.sha256(head_path(path).read_bytes()).hexdigest()


# ---- the authors' files


@pytest.mark.parametrize("spec", [CARS, EIGHT_CLASSES], ids=["car [3, 1]", "eight [4, 8]"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_the_authors_checkpoints_load(tmp_path: Path, spec: NetworkSpec, zipped: bool) -> None:
    path = tmp_path / "best_iou_model.pth"
    torch.save(authors_content(spec), path, _use_new_zipfile_serialization=zipped)

    loaded = load_checkpoint(path)

    assert loaded.spec == spec
    assert loaded.provenance["epoch"] == 180
    json.dumps(loaded.provenance)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, tensor in network(spec).body.state_dict().items():
        assert torch.equal(loaded.network.body.state_dict()[name], tensor)


def test_keys_may_come_without_the_prefix_of_dataparallel(tmp_path: Path) -> None:
    path = save_authors(tmp_path / "model.pth", model_state_dict=network(CARS).body.state_dict())
    assert load_checkpoint(path).spec == CARS


# ---- bad files: not there, cut off, of something else


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_a_file_that_isn_t_there(tmp_path: Path, name: str) -> None:
    assert "No such file" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert "Is a directory" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth", "net"])
@pytest.mark.parametrize(
    "content", [b"", b"no weights, only words\n" * 50, b"\0" * 1000], ids=["", "text", "zeros"]
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "is damaged" in refusal(tmp_path / name)


@pytest.mark.parametrize("save", [save_ours, save_authors])
@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.5, 0.9999])
def test_a_file_cut_off(tmp_path: Path, save: Callable[[Path], Path], kept: float) -> None:
    path = save(tmp_path / ("net.safetensors" if save is save_ours else "net.pth"))
    os.truncate(path, int(path.stat().st_size * kept))
    assert "is damaged" in refusal(path)


@pytest.mark.parametrize("kept", [10, 100, 1000, 20_000, 50_000, 1_000_000])
def test_an_old_pth_cut_off(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "net.pth"
    torch.save(authors_content(), path, _use_new_zipfile_serialization=False)
    os.truncate(path, kept)
    assert "is damaged" in refusal(path)


@pytest.mark.parametrize(
    ("first", "second"), [("net.safetensors", "net.pth"), ("net.pth", "net.safetensors")]
)
def test_a_file_under_the_name_of_the_other_kind(tmp_path: Path, first: str, second: str) -> None:
    save_ours(tmp_path / "net.safetensors")
    save_authors(tmp_path / "net.pth")
    content = (tmp_path / first).read_bytes()
    (tmp_path / second).write_bytes(content)
    refusal(tmp_path / second)


# ---- pickles with code in them


class CreatesFile:
    """What a malicious file does: its pickle calls a function when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_the_malicious_pickle_of_these_tests_would_do_harm(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(CreatesFile(tmp_path / "harm"))).close()
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("kind", ["bare pickle", "zip", "before torch 1.6", "among weights"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, name: str, kind: str) -> None:
    path, harm = tmp_path / name, CreatesFile(tmp_path / "harm")
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(harm))
    elif kind == "among weights":
        save_authors(path, logger_data=harm)
    else:
        torch.save(harm, path, _use_new_zipfile_serialization=kind == "zip")

    sentence = refusal(path)

    assert not (tmp_path / "harm").exists()
    assert name == "net.safetensors" or "never run" in sentence


# ---- weights of something else


def test_a_pth_without_the_authors_dictionary(tmp_path: Path) -> None:
    for k, content in enumerate(
        [
            network(CARS).body.state_dict(),
            {"model_state_dict": None},
            {"model_state_dict": {}},
            [1, 2],
            torch.ones(3),
        ]
    ):
        torch.save(content, tmp_path / f"{k}.pth")
        assert "holds no branched ERFNet" in refusal(tmp_path / f"{k}.pth")


def test_a_pth_of_another_network(tmp_path: Path) -> None:
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).state_dict()
    path = save_authors(tmp_path / "other.pth", model_state_dict=other)
    assert "holds no branched ERFNet" in refusal(path)


@pytest.mark.parametrize(("branches"), [[3, 5], [2, 1], [6, 8], [4, 0]], ids=str)
def test_a_pth_with_branches_that_nobody_trained(tmp_path: Path, branches: list[int]) -> None:
    state = authors_content()["model_state_dict"]
    for k, channels in enumerate(branches):
        state[f"module.decoders.{k}.output_conv.weight"] = torch.zeros(16, channels, 2, 2)
    path = save_authors(tmp_path / "net.pth", model_state_dict=state)
    assert "holds no branched ERFNet" in refusal(path)


def without_a_tensor(state: dict[str, Any]) -> None:
    del state["module.encoder.layers.3.conv3x1_1.weight"]


def with_another_tensor(state: dict[str, Any]) -> None:
    state["module.encoder.layers.99.weight"] = torch.zeros(3)


def with_another_shape(state: dict[str, Any]) -> None:
    state["module.encoder.layers.3.conv3x1_1.weight"] = torch.zeros(32, 64, 3, 1)


def with_a_number_for_a_tensor(state: dict[str, Any]) -> None:
    state["module.encoder.layers.3.conv3x1_1.weight"] = 3.0


CHANGES = [without_a_tensor, with_another_tensor, with_another_shape, with_a_number_for_a_tensor]


@pytest.mark.parametrize("change", CHANGES)
def test_a_pth_whose_tensors_don_t_fit(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    state = authors_content()["model_state_dict"]
    change(state)
    path = save_authors(tmp_path / "net.pth", model_state_dict=state)
    assert "holds the weights of another network" in refusal(path)


@pytest.mark.parametrize("change", CHANGES[:3])
def test_our_file_whose_tensors_don_t_fit(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = save_ours(tmp_path / "net.safetensors")
    state = {f"module.{name}": tensor for name, tensor in load_file(path).items()}
    change(state)
    rewrite(path, {name.removeprefix("module."): tensor for name, tensor in state.items()}, metadata_of(path))
    assert "holds the weights of another network" in refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_damaged(tmp_path: Path, value: float) -> None:
    name = "decoders.0.layers.1.conv3x1_1.weight"
    ours = save_ours(tmp_path / "net.safetensors")
    state = load_file(ours)
    state[name][3, 4] = value
    rewrite(ours, state, metadata_of(ours))
    assert f"is damaged ({name}" in refusal(ours)

    theirs = authors_content()["model_state_dict"]
    theirs[f"module.{name}"][3, 4] = value
    path = save_authors(tmp_path / "net.pth", model_state_dict=theirs)
    assert f"is damaged ({name}" in refusal(path)


# ---- descriptions in our files


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def rewrite(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> None:
    save_file(state, path, metadata)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}], ids=str)
def test_safetensors_of_another_tool(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = save_ours(tmp_path / "net.safetensors")
    rewrite(path, load_file(path), metadata)
    assert "doesn't describe a network of this tool" in refusal(path)


@pytest.mark.parametrize(
    "description",
    [
        "",
        "no JSON",
        "[" * 100_000,
        None,
        [],
        7,
        "{}",
        {"spec": CARS.to_dict()},
        {"provenance": {}},
        {"spec": None, "provenance": {}},
        {"spec": CARS.to_dict(), "provenance": ["street"]},
        {"spec": CARS.to_dict(), "provenance": None},
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_description_that_is_none(tmp_path: Path, description: Any) -> None:
    path = save_description(tmp_path / "net.safetensors", description)
    said = refusal(path)
    assert "doesn't describe a network of this tool" in said
    assert not PYTHONIC.search(said)


PYTHONIC = re.compile(r"object|__init__|NoneType|subscriptable")
GRID = CARS.to_dict()["grid"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"architecture": "transformer"},
        {"architecture": ["erfnet"]},
        {"architecture": None},
        {"class_ids": []},
        {"class_ids": 26},
        {"class_ids": "26"},
        {"class_ids": ["car"]},
        {"class_ids": [26.0]},
        {"class_ids": [True]},
        {"class_ids": [[26]]},
        {"class_ids": [26, 26]},
        {"class_ids": [7]},  # road: it has no instances
        {"class_ids": [-1]},
        {"class_ids": [99]},
        {"class_ids": list(range(1_000_000))},
        {"n_sigma": 0},
        {"n_sigma": 3},
        {"n_sigma": True},
        {"n_sigma": 1.0},
        {"n_sigma": "1"},
        {"n_sigma": 10**12},
        {"grid": None},
        {"grid": {}},
        {"grid": {**GRID, "z": 1}},
        {"grid": {**GRID, "points_x": 1}},
        {"grid": {**GRID, "points_y": 10**12}},
        {"grid": {**GRID, "points_y": "1024"}},
        {"grid": {**GRID, "extent_x": 0}},
        {"grid": {**GRID, "extent_x": float("nan")}},
        {"grid": {**GRID, "extent_x": -2}},
        {"mean": [0, 0]},
        {"mean": [0, 0, "0"]},
        {"mean": "000"},
        {"mean": [0, 0, float("inf")]},
        {"std": [1, 1, 0]},
        {"std": [1, 1, -1]},
        {"std": 1},
        {"trained_size": [1024]},
        {"trained_size": [1024, 2048, 3]},
        {"trained_size": [0, 2048]},
        {"trained_size": [10**9, 10**9]},
        {"trained_size": [10.5, 20]},
        {"trained_size": "ab"},
        {"trained_size": None},
        {"unheard_of": 1},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_description_with_values_that_no_network_has(tmp_path: Path, nonsense: dict[str, Any]) -> None:
    description = {"spec": {**CARS.to_dict(), **nonsense}, "provenance": {}}
    path = save_description(tmp_path / "net.safetensors", description)
    said = refusal(path)
    assert "doesn't describe a network of this tool" in said
    assert not PYTHONIC.search(said)


@pytest.mark.parametrize(
    "change", [{"n_sigma": 2}, {"class_ids": [24, 26]}, {"architecture": "unet_efficientnet_lite0"}]
)
def test_a_description_of_another_network_than_the_one_in_the_file(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    description = {"spec": {**CARS.to_dict(), **change}, "provenance": {}}
    path = save_ours(tmp_path / "net.safetensors")
    rewrite(path, load_file(path), {"spatialemb": json.dumps(description)})
    assert "holds the weights of another network" in refusal(path)
