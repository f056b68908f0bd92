"""Entries of label files that are no labels: the file is refused, all of them counted, or they are left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from annotator.errors import FormatError, UsageError
from annotator.evaluation.report import evaluate
from annotator.formats.bad_entries import SKIPPED, BadEntries
from annotator.formats.sniffing import sniff
from annotator.options import ReadingOptions
from tests.formats.coco.test_reader import annotation, image, saved
from tests.formats.cvat.test_reader import exported, in_track, polygon

SKIP_BAD = ReadingOptions(skip_bad=True)
HERE = Path("labels.json")


def frames_of(bad: BadEntries, wrong: set[int]) -> list[int]:
    """Five frames, some of which have a bad entry."""

    def frames():  # type: ignore[no-untyped-def]
        for k in range(5):
            if k in wrong:
                bad.add(f"annotation {k}: a polygon of 2 points")
            yield k

    return list(bad.sift(HERE, frames(), "no COCO"))


def test_a_file_is_refused_with_the_number_of_bad_entries_and_the_names_of_the_first() -> None:
    with pytest.raises(FormatError) as one:
        frames_of(BadEntries(), {3})
    sentence = "labels.json: no COCO (annotation 3: a polygon of 2 points); `skip_bad` leaves it out"
    assert str(one.value) == sentence
    with pytest.raises(FormatError) as many:
        frames_of(BadEntries(), {0, 1, 2, 4})
    assert "(4 entries: annotation 0: a polygon of 2 points; annotation 1: " in str(many.value)
    assert str(many.value).endswith(
        "annotation 2: a polygon of 2 points; and 1 more); `skip_bad` leaves them out"
    )


def test_no_frame_comes_behind_a_bad_entry_of_a_file_that_is_refused() -> None:
    bad = BadEntries()
    frames = bad.sift(HERE, ((k and bad.add("x")) or k for k in range(3)))
    assert next(frames) == 0
    with pytest.raises(FormatError, match="2 entries"):
        next(frames)


def test_bad_entries_are_left_out_and_counted_where_the_user_says_so() -> None:
    skipped = Counter[str]()
    assert frames_of(BadEntries(True, skipped), {0, 3}) == [0, 1, 2, 3, 4]
    assert skipped == {SKIPPED: 2}


def coco(folder: Path) -> Path:
    flat = annotation(id=2, segmentation=[[1, 1, 2, 2]])
    return saved(folder, annotation(), flat, annotation(id=3, image_id=99), images=[image()])


def cvat(folder: Path) -> Path:
    two_points = polygon(1, 0).replace(";3.00,4.00;0.00,4.00", "")
    return exported(
        folder, in_track(polygon(0, 0) + two_points + polygon(2, 0).replace('z_order="', 'z_order="x'))
    )


def mots(folder: Path) -> Path:
    (folder / "mots.txt").write_text("0 1000 1 4 9 T1\n0 1001 1 4 9\n0 x 1 4 9 T1\n")
    return folder / "mots.txt"


@pytest.mark.parametrize("make", [coco, cvat, mots])
def test_readers_leave_out_what_is_bad_and_keep_what_is_good(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path)
    [strict] = sniff(path).labels
    with pytest.raises(FormatError, match=r"2 entries: .*`skip_bad` leaves them out"):
        list(strict.truth())
    [labels] = sniff(path, SKIP_BAD).labels
    assert sum(len(found) for found in labels.instances()) >= 1
    assert labels.skipped[SKIPPED] == 2
    list(labels.truth())
    assert labels.skipped[SKIPPED] == 2, "counted anew by every reading"


def test_an_evaluation_says_what_it_left_out(tmp_path: Path) -> None:
    path = coco(tmp_path)
    with pytest.raises(UsageError, match="2 entries"):
        evaluate(path, path)
    report = evaluate(path, path, reading=SKIP_BAD)
    assert report.as_json()["unread"] == {"predicted": {SKIPPED: 2}, "true": {SKIPPED: 2}}
