"""Loops over pixels as machine code: compiled at first use, and kept beside the module or in the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function of numbers and arrays, compiled; other threads run meanwhile.

    Sums keep their order and nothing is fused, so that equal input gives equal output on every machine. Where no
    folder can be written to, every process compiles anew.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # numba finds no folder for it
        return numba.njit(function, **options)
