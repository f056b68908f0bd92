"""Types of arrays, and operations on groups of rows that numpy doesn't have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def expand_ranges(begins: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Write out ranges of `counts` numbers from `begins`: (K,) which range each number is of, and (K,) the numbers."""
    of = np.repeat(np.arange(len(counts)), counts)
    return of, np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + begins[of]


def any_by_group(group: Indices, values: Bools, count: int) -> Bools:
    """(count, ...) whether any value (K, ...) of each group is true; `group` (K,) ascends."""
    found = np.zeros((count, *values.shape[1:]), np.bool_)
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    if len(begins):
        found[group[begins]] = np.logical_or.reduceat(values, begins)
    return found
