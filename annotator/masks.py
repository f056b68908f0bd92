"""Run-length masks: encode, decode, measure, compare, paint.

At rest a mask is COCO's compressed RLE: runs of off and on pixels by turns, off first, down the columns.
Every encoder here gives the bytes that pycocotools gives for the same pixels, so equal masks are equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco

from annotator import filling
from annotator.errors import LabelFileError
from annotator.limits import MOST_PIXELS, require_frame_size
from annotator.run_lengths import decompress

Rle = dict[str, Any]  # {"size": [H, W], "counts": bytes}
Window = tuple[npt.NDArray[np.bool_], int, int]  # a mask within a box, top and left of the box

MERGED_ONE_BY_ONE = 32  # masks for which that is faster
SPECK = 0.01  # of a mask: smaller parts are left out, smaller holes are filled


def encode(mask: npt.NDArray[np.bool_]) -> Rle:
    """The RLE of a mask (H, W)."""
    return dict(coco.encode(np.asfortranarray(mask, np.uint8)))


def encode_window(mask: npt.NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> Rle:
    """The RLE, in a frame of `size` (H, W), of a mask (h, w) given in a window of it.

    Work follows the window, not the frame. Raises ValueError when the window leaves the frame.
    """
    height, width = mask.shape
    if top < 0 or left < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(f"a window of {mask.shape} at ({top}, {left}) leaves a frame of {size}")
    # A row of off pixels above keeps runs of neighbouring columns apart, as they are in the frame.
    columns = np.zeros((width, height + 1), np.bool_)
    columns[:, 1:] = mask.T
    flat = np.append(columns.ravel(), False)
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), height + 1)
    bounds = (left + column) * size[0] + top + row
    return _from_runs(bounds[::2], bounds[1::2], size)


def encode_label_map(
    label_map: npt.NDArray[np.integer[Any]], names: npt.NDArray[np.integer[Any]] | None = None
) -> dict[int, Rle]:
    """The RLE of every label but 0 of a label map (H, W), by ascending label, in one pass over the pixels.

    With `names`, label k goes by names[k]; labels of one name are one mask, those named 0 are left out.
    """
    size = (label_map.shape[0], label_map.shape[1])
    flat = _columns(label_map)
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    ends = np.append(starts[1:], flat.size)
    labels = flat[starts] if names is None else names[flat[starts]]
    order = np.argsort(labels, kind="stable")
    found, firsts = np.unique(labels[order], return_index=True)
    of_label = np.split(order, firsts[1:])
    return {
        int(label): _from_runs(starts[runs], ends[runs], size)
        for label, runs in zip(found, of_label, strict=True)
        if label != 0
    }


def decode(rle: Rle) -> npt.NDArray[np.bool_]:
    """The mask (H, W), in column-major memory."""
    [lengths] = _lengths_of_all([rle])
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(rle["size"][1], rle["size"][0]).T


def to_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """The RLE of any COCO segmentation: RLE (compressed as str or bytes, or a list of counts), or polygons.

    Raises FormatError when it doesn't describe a mask of `size` (H, W).
    """
    try:
        require_frame_size(*size)
        if isinstance(segmentation, dict):
            if tuple(segmentation["size"]) != tuple(size):
                raise ValueError(f"a mask of size {segmentation['size']} in a frame of {list(size)}")
            counts = segmentation["counts"]
            if isinstance(counts, list):
                return _from_lengths(_whole_numbers(counts), size)
            return from_counts([counts.encode() if isinstance(counts, str) else counts], size)[0]
        if any(len(ring) < 6 or len(ring) % 2 for ring in segmentation):
            raise ValueError("a polygon with fewer than 3 points")
        rings = [np.array(list(map(float, ring))).reshape(-1, 2) for ring in segmentation]
        return union(fill(rings, size), size)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise LabelFileError(f"not a COCO segmentation: {error}") from error


def to_rles(segmentations: Sequence[Any], size: tuple[int, int]) -> list[Rle]:
    """`to_rle` of N segmentations; those that are compressed RLE, as most are, are checked all at once."""
    try:
        if all(tuple(segmentation["size"]) == tuple(size) for segmentation in segmentations):
            return from_counts([segmentation["counts"].encode() for segmentation in segmentations], size)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        pass  # one by one, to name what is wrong with which
    return [to_rle(segmentation, size) for segmentation in segmentations]


def from_counts(counts: Sequence[bytes], size: tuple[int, int]) -> list[Rle]:
    """The RLEs of N masks of `size` (H, W), given their compressed counts, checked all at once.

    Whatever stood in a file goes through here before pycocotools sees it, which crashes, hangs or answers at random
    when counts are wrong. Runs without a pixel, on which it stumbles too, are taken out. Raises ValueError when one
    of the counts doesn't describe a mask of that size, or when no frame has it.
    """
    require_frame_size(*size)
    rles = [{"size": list(size), "counts": of_mask} for of_mask in counts]
    if rles:
        lengths, first = decompress(counts)
        if np.any(lengths < 0) or np.any(np.add.reduceat(lengths, first) != size[0] * size[1]):
            raise ValueError("its runs don't add up to the frame")
        is_empty = lengths == 0
        is_empty[first] = False  # a mask that begins with its first pixel is written so
        for k in np.unique(np.searchsorted(first, np.flatnonzero(is_empty), side="right") - 1).tolist():
            rles[k] = _from_lengths(np.split(lengths, first[1:])[k], size)
    return rles


def fill(rings: Sequence[npt.NDArray[np.float64]], size: tuple[int, int]) -> list[Rle]:
    """The masks, in a frame of `size` (H, W), that N rings (K, 2) of x and y in pixels are filled to by pycocotools.

    Raises ValueError for what is no ring, or beyond the limits.
    """
    require_frame_size(*size)
    if filling.are_short(rings):
        return list(coco.frPyObjects([ring.ravel().tolist() for ring in rings], *size)) if rings else []
    filled: list[Rle] = []
    for ring in rings:
        filling.require_ring(ring)
        if filling.is_long(ring):
            bounds = filling.run_bounds(ring, size)
            filled.append(_from_lengths(np.diff(bounds, prepend=0, append=size[0] * size[1]), size))
        else:
            filled += coco.frPyObjects([ring.ravel().tolist()], *size)
    return filled


def union(rles: Sequence[Rle], size: tuple[int, int]) -> Rle:
    """The pixels of any of the masks; none gives an empty mask of `size`."""
    if len(rles) == 1:
        return rles[0]
    return _merged(rles) if rles else empty(size)


def empty(size: tuple[int, int]) -> Rle:
    """A mask without a pixel."""
    none = np.zeros(0, np.int64)
    return _from_runs(none, none, size)


def areas(rles: Sequence[Rle]) -> npt.NDArray[np.int64]:
    """Pixels of each of N masks: (N,)."""
    # By 255, because pycocotools.area of release 2.0.11 fails on more.
    parts = [coco.area(list(rles[k : k + 255])) for k in range(0, len(rles), 255)]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def boxes_xywh(rles: Sequence[Rle]) -> npt.NDArray[np.float64]:
    """Left, top, width and height of each of N masks, in pixels, along pixel edges: (N, 4)."""
    return np.asarray(coco.toBbox(list(rles)), np.float64).reshape(len(rles), 4)


def iou(a: Sequence[Rle], b: Sequence[Rle]) -> npt.NDArray[np.float64]:
    """Intersection over union of every mask of `a` with every one of `b`: (len(a), len(b))."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    if len({tuple(rle["size"]) for rle in (*a, *b)}) > 1:
        raise ValueError("masks of different sizes have no overlap")
    return np.asarray(coco.iou(list(a), list(b), [0] * len(b)), np.float64)


