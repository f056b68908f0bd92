"""The networks compute what the paper's does, at any image size, on a grid that belongs to the checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from annotator.labels import BY_NAME, INSTANCE_CLASSES
from annotator.model.embedding import PAPER_GRID, Grid, decode
from annotator.model.network import NetworkSpec, SpatialEmbeddingNetwork, enlarge, erfnet_spec
from annotator.model.timm_unet import TimmUNet
from annotator.options import TrainingOptions
from annotator.training.initialization import spec_of
from tests.helpers.builders import PARITY, needs_parity

UNET = spec_of(TrainingOptions())
CARS = erfnet_spec((BY_NAME["car"].id,), 1)
EIGHT_CLASSES = erfnet_spec(INSTANCE_CLASSES, 2)
PARITY_SPECS = {"car_1sigma": CARS, "eight_class_2sigma": EIGHT_CLASSES}


def network(spec: NetworkSpec, seed: int = 0) -> SpatialEmbeddingNetwork:
    torch.manual_seed(seed)
    return SpatialEmbeddingNetwork(spec).eval()


def scrambled(spec: NetworkSpec) -> SpatialEmbeddingNetwork:
    """A network whose output follows the image in all channels: its last layers don't start from 0."""
    out = network(spec)
    for decoder in out.body.decoders:
        nn.init.normal_(decoder.output_conv.weight, std=0.1)
    return out


# ---- the paper's network


def parity_state(shapes: dict[str, list[int]], phase: float) -> dict[str, torch.Tensor]:
    """The weights that the parity figures were made with (method.md, "Parity files")."""
    state = {}
    for k, (name, shape) in enumerate(shapes.items()):
        i = np.arange(int(np.prod(shape)), dtype=np.float64)
        v = np.sin(0.37 * i + 1.7 * k + phase)
        if name.endswith("num_batches_tracked"):
            v = np.zeros_like(v)
        elif name.endswith("running_var"):
            v = 1 + 0.2 * np.abs(v)
        elif name.endswith("running_mean"):
            v = 0.1 * v
        elif len(shape) == 1:
            v = 1 + 0.1 * v if name.endswith("weight") else 0.05 * v
        else:
            v = v * 0.9 / np.sqrt(np.prod(shape[1:]))
        state[name] = torch.from_numpy(v.reshape(shape).astype(np.float32))
    return state


@needs_parity
@pytest.mark.parametrize("tag", PARITY_SPECS)
def test_the_paper_s_network_gives_the_parity_figures(tag: str) -> None:
    figures = np.load(PARITY / f"forward_{tag}.npz")
    shapes = json.loads((PARITY / f"state_dict_{tag}.json").read_text())
    net = network(PARITY_SPECS[tag])
    net.body.load_state_dict(parity_state(shapes, float(figures["phase"])))
    image = torch.from_numpy(figures["image"])
    with torch.inference_mode():
        out = net(image.reshape(-1, *image.shape[-3:]))
    np.testing.assert_allclose(out.numpy().reshape(figures["output"].shape), figures["output"], 0, 1e-5)


@needs_parity
@pytest.mark.parametrize("tag", PARITY_SPECS)
def test_its_parameters_have_the_names_shapes_and_order_of_the_authors_checkpoints(tag: str) -> None:
    shapes = json.loads((PARITY / f"state_dict_{tag}.json").read_text())
    state = network(PARITY_SPECS[tag]).body.state_dict()
    assert [(name, list(tensor.shape)) for name, tensor in state.items()] == list(shapes.items())


@pytest.mark.parametrize("spec", [CARS, EIGHT_CLASSES], ids=["car", "eight"])
def test_before_training_it_claims_no_offset_and_a_sigma_of_one_everywhere(spec: NetworkSpec) -> None:
    torch.manual_seed(1)
    with torch.inference_mode():
        raw = network(spec)(torch.rand(1, 3, 16, 24))
    assert torch.equal(raw[:, :2], torch.zeros(1, 2, 16, 24))
    assert torch.equal(raw[:, 2 : 2 + spec.n_sigma], torch.ones(1, spec.n_sigma, 16, 24))
    assert raw[:, 2 + spec.n_sigma :].std() > 0


# ---- the fast network


def test_the_fast_network_starts_with_no_offset_middling_objects_and_background() -> None:
    torch.manual_seed(1)
    with torch.inference_mode():
        raw = network(UNET)(torch.rand(1, 3, 64, 96))
    assert torch.equal(raw[:, :2], torch.zeros(1, 2, 64, 96))
    assert torch.equal(raw[:, 2:4], torch.full((1, 2, 64, 96), 0.5))
    assert torch.sigmoid(raw[:, 4:]).mean() < 0.1


def test_its_encoder_keeps_its_statistics_in_training_while_its_decoders_learn_theirs() -> None:
    net = network(UNET).train()
    before = {name: tensor.clone() for name, tensor in net.body.state_dict().items() if "running" in name}
    net.fields(torch.rand(2, 3, 32, 32))
    moved = {
        name
        for name, value in net.body.state_dict().items()
        if name in before and not torch.equal(value, before[name])
    }
    assert moved == {name for name in before if name.startswith("decoders.")}
    assert not any(module.training for module in net.body.encoder.modules())
    assert net.body.decoders.training


