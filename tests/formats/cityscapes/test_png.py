"""Plain PNGs are decoded as OpenCV decodes them, whatever their filters; any other is left to others."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from annotator.formats.cityscapes import png

FILTERS = {"none": 8, "sub": 16, "up": 32, "average": 64, "paeth": 128, "all": 248}
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def written(pixels: np.ndarray, png_filter: int = 248, strategy: int = 0) -> bytes:
    options = [cv2.IMWRITE_PNG_FILTER, png_filter, cv2.IMWRITE_PNG_STRATEGY, strategy]
    return cv2.imencode(".png", pixels, options)[1].tobytes()


def decoded(content: bytes) -> np.ndarray | None:
    rows = png.inflate(content)
    return png.unfilter(rows) if rows else None


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays.arrays(dtype, SIZES)),
    st.sampled_from(list(FILTERS.values())),
)
def test_any_pixels_with_any_filter(pixels: np.ndarray, png_filter: int) -> None:
    found = decoded(written(pixels, png_filter))
    assert found is not None
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_of_more_bytes_than_one_block_stores(dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (300, 401)).astype(dtype)
    assert np.array_equal(decoded(written(pixels)), pixels)


@given(
    st.one_of(
        st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays.arrays(dtype, SIZES)),
        arrays.arrays(np.uint8, SIZES.map(lambda size: (*size, 3))),
    )
)
def test_what_is_encoded_is_read_by_others(pixels: np.ndarray) -> None:
    content = png.encode(pixels)
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.dtype == pixels.dtype
    assert np.array_equal(found if pixels.ndim == 2 else found[..., ::-1], pixels)
    with Image.open(io.BytesIO(content)) as picture:  # which checks checksums
        picture.verify()


def test_some_rows_alone() -> None:
    pixels = np.zeros((50, 60), np.uint8)
    pixels[20:30, 10:40] = 255
    rows = png.inflate(written(pixels, FILTERS["paeth"]))
    assert rows is not None
    part = png.unfilter(rows._replace(filtered=rows.filtered[20:35]))
    assert np.array_equal(part, pixels[20:35])


def interlaced(content: bytes) -> bytes:
    return content[:28] + b"\1" + content[29:]


def of_unknown_filter(pixels: np.ndarray) -> bytes:
    rows = np.hstack([np.full((len(pixels), 1), 9, np.uint8), pixels])
    chunks = (
        (b"IHDR", png.HEAD.pack(pixels.shape[1], len(pixels), 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
    )
    return png.SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + bytes(4) for kind, content in chunks
    )


GREY = np.arange(100, dtype=np.uint8).reshape(10, 10)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        png.SIGNATURE,
        b"not a picture" * 10,
        written(GREY)[:55],
        written(GREY)[:52] + b"\0" + written(GREY)[53:],
        written(np.dstack([GREY] * 3)),
        interlaced(written(GREY)),
        written(GREY).replace(b"IDAT", b"IDAX"),
        written(GREY)[:16] + struct.pack(">II", 1 << 20, 1 << 20) + written(GREY)[24:],
        written(GREY)[:16] + struct.pack(">II", 0, 10) + written(GREY)[24:],
    ],
    ids=["empty", "bare", "text", "cut", "damaged", "colour", "interlaced", "no rows", "huge", "no width"],
)
def test_what_is_not_plain_and_sound_is_left_to_others(content: bytes) -> None:
    assert decoded(content) is None


def test_a_filter_that_there_is_not_is_no_traceback() -> None:
    found = decoded(of_unknown_filter(GREY))
    assert found is None or found.shape == GREY.shape
