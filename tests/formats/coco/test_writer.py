"""coco.json is what pycocotools loads, and carries identity, score and the frame."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.coco import reader as coco_reader
from annotator.formats.coco import writer as coco_writer
from annotator.instances import Instances
from tests.formats.test_all_formats import (
    BESIDE,
    BUS,
    CAR,
    FOLDER,
    PERSON,
    SQUARE,
    VIDEO,
    each_case,
    instances,
)
from tests.helpers.builders import REAL_DATA, Labels, frame_ref, needs_real_data, read_instances


def loaded(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@each_case
def test_pycocotools_loads_it(tmp_path: Path, labels: Labels) -> None:
    written = coco_writer.write(labels, VIDEO, tmp_path)
    api = loaded(tmp_path / coco_writer.FILE)
    assert len(api.imgs) == len(labels.found)
    assert len(api.anns) == written.instances
    assert {c["name"] for c in api.cats.values()} == {
        *("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    }
    for annotation in api.anns.values():
        pixels = api.annToMask(annotation)
        assert pixels.sum() == annotation["area"]
        rows, columns = np.nonzero(pixels)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)


def test_a_track_has_a_score_which_filled_gaps_lower(tmp_path: Path) -> None:
    seen = [instances(k, (SQUARE, CAR, 0.75, 3)) for k in (2, 3, 5)]
    filled = replace(instances(4, (SQUARE, CAR, 0.75, 3)), interpolated=np.array([True]))
    coco_writer.write(Labels([*seen[:2], filled, seen[2]]), FOLDER, tmp_path)
    assert json.loads((tmp_path / coco_writer.FILE).read_text())["tracks"] == [
        {"id": 3, "category_id": CAR, "score": 0.5625, "first_frame": 2, "last_frame": 5}
    ]


def test_the_fields_of_a_record(tmp_path: Path) -> None:
    labels = Labels([instances(5, (SQUARE, CAR, 0.9, 3), (BESIDE, PERSON, 0.5, 0))])
    coco_writer.write(labels, FOLDER, tmp_path)
    content = json.loads((tmp_path / coco_writer.FILE).read_text())
    assert content["images"] == [
        {
            "id": 1,
            "file_name": "image 5.png",
            "width": 10,
            "height": 8,
            "frame_index": 5,
            "source": "day_1/drive",
        }
    ]
    car, person = content["annotations"]
    assert car == {
        "id": 1,
        "image_id": 1,
        "category_id": 26,
        "segmentation": {"size": [8, 10], "counts": masks.encode(SQUARE)["counts"].decode()},
        "area": 16,
        "bbox": [0, 0, 4, 4],
        "iscrowd": 0,
        "score": 0.9,
        "track_id": 3,
    }
    assert person["track_id"] is None
    assert {"id": 26, "name": "car", "supercategory": "vehicle"} in content["categories"]


def test_a_frame_of_a_video_is_named_as_its_cityscapes_labels_are(tmp_path: Path) -> None:
    coco_writer.write(Labels([Instances.of(frame_ref(3))]), VIDEO, tmp_path)
    content = json.loads((tmp_path / coco_writer.FILE).read_text())
    assert content["images"][0]["file_name"] == "day-1-drive_000000_000003.png"


def foreign(**changes: Any) -> dict[str, Any]:
    """A small COCO file as other tools write it."""
    annotation = {"id": 9, "image_id": 4, "category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]}
    return {
        "images": [{"id": 4, "file_name": "a.jpg", "height": 6, "width": 8}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [annotation | changes],
    }


def test_files_of_other_tools_are_read_by_category_name(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(foreign()))
    (found,) = read_instances("coco", path)
    assert (found.class_ids.tolist(), found.scores.tolist()) == ([CAR], [1])
    assert masks.areas(found.masks).tolist() == [6]
    path.write_text(json.dumps(foreign(iscrowd=1)))
    assert [len(found) for found in read_instances("coco", path)] == [0]


def test_crowds_are_regions_of_truth(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(foreign(iscrowd=1)))
    (truth,) = coco_reader.read(path)
    assert len(truth.instances) == 0
    assert [(region.class_id, masks.areas([region.mask]).tolist()) for region in truth.ignore_regions] == [
        (CAR, [6])
    ]
    path.write_text(json.dumps(foreign()))
    (truth,) = coco_reader.read(path)
    assert (len(truth.instances), truth.ignore_regions) == (1, ())


@pytest.mark.parametrize(("labelled", "class_ids"), [({}, {CAR, BUS}), ({"labelled": [3]}, {BUS})])
def test_an_image_may_say_which_classes_are_labelled(
    labelled: dict[str, list[int]], class_ids: set[int], tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    content = foreign()
    content["categories"].append({"id": 3, "name": "bus"})
    content["images"][0].update(labelled)
    path.write_text(json.dumps(content))
    (truth,) = coco_reader.read(path)
    assert truth.class_ids == class_ids


@pytest.mark.realdata
@needs_real_data
def test_sources_that_label_some_classes_say_so() -> None:
    truths = list(coco_reader.read(REAL_DATA / "street" / "val.json"))
    assert {PERSON} in [truth.class_ids for truth in truths]
    assert any(truth.ignore_regions for truth in truths)


@pytest.mark.parametrize("wrong", [{"track_id": 1 << 40}, {"score": "good"}, {"segmentation": 7}])
def test_odd_values_are_refused_in_a_sentence(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(foreign(**wrong)))
    with pytest.raises(FormatError, match=r"COCO"):
        list(coco_reader.read(path))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(foreign())[:-9])
    with pytest.raises(FormatError, match=r"other\.json: no COCO instance labels"):
        list(read_instances("coco", path))


@pytest.mark.parametrize("wrong", [{"image_id": 5}, {"category_id": 2}, {"segmentation": [[1, 1]]}])
def test_annotations_that_fit_nowhere_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(foreign(**wrong)))
    with pytest.raises(FormatError):
        list(read_instances("coco", path))
