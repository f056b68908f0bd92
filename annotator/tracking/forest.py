"""Log-odds of pairs by boosted trees, evaluated for many pairs at once.

Source: J. H. Friedman, "Greedy function approximation: a gradient boosting machine", 2001. The trees were grown by
scikit-learn, `python -m tests.benchmarks.fit_stitching`, which labelling doesn't need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from annotator.tracking.observations import Floats

FILE = Path(__file__).parent / "stitching.safetensors"
ROWS = 2048  # pairs at once, for memory


@dataclass(frozen=True)
class Forest:
    """T trees of at most N nodes; node 0 is the root, and a leaf leads to itself."""

    cues: npt.NDArray[np.intp]  # (T, N) column that a node asks for
    thresholds: npt.NDArray[np.float64]  # (T, N) up to which the answer leads to `low`, else to `high`
    low: npt.NDArray[np.intp]  # (T, N)
    high: npt.NDArray[np.intp]  # (T, N)
    values: npt.NDArray[np.float64]  # (T, N) of leaves, 0 for others
    constant: float
    depth: int  # steps from the root to the deepest leaf

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Forest:
        """The forest in a file's arrays, which are stored as small as they can be."""
        trees = np.arange(len(arrays["cues"]))[:, None]
        low, high = (arrays[name].astype(np.intp) for name in ("low", "high"))
        node, depth = np.zeros((len(low), 1), np.intp), 0
        while not (low[trees, node] == node).all():
            node = np.hstack([low[trees, node], high[trees, node]])
            depth += 1
        return cls(
            arrays["cues"].astype(np.intp),
            arrays["thresholds"].astype(np.float64),
            low,
            high,
            arrays["values"].astype(np.float64),
            float(arrays["constant"][0]),
            depth,
        )

    def odds(self, cues: Floats) -> Floats:
        """(K,) log-odds of (K, C) pairs."""
        parts = [self._odds(cues[k : k + ROWS]) for k in range(0, len(cues), ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _odds(self, cues: Floats) -> Floats:
        first = np.arange(len(self.cues)) * self.cues.shape[1]  # the root of each tree, in flat arrays
        rows = np.arange(len(cues))[:, None] * cues.shape[1]
        flat, column, threshold = cues.ravel(), self.cues.ravel(), self.thresholds.ravel()
        low, high = ((first[:, None] + leads).ravel() for leads in (self.low, self.high))
        node = np.broadcast_to(first, (len(cues), len(first)))
        for _ in range(self.depth):
            is_low = flat[rows + column[node]] <= threshold[node]
            node = np.where(is_low, low[node], high[node])
        return np.asarray(self.constant + self.values.ravel()[node].sum(1))


@cache
def forest() -> Forest:
    """The one in the package."""
    return Forest.of(load_file(FILE))
