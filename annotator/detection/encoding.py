"""Masks to COCO's compressed RLE, as `annotator.masks.encode_window` does it, in machine code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotator.detection.compiled import compiled
from annotator.detection.components import runs
from annotator.masks import Rle


def encode_columns(columns: npt.NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> Rle:
    """The RLE, in a frame of `size` (H, W), of the columns (w, h) of a mask in a window of it."""
    return {"size": list(size), "counts": _compressed(columns, top, left, *size).tobytes()}


@compiled
def _compressed(
    columns: npt.NDArray[np.bool_], top: int, left: int, height: int, width: int
) -> npt.NDArray[np.uint8]:
    """The characters of a mask's counts: `annotator.run_lengths.decompress` tells what they mean."""
    starts, ends, first = runs(columns, True)
    lengths, count = np.empty(2 * len(starts) + 1, np.int64), 0
    before = 0  # where the last run ended, down the columns of the frame
    for column in range(len(columns)):
        begin = (left + column) * height + top
        for run in range(first[column], first[column + 1]):
            if count and begin + starts[run] == before:
                lengths[count - 1] += ends[run] - starts[run]
            else:
                lengths[count], lengths[count + 1] = begin + starts[run] - before, ends[run] - starts[run]
                count += 2
            before = begin + ends[run]
    if before < height * width:
        lengths[count] = height * width - before
        count += 1
    codes, at = np.empty(7 * count, np.uint8), 0
    for k in range(count):
        number = lengths[k] - (lengths[k - 2] if k > 2 else 0)
        is_last = False
        while not is_last:
            bits = number & 31
            number >>= 5
            is_last = number == (-1 if bits & 16 else 0)
            codes[at] = bits + (48 if is_last else 80)
            at += 1
    return codes[:at]
