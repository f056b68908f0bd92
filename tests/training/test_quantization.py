"""Quantized weights find what they found before, or are refused."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from annotator.detection.openvino_runtime import OpenVinoRuntime
from annotator.model.checkpoint import QuantizedGraph, load_checkpoint
from annotator.model.network import RawMaps
from annotator.synthetic import Street
from annotator.training import quantization
from cli import shell
from cli.quantize import command

openvino = pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered pictures."""
    folder = tmp_path_factory.mktemp("images")
    street = Street(3, (96, 192))
    for k in range(6):
        cv2.imwrite(str(folder / f"{k}.png"), street.frame(10 * k).image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> QuantizedGraph:
    """The model in the package as a graph of full precision, in the place of one of eight bits."""
    folder = tmp_path_factory.mktemp("graph")
    openvino.save_model(quantization.convert(load_checkpoint()), folder / "g.xml", compress_to_fp16=False)
    return QuantizedGraph((folder / "g.xml").read_bytes(), (folder / "g.bin").read_bytes(), {})


def quantize(*arguments: object) -> int:
    return shell.run(command, ["--compared-images", "2", "--calibration-images", "4", *map(str, arguments)])


def test_weights_get_their_graph_and_a_report(
    tmp_path: Path, images: Path, graph: QuantizedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[Any] = []
    monkeypatch.setattr(quantization, "_graph", lambda checkpoint, images: learned.extend(images) or graph)
    assert quantize("--images", images, "--out", tmp_path / "q.safetensors") == 0
    made = load_checkpoint(tmp_path / "q.safetensors")
    assert made.quantized is not None
    assert made.quantized.structure == graph.structure
    assert made.head_sha256 == load_checkpoint().head_sha256 is not None
    assert made.provenance["int8"] == {"images": 4, "compared": 2, "agreement": 1.0, "AP50": None}
    assert len(learned) == 4
    assert quantize("--images", images, "--out", tmp_path / "q.safetensors") == 2  # is there already


def test_a_graph_that_finds_other_objects_is_refused_and_leaves_no_file(
    tmp_path: Path,
    images: Path,
    graph: QuantizedGraph,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    maps = OpenVinoRuntime.maps

    def blind_in_eight_bits(runtime: OpenVinoRuntime, images: Any, scale: Any) -> RawMaps:
        found = maps(runtime, images, scale)
        return dataclasses.replace(found, raw=found.raw - 9 * (runtime.precision == "int8"))

    monkeypatch.setattr(OpenVinoRuntime, "maps", blind_in_eight_bits)
    monkeypatch.setattr(quantization, "_graph", lambda checkpoint, images: graph)
    assert quantize("--images", images, "--out", tmp_path / "q.safetensors", "--least-agreement", 0.99) == 1
    assert "of the objects that it is sure of" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_nncf_the_sentence_names_what_to_install(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert quantize("--images", images, "--out", tmp_path / "q.safetensors") == 2
    assert "spatialemb-annotate[quantize]" in capsys.readouterr().err


def test_nncf_quantizes_the_model_in_the_package(tmp_path: Path, images: Path) -> None:
    pytest.importorskip("nncf", reason="the extra quantize is not installed")
    assert quantize("--images", images, "--out", tmp_path / "q.safetensors", "--least-agreement", 0) == 0
    assert b"FakeQuantize" in load_checkpoint(tmp_path / "q.safetensors").quantized.structure
