"""The lengths of runs in COCO's compressed counts, of many masks at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def decompress(counts: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The lengths of the runs of N >= 1 masks one behind the other, and the first of each mask: (N,).

    Compressed counts are numbers of 5 bits a character, low bits first; bit 6 says that more follow, and
    the sign of a number is bit 5 of its last character. From the fourth on they are differences to the
    number two before.
    """
    codes = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(48)  # characters below wrap to above 63
    is_last = codes & 0x20 == 0  # of the characters of a number
    last = np.flatnonzero(is_last)
    behind = np.cumsum([len(of_mask) for of_mask in counts])
    begin = np.append(0, np.searchsorted(last, behind))  # the first number of each mask, and behind all
    is_cut = np.any(np.diff(begin) == 0) or np.any(last[begin[1:] - 1] != behind - 1)
    if is_cut or codes.max() > 63:
        raise ValueError("its counts are cut off or not compressed RLE")
    numbers = _numbers(codes, last, np.flatnonzero(~is_last))
    begin, runs = begin[:-1], np.diff(begin)
    is_on = ((np.arange(len(numbers)) - np.repeat(begin, runs)) & 1).astype(np.bool_)
    first = numbers[begin]
    numbers[begin] = 0  # no later one is a difference to it
    on = np.cumsum(np.where(is_on, numbers, 0))
    off = np.cumsum(numbers) - on
    lengths = np.where(is_on, on - np.repeat(on[begin], runs), off - np.repeat(off[begin], runs))
    lengths[begin] = first
    return lengths, begin


def _numbers(
    codes: npt.NDArray[np.uint8], last: npt.NDArray[np.intp], low: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64]:
    """The numbers (K,) that characters hold, given each one's last character, and the few that come before."""
    numbers = ((codes.take(last) << 3).view(np.int8) >> 3).astype(np.int64)  # 5 bits and their sign
    if len(low):
        of = np.searchsorted(last, low)
        first = np.flatnonzero(np.append(True, of[1:] != of[:-1]))
        count = np.diff(first, append=len(low))
        if count.max() > 5:  # the sixth may not be followed: pycocotools shifts numbers of 32 bits
            raise ValueError("its counts hold a number that is too large")
        place = np.arange(len(low)) - np.repeat(first, count)
        bits = (codes.take(low) & 0x1F).astype(np.int64) << 5 * place
        long = of[first]
        numbers[long] = (numbers[long] << 5 * count) + np.add.reduceat(bits, first)
    return numbers
