"""Run-length masks equal those of pycocotools, byte for byte, and overlap is resolved by rank."""

from __future__ import annotations

import tracemalloc
from random import Random
from typing import Any

import numpy as np
import pycocotools.mask as coco
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotator import masks
from annotator.errors import FormatError
from tests.helpers.builders import mask

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
MASKS = arrays.arrays(np.bool_, SIZES)
SAME_SIZE_MASKS = SIZES.flatmap(lambda size: st.lists(arrays.arrays(np.bool_, size), min_size=1, max_size=6))
LABEL_MAPS = arrays.arrays(
    np.int32, SIZES, elements=st.sampled_from([0, 0, 1, 2, 300, 26001]), fill=st.just(0)
)


def official(pixels: np.ndarray) -> dict[str, Any]:
    return dict(coco.encode(np.asfortranarray(pixels, np.uint8)))


@given(MASKS)
def test_encode_and_decode_are_those_of_pycocotools(pixels: np.ndarray) -> None:
    assert masks.encode(pixels) == official(pixels)
    decoded = masks.decode(masks.encode(pixels))
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, pixels)


@given(LABEL_MAPS)
def test_a_label_map_is_encoded_in_one_pass_to_the_same_bytes(label_map: np.ndarray) -> None:
    expected = {int(k): official(label_map == k) for k in np.unique(label_map) if k != 0}
    assert masks.encode_label_map(label_map) == expected
    assert list(masks.encode_label_map(label_map)) == sorted(expected)


@given(LABEL_MAPS)
def test_labels_of_one_name_become_one_mask(label_map: np.ndarray) -> None:
    names = np.zeros(26002, int)
    names[[1, 300, 26001]] = 7, 7, -1
    expected = {-1: label_map == 26001, 7: np.isin(label_map, (1, 300))}
    found = masks.encode_label_map(label_map, names)
    assert found == {k: official(pixels) for k, pixels in expected.items() if pixels.any()}


def test_label_maps_of_every_integer_type() -> None:
    for dtype in (np.uint8, np.uint16, np.int16, np.int32, np.int64):
        label_map = np.array([[255, 0], [255, 1]]).astype(dtype)
        label = int(label_map[0, 0])
        assert masks.encode_label_map(label_map)[label] == official(label_map == label_map[0, 0])


@given(st.data(), SIZES)
def test_a_window_is_encoded_as_the_whole_frame_would_be(data: st.DataObject, size: tuple[int, int]) -> None:
    height, width = data.draw(st.integers(0, size[0])), data.draw(st.integers(0, size[1]))
    top, left = data.draw(st.integers(0, size[0] - height)), data.draw(st.integers(0, size[1] - width))
    window = data.draw(arrays.arrays(np.bool_, (height, width)))
    whole = np.zeros(size, bool)
    whole[top : top + height, left : left + width] = window
    assert masks.encode_window(window, top, left, size) == official(whole)


def test_a_window_that_leaves_the_frame_is_refused() -> None:
    for top, left in ((-1, 0), (0, -1), (3, 0), (0, 3)):
        with pytest.raises(ValueError, match="leaves a frame"):
            masks.encode_window(mask("##", "##"), top, left, (4, 4))


@given(MASKS)
def test_a_mask_is_cut_out_at_its_box(pixels: np.ndarray) -> None:
    rle = masks.encode(pixels)
    window, top, left = masks.decode_window(rle)
    assert masks.encode_window(window, top, left, pixels.shape) == rle
    assert [left, top, *window.shape[::-1]] == masks.boxes_xywh([rle])[0].tolist()


@given(SAME_SIZE_MASKS)
def test_many_masks_are_cut_out_at_once(stack: list[np.ndarray]) -> None:
    windows = [*masks.decode_windows([masks.encode(pixels) for pixels in stack])]
    assert [masks.encode_window(*window, stack[0].shape) for window in windows] == [*map(official, stack)]
    assert [*masks.decode_windows([])] == []


@given(SAME_SIZE_MASKS, st.randoms(use_true_random=False))
def test_pixels_are_looked_up_without_decoding(stack: list[np.ndarray], random: Random) -> None:
    height, width = stack[0].shape
    rows = np.array([[random.randrange(height) for _ in range(3)] for _ in stack])
    columns = np.array([[random.randrange(width) for _ in range(2)] for _ in stack])
    expected = [pixels[np.ix_(r, c)] for pixels, r, c in zip(stack, rows, columns, strict=True)]
    assert np.array_equal(
        masks.sample_pixels([masks.encode(pixels) for pixels in stack], rows, columns), expected
    )
    assert masks.sample_pixels([], rows[:0], columns[:0]).shape == (0, 3, 2)


