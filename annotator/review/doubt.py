"""How likely it is that a person would change an instance: one number, by trees fitted to what was right and wrong.

The parameters lie in `doubt.safetensors`; where they come from, and how far the number can be trusted, stands in
`annotator/review/README.md`. They are made anew by `python -m tests.benchmarks.fit_review`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from annotator.review.signs import SIGNS, Item
from annotator.tracking.boosting import BoostedTrees

FILE = Path(__file__).parent / "doubt.safetensors"
TYPICAL = "typical"  # array of the file: the signs (S,) of an instance that is right
WORTH_TELLING = 0.25  # log-odds that a reason adds at least
MOST_REASONS = 2

REASONS: Mapping[str, Sequence[str]] = {  # what is told, and the signs that it is about
    "low score": ("score", "score of its track"),
    "score drops": ("score against its track",),
    "hidden or in another's place": (
        "hidden by others",
        "box in one of its class",
        "box in one of another class",
    ),
    "class unsure": ("class of its track", "class votes"),
    "does not move as its pixels": ("overlap before", "overlap behind", "motion before", "motion behind"),
    "changes its shape": ("shape before", "shape behind", "fill against its track"),
    "jumps in size": (
        *("growth before", "growth behind", "area against its track"),
        *("width against its track", "height against its track"),
    ),
    "gap beside it": ("gap before", "gap behind"),
    "appears or vanishes inside the picture": (
        *("born inside", "dies inside", "frames since birth", "frames to death", "seen near by"),
    ),
    "looks like another object": ("appearance before", "appearance behind", "others before", "others behind"),
    "another object appears in it": ("others born near by",),
    "small or oddly shaped": ("area", "height by width", "filled share of its box", "class"),
    "filled in, not seen": ("interpolated",),
}
MISSING = "missing between frames that have it"  # the reason for places in gaps


@dataclass(frozen=True)
class DoubtModel:
    """The trees, and what is typical of instances that are right."""

    trees: BoostedTrees
    typical: npt.NDArray[np.float64]  # (S,)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> DoubtModel:
        """Make it of a file's arrays: those of `BoostedTrees.from_arrays`, and TYPICAL."""
        return cls(BoostedTrees.from_arrays(arrays), arrays[TYPICAL].astype(float))

    def probability(self, signs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(N,) how likely a person would change each of N items, given their signs (N, S)."""
        return np.asarray(1 / (1 + np.exp(-self.trees.log_odds(signs))))

    def reasons(self, items: Sequence[Item], signs: npt.NDArray[np.float64]) -> list[list[str]]:
        """Why each of N items is doubted, the strongest reason first: without it the odds would be lower."""
        odds = self.trees.log_odds(signs)
        gains = np.zeros((len(signs), len(REASONS)))
        for column, names in enumerate(REASONS.values()):
            which = [SIGNS.index(name) for name in names]
            otherwise = signs.copy()
            otherwise[:, which] = self.typical[which]
            gains[:, column] = odds - self.trees.log_odds(otherwise)
        told = list(REASONS)
        reasons = []
        for item, gain in zip(items, gains, strict=True):
            best = [k for k in np.argsort(-gain)[:MOST_REASONS] if gain[k] >= WORTH_TELLING]
            reasons.append(([MISSING] if item.place < 0 else []) + [told[k] for k in best])
        return reasons


@cache
def doubt_model() -> DoubtModel:
    """Load the one in the package."""
    return DoubtModel.from_arrays(load_file(FILE))
