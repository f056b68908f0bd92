"""Rings follow pixel edges: filled by pycocotools they give the mask back; simplified, nearly so, side by side."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotator import masks, polygons
from annotator.polygons import Limits, Polygons, Ring, polygonize
from annotator.polygons.borders import trace
from annotator.polygons.rings import with_keyholes
from annotator.polygons.vertex_removal import are_alone, removal_order
from tests.helpers.builders import blob, mask

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 16), st.integers(1, 16)))
LABEL_MAPS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=st.integers(0, 3)
)
EXACT = Limits(min_iou=1)


def filled(rings: list[Ring], size: tuple[int, int]) -> np.ndarray:
    back = [masks.decode(rle) for rle in polygons.fill_all(rings, size)]
    return np.any([np.zeros(size, bool), *back], axis=0)


def outlined(label_map: np.ndarray, limits: Limits = polygons.Limits()) -> list[Polygons]:  # noqa: B008
    encoded = masks.encode_label_map(label_map)
    return polygonize(list(encoded.values()), label_map.shape, limits)


def ring_of(pixels: np.ndarray, limits: Limits = EXACT) -> Ring:
    """The ring of a mask in one piece."""
    (of_mask,) = outlined(pixels.astype(np.uint8), limits)
    (part,) = of_mask.parts
    return part.ring


@given(LABEL_MAPS)
def test_rings_fill_back_to_the_very_label_map(label_map: np.ndarray) -> None:
    borders = trace(label_map)
    for label in np.unique(label_map[label_map > 0]):
        rings = [outline for outline in borders.outlines if outline.label == label]
        outers = [outline.ring(borders.arcs) for outline in rings if outline.area > 0]
        # Holes may hold further parts: what is within an odd number of rings is on.
        depth = sum(
            masks.decode(polygons.fill(outline.ring(borders.arcs), label_map.shape)).astype(int)
            for outline in rings
        )
        assert np.array_equal(depth % 2 == 1, label_map == label)
        count, _ = cv2.connectedComponents((label_map == label).astype(np.uint8), connectivity=8)
        assert len(outers) == count - 1


@given(LABEL_MAPS)
def test_rings_run_along_pixel_edges_and_every_border_is_there_once(label_map: np.ndarray) -> None:
    borders = trace(label_map)
    sides = [tuple(sorted(map(tuple, pair))) for arc in borders.arcs for pair in _unit_sides(arc)]
    assert len(sides) == len(set(sides))
    padded = np.pad(label_map, 1)
    assert len(sides) == sum(np.count_nonzero(np.diff(padded.astype(int), axis=axis)) for axis in (0, 1))


def _unit_sides(arc: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    sides = []
    for begin, end in pairwise(arc):
        steps = int(np.abs(end - begin).sum())
        assert steps == np.abs(end - begin).max(), "horizontal or vertical"
        points = np.linspace(begin, end, steps + 1)
        sides += list(pairwise(points))
    return sides


def test_a_square_has_four_corners() -> None:
    ring = ring_of(mask("....", ".##.", ".##."))
    assert sorted(map(tuple, ring.tolist())) == [(1, 1), (1, 3), (3, 1), (3, 3)]
    assert polygons.area(ring) == 4


def test_a_hole_is_filled_or_cut_in_with_a_keyhole() -> None:
    pixels = mask("####", "#..#", "####")
    assert np.array_equal(filled([ring_of(pixels)], (3, 4)), mask("####", "####", "####"))
    assert np.array_equal(filled([ring_of(pixels, Limits(min_iou=1, keyholes=True))], (3, 4)), pixels)
    for keyholes, lost in ((False, 1), (True, 0)):
        (of_mask,) = outlined(pixels.astype(np.uint8), Limits(keyholes=keyholes))
        assert (of_mask.lost_holes, of_mask.parts[0].holes) == (lost, 1)


@given(MASKS)
def test_keyholes_leave_every_hole_open(pixels: np.ndarray) -> None:
    borders = trace(pixels.astype(np.uint8))
    rings = {False: [], True: []}
    for each in borders.outlines:
        rings[each.area < 0].append(each.ring(borders.arcs))
    if len(rings[False]) == 1:
        whole = with_keyholes(rings[False][0], rings[True])
        assert np.array_equal(filled([whole], pixels.shape), pixels)


def test_a_hole_is_cut_into_the_part_that_it_is_in() -> None:
    pixels = mask(
        "############",
        "#..........#",
        "#..#####...#",
        "#..#...#...#",
        "#..#...#...#",
        "#..#####...#",
        "#..........#",
        "############",
    )
    (of_mask,) = outlined(pixels.astype(np.uint8), Limits(min_iou=1, keyholes=True))
    assert [part.holes for part in of_mask.parts] == [1, 1]
    assert np.array_equal(filled([part.ring for part in of_mask.parts], pixels.shape), pixels)


@settings(deadline=None)
@given(LABEL_MAPS, st.floats(0.5, 1), st.booleans())
def test_simplified_rings_keep_the_bound(label_map: np.ndarray, bound: float, keyholes: bool) -> None:
    for of_mask in outlined(label_map, Limits(bound, keyholes=keyholes)):
        for part in of_mask.parts:
            back = polygons.fill(part.ring, label_map.shape)
            assert masks.iou([back], [part.exact])[0, 0] == part.iou >= bound
            assert len(part.ring) >= 3
            assert np.all(part.ring >= 0)
            assert np.all(part.ring <= label_map.shape[::-1])


def crowded(seed: int) -> np.ndarray:
    """Twelve discs that lie over each other, as in a street."""
    rng = np.random.default_rng(seed)
    label_map = np.zeros((120, 200), np.uint8)
    for label in range(1, 13):
        label_map[blob(label_map.shape, rng.uniform(0, 120), rng.uniform(0, 200), rng.uniform(8, 35))] = label
    return label_map


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("bound", "depth"), [(0.9, 8), (0.97, 4)])
def test_neighbours_neither_overlap_nor_leave_a_gap(seed: int, bound: float, depth: int) -> None:
    label_map = crowded(seed)
    parts = [part for of_mask in outlined(label_map, Limits(bound)) for part in of_mask.parts]
    back = polygons.fill_all([part.ring for part in parts], label_map.shape)
    assert masks.are_disjoint(back)
    drawn = [shapely.Polygon(part.ring) for part in parts]  # invalid where they touch themselves in a corner
    assert shapely.coverage_is_valid([polygon for polygon in drawn if polygon.is_valid])
    assert not any(polygons.crosses_itself(part.ring) for part in parts)
    # As far within what is labelled as its rim may be off, every pixel is somebody's.
    labelled = (np.pad(label_map, 1) > 0).astype(np.uint8)
    inside = cv2.erode(labelled, np.ones((2 * depth - 1, 2 * depth - 1)))[1:-1, 1:-1] > 0
    assert not np.any(inside & ~np.any([masks.decode(rle) for rle in back], axis=0))


@pytest.mark.parametrize(
    ("ring", "crosses"),
    [
        ([(0, 0), (10, 10), (10, 0), (0, 10)], True),  # a bow tie
        ([(0, 0), (10, 0), (10, 10), (0, 10)] * 2, True),  # twice around
        ([(0, 0), (10, 0), (10, 10), (0, 10)], False),
        (
            [(0, 0), (5, 0), (5, 5), (9, 5), (9, 9), (5, 9), (5, 5), (0, 5)],
            False,
        ),  # touches itself in a corner
    ],
)
def test_rings_that_cross_themselves_are_known(ring: list[tuple[int, int]], crosses: bool) -> None:
    assert polygons.crosses_itself(np.array(ring, np.float64)) == crosses
    assert not polygons.crosses_itself(
        with_keyholes(
            np.array([(0, 0), (20, 0), (20, 20), (0, 20)], np.float64),
            [np.array([(5, 5), (5, 9), (9, 9), (9, 5)], np.float64)],
        )
    )


def test_a_round_thing_needs_few_vertices() -> None:
    disc = blob((200, 300), 100, 150, radius=60)
    assert len(ring_of(disc, Limits())) < 0.04 * len(ring_of(disc))


def test_vertices_go_by_how_little_they_say() -> None:
    house = np.array([[0, 10], [0, 0], [5, -1], [10, 0], [10, 5], [10, 10], [4, 10]], np.float64)
    free = np.ones(len(house), bool)
    assert set(removal_order(house, free)[:2]) == {4, 6}  # on straight lines
    assert removal_order(house, free)[2:] == [2]  # the roof; four stay
    assert removal_order(house, ~free) == []


@given(LABEL_MAPS)
def test_vertices_of_common_borders_stay(label_map: np.ndarray) -> None:
    rings = [part.ring for of_mask in outlined(label_map, EXACT) for part in of_mask.parts]
    for ring, is_free in zip(rings, are_alone(rings), strict=True):
        others = {tuple(point) for other in rings if other is not ring for point in other.tolist()}
        assert all(
            tuple(point) not in others for point, free in zip(ring.tolist(), is_free, strict=True) if free
        )
        gone = removal_order(ring, is_free)
        assert len(ring) - len(gone) >= min(len(ring), 4)
        assert all(is_free[gone])


def test_small_round_things_need_few_vertices_too() -> None:
    for radius in (8, 12, 20):
        assert len(ring_of(blob((60, 60), 30, 30, radius), Limits())) <= 10


def test_vertices_can_be_limited_at_the_cost_of_overlap() -> None:
    disc = blob((200, 300), 100, 150, radius=60)
    for most in (4, 6, 10):
        assert 3 <= len(ring_of(disc, Limits(max_vertices=most))) <= most
    for of_mask in outlined(crowded(1), Limits(max_vertices=8)):
        assert sum(len(part.ring) > 12 for part in of_mask.parts) == 0, "what neighbours need comes on top"


def test_parts_hang_together_over_corners_and_come_largest_first() -> None:
    pixels = mask("#....###", ".#...###", "........", "...##...")
    (of_mask,) = outlined(pixels.astype(np.uint8), EXACT)
    parts = [masks.decode(part.exact) for part in of_mask.parts]
    assert np.array_equal(parts[0], mask(".....###", ".....###", "........", "........"))
    small = (
        mask("#.......", ".#......", "........", "........"),
        mask("........", "........", "........", "...##..."),
    )
    assert sorted(part.tolist() for part in parts[1:]) == sorted(part.tolist() for part in small)


def test_specks_are_left_out_and_counted() -> None:
    pixels = blob((60, 60), 30, 30, 20)
    pixels[2, 2] = pixels[57, 57] = True
    (of_mask,) = outlined(pixels.astype(np.uint8))
    assert (len(of_mask.parts), of_mask.lost_parts) == (1, 2)


@pytest.mark.parametrize("shift", [0, 1, 5, 11])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_ring_is_turned_to_begin_where_the_one_before_began(shift: int, direction: int) -> None:
    drawn = np.zeros((90, 120), np.uint8)
    cv2.fillPoly(drawn, [np.array([[10, 10], [90, 20], [70, 50], [80, 80], [20, 60]])], 1)
    ring = ring_of(drawn, Limits())
    there = ring + np.array([7, 3])
    moved = np.roll(there, shift, axis=0)[::direction]
    assert np.array_equal(polygons.align(moved, ring), there)


def test_fewer_than_three_points_fill_nothing() -> None:
    assert polygons.fill(np.array([[0.0, 0.0], [3.0, 3.0]]), (4, 4)) == masks.empty((4, 4))
