"""Outlines are compared as the paper defines it, and as slow and obvious code measures it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cdist

from annotator import masks
from annotator.evaluation import Overlap
from annotator.evaluation.boundary import BoundaryQuality, boundary_iou, boundary_width, contour_distance
from annotator.instances import GroundTruth, Instances
from tests.helpers.builders import blob, frame_ref, mask

PERSON, CAR = 24, 26
SIZE = (80, 120)
PAIRS = st.tuples(st.integers(1, 25), st.integers(1, 25)).flatmap(
    lambda size: st.tuples(arrays.arrays(np.bool_, size), arrays.arrays(np.bool_, size))
)


def plain_boundary(pixels: np.ndarray, width: int) -> np.ndarray:
    """Eroded step by step in a frame with an empty border, as the paper's appendix says."""
    padded = np.pad(pixels, 1).astype(np.uint8)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return (padded - inner)[1:-1, 1:-1] > 0


def contour_points(pixels: np.ndarray) -> np.ndarray:
    padded = np.pad(pixels, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(pixels & ~inner)


@given(PAIRS, st.integers(1, 5))
def test_boundary_iou_is_that_of_the_paper(pair: tuple[np.ndarray, np.ndarray], width: int) -> None:
    a, b = (plain_boundary(pixels, width) for pixels in pair)
    assume((a | b).any())
    first, second = (pixels.astype(np.uint8) for pixels in pair)
    assert boundary_iou(first, second, width) == (a & b).sum() / (a | b).sum()


@given(PAIRS)
def test_contour_distance_is_that_of_all_points_to_all(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assume(all(pixels.any() for pixels in pair))
    between = cdist(*map(contour_points, pair))
    expected = (between.min(axis=0).mean() + between.min(axis=1).mean()) / 2
    first, second = (pixels.astype(np.uint8) for pixels in pair)
    assert contour_distance(first, second) == pytest.approx(expected, rel=0.02)


def test_a_boundary_is_a_fiftieth_of_the_diagonal_wide() -> None:
    assert boundary_width((1024, 2048)) == 46
    assert boundary_width((4, 4)) == 1


def test_a_mask_that_is_a_pixel_off_is_a_pixel_off() -> None:
    a, b = (np.pad(np.ones((30, side), np.uint8), ((5, 5), (5, 40 - side))) for side in (20, 21))
    assert contour_distance(a, b) < 1
    assert boundary_iou(a, b, 1) < boundary_iou(a, b, 5) < 1
    assert (contour_distance(a, a), boundary_iou(a, a, 3)) == (0, 1)


def objects(*drawn: tuple[np.ndarray, int]) -> Instances:
    return Instances.of(
        frame_ref(size=drawn[0][0].shape),
        [masks.encode(pixels) for pixels, _ in drawn],
        [class_id for _, class_id in drawn],
        np.linspace(1, 0.5, len(drawn)),
    )


def quality(*frames: tuple[Instances, GroundTruth]) -> dict:
    score = BoundaryQuality()
    for prediction, truth in frames:
        score.add(prediction, truth, Overlap.of(prediction, truth))
    return score.result()


def test_pairs_are_measured_in_the_frame_as_in_their_window() -> None:
    true, found = blob(SIZE, 40, 60, 20), blob(SIZE, 38, 63, 20)
    result = quality((objects((found, CAR)), GroundTruth(objects((true, CAR)))))
    width = boundary_width(SIZE)
    dense = [pixels.astype(np.uint8) for pixels in (found, true)]
    assert result["boundary_iou"] == boundary_iou(*dense, width)
    assert result["contour_px"] == pytest.approx(contour_distance(*dense))
    assert result["classes"]["car"] == {
        name: result[name] for name in ("boundary_iou", "contour_px", "pairs")
    }


def test_a_pair_is_of_one_class_and_overlaps_by_more_than_half() -> None:
    left, most, all_ = mask("##....", "##...."), mask("####..", "####.."), mask("######", "######")
    truth = GroundTruth(objects((all_, CAR)))
    assert quality((objects((left, CAR), (all_, PERSON)), truth))["pairs"] == 0
    result = quality((objects((most, CAR), (all_, CAR)), truth))
    assert result["pairs"] == 1
    assert result["boundary_iou"] == 1, "of two that match, the one that fits better"


def test_means_are_over_pairs_of_all_frames() -> None:
    true, near, far = blob(SIZE, 40, 60, 20), blob(SIZE, 41, 60, 20), blob(SIZE, 44, 60, 20)
    pairs = [(objects((found, CAR)), GroundTruth(objects((true, CAR)))) for found in (near, far)]
    one, other, both = quality(pairs[0]), quality(pairs[1]), quality(*pairs)
    assert both["pairs"] == 2
    for name in ("boundary_iou", "contour_px"):
        assert both[name] == pytest.approx((one[name] + other[name]) / 2)


def test_classes_that_are_not_labelled_are_left_out() -> None:
    true = blob(SIZE, 40, 60, 20)
    both = objects((true, PERSON), (true, CAR))
    result = quality((both, GroundTruth(both, class_ids=frozenset({CAR}))))
    assert (result["pairs"], result["classes"]["car"]["pairs"]) == (1, 1)


def test_without_pairs_there_are_no_figures() -> None:
    nothing = Instances.of(frame_ref())
    result = quality((nothing, GroundTruth(nothing)))
    assert math.isnan(result["boundary_iou"])
    assert math.isnan(result["classes"]["car"]["contour_px"])
