"""The benchmark labels a clip with each runtime and says where the time went."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annotator.pipeline import benchmark
from cli import shell
from cli.bench import command
from tests.helpers.fake_detector import install, write_video


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy detector, in this process, of weights that are quantized."""
    install(monkeypatch)
    monkeypatch.setattr(benchmark, "_in_process", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr(benchmark, "load_checkpoint", lambda weights: SimpleNamespace(quantized=object()))
    monkeypatch.setattr(benchmark, "find_spec", lambda name: object())


def test_each_runtime_that_is_there_is_measured_stage_by_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    measure = benchmark.measure
    monkeypatch.setattr(benchmark, "measure", lambda *given: asked.append(given[-1]) or measure(*given))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    clip = write_video(tmp_path / "drive.mp4", 12)
    assert shell.run(command, [str(clip), "--frames", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each.runtime, each.precision) for each in asked] == [
        ("openvino", "int8"),
        ("openvino", "32"),
        ("torch", "32"),
    ]
    assert len(told["runs"]) == 3
    for run in told["runs"]:
        assert run["frames"] == 8
        assert run["frames_per_s"] > 0
        assert run["cpu_s_per_frame"] > 0
        assert list(run["stages"]) == list(benchmark.STAGES)
        assert all(seconds >= 0 for seconds in run["stages"].values())
        assert run["stages"]["publishing"] > 0
        assert 0 <= run["idle_share"] < 1
    assert list(tmp_path.iterdir()) == [clip]  # nothing is kept


def test_without_a_clip_the_sample_drive_is_rendered_and_a_table_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shell.run(command, ["--frames", "2"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["runtime", "precision", "frames/s", "CPU"]
    assert rows
    assert len({len(line) for line in (head, *rows)}) == 1


def test_a_clip_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(command, [str(tmp_path / "none.mp4")]) == 2
    assert "none.mp4" in capsys.readouterr().err