def test_frozen_stages_don_t_learn_and_the_later_ones_do() -> None:
    body = network(UNET).body
    assert isinstance(body, TimmUNet)
    body.freeze(3)
    learning = {name for name, parameter in body.encoder.named_parameters() if parameter.requires_grad}
    frozen = {name for name, _ in body.encoder.named_parameters()} - learning
    assert {name.split(".")[0] for name in frozen} == {"conv_stem", "bn1", "blocks"}
    assert {name.split(".")[1] for name in frozen if name.startswith("blocks")} == {"0", "1", "2"}
    assert {name.split(".")[:2][1] for name in learning} >= {"3", "4"}
    assert all(parameter.requires_grad for parameter in body.decoders.parameters())


# ---- images of any size


@pytest.mark.parametrize("spec", [EIGHT_CLASSES, UNET], ids=["erfnet", "unet"])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (8, 8), (31, 65)], ids=str)
def test_an_image_of_any_size_gets_maps_of_its_size(spec: NetworkSpec, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        maps = network(spec)(torch.rand(2, 3, *size))
    assert maps.shape == (2, 2 + 2 + 8, *size)
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize("spec", [EIGHT_CLASSES, UNET], ids=["erfnet", "unet"])
def test_padding_repeats_the_last_row_and_column_and_is_cut_off_again(spec: NetworkSpec) -> None:
    net = scrambled(spec)
    torch.manual_seed(2)
    image = torch.rand(1, 3, 29, 61)
    padded = nn.functional.pad(image, (0, 3, 0, 3), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(net(image), net(padded)[..., :29, :61])


def test_colours_are_normalized_as_the_description_says() -> None:
    plain = replace(CARS, mean=(0, 0, 0), std=(1, 1, 1))
    normalized = replace(CARS, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.5))
    image = torch.rand(1, 3, 8, 8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (normalized.mean, normalized.std))
    a, b = scrambled(plain), scrambled(normalized)
    b.body.load_state_dict(a.body.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(b(image), a((image - mean) / std))


def test_fields_of_half_the_resolution_are_enlarged_about_pixel_centres() -> None:
    """What is linear in the image stays so: enlarged coordinates are the coordinates of the enlarged."""
    grid = Grid(2, 101, 1, 51)
    enlarged = enlarge(grid.coordinates((10, 15), stride=2)[None], (19, 30), 2)[0]
    expected = grid.coordinates((19, 30))
    torch.testing.assert_close(enlarged[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1])


# ---- the grid


def test_the_paper_s_grid_has_the_bits_of_torch_linspace() -> None:
    x, y = PAPER_GRID.coordinates((1024, 2048))
    assert torch.equal(x, torch.linspace(0, 2, 2048).expand(1024, 2048))
    assert torch.equal(y, torch.linspace(0, 1, 1024)[:, None].expand(1024, 2048))


def test_a_smaller_image_is_a_corner_of_the_grid() -> None:
    small, large = PAPER_GRID.coordinates((37, 53)), PAPER_GRID.coordinates((1024, 2048))
    assert torch.equal(small, large[:, :37, :53])


def test_a_larger_image_goes_on_in_the_same_steps() -> None:
    x, y = PAPER_GRID.coordinates((1500, 3000)).double()
    assert torch.equal(x[:1024, :2048].float(), PAPER_GRID.coordinates((1024, 2048))[0])
    torch.testing.assert_close(x[0], torch.arange(3000).double() * 2 / 2047, rtol=1e-6, atol=0)
    torch.testing.assert_close(y[:, 0], torch.arange(1500).double() / 1023, rtol=1e-6, atol=0)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_field_pixel_lies_at_the_centre_of_the_image_pixels_that_it_stands_for(stride: int) -> None:
    full = PAPER_GRID.coordinates((64, 96))
    expected = nn.functional.avg_pool2d(full[None], stride)[0]
    torch.testing.assert_close(PAPER_GRID.coordinates((64 // stride, 96 // stride), stride), expected)


def test_decoded_maps_are_an_embedding_on_the_grid_a_positive_sigma_and_a_seed_in_0_to_1() -> None:
    raw = torch.randn(2 + 2 + 3, 5, 7)
    grid = PAPER_GRID.coordinates((5, 7))
    maps = decode(raw, 2, grid)
    torch.testing.assert_close(maps.embedding, raw[:2].tanh() + grid)
    torch.testing.assert_close(maps.sigma, (raw[2:4] * 10).exp())
    torch.testing.assert_close(maps.seed, raw[4:].sigmoid())


# ---- the description in a checkpoint


@pytest.mark.parametrize("spec", [CARS, EIGHT_CLASSES, UNET], ids=["car", "eight", "default"])
def test_a_description_survives_json(spec: NetworkSpec) -> None:
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "nonsense",
    [
        {"architecture": "transformer"},
        {"n_sigma": 0},
        {"n_sigma": 3},
        {"class_ids": []},
        {"class_ids": 26},
        {"trained_size": [0, 100]},
        {"trained_size": None},
        {"grid": {"extent_x": 1}},
        {"grid": None},
        {"depth": 3},
    ],
    ids=str,
)
def test_a_description_of_no_network_is_refused(nonsense: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        NetworkSpec.from_dict({**EIGHT_CLASSES.to_dict(), **nonsense})


@pytest.mark.parametrize(
    "field", ["architecture", "class_ids", "n_sigma", "grid", "mean", "std", "trained_size"]
)
def test_a_description_must_be_complete(field: str) -> None:
    values = EIGHT_CLASSES.to_dict()
    del values[field]
    with pytest.raises((KeyError, TypeError)):
        NetworkSpec.from_dict(values)
