"""Log-odds of pairs by boosted trees, evaluated for many pairs at once.

Source: J. H. Friedman, "Greedy function approximation: a gradient boosting machine", 2001; evaluated as in Lucchese et
al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees", SIGIR 2015. The
trees were grown by scikit-learn, `python -m tests.benchmarks.fit_stitching`, which labelling doesn't need.
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

from annotator.tracking.observations import Floats

FILE = Path(__file__).parent / "stitching.safetensors"
ROWS = 4096  # pairs at once, for memory


class _Question(NamedTuple):
    """An inner node of a tree."""

    cue: int  # column that it asks for
    threshold: float  # up to which the answer leads to the low side
    low: np.uint16  # leaves of that side, a bit each: those that a high answer rules out


class _Tree(NamedTuple):
    """A tree of at most 16 leaves, which are numbered from the low side to the high side."""

    questions: Sequence[_Question]
    values: Floats  # (L,) of the leaves


@dataclass(frozen=True)
class Forest:
    """Trees whose answers are added."""

    trees: Sequence[_Tree]
    constant: float

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Forest:
        """The forest in a file's arrays: (T, N) each, of T trees of at most N nodes; node 0 is the root.

        `cues` and `thresholds` of inner nodes, `values` of leaves, and `low` and `high`, the nodes that come next; a
        leaf leads to itself.
        """
        names = ("cues", "thresholds", "low", "high", "values")
        each = zip(*(arrays[name].tolist() for name in names), strict=True)
        return cls([_tree(*nodes) for nodes in each], float(arrays["constant"][0]))

    def odds(self, cues: Floats) -> Floats:
        """(K,) log-odds of (K, C) pairs."""
        parts = [self._odds(cues[k : k + ROWS]) for k in range(0, len(cues), ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _odds(self, cues: Floats) -> Floats:
        columns, odds = np.ascontiguousarray(cues.T), np.full(len(cues), self.constant)
        for tree in self.trees:
            ruled_out = np.zeros(len(cues), np.uint16)
            for cue, threshold, low in tree.questions:
                ruled_out |= (columns[cue] > threshold) * low
            # The leaf that is left is the lowest that isn't ruled out: one behind the ones at the end of the bits.
            odds += tree.values[np.bitwise_count(ruled_out & ~(ruled_out + np.uint16(1)))]
        return odds


def _tree(
    cues: list[int], thresholds: list[float], low: list[int], high: list[int], values: list[float]
) -> _Tree:
    questions, leaves = [], list[float]()

    def walk(node: int) -> None:
        if low[node] == node:
            leaves.append(values[node])
            return
        first = len(leaves)
        walk(low[node])
        of_low = (1 << len(leaves)) - (1 << first)
        questions.append(_Question(cues[node], thresholds[node], np.uint16(of_low)))
        walk(high[node])

    walk(0)
    return _Tree(questions, np.array(leaves))


@cache
def forest() -> Forest:
    """The one in the package."""
    return Forest.of(load_file(FILE))
