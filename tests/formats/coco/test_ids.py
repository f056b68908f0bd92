"""Ids, names and fields of COCO as tools write them: numbers, texts, both; and what they can't mean."""

from __future__ import annotations

import json
import re
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator import masks
from annotator.errors import FormatError
from annotator.evaluation.report import evaluate
from annotator.formats.bad_entries import SKIPPED, BadEntries
from annotator.formats.check import ERROR, check
from annotator.formats.class_map import ClassMap
from annotator.formats.coco import reader as coco_reader
from annotator.formats.coco.index import TWICE
from annotator.formats.interface import Reading
from annotator.formats.sniffing import sniff
from annotator.instances import Instances
from tests.formats.coco.test_reader import COMPRESSED, PIXELS, annotation, image, results, saved
from tests.helpers.builders import read_instances


def counts(path: Path) -> dict[str, int]:
    """The number of objects by image."""
    return {found.frame.name: len(found) for found in read_instances("coco", path)}


def skipped_of(path: Path) -> tuple[dict[str, int], Counter[str]]:
    """The same without what is bad, and what was left out."""
    skipped = Counter[str]()
    found = read_instances("coco", path, skipped=skipped, bad=BadEntries(True, skipped))
    return {each.frame.name: len(each) for each in found}, skipped


def named(number: Any, name: str) -> dict[str, Any]:
    return image(number, file_name=name)


# ---- ids of images


def test_an_id_of_two_images_tells_nothing_and_is_refused(tmp_path: Path) -> None:
    images = [named(1, "a.png"), named(1, "b.png"), named(2, "c.png")]
    entries = [annotation(id=k, image_id=of) for k, of in enumerate((1, 1, 2), 1)]
    path = saved(tmp_path, *entries, images=images)
    with pytest.raises(
        FormatError, match=r'3 entries: image 1: its id is that of "a.png" too.*; annotation 1 is of'
    ):
        list(read_instances("coco", path))
    found, skipped = skipped_of(path)
    assert (found, skipped) == ({"c.png": 1}, {SKIPPED: 3})


def test_an_image_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    path = saved(tmp_path, annotation(), images=[named(1, "a.png"), named(1, "a.png")])
    assert skipped_of(path) == ({"a.png": 1}, {TWICE: 1})


def test_ids_of_many_digits_stay_apart(tmp_path: Path) -> None:
    ids = [10**25 + k for k in range(3)]
    images = [named(number, f"{k}.png") for k, number in enumerate(ids)]
    path = saved(tmp_path, annotation(image_id=ids[1]), annotation(id=2, image_id=ids[2]), images=images)
    assert counts(path) == {"0.png": 0, "1.png": 1, "2.png": 1}


def test_images_come_by_number_or_by_name_as_people_count_or_as_they_are_listed(tmp_path: Path) -> None:
    numbers = [image(k) for k in (10, 9, 2)]
    assert list(counts(saved(tmp_path, images=numbers))) == ["2.png", "9.png", "10.png"]
    texts = [named(str(k), f"f{k}.png") for k in (10, 9, 2)]
    assert list(counts(saved(tmp_path, images=texts))) == ["f2.png", "f9.png", "f10.png"]
    mixed = [named("x", "f10.png"), named(7, "f9.png")]
    assert list(counts(saved(tmp_path, images=mixed))) == ["f9.png", "f10.png"]
    nameless = [{"id": of, "width": 8, "height": 6} for of in ("b", "a")]
    assert list(counts(saved(tmp_path, images=nameless))) == ["image b", "image a"]
    assert coco_reader.names(saved(tmp_path, images=texts)) == ["f2.png", "f9.png", "f10.png"]


def test_numbers_in_quotes_mean_the_numbers(tmp_path: Path) -> None:
    assert counts(saved(tmp_path, annotation(image_id="1", category_id="1"))) == {"1.png": 1}


