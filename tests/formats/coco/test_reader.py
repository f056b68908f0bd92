"""COCO as CVAT, Label Studio and labelme export it, and lists of results."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator import masks
from annotator.errors import FormatError, UsageError
from annotator.formats.check import check
from annotator.formats.class_map import ClassMap
from annotator.formats.coco import reader as coco_reader
from annotator.formats.coco import writer as coco_writer
from annotator.formats.comparison import compare
from annotator.formats.interface import Reading
from annotator.formats.sniffing import sniff
from annotator.labels import BY_NAME
from tests.formats.test_all_formats import FOLDER, instances
from tests.helpers.builders import Labels, read_instances

CAR, PERSON = BY_NAME["car"].id, BY_NAME["person"].id
SIZE = (6, 8)
SQUARE = [[1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0]]
PIXELS = np.zeros(SIZE, bool)
PIXELS[1:4, 1:4] = True
UNCOMPRESSED = {"size": [6, 8], "counts": [7, 3, 3, 3, 3, 3, 26]}
COMPRESSED = {"size": [6, 8], "counts": masks.encode(PIXELS)["counts"].decode()}


def image(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "width": 8, "height": 6, "file_name": f"{number}.png"} | more


def annotation(**more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE} | more


def saved(folder: Path, *entries: dict[str, Any], images: Any = None, names: Any = ("car",)) -> Path:
    path = folder / "instances.json"
    categories = [{"id": k, "name": name} for k, name in enumerate(names, 1)]
    content = {"images": images or [image()], "categories": categories, "annotations": list(entries)}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("segmentation", [SQUARE, UNCOMPRESSED, COMPRESSED], ids=["polygon", "list", "text"])
def test_polygons_and_both_kinds_of_rle_are_the_same_mask(segmentation: Any, tmp_path: Path) -> None:
    (found,) = read_instances("coco", saved(tmp_path, annotation(segmentation=segmentation)))
    assert np.array_equal(masks.decode(found.masks[0]), PIXELS)


# ---- CVAT


def test_painted_masks_that_cvat_calls_crowds_are_objects(tmp_path: Path) -> None:
    cvat = annotation(segmentation=UNCOMPRESSED, iscrowd=1, attributes={"occluded": False})
    (truth,) = coco_reader.read(saved(tmp_path, cvat))
    assert (len(truth.instances), truth.ignore_regions) == (1, ())
    crowd = annotation(segmentation=UNCOMPRESSED, iscrowd=1, attributes={"is_crowd": True})
    (truth,) = coco_reader.read(saved(tmp_path, crowd))
    assert (len(truth.instances), len(truth.ignore_regions)) == (0, 1)


def test_identities_of_cvat_are_the_uid_that_this_tool_gave_or_else_its_tracks(tmp_path: Path) -> None:
    def of(number: int, **attributes: Any) -> dict[str, Any]:
        return annotation(id=number, image_id=number, attributes=attributes)

    path = saved(
        tmp_path,
        of(1, track_id=0, uid="7", score="0.5"),
        of(2, track_id=0, uid="7"),
        of(3, track_id=1, uid="7"),  # in another job, or its largest part is another
        of(4, track_id=2, uid=""),  # drawn
        of(5, uid="frame5-0"),
        of(6, uid="9"),
        images=[image(k) for k in range(1, 7)],
    )
    found = list(read_instances("coco", path))
    assert [each.track_ids.tolist() for each in found] == [[7], [7], [7], [1], [0], [9]]
    assert found[0].scores.tolist() == [0.5]


def test_copies_of_an_object_in_an_image_of_cvat_are_objects_of_their_own(tmp_path: Path) -> None:
    both = [
        annotation(id=10 * number + k, image_id=number, attributes={"track_id": k, "uid": "7", "occluded": 0})
        for number in (1, 2)
        for k in (3, 4)
    ]
    found = list(read_instances("coco", saved(tmp_path, *both, images=[image(1), image(2)])))
    assert [sorted(each.track_ids.tolist()) for each in found] == [[7, 8], [7, 8]]


def test_shapes_of_cvat_lie_above_those_before_and_those_around_them_whatever_their_score(
    tmp_path: Path,
) -> None:
    def square(number: int, left: int, size: int, score: float, **attributes: Any) -> dict[str, Any]:
        ring = [left, 1, left + size, 1, left + size, 1 + size, left, 1 + size]
        return annotation(id=number, segmentation=[ring], score=score, attributes=attributes)

    within, around = square(1, 1, 2, 0.125, occluded=False), square(2, 0, 5, 0.875, occluded=False)
    later = square(3, 4, 3, 0.25, occluded=False)
    (found,) = read_instances("coco", saved(tmp_path, within, around, later))
    areas = dict(zip(found.scores.tolist(), masks.areas(found.masks).tolist(), strict=True))
    assert areas == {0.125: 4, 0.875: 25 - 4 - 3, 0.25: 9}
    others = [entry | {"attributes": {}} for entry in (within, around, later)]
    (found,) = read_instances("coco", saved(tmp_path, *others))
    assert sorted(masks.areas(found.masks).tolist()) == [4, 9, 25], "as they are"


def test_a_zip_of_cvat_is_read_as_the_json_in_it(tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(saved(tmp_path, annotation()), "annotations/instances_default.json")
    assert sniff(path).format.name == "coco"
    assert [len(found) for found in read_instances("coco", path)] == [1]


# ---- Label Studio and labelme


def test_ids_may_begin_at_0_and_categories_that_nothing_has_may_be_called_anything(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    content = {
        "images": [{"width": 8, "height": 6, "id": 0, "file_name": "images/1.png"}],
        "categories": [{"id": 0, "name": "_background_"}, {"id": 1, "name": "Car"}],
        "annotations": [annotation(id=0, image_id=0, ignore=0, iscrowd=0, area=9.0)],
        "info": {"contributor": "Label Studio"},
    }
    path.write_text(json.dumps(content))
    (truth,) = coco_reader.read(path)
    assert truth.instances.class_ids.tolist() == [CAR]
    assert truth.class_ids == {CAR}


def test_missing_fields_are_made_up_for(tmp_path: Path) -> None:
    entry = {"image_id": 3, "category_id": 1, "segmentation": COMPRESSED}
    (found,) = read_instances("coco", saved(tmp_path, entry, images=[{"id": 3}]))
    assert (found.frame.size, found.frame.name, found.scores.tolist()) == (SIZE, "image 3", [1])


def test_boxes_are_left_out_and_counted(tmp_path: Path) -> None:
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
    skipped = Counter[str]()
    path = saved(tmp_path, annotation(), box, annotation(segmentation=[]))
    assert [len(found) for found in read_instances("coco", path, skipped=skipped)] == [1]
    assert skipped == {"boxes without a mask": 2}


def test_categories_of_other_names_are_what_the_user_says(tmp_path: Path) -> None:
    path = saved(
        tmp_path, annotation(category_id=2), annotation(category_id=3), names=("car", "Fahrer", "tree")
    )
    with pytest.raises(FormatError, match="labels 'Fahrer', 'tree' are no Cityscapes classes"):
        list(read_instances("coco", path))
    (truth,) = coco_reader.read(path, Reading(classes=ClassMap.parse(["Fahrer=rider", "tree=none"])))
    assert truth.instances.class_ids.tolist() == [BY_NAME["rider"].id]
    assert truth.class_ids == {CAR, BY_NAME["rider"].id}


def test_images_of_several_recordings_are_numbered_by_place(tmp_path: Path) -> None:
    images = [image(k, frame_index=k % 2) for k in range(4)]
    found = read_instances("coco", saved(tmp_path, images=images))
    assert [each.frame.index for each in found] == [0, 1, 2, 3]
    images = [image(k, frame_index=7 + 2 * k) for k in range(3)]
    found = read_instances("coco", saved(tmp_path, images=images))
    assert [each.frame.index for each in found] == [7, 9, 11]


# ---- lists of results


def results(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(entries))
    return path


def test_a_list_of_results_has_its_images_and_cityscapes_ids(tmp_path: Path) -> None:
    path = results(
        tmp_path,
        {"image_id": 5, "category_id": 26, "segmentation": COMPRESSED, "score": 0.25},
        {"image_id": 2, "category_id": 24, "segmentation": COMPRESSED, "score": 0.75},
    )
    assert sniff(path).format.name == "coco-results"
    found = list(read_instances("coco", path))
    assert [(each.frame.index, each.class_ids.tolist(), each.scores.tolist()) for each in found] == [
        (2, [PERSON], [0.75]),
        (5, [CAR], [0.25]),
    ]


def test_results_with_other_numbers_need_to_be_told_what_they_are(tmp_path: Path) -> None:
    path = results(tmp_path, {"image_id": 1, "category_id": 3, "segmentation": COMPRESSED, "score": 1})
    with pytest.raises(FormatError, match="label '3' is no Cityscapes class"):
        list(read_instances("coco", path))
    (found,) = read_instances("coco", path, classes=ClassMap.parse(["3=car"]))
    assert found.class_ids.tolist() == [CAR]


def test_results_meet_their_truth_by_the_number_of_the_image(tmp_path: Path) -> None:
    truth = coco_writer.write(
        Labels([instances(k, (PIXELS, CAR, 1, 1), size=SIZE) for k in range(4, 7)]), FOLDER, tmp_path
    )
    path = results(
        tmp_path,
        *({"image_id": k, "category_id": 26, "segmentation": COMPRESSED, "score": 1} for k in (1, 3)),
    )
    (recording,) = compare(path, truth.files[0]).recordings
    assert [truth.instances.frame.index for _, truth in recording.frames()] == [4, 6]


# ---- bad input


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            annotation(segmentation=[[1, 1, 2, 2]]),
            "annotation 1: not a COCO segmentation: a polygon with fewer",
        ),
        (
            annotation(segmentation={"size": [6, 8], "counts": [7, 3]}),
            "annotation 1: not a COCO segmentation",
        ),
        (
            annotation(segmentation={"size": [8, 6], "counts": [48]}),
            "annotation 1: not a COCO segmentation: a mask of size [8, 6] in a frame of [6, 8]",
        ),
        (annotation(image_id=99), "annotation 1 is of image 99, which is not there"),
        (annotation(category_id=99), "annotation 1 is of category 99, which is not there"),
        (annotation(score=float("nan")), "annotation 1: a score of nan"),
        (annotation(segmentation="square"), "annotation 1: not a COCO segmentation"),
        (annotation(attributes={"score": "good"}), 'annotation 1: score "good" is no number'),
    ],
)
def test_what_cannot_be_is_named(entry: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = saved(tmp_path, annotation(id=7), entry)
    with pytest.raises(FormatError) as fault:
        list(read_instances("coco", path))
    assert str(fault.value).startswith(f"{path}: no COCO instance labels (")
    assert sentence in str(fault.value)


def test_an_image_without_a_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a has no height and width"):
        list(read_instances("coco", saved(tmp_path, annotation(), images=[{"id": 1, "file_name": "a"}])))
    with pytest.raises(FormatError, match="a list of results says nothing of the size"):
        list(
            read_instances(
                "coco", results(tmp_path, {"image_id": 1, "category_id": 26, "segmentation": SQUARE})
            )
        )


def test_a_list_of_something_else_is_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match="its format can't be told"):
        sniff(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('[{"name": "x"}]')
    with pytest.raises(FormatError, match=r"result 1 \(of image null\): its image_id is missing"):
        list(read_instances("coco", tmp_path / "b.json"))


def test_fuzzed_files_give_labels_or_a_sentence(tmp_path: Path) -> None:
    entry = annotation(segmentation=COMPRESSED, attributes={"uid": "7", "track_id": 1}, score=0.5)
    text = saved(tmp_path, annotation(), entry).read_bytes()
    random = np.random.default_rng(5)
    path = tmp_path / "fuzzed.json"
    for _ in range(500):
        content = bytearray(text)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            content[place] = random.integers(32, 127)
        path.write_bytes(bytes(content))
        sentence = refusal(path)
        assert sentence is None or (sentence.startswith(f"{path}: no COCO") and "\n" not in sentence)


def refusal(path: Path) -> str | None:
    """The sentence that a file is refused with, None for one that is read."""
    try:
        list(read_instances("coco", path))
    except FormatError as error:
        return str(error)
    return None


@pytest.mark.parametrize("far", [1e8, 1e12])
def test_a_polygon_that_reaches_out_of_all_bounds_is_refused_and_does_not_crash(
    tmp_path: Path, far: float
) -> None:
    path = saved(tmp_path, annotation(segmentation=[[0, 0, far, 0, far, far]]))
    with pytest.raises(FormatError, match="beyond 1,000,000 pixels"):
        list(read_instances("coco", path))
    assert any("beyond 1,000,000 pixels" in finding.message for finding in check(path))


@pytest.mark.parametrize("score", [-0.1, 2.5, 85])
def test_scores_that_are_none_are_refused(tmp_path: Path, score: float) -> None:
    with pytest.raises(FormatError, match="scores are from 0 to 1"):
        list(read_instances("coco", saved(tmp_path, annotation(score=score))))


def test_frames_of_a_video_that_cvat_exports_keep_their_numbers(tmp_path: Path) -> None:
    images = [image(k, file_name=f"frame_{number:06}.PNG") for k, number in enumerate((100, 105, 115), 1)]
    found = list(read_instances("coco", saved(tmp_path, annotation(image_id=3), images=images)))
    assert [each.frame.index for each in found] == [100, 105, 115]
    assert [len(each) for each in found] == [0, 0, 1]
