"""Loops are compiled once, and wherever there is no folder to keep them, too."""

from __future__ import annotations

import pytest
from numba.core import caching

from annotator.detection.compiled import compiled


def total(count: int) -> int:
    found = 0
    for k in range(count):
        found += k
    return found


def test_without_a_folder_to_keep_it_a_function_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(total)(5) == 10
