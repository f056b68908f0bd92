"""Connected components of masks, by the runs of their columns: specks and small holes are taken out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotator.detection.compiled import compiled
from annotator.masks import SPECK

Indices = npt.NDArray[np.int64]


@compiled
def remove_small_components(columns: npt.NDArray[np.bool_], share: float = SPECK) -> None:
    """Leave out, in the columns (W, H) of a mask, 8-connected parts, and 4-connected holes, of less than a share of it.

    Of nothing but such parts the largest is left, the first of several along the rows.
    """
    starts, ends, first = runs(columns, False)
    pixels = columns.size
    for run in range(len(starts)):
        pixels -= ends[run] - starts[run]
    smallest = share * pixels
    parts = _parts(starts, ends, first, 0)
    sizes = _sizes(parts, starts, ends)
    is_outside = np.zeros(len(parts), np.bool_)
    height, last = columns.shape[1], len(columns) - 1
    for column in range(len(columns)):
        for run in range(first[column], first[column + 1]):
            if column == 0 or column == last or starts[run] == 0 or ends[run] == height:
                is_outside[parts[run]] = True
    for column in range(len(columns)):
        for run in range(first[column], first[column + 1]):
            if not is_outside[parts[run]] and sizes[parts[run]] < smallest:
                for row in range(starts[run], ends[run]):
                    columns[column, row] = True
    _remove_small_parts(columns, smallest)


@compiled
def _remove_small_parts(columns: npt.NDArray[np.bool_], smallest: float) -> None:
    starts, ends, first = runs(columns, True)
    parts = _parts(starts, ends, first, 1)
    sizes = _sizes(parts, starts, ends)
    largest, begin = 0, columns.size  # where it begins, along the rows
    for column in range(len(columns)):
        for run in range(first[column], first[column + 1]):
            size, at = sizes[parts[run]], starts[run] * len(columns) + column
            if size > sizes[largest] or (size == sizes[largest] and at < begin):
                largest, begin = parts[run], at
    for column in range(len(columns)):
        for run in range(first[column], first[column + 1]):
            if sizes[parts[run]] < smallest and parts[run] != largest:
                for row in range(starts[run], ends[run]):
                    columns[column, row] = False


@compiled
def runs(columns: npt.NDArray[np.bool_], value: bool) -> tuple[Indices, Indices, Indices]:
    """Where the R runs of a value start and end in their columns (W, H), and the first of each column (W + 1,)."""
    width, height = columns.shape
    most = width * ((height + 1) // 2)
    starts, ends, first = np.empty(most, np.int64), np.empty(most, np.int64), np.zeros(width + 1, np.int64)
    count = 0
    for column in range(width):
        is_in = False
        for row in range(height):
            if columns[column, row] == value:
                if not is_in:
                    starts[count] = row
                    is_in = True
            elif is_in:
                ends[count] = row
                count += 1
                is_in = False
        if is_in:
            ends[count] = height
            count += 1
        first[column + 1] = count
    return starts[:count], ends[:count], first


@compiled
def _parts(starts: Indices, ends: Indices, first: Indices, reach: int) -> Indices:
    """(R,) of each run one that stands for its component; runs that touch at corners are one with a `reach` of 1."""
    above = np.empty(len(starts), np.int64)
    for run in range(len(above)):
        above[run] = run
    for column in range(1, len(first) - 1):
        left, right = first[column - 1], first[column]
        while left < first[column] and right < first[column + 1]:
            if starts[left] < ends[right] + reach and starts[right] < ends[left] + reach:
                a, b = _root(above, left), _root(above, right)
                above[max(a, b)] = min(a, b)
            if ends[left] < ends[right]:
                left += 1
            else:
                right += 1
    for run in range(len(above)):
        above[run] = above[above[run]]  # those before it have theirs already
    return above


@compiled
def _root(above: Indices, run: int) -> int:
    while above[run] != run:
        above[run] = above[above[run]]
        run = above[run]
    return run


@compiled
def _sizes(parts: Indices, starts: Indices, ends: Indices) -> Indices:
    """(R,) pixels of the component of each run that stands for one."""
    sizes = np.zeros(len(parts), np.int64)
    for run in range(len(parts)):
        sizes[parts[run]] += ends[run] - starts[run]
    return sizes
