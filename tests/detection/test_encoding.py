"""Masks of detection are encoded to the bytes of pycocotools."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as coco
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotator.detection.encoding import encode_columns

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
MARGINS = st.tuples(*[st.integers(0, 300)] * 2, *[st.integers(0, 3)] * 2)


@settings(deadline=None)
@given(arrays.arrays(np.bool_, SIZES), MARGINS)
def test_a_window_is_encoded_as_the_whole_frame_would_be(
    pixels: np.ndarray, margins: tuple[int, int, int, int]
) -> None:
    top, bottom, left, right = margins
    whole = np.pad(pixels, ((top, bottom), (left, right)))
    encoded = encode_columns(np.ascontiguousarray(pixels.T), top, left, whole.shape)
    assert encoded == coco.encode(np.asfortranarray(whole, np.uint8))