def intersections(
    a: Sequence[Rle], b: Sequence[Rle], areas_of_a: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Pixels that every mask of `a` has in common with every one of `b`: (len(a), len(b)), exact."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)), np.int64)
    if len({tuple(rle["size"]) for rle in (*a, *b)}) > 1:
        raise ValueError("masks of different sizes share no pixels")
    # With "crowds" for b, pycocotools divides by the area of a: a ratio that doubles carry back exactly.
    shares = np.asarray(coco.iou(list(a), list(b), [1] * len(b)), np.float64)
    return np.rint(shares * areas_of_a[:, None]).astype(np.int64)


def paint(rles: Sequence[Rle], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """A label map (H, W) of masks given best first: k + 1 where mask k is the first that covers, else 0."""
    bounds, labels = _painted_runs(rles, size)
    return np.repeat(labels, np.diff(bounds)).reshape(size[1], size[0]).T


def visible(rles: Sequence[Rle], size: tuple[int, int]) -> list[Rle]:
    """The masks made disjoint, best first on top. One that is fully hidden stays in its place, empty."""
    if are_disjoint(rles):
        return list(rles)
    bounds, labels = _painted_runs(rles, size)
    order = np.argsort(labels, kind="stable")
    of_label = np.split(order, np.searchsorted(labels[order], np.arange(1, len(rles) + 1)))[1:]
    return [_from_runs(bounds[runs], bounds[runs + 1], size) for runs in of_label]


def _painted_runs(
    rles: Sequence[Rle], size: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """`paint` without its pixels: the bounds (E + 1,) of runs down the columns, and the label of each (E,)."""
    ends = [np.cumsum(lengths) for lengths in _lengths_of_all(rles)]
    bounds = np.sort(np.concatenate([np.array([0, size[0] * size[1]]), *ends]))
    bounds = bounds[np.append(True, bounds[1:] > bounds[:-1])]
    labels = np.zeros(len(bounds) - 1, np.int32)
    for k in reversed(range(len(rles))):
        first, last = (np.searchsorted(bounds, ends[k][begin::2]) for begin in (0, 1))
        often = last - first[: len(last)]
        before = np.cumsum(often) - often
        labels[np.arange(often.sum()) + np.repeat(first[: len(last)] - before, often)] = k + 1
    return bounds, labels


def are_disjoint(rles: Sequence[Rle]) -> bool:
    """Whether no pixel is in two of the masks."""
    if len(rles) < 2:
        return True
    *each, together = areas([*rles, _merged(rles)]).tolist()
    return sum(each) == together


def _merged(rles: Sequence[Rle]) -> Rle:
    """The pixels of any of N >= 1 masks. pycocotools goes through all that it has so far once for every mask."""
    if len(rles) <= MERGED_ONE_BY_ONE:
        return dict(coco.merge(list(rles)))
    lengths, first = decompress([rle["counts"] for rle in rles])
    is_on = (np.arange(len(lengths)) - np.repeat(first, np.diff(first, append=len(lengths)))) % 2 == 1
    ends = np.cumsum(lengths) - np.repeat(
        np.append(0, np.cumsum(lengths))[first], np.diff(first, append=len(lengths))
    )
    starts, ends = (ends - lengths)[is_on], ends[is_on]
    order = np.argsort(starts)
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    return _from_runs(starts, ends, (rles[0]["size"][0], rles[0]["size"][1]))


def decode_window(rle: Rle) -> Window:
    """The mask within its box (h, w), with the top and the left of the box; (0, 0) for an empty mask."""
    return next(decode_windows([rle]))


def decode_windows(rles: Sequence[Rle]) -> Iterator[Window]:
    """Yield `decode_window` of N masks, which are decompressed all at once; of windows, memory holds one."""
    boxes = boxes_xywh(rles).astype(int).tolist()
    heights = (rle["size"][0] for rle in rles)
    for parts in zip(_lengths_of_all(rles), boxes, heights, strict=True):
        yield _in_box(*parts)


def sample_pixels(
    rles: Sequence[Rle], rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """(N, R, C) whether N masks of one size have the pixels where their rows (N, R) and columns (N, C) cross."""
    if not rles:
        return np.zeros((0, rows.shape[1], columns.shape[1]), np.bool_)
    lengths, first = decompress([rle["counts"] for rle in rles])
    bounds = np.cumsum(lengths)
    begins = np.append(0, bounds)[first]
    # Down the columns they ascend if rows and columns do, and are found faster.
    pixels = columns[:, :, None] * rles[0]["size"][0] + (begins[:, None] + rows)[:, None]
    runs = np.searchsorted(bounds, pixels, side="right")
    return np.ascontiguousarray(((runs - first[:, None, None]) & 1).astype(np.bool_).transpose(0, 2, 1))


def sample_grid(
    rles: Sequence[Rle], boxes_xywh: npt.NDArray[np.float64], grid: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Whether N masks of one size have the centres of grid x grid cells of their boxes (N, 4): (N, grid, grid).

    With them, the rows (N, grid) and columns (N, grid) of these centres.
    """
    centres = (np.arange(grid) + 0.5) / grid
    columns, rows = (boxes_xywh[:, axis, None] + centres * boxes_xywh[:, 2 + axis, None] for axis in (0, 1))
    return sample_pixels(rles, rows.astype(np.int64), columns.astype(np.int64)), rows, columns


def _in_box(lengths: npt.NDArray[np.int64], box_xywh: list[int], frame_height: int) -> Window:
    """The mask that runs of these lengths make, within its box."""
    left, top, width, height = box_xywh
    if not width:
        return np.zeros((0, 0), np.bool_), 0, 0
    bounds = np.cumsum(lengths)

    def in_box(pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        column, row = np.divmod(pixels, frame_height)
        return (column - left) * height + row - top

    # Where runs of neighbouring columns touch in the box, one begins as another ends.
    steps = np.zeros(width * height + 1, np.int8)
    steps[in_box(bounds[:-1:2])] += 1
    steps[in_box(bounds[1::2] - 1) + 1] -= 1
    columns = np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_).reshape(width, height)
    return np.ascontiguousarray(columns.T), top, left


def _columns(label_map: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """All pixels of a label map (H, W), down the columns: (W * H,)."""
    if label_map.flags.f_contiguous or label_map.dtype not in (np.uint8, np.uint16, np.int16, np.int32):
        return label_map.ravel(order="F")
    return cv2.transpose(label_map).ravel()  # in blocks: ten times as fast as numpy


def _whole_numbers(counts: list[Any]) -> npt.NDArray[np.int64]:
    """The counts of RLE that isn't compressed. Raises ValueError for what can be none."""
    try:
        numbers = np.asarray(counts)
    except ValueError:  # lists in it
        raise ValueError("its counts are no whole numbers") from None
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or np.any(numbers != np.trunc(numbers)):
        raise ValueError("its counts are no whole numbers")
    if len(numbers) == 0 or numbers.min() < 0 or numbers.max() > MOST_PIXELS:
        raise ValueError("its runs don't add up to the frame")
    return numbers.astype(np.int64)


def _from_lengths(lengths: npt.NDArray[np.int64], size: tuple[int, int]) -> Rle:
    """The RLE of a mask of `size` (H, W), given the lengths of its runs, off first, of which some may be 0."""
    if lengths.sum() != size[0] * size[1]:
        raise ValueError("its runs don't add up to the frame")
    bounds = np.cumsum(np.append(lengths, 0) if len(lengths) % 2 else lengths)
    starts, ends = bounds[::2], bounds[1::2]
    is_there = ends > starts
    return _from_runs(starts[is_there], ends[is_there], size)


def _from_runs(
    starts: npt.NDArray[np.integer[Any]], ends: npt.NDArray[np.integer[Any]], size: tuple[int, int]
) -> Rle:
    """The RLE of ascending runs of on pixels; those that touch become one."""
    apart = starts[1:] > ends[:-1]
    starts = starts[np.append(True, apart)] if len(starts) else starts
    ends = ends[np.append(apart, True)] if len(ends) else ends
    bounds = np.empty(2 * len(starts) + 2, np.int64)
    bounds[0], bounds[-1] = 0, size[0] * size[1]
    bounds[1:-1:2], bounds[2:-1:2] = starts, ends
    counts = np.diff(bounds)
    if counts[-1] == 0:
        counts = counts[:-1]
    return dict(coco.frPyObjects({"size": list(size), "counts": counts}, *size))


def _lengths_of_all(rles: Sequence[Rle]) -> list[npt.NDArray[np.int64]]:
    """The lengths of all runs of each of N masks, off first."""
    if not rles:
        return []
    lengths, first = decompress([rle["counts"] for rle in rles])
    return np.split(lengths, first[1:])
