"""Shapes of labelme, and of tools that write as it does, are objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotator import masks
from annotator.formats.check import check
from annotator.formats.coco.index import WITHOUT_MASKS
from annotator.formats.sniffing import sniff
from tests.helpers.label_files import (
    BOX,
    BOX_MASK,
    BUS,
    CAR,
    PERSON,
    SIZE,
    decoded,
    labelme,
    png,
    refused,
    shape,
    skipped,
    truths,
)


def test_shapes_of_labelme_are_objects(tmp_path: Path) -> None:
    pasted = shape("person", [[10, 5], [12, 7]], "mask", mask=png(np.ones((3, 3), bool)))
    path = labelme(tmp_path, shape("car", BOX), shape("bus", [[6, 4], [6, 6]], "circle"), pasted)
    (truth,) = truths(path)
    assert sniff(path).format.name == "labelme"
    assert (truth.instances.frame.name, truth.instances.frame.size) == ("a.jpg", SIZE)
    assert truth.instances.class_ids.tolist() == [CAR, BUS, PERSON]
    car, bus, person = decoded(truth)
    assert np.array_equal(car, BOX_MASK), "vertices are pixel centres"
    assert bus[4].tolist() == [False] * 4 + [True] * 5 + [False] * 3
    assert np.argwhere(person).tolist() == [[y, x] for y in (5, 6, 7) for x in (10, 11)], (
        "cut off at the border"
    )


@pytest.mark.parametrize("points", [[], [[6, 4]], [[6, 4], [6, 6], [7, 7]]])
def test_a_circle_has_two_points(tmp_path: Path, points: list[list[float]]) -> None:
    path = labelme(tmp_path, shape("bus", points, "circle"), shape("car", BOX))
    assert "`skip_bad`" in refused(path)
    (truth,) = truths(path, skip_bad=True)
    assert truth.instances.class_ids.tolist() == [CAR]


def test_shapes_of_a_group_are_one_object(tmp_path: Path) -> None:
    right = [[9, 1], [10, 1], [10, 3], [9, 3]]
    path = labelme(
        tmp_path,
        shape("car", BOX, group_id=1),
        shape("car", right, None, group_id=1),
        shape("bus", right, group_id=1),
    )
    (truth,) = truths(path)
    assert truth.instances.class_ids.tolist() == [CAR, BUS]
    assert masks.areas(truth.instances.masks).tolist() == [4 * 3 + 2 * 3, 2 * 3]


def test_what_has_no_area_is_counted_and_what_is_ignored_is_a_region(tmp_path: Path) -> None:
    boxes = shape("car", [[1, 1], [4, 3]], "rectangle")
    lines = [shape("car", [[1, 1], [4, 3]], kind) for kind in ("line", "linestrip", "points", "point")]
    path = labelme(
        tmp_path, boxes, *lines, shape("__ignore__", BOX), shape("pole", BOX), shape("_background_", BOX)
    )
    (truth,) = truths(path)
    assert len(truth.instances) == 0
    assert [(region.class_id, masks.areas([region.mask]).tolist()) for region in truth.ignore_regions] == [
        (0, [12])
    ]
    assert skipped(path) == {
        WITHOUT_MASKS: 1,
        "lines and points": 4,
        "shapes of labels that are left out": 1,
    }


def test_images_come_as_people_count_and_all_unknown_labels_are_named_at_once(tmp_path: Path) -> None:
    for k in (10, 9, 1):
        labelme(tmp_path / "day", shape(f"thing {k}", BOX), name=f"f{k}")
    sentence = refused(tmp_path)
    assert all(f"'thing {k}'" in sentence for k in (1, 9, 10))
    given = tuple(f"thing {k}=car" for k in (1, 9, 10))
    assert [truth.instances.frame.name for truth in truths(tmp_path, map=given)] == [
        "day/f1.jpg",
        "day/f9.jpg",
        "day/f10.jpg",
    ]


def test_a_size_that_labelme_left_out_is_that_of_the_image(tmp_path: Path) -> None:
    path = labelme(tmp_path / "labels", shape("car", BOX), imageHeight=None)
    assert "a.jpg: no image whose size can be read" in refused(path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (12, 8)).save(tmp_path / "pictures" / "a.jpg")
    assert truths(path)[0].instances.frame.size == SIZE


BAD_SHAPES = [
    (shape("car", BOX[:2]), "a polygon of 2 points"),
    (shape("car", None), "points null are no pairs of numbers"),
    (shape(None, BOX), "label null is no text"),
    (shape("car", BOX, "cloud"), 'shape_type "cloud" is not known'),
    (shape("car", BOX, "mask", mask="no"), "its mask is no PNG"),
    (shape("car", BOX, "mask", mask=None), "its mask is no PNG"),
    (shape("car", BOX, score="good"), 'score "good" is no number'),
]


@pytest.mark.parametrize(("one", "why"), BAD_SHAPES)
def test_a_shape_that_is_none_is_named_and_can_be_left_out(
    one: dict[str, Any], why: str, tmp_path: Path
) -> None:
    path = labelme(tmp_path, shape("car", BOX), one)
    assert "a.json: shape 1: " in refused(path)
    assert why in refused(path)
    assert [len(truth.instances) for truth in truths(path, skip_bad=True)] == [1]
    (finding,) = check(path)
    assert why in finding.message
