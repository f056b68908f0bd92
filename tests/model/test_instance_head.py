"""An instance head lies beside the weights that it was fitted to, and is refused beside any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from annotator.errors import CheckpointError
from annotator.model.instance_head import InstanceHead, digest, head_path, load_head, to_bytes

FEATURES, CLASSES = 4, 2


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Linear(3, 2)


def head(of: nn.Module, members: int = 2) -> InstanceHead:
    random = np.random.default_rng(1)

    def values(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float16).astype(np.float32)

    return InstanceHead(
        mean=values(FEATURES),
        scale=np.ones(FEATURES, np.float32),
        hidden=values(members, FEATURES, 5),
        hidden_bias=values(members, 5),
        out=values(members, 5, CLASSES + 1),
        out_bias=values(members, CLASSES + 1),
        is_judged=np.array([True, False]),
        network=digest(of),
        provenance={"images": 3},
    )


def written(folder: Path, head: InstanceHead) -> Path:
    path = head_path(folder / "net.safetensors")
    path.write_bytes(to_bytes(head))
    return path


def test_a_head_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    expected = head(network())
    found = load_head(written(tmp_path, expected), network().state_dict(), CLASSES)
    features = np.random.default_rng(2).standard_normal((7, FEATURES)).astype(np.float32)
    np.testing.assert_array_equal(found.probabilities(features), expected.probabilities(features))
    assert found.provenance == {"images": 3}


def test_answers_are_probabilities_however_far_the_features_are_off() -> None:
    features = np.array([[1e30, -1e30, 0, 1], [0, 0, 0, 0]], np.float32)
    found = head(network()).probabilities(features)
    assert found.shape == (2, CLASSES + 1)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_a_head_of_other_weights_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = written(tmp_path, head(network(seed=1)))
    with pytest.raises(
        CheckpointError, match=r"net\.head\.safetensors was fitted to other weights.*delete it"
    ):
        load_head(path, network().state_dict(), CLASSES)


def test_a_head_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, head(network()))
    with pytest.raises(CheckpointError, match="other weights"):
        load_head(path, network().state_dict(), CLASSES + 1)


def test_a_head_survives_that_weights_are_stored_with_16_bits() -> None:
    full, stored = network(), network()
    stored.load_state_dict({name: value.half().float() for name, value in full.state_dict().items()})
    assert digest(full) == digest(stored)


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 100])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = head_path(tmp_path / "net.safetensors")
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged or no instance head"):
        load_head(path, network().state_dict(), CLASSES)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mean", np.full(FEATURES, np.nan, np.float32)),
        ("scale", np.ones(FEATURES + 1, np.float32)),
        ("out", np.zeros((5, 3), np.float32)),
        ("surprise", np.zeros(3, np.float32)),
    ],
)
def test_tensors_that_make_no_head_are_refused(tmp_path: Path, name: str, values: np.ndarray) -> None:
    from safetensors import safe_open

    path = written(tmp_path, head(network()))
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {name: values}, path, metadata)
    with pytest.raises(CheckpointError, match="damaged or no instance head"):
        load_head(path, network().state_dict(), CLASSES)