def test_images_of_one_name_in_different_folders_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    images = [named(k, name) for k, name in enumerate(("left/1.png", "right/1.png", "2.png"))]
    (tmp_path / "other").mkdir()
    truth = saved(tmp_path, annotation(image_id=1), images=images)
    other = saved(
        tmp_path / "other", annotation(image_id=5), images=[named(5, "right/1.png"), named(6, "2.png")]
    )
    report = evaluate(other, truth)
    assert (report.counts.compared, report.counts.only_true) == (2, 1)
    assert report.figure("coco.AP") == pytest.approx(1)


# ---- results


def result(image_id: Any, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 26, "segmentation": COMPRESSED, "score": 0.5} | more


@pytest.mark.parametrize("called", ["a", "a.jpg", {"image_id": 7, "file_name": "a.jpg"}])
def test_results_name_their_images_as_yolo_does(tmp_path: Path, called: Any) -> None:
    truth = saved(tmp_path, annotation(image_id=3), images=[named(3, "a.jpg")])
    more = called if isinstance(called, dict) else {"image_id": called}
    report = evaluate(results(tmp_path, result(0) | more), truth)
    assert report.figure("coco.AP") == pytest.approx(1)


def test_no_result_is_a_result(tmp_path: Path) -> None:
    truth = saved(tmp_path, annotation())
    report = evaluate(results(tmp_path), truth)
    assert (report.counts.compared, report.figure("coco.AP")) == (1, 0)


def test_results_that_are_boxes_are_counted(tmp_path: Path) -> None:
    box = {"image_id": "b", "category_id": 26, "bbox": [1, 1, 2, 2], "score": 0.5}
    assert skipped_of(results(tmp_path, result("a"), box)) == ({"a": 1}, {"boxes without a mask": 1})


# ---- fields


@pytest.mark.parametrize(
    ("value", "track"), [(-1, 0), (0, 0), (None, 0), ("", 0), ("-1", 0), (7, 7), ("7", 7), (7.0, 7)]
)
def test_tracks_are_numbers_from_1(tmp_path: Path, value: Any, track: int) -> None:
    (found,) = read_instances("coco", saved(tmp_path, annotation(track_id=value)))
    assert found.track_ids.tolist() == [track]


def test_tracks_with_names_get_numbers_that_no_other_has(tmp_path: Path) -> None:
    entries = [annotation(id=k, image_id=k, track_id=of) for k, of in enumerate(("t1", "t2", "t1", 1), 1)]
    found = read_instances("coco", saved(tmp_path, *entries, images=[image(k) for k in range(1, 5)]))
    assert [each.track_ids.tolist() for each in found] == [[2], [3], [2], [1]]


@pytest.mark.parametrize(
    ("value", "is_crowd"), [("0", False), ("1", True), (False, False), (1.0, True), (None, False)]
)
def test_crowds_are_said_in_many_ways(tmp_path: Path, value: Any, is_crowd: bool) -> None:
    (truth,) = coco_reader.read(saved(tmp_path, annotation(iscrowd=value)))
    assert (len(truth.instances), len(truth.ignore_regions)) == (1 - is_crowd, int(is_crowd))


