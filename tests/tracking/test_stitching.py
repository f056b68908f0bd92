"""What is said of two tracklets: trees, what lies between, and their classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.instances import Instances
from annotator.masks import encode_window
from annotator.tracking.boosting import BoostedTrees, stitching_trees
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import CameraMotion
from annotator.tracking.endpoints import Endpoints
from annotator.tracking.pair_features import OcclusionAlongPath
from annotator.tracking.stitching import PairScorer, pairs_within
from tests.helpers.builders import frame_ref

SIZE = (100, 400)
CAR, TRUCK = 26, 27


def random_trees(rng: np.random.Generator, trees: int, cues: int) -> dict[str, npt.NDArray[np.generic]]:
    """Trees that grow at random, with up to 15 nodes each."""
    arrays = {
        "cues": rng.integers(0, cues, (trees, 15)).astype(np.uint8),
        "thresholds": rng.normal(size=(trees, 15)).astype(np.float32),
        "low": np.tile(np.arange(15, dtype=np.uint8), (trees, 1)),
        "high": np.tile(np.arange(15, dtype=np.uint8), (trees, 1)),
        "values": rng.normal(size=(trees, 15)).astype(np.float32),
        "constant": rng.normal(size=1).astype(np.float32),
    }
    for tree in range(trees):
        leaves, free = [0], 1
        for _ in range(rng.integers(0, 8)):
            node = leaves.pop(rng.integers(len(leaves)))
            arrays["low"][tree, node], arrays["high"][tree, node] = free, free + 1
            leaves += [free, free + 1]
            free += 2
    return dict(arrays)


def by_hand(arrays: dict[str, npt.NDArray[np.generic]], row: npt.NDArray[np.float64]) -> float:
    """The log-odds of one pair, walked node by node."""
    total = float(arrays["constant"][0])
    for tree in range(len(arrays["cues"])):
        node = 0
        while arrays["low"][tree, node] != node:
            is_low = row[arrays["cues"][tree, node]] <= arrays["thresholds"][tree, node]
            node = int(arrays["low" if is_low else "high"][tree, node])
        total += float(arrays["values"][tree, node])
    return total


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), trees=st.integers(1, 6), rows=st.integers(0, 5))
def test_boosted_trees_add_what_each_says(seed: int, trees: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    arrays, cues = random_trees(rng, trees, 4), rng.normal(size=(rows, 4))
    expected = [by_hand(arrays, row) for row in cues]
    np.testing.assert_allclose(BoostedTrees.from_arrays(arrays).log_odds(cues), expected, rtol=1e-9)


def test_many_pairs_are_told_as_one_by_one() -> None:
    cues = np.random.default_rng(0).normal(size=(5000, 32))
    each = np.concatenate([stitching_trees().log_odds(row[None]) for row in cues[::500]])
    np.testing.assert_array_equal(stitching_trees().log_odds(cues)[::500], each)


def scene(*frames: dict[int, int], classes: dict[int, int] | None = None) -> list[Detections]:
    """Objects of 20x20 pixels: in each frame {left edge: top edge}."""
    seen = []
    for index, objects in enumerate(frames):
        masks = [encode_window(np.ones((20, 20), np.bool_), top, left, SIZE) for left, top in objects.items()]
        kinds = [(classes or {}).get(left, CAR) for left in objects]
        found = Instances.of(frame_ref(index, SIZE), masks, kinds, np.linspace(1, 0.9, len(masks)))
        seen.append(Detections.from_instances(found, 0))
    return seen


def covered(frames: list[Detections]) -> list[float]:
    """What is covered of the way from the first object of the first frame to that of the last."""
    times, only = np.arange(len(frames), dtype=float), np.array([0])
    before, after = (
        Endpoints.of_tracks([[(frame, 0)]], only, frames, times, CameraMotion.still(frames), is_end)[0]
        for frame, is_end in ((0, True), (len(frames) - 1, False))
    )
    return OcclusionAlongPath(frames).mean_share(before, after, only, only).tolist()


@pytest.mark.parametrize(
    ("between", "share"),
    [
        ([{}, {}], 0.0),
        ([{20: 40}, {30: 40}], 1.0),  # right on the way, which goes 10 pixels a frame
        ([{20: 40}, {}], 0.5),
        ([{10: 40}, {20: 40}], 0.5),  # half of it
        ([{200: 0}, {200: 0}], 0.0),
    ],
)
def test_what_others_cover_of_the_way(between: list[dict[int, int]], share: float) -> None:
    assert covered(scene({10: 40}, *between, {40: 40})) == pytest.approx([share])


def test_nothing_lies_between_neighbouring_frames() -> None:
    assert covered(scene({10: 40}, {12: 40})) == [0]


def alike(classes: list[int]) -> float:
    """Log-odds by class of the pair of tracklets around frame 10, where frames show an object of these classes."""
    frames = [scene({10: 40}, classes={10: kind})[0] for kind in classes]
    middle = len(classes) // 2
    tracks = [[(k, 0) for k in range(middle)], [(k, 0) for k in range(middle, len(classes))]]
    times = np.arange(len(classes), dtype=float)
    scorer = PairScorer(tracks, frames, times, CameraMotion.still(frames), stitching_trees())
    _, pairs = scorer.candidates(tracks, np.array([0]), np.array([1]))
    return float(pairs.affinity[0])


def test_other_classes_part_objects_where_classes_never_change_and_less_where_they_do() -> None:
    assert alike([CAR] * 20) == 0
    steady = alike([CAR] * 10 + [TRUCK] * 10)
    trembling = alike(
        [CAR, CAR, TRUCK, CAR, CAR, CAR, TRUCK, CAR, CAR, CAR] + [TRUCK, TRUCK, CAR, TRUCK, TRUCK] * 2
    )
    assert steady < -4 < trembling < 0


def test_pairs_of_unchanged_tracks_are_told_as_anew() -> None:
    frames = scene({10: 40}, {12: 40}, {}, {17: 40}, {18: 40}, {}, {22: 40}, {24: 40})
    times, camera = np.arange(8.0), CameraMotion.still(frames)
    apart = [[(0, 0), (1, 0)], [(3, 0), (4, 0)], [(6, 0), (7, 0)]]
    partly = [apart[0] + apart[1], apart[2]]
    scorer = PairScorer(apart, frames, times, camera, stitching_trees())
    once, again = (scorer.log_odds(apart, *pairs_within(apart, times, 25)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert len(once) == 3
    anew = PairScorer(apart, frames, times, camera, stitching_trees()).log_odds(
        partly, *pairs_within(partly, times, 25)
    )
    np.testing.assert_array_equal(scorer.log_odds(partly, *pairs_within(partly, times, 25)), anew)