@given(SAME_SIZE_MASKS)
def test_the_first_mask_that_covers_a_pixel_has_it(stack: list[np.ndarray]) -> None:
    size = stack[0].shape
    rles = [masks.encode(pixels) for pixels in stack]
    expected = np.zeros(size, int)
    for k in reversed(range(len(stack))):
        expected[stack[k]] = k + 1
    assert np.array_equal(masks.paint(rles, size), expected)
    shown = masks.visible(rles, size)
    assert shown == [official(expected == k + 1) for k in range(len(stack))]
    assert masks.are_disjoint(shown)
    assert masks.are_disjoint(rles) == bool(np.sum(stack, axis=0).max() <= 1)


def test_large_masks_are_painted_in_the_memory_of_their_frame() -> None:
    full = [masks.encode(np.ones((2000, 1000), bool))] * 2
    tracemalloc.start()
    try:
        masks.paint(full, (2000, 1000))
        assert tracemalloc.get_traced_memory()[1] < 1.5 * 4 * 2000 * 1000
    finally:
        tracemalloc.stop()


@given(SAME_SIZE_MASKS)
def test_areas_boxes_and_overlaps_are_those_of_dense_masks(stack: list[np.ndarray]) -> None:
    rles = [masks.encode(pixels) for pixels in stack]
    assert masks.areas(rles).tolist() == [int(pixels.sum()) for pixels in stack]
    overlap = masks.iou(rles, rles[:2])
    assert overlap.shape == (len(rles), len(rles[:2]))
    for i, a in enumerate(stack):
        for j, b in enumerate(stack[:2]):
            if (a | b).any():
                assert overlap[i, j] == pytest.approx((a & b).sum() / (a | b).sum())


def test_no_masks_have_no_areas_boxes_or_overlaps() -> None:
    one = [masks.encode(mask("#."))]
    assert masks.areas([]).shape == (0,)
    assert masks.boxes_xywh([]).shape == (0, 4)
    assert (masks.iou([], one).shape, masks.iou(one, []).shape) == ((0, 1), (1, 0))
    assert masks.visible([], (2, 3)) == []
    assert not masks.paint([], (2, 3)).any()
    with pytest.raises(ValueError, match="different sizes"):
        masks.iou(one, [masks.encode(mask("#"))])


def test_there_may_be_more_masks_than_a_byte_counts() -> None:
    many = [masks.encode(mask("##."))] * 300
    assert masks.areas(many).tolist() == [2] * 300
    assert masks.boxes_xywh(many).shape == (300, 4)
    assert masks.iou(many, many).shape == (300, 300)


@given(MASKS)
def test_every_coco_segmentation_becomes_the_same_mask(pixels: np.ndarray) -> None:
    rle, size = masks.encode(pixels), pixels.shape
    runs = np.diff(np.flatnonzero(np.diff(pixels.ravel(order="F"), prepend=0, append=2)), prepend=0)
    counts = [int(n) for n in runs]
    assert masks.to_rle(rle, size) == rle
    assert masks.to_rle({"size": list(size), "counts": rle["counts"].decode()}, size) == rle
    assert masks.to_rle({"size": list(size), "counts": counts}, size) == rle


@given(SAME_SIZE_MASKS)
def test_masks_are_checked_all_at_once(stack: list[np.ndarray]) -> None:
    rles = [masks.encode(pixels) for pixels in stack]
    counts = [rle["counts"] for rle in rles]
    assert masks.from_counts(counts, stack[0].shape) == rles
    for wrong in (b"", b"P", counts[0][:-1], counts[0] + b"1", b"\xff", b"oooooooo0"):
        with pytest.raises(ValueError, match=r"its (runs|counts)"):
            masks.from_counts([*counts, wrong, *counts], stack[0].shape)
    assert masks.from_counts([], (2, 2)) == []


def compressed(*numbers: int, characters: int = 1) -> bytes:
    """The first three counts of a mask as COCO writes them, each in so many characters at least."""
    text = bytearray()
    for number in numbers:
        count = characters
        while not -(1 << 5 * count - 1) <= number < 1 << 5 * count - 1:
            count += 1
        text += bytes(48 + ((number >> 5 * k) & 31 | 32 * (k + 1 < count)) for k in range(count))
    return bytes(text)