@pytest.mark.parametrize("rings", [1, 2])
def test_a_polygon_may_be_pairs_of_numbers(tmp_path: Path, rings: int) -> None:
    pairs = [[1, 1], [4, 1], [4, 4], [1, 4]]
    (found,) = read_instances(
        "coco", saved(tmp_path, annotation(segmentation=pairs if rings == 1 else [pairs, pairs]))
    )
    assert np.array_equal(masks.decode(found.masks[0]), PIXELS)


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ([1, 1, 4, 1, 4, 4], "a list of numbers, where a list of polygons should be"),
        ([[]], "a polygon with fewer than 3 points"),
        ([[1, 1, 4, 1, 4, 4, 5]], "a polygon with an odd number of coordinates"),
        ([[1, 1, 4, 1, 4, float("nan")]], "a polygon with a coordinate that is no number"),
        ([[1, 1, 4, 1, 4, "4"]], 'a polygon [1, 1, 4, 1, 4, "4"]'),
        ([7], "a list of numbers"),
        ({"size": [6, 8], "counts": [-5, 53]}, "an RLE with a run of -5 pixels"),
        ({"size": [6, 8], "counts": [7, 3]}, "its runs don't add up to the frame"),
        ({"size": [6], "counts": [48]}, "an RLE with the size [6]"),
        ({"size": [6, 8]}, "an RLE with the counts null"),
        ({"size": [6, 8], "counts": ["x"]}, 'a run of its RLE, "x" is no whole number'),
    ],
)
def test_what_is_no_mask_is_said(tmp_path: Path, segmentation: Any, sentence: str) -> None:
    path = saved(tmp_path, annotation(id=3, segmentation=segmentation), annotation(id=4))
    with pytest.raises(FormatError, match=re.escape(f"annotation 3: not a COCO segmentation: {sentence}")):
        list(read_instances("coco", path))
    assert skipped_of(path) == ({"1.png": 1}, {SKIPPED: 1})


def test_all_unknown_labels_are_told_at_once_with_options_to_paste(tmp_path: Path) -> None:
    path = saved(tmp_path, annotation(), annotation(category_id=2), names=("traffic cone", "dog's"))
    with pytest.raises(FormatError) as fault:
        list(read_instances("coco", path))
    assert """`map` 'traffic cone=none' `map` 'dog'"'"'s=none' leaves them out""" in str(fault.value)


def test_spaces_around_names_of_labels_do_not_matter(tmp_path: Path) -> None:
    path = saved(tmp_path, annotation(), annotation(category_id=2), names=("car ", " van"))
    for said in (" van=truck", "van=truck"):
        (found,) = read_instances("coco", path, classes=ClassMap.parse([said, "car =bus"]))
        assert found.class_ids.tolist() == [28, 27]


# ---- fuzz

PYTHON = re.compile(
    r"object|NoneType|\bint\b|\bstr\b|\bdict\b|float\(\)|int\(\)|uint|instances? of|subscript|invalid literal|hashable"
    r"|out of bounds|too large to convert|is odd|unpack|argument|attribute '|codec|encod"
)
ODD = (
    None,
    True,
    -1,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "x",
    "",
    "9" * 5000,
    [],
    [[]],
    {},
    {"a": {"b": []}},
)


def records() -> dict[str, Any]:
    attributes = {"uid": "7", "track_id": 1, "score": "0.5", "is_crowd": False}
    content = {
        "images": [image(1, frame_index=3, labelled=[1]), image(2, frame_index=4)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            annotation(score=0.5, iscrowd=0, attributes=attributes, area=9, bbox=[1, 1, 3, 3]),
            annotation(id=2, image_id=2, track_id=5, iscrowd=0, segmentation=COMPRESSED),
        ],
    }
    return deepcopy(content)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a content that another value can be put to."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places(inner)


def test_every_field_may_hold_anything_and_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    total = sum(1 for _ in places(records()))
    path = tmp_path / "odd.json"
    for which, odd in product(range(total), ODD):
        content = records()
        where, key = list(places(content))[which]
        where[key] = deepcopy(odd)
        path.write_text(json.dumps(content))
        sentence = refusal(path)
        assert sentence is None or (
            sentence.startswith(str(path)) and not PYTHON.search(sentence[len(str(path)) :])
        ), sentence


def refusal(path: Path) -> str | None:
    """The sentence that a file is refused with, and that it is not refused without its bad entries or as a whole."""
    try:
        list(coco_reader.read(path))
    except FormatError as error:
        if "`skip_bad`" in str(error):
            assert len(list(coco_reader.read(path, Reading(bad=BadEntries(True))))) <= 2
        return str(error)
    return None


# ---- length


