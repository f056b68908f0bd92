"""Loops over pixels as machine code: compiled at first use, and kept beside the module or in the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function of numbers and arrays, compiled; other threads run meanwhile.

    Sums keep their order and nothing is fused, so that sums and products come out as numpy's do. Where no folder can
    be written to, every process compiles anew.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made = numba.njit(function, cache=True, **options)
    except RuntimeError:  # numba finds no folder for it
        return numba.njit(function, **options)
    _forgive_damage(made._cache)
    return made


def _forgive_damage(cache: Any) -> None:
    """Have a function compiled anew whose file is damaged, as by a power cut; numba would raise what it meets."""
    load = cache.load_overload

    def load_or_forget(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except Exception:
            cache.flush()
            return None

    cache.load_overload = load_or_forget
