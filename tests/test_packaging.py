"""What gets installed: one package with all that is in it, under one version, with its licences."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed() -> None:
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("annotator/**/__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == there | {"annotator.cli"}


@pytest.mark.parametrize("script", PROJECT["project"]["scripts"].values())
def test_every_command_is_there(script: str) -> None:
    module, function = script.split(":")
    assert module.startswith("annotator.cli.")
    assert callable(getattr(import_module(module.removeprefix("annotator.")), function))


def test_licences_of_code_and_weights_lie_beside_them() -> None:
    assert PROJECT["project"]["license"] == "MIT AND LicenseRef-Research-Only-Weights"
    assert all((ROOT / file).is_file() for file in PROJECT["project"]["license-files"])


@pytest.mark.parametrize("pattern", PROJECT["tool"]["setuptools"]["package-data"]["annotator"])
def test_data_that_is_listed_is_there(pattern: str) -> None:
    assert list((ROOT / "annotator").glob(pattern))


@pytest.mark.parametrize(
    "name",
    sorted(
        part
        for group in (
            PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"].values(),
        )
        for part in group
    ),
)
def test_dependencies_say_from_which_release_on(name: str) -> None:
    assert ">=" in name
