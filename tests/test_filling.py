"""Polygons are filled by the rule of pycocotools, wherever their vertices lie and however many they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as coco
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator import filling, limits, masks

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
FAR = 2_000  # pixels: where pycocotools can still follow


def rings(reach: float) -> st.SearchStrategy[np.ndarray]:
    number = st.one_of(
        st.integers(-int(reach), int(reach)).map(float),
        st.integers(-10 * int(reach), 10 * int(reach)).map(lambda n: n / 10),
        st.floats(-reach, reach),
    )
    return st.lists(st.tuples(number, number), min_size=3, max_size=12).map(lambda points: np.array(points))


def official(ring: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    return dict(coco.frPyObjects([ring.ravel().tolist()], *size)[0])


def crossing_filled(ring: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """The mask by way of crossings, whatever the length of the border."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "LONG", 0)
        return masks.fill([ring], size)[0]


@given(st.one_of(rings(40), rings(FAR)), SIZES)
def test_crossings_give_the_bytes_of_pycocotools(ring: np.ndarray, size: tuple[int, int]) -> None:
    assert crossing_filled(ring, size) == official(ring, size)


@given(rings(40), SIZES)
def test_crossings_by_small_blocks_are_the_same(ring: np.ndarray, size: tuple[int, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "BLOCK", 7)
        assert crossing_filled(ring, size) == official(ring, size)


@given(st.lists(rings(40), max_size=4), SIZES)
def test_rings_near_the_frame_go_to_pycocotools(several: list[np.ndarray], size: tuple[int, int]) -> None:
    assert masks.fill(several, size) == [official(ring, size) for ring in several]


@given(st.integers(FAR, limits.FARTHEST), st.integers(0, 20), st.integers(0, 20), SIZES)
def test_a_far_corner_fills_what_one_nearby_does(
    far: int, top: int, left: int, size: tuple[int, int]
) -> None:
    """Edges along the axes look the same in the frame wherever they end."""
    near, beyond = (np.array([[left, top], [x, top], [x, x], [left, x]], np.float64) for x in (100, far))
    assert crossing_filled(beyond, size) == official(near, size)


def test_long_edges_far_outside_take_no_memory() -> None:
    zigzag = np.array([[(-1) ** k * limits.FARTHEST, 7 * k % 1000 - 500] for k in range(60_000)], np.float64)
    [filled] = masks.fill([zigzag], (20, 20))  # 80 GB by pycocotools, if it didn't crash
    assert masks.fill([zigzag[::-1]], (20, 20)) == [filled]


def test_a_border_of_very_many_points_is_bounded() -> None:
    comb = np.array([[900 * (k % 2), k / 40] for k in range(40_000)], np.float64)
    [filled] = masks.fill([comb], (1000, 900))
    assert masks.areas([filled])[0] < 900_000
    worse = np.array([[60_000 * (k % 2), k % 7] for k in range(2_000)], np.float64)
    with pytest.raises(ValueError, match=r"border crosses 120,000,000 columns; up to 67,108,864 are read"):
        masks.fill([worse], (10, 60_000))


@pytest.mark.parametrize(
    ("ring", "why"),
    [
        (np.zeros((2, 2)), "a polygon of 2 points"),
        (np.zeros((limits.MOST_VERTICES + 1, 2)), "a polygon of 1,000,001 points; up to 1,000,000 are read"),
        (np.array([[0, 0], [1, np.nan], [1, 1]]), "a point that is no number"),
        (np.array([[0, 0], [np.inf, 1], [1, 1]]), "beyond 1,000,000 pixels"),
        (np.array([[0, 0], [-1_000_001, 1], [1, 1]]), "beyond 1,000,000 pixels"),
    ],
)
def test_what_is_no_ring_is_refused(ring: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        masks.fill([ring], (10, 10))


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_very_many_masks_are_joined_as_few_are(height: int, width: int, data: st.DataObject) -> None:
    bits = st.lists(st.booleans(), min_size=height * width, max_size=height * width)
    stack = [np.array(data.draw(bits)).reshape(height, width) for _ in range(3)]
    many = [masks.encode(pixels) for pixels in stack] * 20
    assert masks.union(many, (height, width)) == masks.encode(np.any(stack, axis=0))
    assert not masks.are_disjoint(many) or not np.any(stack)
