"""Times of frames: as the file has them where they rise, repaired where they don't, in constant memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.frames import FrameRef
from annotator.tracking.times import Times, rising

MS = Fraction(1, 1000)
EVEN = [100 * k for k in range(100)]


def refs(times_ms: Sequence[int], indices: Sequence[int] | None = None) -> Iterator[FrameRef]:
    for index, time_ms in zip(indices or range(len(times_ms)), times_ms, strict=True):
        yield FrameRef(index, time_ms, MS, (8, 10))


def repaired(times_ms: Sequence[int]) -> list[float]:
    """In milliseconds."""
    return [round(1000 * moment.time_s, 6) for moment in rising(refs(times_ms))]


def permuted(times_ms: Sequence[int], order: Sequence[int]) -> list[int]:
    """The times of every few frames in this order."""
    size = len(order)
    return [
        times_ms[first + k]
        for first in range(0, len(times_ms), size)
        for k in order
        if first + k < len(times_ms)
    ]


@given(st.lists(st.integers(100, 250), max_size=150))
def test_times_that_rise_are_left_alone(steps: list[int]) -> None:
    times = [sum(steps[:k]) for k in range(len(steps))]
    assert repaired(times) == times
    assert Times.of(refs(times)).remarks() == []


@pytest.mark.parametrize(
    "times", [[0, 30, 400, 433, 900, 1900, 1930], [0, 100, 200, 60_000, 60_100]], ids=["variable", "pause"]
)
def test_neither_a_variable_rate_nor_a_pause_is_a_fault(times: list[int]) -> None:
    assert repaired(times) == times


@given(st.lists(st.integers(0, 10_000) | st.integers(0, 2**40), max_size=120))
def test_whatever_the_times_they_rise_within_a_sequence(times: list[int]) -> None:
    for earlier, later in pairwise(rising(refs(times))):
        assert later.is_first or later.time_s > earlier.time_s


@given(st.permutations(range(12)), st.lists(st.integers(100, 250), min_size=96, max_size=96))
def test_times_in_another_order_are_sorted(order: list[int], steps: list[int]) -> None:
    times = [sum(steps[:k]) for k in range(len(steps))]
    assert repaired(permuted(times, order)) == times


def test_of_equal_times_the_next_one_is_approached_evenly() -> None:
    assert repaired([800 * (k // 8) for k in range(96)])[:89] == EVEN[:89]


def test_but_no_slower_than_usual() -> None:
    """A pause behind frames of one time."""
    times = [*EVEN[:50], *[4900] * 5, 60_000, 60_100]
    assert repaired(times) == [*EVEN[:55], 60_000, 60_100]


def test_times_a_hair_apart_stand_still() -> None:
    """As FFmpeg writes them where a camera's clock ran back."""
    assert repaired([500 * (k // 5) + k % 5 for k in range(100)])[:96:5] == EVEN[:96:5]
    steps = [
        later - earlier for earlier, later in pairwise(repaired([500 * (k // 5) + k % 5 for k in range(96)]))
    ]
    assert min(steps) > 90


def test_no_time_at_all_is_a_usual_rate() -> None:
    assert repaired([0] * 100) == EVEN


def test_a_single_wrong_time_disturbs_its_neighbours_at_most() -> None:
    times = [*EVEN[:50], 9_000_000, *EVEN[51:]]
    assert all(abs(time - even) <= 100 for time, even in zip(repaired(times), EVEN, strict=True))


def test_a_clock_that_is_set_back_a_little_goes_on() -> None:
    times = [time - 500 * (time >= 5000) for time in EVEN]
    moments = list(rising(refs(times)))
    assert [moment.is_first for moment in moments] == [True] + [False] * 99
    assert moments[-1].time_s == 9.4


def test_a_clock_that_is_set_back_far_is_another_clock() -> None:
    moments = list(rising(refs([*range(100_000, 105_000, 100), *range(0, 5000, 100)])))
    assert [k for k, moment in enumerate(moments) if moment.is_first] == [0, 50]
    assert not any(moment.is_repaired for moment in moments)
    assert (
        "begins anew at frame 50"
        in Times.of(refs([*range(100_000, 105_000, 100), *range(0, 5000, 100)])).remarks()[0]
    )


def test_a_clock_that_is_set_back_all_the_time_counts_once() -> None:
    times = [100_000 - 10_000 * (k // 8) + 100 * (k % 8) for k in range(96)]
    moments = list(rising(refs(times)))
    assert [k for k, moment in enumerate(moments) if moment.is_first] == [0, 8]
    steps = {round(later.time_s - earlier.time_s, 6) for earlier, later in pairwise(moments[8:])}
    assert steps == {0.1}


def test_what_was_repaired_is_told() -> None:
    times = Times.of(refs([*EVEN[:50], *[4900] * 5, *EVEN[55:]]))
    assert (times.repaired, times.first_repaired) == (5, 50)
    assert times.usual_s == pytest.approx(0.1)
    assert "from frame 50 on, 5 frames" in times.remarks()[0]


def test_memory_does_not_grow_with_the_recording() -> None:
    peaks = []
    for count in (1100, 4400):
        tracemalloc.start()
        Times.of(FrameRef(k, 800 * (k // 8), MS, (8, 10)) for k in range(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
