"""Loops are compiled once, and wherever there is no folder to keep them, too."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from numba.core import caching, config

from annotator.detection.compiled import compiled

SCRIPT = """
def total(count):
    found = 0
    for k in range(count):
        found += k
    return found
"""


def total_of(script: Path) -> Any:
    """The function of a script, compiled; with as little in memory as at the start of a process."""
    spec = spec_from_file_location("script", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return compiled(module.total)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_without_a_folder_to_keep_it_a_function_is_compiled_all_the_same(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert total_of(script)(5) == 10


@pytest.mark.parametrize("damage", [b"", b"\x80\x04", bytes(300)])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_made_anew(script: Path, kind: str, damage: bytes) -> None:
    assert total_of(script)(5) == 10
    [kept] = (script.parent / "cache").rglob(f"*.{kind}")
    sound = len(kept.read_bytes())
    kept.write_bytes(damage)
    afresh = total_of(script)
    assert afresh(5) == 10
    assert not afresh.stats.cache_hits
    assert len(kept.read_bytes()) == sound
    again = total_of(script)
    assert again(5) == 10
    assert again.stats.cache_hits
