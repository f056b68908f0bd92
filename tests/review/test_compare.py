"""What differs between two runs is counted and marked, by its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from annotator.errors import UsageError
from annotator.instances import Instances
from annotator.masks import encode
from annotator.options import ReviewJob
from annotator.review.compare import COLOURS, compare_runs, describe, drawn
from annotator.review.review import review
from tests.helpers.builders import add_recording, frame_ref
from tests.review.test_page import Tags, source_record

SIZE = (60, 160)
CAR, TRUCK = 26, 27
Thing = tuple[int, int, int, int]  # track, class, left, width


def write(run: Path, *frames: list[Thing]) -> Path:
    """A run of one recording."""
    found = []
    for index, things in enumerate(frames):
        masks = []
        for _, _, left, width in things:
            mask = np.zeros(SIZE, bool)
            mask[20:40, left : left + width] = True
            masks.append(encode(mask))
        columns = [thing[1] for thing in things], [1.0] * len(things), None, [thing[0] for thing in things]
        found.append(Instances.of(frame_ref(index, SIZE), masks, *columns))
    run.mkdir(parents=True)
    add_recording(run, "drive", Path("/nowhere/drive.mp4"), found)
    return run


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs that differ in every way."""
    ours = write(
        tmp_path / "ours",
        [(1, CAR, 0, 20), (2, CAR, 30, 20), (3, CAR, 60, 20), (4, CAR, 90, 20)],
        [(1, CAR, 0, 20), (2, CAR, 30, 20)],
    )
    theirs = write(
        tmp_path / "theirs",
        [(1, CAR, 0, 20), (2, CAR, 30, 14), (3, TRUCK, 60, 20), (5, CAR, 130, 20)],
        [(2, CAR, 0, 20), (1, CAR, 30, 20)],
    )
    return ours, theirs


def test_every_difference_is_counted(runs: tuple[Path, Path]) -> None:
    [compared] = compare_runs(*runs)
    assert compared.frames == 2
    assert describe(compared.counts) == (
        "1 added, 1 missing, 1 reshaped, 1 of another class, 2 of another identity"
    )
    assert [compared.name for compared in compare_runs(runs[0], runs[0])] == ["drive"]
    assert describe(next(compare_runs(runs[0], runs[0])).counts) == "no differences"


def test_differences_are_drawn_in_their_colours(runs: tuple[Path, Path]) -> None:
    [compared] = compare_runs(*runs)
    [(frame, picture)] = [each for each in drawn(compared, None) if each[0].index == 0]
    assert frame.description == "1 added, 1 missing, 1 reshaped, 1 of another class"
    scale = picture.shape[1] / SIZE[1]
    edge = picture[round(20 * scale)]  # the upper outline of all boxes
    for kind, column in (
        ("same", 10),
        ("reshaped", 40),
        ("of another class", 70),
        ("missing", 100),
        ("added", 140),
    ):
        assert edge[round(column * scale)].tolist() == list(COLOURS[kind]), kind


def test_the_page_of_a_run_shows_how_it_differs(runs: tuple[Path, Path]) -> None:
    for made in review(ReviewJob(runs[0], other=runs[1], preview=False), {"drive": source_record()}):
        assert made.error is None
    content = (runs[0] / "report.html").read_text()
    assert "1 added, 1 missing, 1 reshaped" in content
    pictures = [
        at for tag, at in Tags(content).tags if (at.get("alt") or "").startswith("Differences in frame")
    ]
    assert [at["alt"] for at in pictures] == ["Differences in frame 0"]  # of neighbours that with most


def test_what_has_nothing_in_common_is_refused(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="is not there"):
        list(compare_runs(runs[0], tmp_path / "nothing"))
    with pytest.raises(UsageError, match="`report=False`"):
        ReviewJob(runs[0], other=runs[1], report=False)