@pytest.mark.parametrize(
    "counts",
    [
        compressed(-1, 5),
        compressed(5),
        compressed(2, 1),
        compressed(1, 1, 1, 1, 1, 1),
        compressed(1 << 28, 4 - (1 << 28)),
        compressed(1 << 32, 4),
        compressed((1 << 32) + 1, 3),
        compressed(1, 3, characters=7),
        compressed(1, -(1 << 34), (1 << 34) + 3),
        b"o" * 40 + b"0",
    ],
)
def test_counts_that_are_no_mask_never_reach_pycocotools(counts: bytes) -> None:
    for wrong in ({"size": [2, 2], "counts": counts}, {"size": [2, 2], "counts": counts.decode()}):
        with pytest.raises(FormatError, match=r"its (runs|counts)"):
            masks.to_rle(wrong, (2, 2))
    with pytest.raises(ValueError, match=r"its (runs|counts)"):
        masks.from_counts([counts], (2, 2))


@pytest.mark.parametrize(
    "counts",
    [[], [-1, 5], [5], [2, 1], [2.5, 1.5], [1 << 32, 4], [10**30, 4], [4, None], ["4"], [[4]], [True]],
)
def test_runs_that_are_no_mask_never_reach_pycocotools(counts: list[Any]) -> None:
    with pytest.raises(FormatError, match=r"its (runs|counts)"):
        masks.to_rle({"size": [2, 2], "counts": counts}, (2, 2))


@given(MASKS, st.data())
def test_runs_without_a_pixel_change_nothing(pixels: np.ndarray, data: st.DataObject) -> None:
    runs = np.diff(np.flatnonzero(np.diff(pixels.ravel(order="F"), prepend=0, append=2)), prepend=0).tolist()
    for at in data.draw(st.lists(st.integers(0, len(runs)), max_size=3)):
        runs[at:at] = [0, 0]
    as_written = np.array(runs) - np.pad(np.array(runs), (2, 0))[: len(runs)] * (np.arange(len(runs)) > 2)
    rle = masks.encode(pixels)
    assert masks.to_rle({"size": list(pixels.shape), "counts": runs}, pixels.shape) == rle
    found = masks.from_counts([rle["counts"], compressed(*as_written.tolist()), rle["counts"]], pixels.shape)
    assert found == [rle] * 3


@pytest.mark.parametrize("size", [(1 << 16, 1 << 16), (100_000, 100), (0, 5), (-1, -1), (8_193, 16_384)])
def test_masks_of_frames_that_are_too_large_are_refused(size: tuple[int, int]) -> None:
    counts = compressed(size[0] * size[1])
    with pytest.raises(ValueError, match=r"no frame is|a frame of .* is too large; up to 65,535 a side"):
        masks.from_counts([counts], size)
    with pytest.raises(FormatError, match=r"no frame is|too large"):
        masks.to_rle({"size": list(size), "counts": [size[0] * size[1]]}, size)


@given(SAME_SIZE_MASKS)
def test_many_segmentations_become_the_masks_that_each_becomes(stack: list[np.ndarray]) -> None:
    rles, size = [masks.encode(pixels) for pixels in stack], stack[0].shape
    as_text = [{"size": list(size), "counts": rle["counts"].decode()} for rle in rles]
    assert masks.to_rles(as_text, size) == rles
    polygon = [[0, 0, 1, 0, 1, 1]]
    assert masks.to_rles([*as_text, polygon], size) == [*rles, masks.to_rle(polygon, size)]
    assert masks.to_rles([], size) == []
    with pytest.raises(FormatError, match="not a COCO segmentation"):
        masks.to_rles([*as_text, {"size": list(size), "counts": "P"}], size)


def test_polygons_of_a_segmentation_are_joined() -> None:
    two = masks.to_rle([[0, 0, 2, 0, 2, 1, 0, 1], [3, 0, 4, 0, 4, 2, 3, 2]], (2, 4))
    assert np.array_equal(masks.decode(two), mask("##.#", "...#"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [2, 3], "counts": b"06"},
        {"size": [2, 2], "counts": b"06"},
        {"size": [2, 2], "counts": "P"},
        {"size": [2, 2], "counts": ""},
        {"size": [2, 2], "counts": [1, 9]},
        {"size": [2, 2]},
        [[0, 0, 1, 1]],
        7,
        "text",
    ],
)
def test_what_is_no_segmentation_is_refused(wrong: Any) -> None:
    with pytest.raises(FormatError, match="not a COCO segmentation"):
        masks.to_rle(wrong, (2, 2))
