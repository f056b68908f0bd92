"""Every attribute of CVAT XML and every column of MOTS may hold anything: it is read, or refused in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from annotator.errors import FormatError
from annotator.formats.check import check
from annotator.formats.sniffing import sniff
from annotator.options import ReadingOptions
from tests.formats.coco.test_ids import PYTHON
from tests.formats.cvat.test_reader import exported, in_track, polygon
from tests.helpers.builders import read_instances

ODD = ("", " ", "x", "-1", "1.5", "9" * 30, "9" * 5000, "nan", "inf", "1,2", "1;2", "\u0663", "\ufffd")
MASK = (
    '<mask frame="1" keyframe="1" outside="0" rle="0, 4" left="1" top="3" width="2" height="2" z_order="0"/>'
)


def contents(folder: Path) -> list[ElementTree.Element]:
    """A task of a video and one of images."""
    more = '<attribute name="score">0.5</attribute><attribute name="uid">7</attribute>'
    video = exported(folder, in_track(polygon(0, 0, more=more), polygon(2, 1)) + in_track(MASK, number=1))
    roots = [ElementTree.parse(video).getroot()]
    image = f'<image id="0" name="a.png" width="10" height="8">{polygon(0, 0, more=more)}{MASK}</image>'
    roots.append(ElementTree.parse(exported(folder, image, mode="annotation", frames=1)).getroot())
    return roots


def odd_files(folder: Path) -> Iterator[Path]:
    """A file after the other, each with something odd in one attribute or text."""
    path = folder / "odd.xml"
    for root in contents(folder):
        for element in root.iter():
            for key, odd in product([*element.attrib, None], ODD):
                kept = element.text if key is None else element.attrib[key]
                put(element, key, odd)
                path.write_bytes(ElementTree.tostring(root))
                put(element, key, kept)
                yield path


def test_every_attribute_and_text_of_cvat_may_hold_anything(tmp_path: Path) -> None:
    for path in odd_files(tmp_path):
        assert_said(path)


def test_a_check_tells_of_any_attribute_and_text_of_cvat_in_sentences(tmp_path: Path) -> None:
    for path in odd_files(tmp_path):
        for finding in check(path):
            said = finding.message.replace("attribute '", "")  # of a label, not of Python
            assert not PYTHON.search(said), said


def put(element: ElementTree.Element, key: str | None, value: str | None) -> None:
    if key is None:
        element.text = value
    else:
        element.attrib[key] = value or ""


def test_every_column_of_mots_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    for column, odd in product(range(7), ODD):
        columns = ["0", "1000", "1", "4", "9", "T1", "0.5"]
        columns[column] = odd
        path.write_text(f"0 1001 1 4 9 T1\n{' '.join(columns)}\n1 1000 1 4 9 T1\n", encoding="utf-8")
        assert_said(path)


def assert_said(path: Path) -> None:
    """Read a file, and again with what is bad left out, when it may still be refused as a whole."""
    for skip_bad in (False, True):
        [labels] = sniff(path, ReadingOptions(skip_bad=skip_bad)).labels
        try:
            list(labels.truth())
        except FormatError as error:
            sentence = str(error).removeprefix(str(path))
            assert not PYTHON.search(sentence), sentence
            assert len(sentence) < 400 or "`map`" in sentence, sentence  # labels are told whole, to be pasted
            assert not (skip_bad and "`skip_bad`" in sentence)


def test_all_unknown_labels_of_cvat_are_told_at_once(tmp_path: Path) -> None:
    body = in_track(polygon(0, 0), label="dog") + in_track(polygon(0, 4), number=1, label="big cat")
    with pytest.raises(FormatError, match=re.escape("labels 'dog', 'big cat' are no Cityscapes classes")):
        list(read_instances("cvat", exported(tmp_path, body)))