def long_file(folder: Path, frames: int) -> Path:
    path = folder / f"{frames}.json"
    with path.open("w") as file:
        file.write('{"annotations": [')
        file.write(
            ", ".join(json.dumps(annotation(id=k, image_id=k, note="x" * 3000)) for k in range(frames))
        )
        file.write('], "images": [' + ", ".join(json.dumps(image(k)) for k in range(frames)))
        file.write('], "categories": [{"id": 1, "name": "car"}]}')
    return path


@pytest.mark.parametrize("is_zip", [False, True])
def test_memory_does_not_follow_the_length_of_the_file(tmp_path: Path, is_zip: bool) -> None:
    def peak(frames: int) -> int:
        path = long_file(tmp_path, frames)
        if is_zip:
            with zipfile.ZipFile(tmp_path / f"{frames}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(path, "annotations/instances_default.json")
            path = tmp_path / f"{frames}.zip"
        tracemalloc.start()
        assert sum(map(len, read_instances("coco", path))) == frames
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    peak(500)  # what is loaded once
    assert peak(1500) - peak(500) < 300_000  # of 3 MB more


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_may_be_utf_16(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, annotation(), images=[named(1, "日本.png")])
    text = json.dumps(json.loads(path.read_text()), ensure_ascii=False)
    mark = "\ufeff" if encoding.endswith("e") else ""
    path.write_bytes((mark + text).encode(encoding))
    [labels] = sniff(path).labels
    assert [found.frame.name for found in labels.instances()] == ["日本.png"]


def test_frames_are_the_same_whatever_comes_first_in_the_file(tmp_path: Path) -> None:
    content = records()
    orders = [content, dict(reversed(content.items()))]
    found: list[list[Instances]] = []
    for k, order in enumerate(orders):
        (tmp_path / f"{k}.json").write_text(json.dumps(order, indent=k or None))
        found.append(list(read_instances("coco", tmp_path / f"{k}.json")))
    first, second = ([each.masks for each in frames] for frames in found)
    assert first == second


# ---- folders and checks


def test_a_folder_of_coco_is_recognized_by_its_files_and_what_is_no_coco_is_passed_over(
    tmp_path: Path,
) -> None:
    for name in ("drive/coco.json", "night.json", "instances_default.json", "results.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        saved(tmp_path, annotation()).rename(tmp_path / name)
    (tmp_path / "results.json").write_text(json.dumps([result(1)]))
    (tmp_path / "package.json").write_text('{"name": "images"}')
    side = sniff(tmp_path)
    assert {labels.name for labels in side.labels} == {"drive", "night", tmp_path.name, "results"}
    assert [sum(map(len, labels.instances())) for labels in side.labels] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "content",
    [
        {"shapes": [{"label": "car", "points": [[1, 1], [2, 1], [2, 2]]}], "imagePath": "a.jpg"},
        {"a.jpg123": {"filename": "a.jpg", "regions": []}},
        {"images": [image()], "categories": [{"id": 1, "name": "car"}]},
        {"images": [image()], "categories": [{"id": 1, "name": "car"}], "annotations": None},
        {
            "images": [image()],
            "categories": [{"id": 1, "name": "car"}],
            "annotations": [annotation(iscrowd="x")],
        },
        [{"image_id": "a", "category_id": 26, "segmentation": [[1, 1, 4, 1, 4, 4]]}],
        [{"name": "x"}],
    ],
)
def test_what_cannot_be_read_is_found(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError):
        list(coco_reader.read(path))
    assert ERROR in {finding.severity for finding in check(path)}


def test_nothing_is_found_in_what_can_be_read(tmp_path: Path) -> None:
    assert not list(check(saved(tmp_path, annotation(track_id=-1), annotation(id=2, track_id=-1))))
    assert not list(check(results(tmp_path, result("a"))))
    content = dict(reversed(records().items()))
    (tmp_path / "reversed.json").write_text(json.dumps(content))
    assert not [found for found in check(tmp_path / "reversed.json") if found.severity == ERROR]
