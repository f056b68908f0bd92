"""Specks and small holes of masks are found as scipy finds components."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from annotator.detection.components import remove_small_components

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def plainly_without_specks(pixels: np.ndarray, share: float) -> np.ndarray:
    smallest = share * pixels.sum()
    solid = pixels.copy()
    parts, count = ndimage.label(~np.pad(pixels, 1))
    for number in range(1, count + 1):
        if number != parts[0, 0] and (parts == number).sum() < smallest:
            solid |= (parts == number)[1:-1, 1:-1]
    parts, count = ndimage.label(solid, np.ones((3, 3)))
    sizes = [(parts == number).sum() for number in range(1, count + 1)]  # by first pixel, as scipy counts
    for number, size in enumerate(sizes, 1):
        if size < smallest and not (max(sizes) < smallest and number == 1 + int(np.argmax(sizes))):
            solid[parts == number] = False
    return solid


@settings(deadline=None)
@given(MASKS, st.sampled_from([0.0, 0.01, 0.1, 0.3]))
def test_specks_are_small_parts_and_small_holes(pixels: np.ndarray, share: float) -> None:
    columns = np.ascontiguousarray(pixels.T)
    remove_small_components(columns, share)
    assert np.array_equal(columns.T, plainly_without_specks(pixels, share))


def test_a_bay_at_the_border_of_a_large_mask_is_no_hole() -> None:
    pixels = np.ones((600, 600), bool)
    pixels[300, 0] = False
    cleaned = pixels.copy()
    remove_small_components(cleaned, 0.01)
    assert np.array_equal(cleaned, pixels)
