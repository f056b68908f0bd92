"""Rings follow pixel edges: filled by pycocotools they give the mask back; simplified, nearly so."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotator import masks, polygons
from tests.builders import blob, mask

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 16), st.integers(1, 16)))


def filled(rings: list[polygons.Ring], size: tuple[int, int]) -> np.ndarray:
    return np.any(
        [np.zeros(size, bool), *(masks.decode(polygons.fill(ring, size)) for ring in rings)], axis=0
    )


@given(MASKS)
def test_rings_fill_back_to_the_very_mask(pixels: np.ndarray) -> None:
    back = np.zeros(pixels.shape, bool)
    for part in masks.split_parts(masks.encode(pixels)):
        (outer,) = polygons.outer_rings(part)
        back |= filled([outer], pixels.shape) & ~filled(polygons.holes(part), pixels.shape)
    assert np.array_equal(back, pixels)


@given(MASKS)
def test_rings_run_clockwise_around_corners_only(pixels: np.ndarray) -> None:
    for ring in polygons.outer_rings(masks.encode(pixels)):
        assert polygons.area(ring) > 0
        sides = np.roll(ring, -1, axis=0) - ring
        assert np.all((sides == 0).sum(axis=1) == 1), "every side is horizontal or vertical"
        assert np.all((sides[:, 0] == 0) != (np.roll(sides, 1, axis=0)[:, 0] == 0)), "and the next one is not"


def test_a_square_has_four_corners() -> None:
    (ring,) = polygons.outer_rings(masks.encode(mask("....", ".##.", ".##.")))
    assert sorted(map(tuple, ring.tolist())) == [(1, 1), (1, 3), (3, 1), (3, 3)]
    assert polygons.area(ring) == 4


def test_a_hole_has_a_ring_of_its_own() -> None:
    rle = masks.encode(mask("####", "#..#", "####"))
    (hole,) = polygons.holes(rle)
    assert polygons.area(hole) == 2
    assert np.array_equal(filled(polygons.outer_rings(rle), (3, 4)), mask("####", "####", "####"))


@given(MASKS, st.floats(0.5, 1))
def test_a_simplified_ring_keeps_the_bound(pixels: np.ndarray, bound: float) -> None:
    for ring in polygons.outer_rings(masks.encode(pixels)):
        light = polygons.simplify(ring, bound)
        assert 3 <= len(light) <= len(ring)
        exact = polygons.fill(ring, pixels.shape)
        assert masks.iou([polygons.fill(light, pixels.shape)], [exact])[0, 0] >= bound


def test_a_round_thing_needs_few_vertices() -> None:
    (ring,) = polygons.outer_rings(masks.encode(blob((200, 300), 100, 150, radius=60)))
    assert len(polygons.simplify(ring)) < 0.1 * len(ring)


@pytest.mark.parametrize("shift", [0, 1, 5, 11])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_ring_is_turned_to_begin_where_the_one_before_began(shift: int, direction: int) -> None:
    drawn = np.zeros((90, 120), np.uint8)
    cv2.fillPoly(drawn, [np.array([[10, 10], [90, 20], [70, 50], [80, 80], [20, 60]])], 1)
    (ring,) = polygons.outer_rings(masks.encode(drawn > 0))
    ring = polygons.simplify(ring)
    there = ring + np.array([7, 3])
    moved = np.roll(there, shift, axis=0)[::direction]
    assert np.array_equal(polygons.align(moved, ring), there)


def test_fewer_than_three_points_fill_nothing() -> None:
    assert polygons.fill(np.array([[0.0, 0.0], [3.0, 3.0]]), (4, 4)) == masks.empty((4, 4))
