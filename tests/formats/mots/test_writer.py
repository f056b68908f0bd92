"""MOTS text holds cars and persons, by ids that tell their class."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.mots import writer as mots_writer
from tests.formats.test_all_formats import (
    BESIDE,
    BUS,
    CAR,
    PERSON,
    SQUARE,
    VIDEO,
    instances,
)
from tests.helpers.builders import Labels


def test_mots_lines_hold_cars_and_persons_and_count_the_others(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 5), (BESIDE, BUS, 0.8, 2)) for k in range(2)])
    written = mots_writer.write(labels, VIDEO, tmp_path)
    counts = masks.encode(SQUARE)["counts"].decode()
    assert (tmp_path / mots_writer.FILE).read_text() == f"0 1000 1 8 10 {counts}\n1 1000 1 8 10 {counts}\n"
    assert written.losses == {mots_writer.OTHER_CLASSES: 2}


def test_mots_ids_run_out_in_a_sentence(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, PERSON, 0.9, 0)) for k in range(1001)])
    with pytest.raises(FormatError, match=r"1000 objects of a class, and there are more of person"):
        mots_writer.write(labels, VIDEO, tmp_path)
    assert list(tmp_path.iterdir()) == []
