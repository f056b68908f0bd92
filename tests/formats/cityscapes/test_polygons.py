"""Polygons are drawn as Cityscapes draws them, and written so that its label tool goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from scipy import ndimage

from annotator import masks
from annotator.formats.bad_entries import SKIPPED
from annotator.formats.check import ERROR, check
from annotator.formats.cityscapes.polygons import JOINED, _ring
from annotator.formats.interface import Written
from annotator.formats.registry import WRITABLE
from annotator.formats.sniffing import sniff
from annotator.instances import GroundTruth, Instances
from tests.helpers.builders import Labels, Recording, frame_ref, mask
from tests.helpers.label_files import (
    BOX,
    BOX_MASK,
    CAR,
    LOW,
    NAME,
    PERSON,
    SIZE,
    decoded,
    polygons,
    refused,
    skipped,
    truths,
)


def test_polygons_are_read_as_cityscapes_draws_them(tmp_path: Path) -> None:
    everything = [[0, 0], [11, 0], [11, 7], [0, 7]]
    path = polygons(
        tmp_path, ("road", everything), ("car", BOX), ("person", LOW), ("car", [[10, 0], [10, 7]])
    )
    (truth,) = truths(path)
    found = truth.instances
    assert sniff(path).format.name == "cityscapes-polygons"
    assert (found.frame.name, found.frame.index, found.frame.size) == ("ulm_000000_000019", 19, SIZE)
    assert found.class_ids.tolist() == [PERSON, CAR, CAR], "by ascending id"
    person, car, line = decoded(truth)
    assert person.sum() == 6 * 5, "borders belong to a polygon"
    assert np.array_equal(car, BOX_MASK & ~person), "what comes later lies on top"
    assert line.sum() == 8, "two points are a line, as in the official script"
    assert truth.ignore_regions == (), "all is labelled"
    assert truth.class_ids is None


def test_groups_and_void_are_regions_and_what_is_not_drawn_is_none(tmp_path: Path) -> None:
    path = polygons(
        tmp_path,
        ("cargroup", BOX),
        ("out of roi", [[0, 7], [11, 7], [11, 7]]),
        ("license plate", LOW),
        ("bus", LOW, {"deleted": 1}),
        ("polegroup", [[11, 0], [11, 2], [11, 2]]),
        ("caravan", [[7, 0], [8, 0], [8, 0]]),
    )
    (truth,) = truths(path)
    void, group = truth.ignore_regions
    assert (void.class_id, group.class_id) == (0, CAR)
    assert np.array_equal(masks.decode(group.mask), BOX_MASK)
    assert masks.areas([void.mask]) == 8 * 12 - 12 - 2, "what nobody labelled is void too"
    assert truth.instances.class_ids.tolist() == [29]
    assert skipped(path) == {"deleted polygons": 1}


def test_labels_of_ones_own_can_be_mapped(tmp_path: Path) -> None:
    path = polygons(tmp_path, ("van", BOX), ("Car", LOW), ("dog", BOX))
    assert "label 'van'" in refused(path)
    (truth,) = truths(path, map=("van=car", "dog=none"))
    assert truth.instances.class_ids.tolist() == [CAR, CAR]
    assert skipped(path, map=("van=car", "dog=none")) == {"polygons of labels that are left out": 1}


BAD_POLYGONS = [
    (("car", [[1, 1]]), "a polygon of 1 point"),
    (("car", [[1, 1], [2, "x"], [3, 3]]), "are no pairs of numbers"),
    (("car", [[1, 1], [2], [3, 3]]), "are no pairs of numbers"),
    (("car", [1, 1, 2, 2, 3, 3]), "are no pairs of numbers"),
    (("car", 7), "points 7 are no pairs of numbers"),
    (("car", [[1, 1], [2, 1e300], [3, 3]]), "a point that is no place within 1,000,000 pixels"),
    ((7, BOX), "label 7 is no text"),
    (("car", BOX, {"deleted": "perhaps"}), 'deleted "perhaps" is neither 0 nor 1'),
    ("car", '"car" is no object'),
]


@pytest.mark.parametrize(("one", "why"), BAD_POLYGONS)
def test_an_object_that_is_none_is_named_and_can_be_left_out(one: Any, why: str, tmp_path: Path) -> None:
    path = polygons(tmp_path, ("car", BOX), one)
    sentence = refused(path)
    assert f"({NAME}: object 1: " in sentence or f"{NAME}: object 1: " in sentence
    assert why in sentence
    assert "`skip_bad`" in sentence
    (truth,) = truths(path, skip_bad=True)
    assert len(truth.instances) == 1
    assert skipped(path, skip_bad=True)[SKIPPED] == 1
    (finding,) = check(path)
    assert (finding.severity, finding.where) == (ERROR, str(path))
    assert why in finding.message


def test_more_instances_than_ids_are_refused(tmp_path: Path) -> None:
    path = polygons(tmp_path, *[("car", BOX)] * 1001)
    assert "more than 1000 instances of car" in refused(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"imgHeight": 4', "no JSON that can be read"),
        (b'{"imgHeight": 4, "imgWidth": 0, "objects": []}', "no frame is 0x4 pixels"),
        (b'{"imgHeight": 4, "imgWidth": 1e9, "objects": []}', "too large"),
        (b'{"imgHeight": 4, "imgWidth": null, "objects": []}', "imgWidth null is no whole number"),
        (b'{"imgHeight": 4, "imgWidth": 4, "objects": {}}', "objects is {}, no list"),
    ],
)
def test_files_that_hold_no_polygons_are_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    sentence = refused(tmp_path)
    assert NAME in sentence
    assert why in sentence


PARTS_AND_HOLE = mask("#####..##...", "#...#..##...", "#...#.......", "#####.......", *["............"] * 4)
BESIDE = mask("............", ".....##.....", *["............"] * 2, *["..########.."] * 3, "............")


def written(folder: Path, *found: np.ndarray) -> tuple[Written, GroundTruth]:
    """Cars of these masks as polygons, and what they are read as."""
    encoded = [masks.encode(one) for one in found]
    frame = frame_ref(19, SIZE, "ulm_000000_000019_leftImg8bit.png")
    cars = Instances.of(frame, encoded, [CAR] * len(found), np.ones(len(found)))
    done = WRITABLE["cityscapes-polygons"].write(Labels([cars]), Recording(), folder)
    (truth,) = truths(done.files[0])
    return done, truth


def test_written_polygons_give_their_masks_back(tmp_path: Path) -> None:
    hole = PARTS_AND_HOLE & (np.arange(12) < 6)
    done, truth = written(tmp_path, BESIDE & (np.arange(8) > 2)[:, None], hole)
    assert done.files == (tmp_path / "cityscapes_polygons",)
    assert done.losses == {}
    assert truth.instances.frame.name == "ulm_000000_000019"
    assert np.array_equal(decoded(truth)[0], BESIDE & (np.arange(8) > 2)[:, None])
    assert np.array_equal(decoded(truth)[1], hole), "with its hole"


def test_parts_are_joined_by_a_line_below_all_others(tmp_path: Path) -> None:
    done, truth = written(tmp_path, BESIDE, PARTS_AND_HOLE)
    assert done.losses == {JOINED: 2}
    ours, theirs = decoded(truth)
    assert not (ours & theirs).any()
    assert (ours | theirs)[BESIDE | PARTS_AND_HOLE].all()


def test_a_label_tool_finds_all_that_it_asks_of_an_object(tmp_path: Path) -> None:
    written(tmp_path, BESIDE)
    content = json.loads((tmp_path / "cityscapes_polygons" / NAME).read_text())
    assert content.keys() == {"imgHeight", "imgWidth", "objects"}
    assert content["objects"][0].keys() == {"label", "id", "deleted", "verified", "user", "date", "polygon"}


@given(arrays.arrays(np.bool_, SIZE))
def test_a_part_without_holes_comes_back_to_the_pixel(pixels: np.ndarray) -> None:
    parts, _ = ndimage.label(pixels, np.ones((3, 3)))
    part = ndimage.binary_fill_holes(parts == 1)
    if not part.any():
        return
    ring, count = _ring(part)
    canvas = Image.new("L", (SIZE[1], SIZE[0]))
    ImageDraw.Draw(canvas).polygon([*map(tuple, ring.tolist())], fill=1)
    assert np.array_equal(np.asarray(canvas) != 0, part)
    assert (count, len(ring) >= 3) == (1, True)
