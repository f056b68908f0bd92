"""Gradient-boosted trees that give the log-odds of pairs, evaluated for many pairs at once.

Source: J. H. Friedman, "Greedy function approximation: a gradient boosting machine", 2001; evaluated as in Lucchese et
al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees", SIGIR 2015. The
trees were grown by scikit-learn, see `fit`, which labelling doesn't need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from annotator.tracking.arrays import Floats

FILE = Path(__file__).parent / "stitching.safetensors"
MAX_LEAVES = 16  # of a tree, a bit each
ROWS_AT_ONCE = 4096  # for memory


class Split(NamedTuple):
    """An inner node of a tree."""

    feature: int  # column
    threshold: float  # up to which it leads to the low side
    low: np.uint16  # leaves of that side, a bit each: those that a high value rules out


class Tree(NamedTuple):
    """A tree of at most MAX_LEAVES leaves, which are numbered from the low side to the high side."""

    splits: Sequence[Split]
    values: Floats  # (L,) of the leaves


@dataclass(frozen=True)
class BoostedTrees:
    """Trees whose answers are added."""

    trees: Sequence[Tree]
    constant: float

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> BoostedTrees:
        """Make trees of a file's arrays: (T, N) each, of T trees of at most N nodes; node 0 is the root.

        `cues` (features) and `thresholds` of inner nodes, `values` of leaves, and `low` and `high`, the nodes that
        come next; a leaf leads to itself. Of `constant` (1,).
        """
        names = ("cues", "thresholds", "low", "high", "values")
        each = zip(*(arrays[name].tolist() for name in names), strict=True)
        return cls([_tree(*nodes) for nodes in each], float(arrays["constant"][0]))

    def log_odds(self, features: Floats) -> Floats:
        """(K,) log-odds of (K, C) pairs."""
        parts = [
            self._log_odds(features[k : k + ROWS_AT_ONCE]) for k in range(0, len(features), ROWS_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _log_odds(self, features: Floats) -> Floats:
        columns, log_odds = np.ascontiguousarray(features.T), np.full(len(features), self.constant)
        for tree in self.trees:
            ruled_out = np.zeros(len(features), np.uint16)
            for feature, threshold, low in tree.splits:
                ruled_out |= (columns[feature] > threshold) * low
            # The leaf that is left is the lowest that isn't ruled out: one behind the ones at the end of the bits.
            log_odds += tree.values[np.bitwise_count(ruled_out & ~(ruled_out + np.uint16(1)))]
        return log_odds


def _tree(
    features: list[int], thresholds: list[float], low: list[int], high: list[int], values: list[float]
) -> Tree:
    splits, leaves = [], list[float]()

    def walk(node: int) -> None:
        if low[node] == node:
            leaves.append(values[node])
            return
        first = len(leaves)
        walk(low[node])
        of_low = (1 << len(leaves)) - (1 << first)
        splits.append(Split(features[node], thresholds[node], np.uint16(of_low)))
        walk(high[node])

    walk(0)
    return Tree(splits, np.array(leaves))


@cache
def stitching_trees() -> BoostedTrees:
    """Load the trees of the package."""
    return BoostedTrees.from_arrays(load_file(FILE))
