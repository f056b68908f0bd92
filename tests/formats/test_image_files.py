"""Formats with a file an image, as other tools write them: Cityscapes polygons, labelme, YOLO text."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from scipy import ndimage

from annotator import masks
from annotator.errors import ExitCode, UsageError
from annotator.evaluation.report import evaluate
from annotator.formats.bad_entries import SKIPPED
from annotator.formats.check import ERROR, check
from annotator.formats.cityscapes.polygons import JOINED, _ring
from annotator.formats.coco.index import WITHOUT_MASKS
from annotator.formats.interface import Written
from annotator.formats.registry import WRITABLE
from annotator.formats.sniffing import bad_input, sniff
from annotator.instances import GroundTruth, Instances
from annotator.options import ReadingOptions
from annotator.training.image_lookup import frame_files
from cli import convert
from tests.helpers.builders import Labels, Recording, frame_ref, mask
from tests.helpers.commands import assert_one_sentence, in_process

PERSON, RIDER, CAR, BUS = 24, 25, 26, 28
SIZE = (8, 12)
BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]
BOX_MASK = mask("............", ".####.......", ".####.......", ".####.......", *["............"] * 4)
LOW = [[3, 2], [8, 2], [8, 6], [3, 6]]
NAME = "ulm_000000_000019_gtFine_polygons.json"


def truths(path: Path, **options: Any) -> list[GroundTruth]:
    """What a path holds, read as all commands read it."""
    with bad_input():
        (labels,) = sniff(path, ReadingOptions(**options)).labels
        return list(labels.truth())


def skipped(path: Path, **options: Any) -> Counter[str]:
    (labels,) = sniff(path, ReadingOptions(**options)).labels
    list(labels.truth())
    return +labels.skipped


def decoded(truth: GroundTruth) -> list[np.ndarray]:
    return [masks.decode(one) for one in truth.instances.masks]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as fault:
        truths(path, **options)
    assert fault.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(fault.value)
    return str(fault.value)


# ---- Cityscapes polygons


def polygons(folder: Path, *objects: Any, name: str = NAME, size: tuple[int, int] = SIZE) -> Path:
    entries = [
        {"label": one[0], "polygon": one[1], **(one[2] if len(one) > 2 else {})}
        if isinstance(one, tuple)
        else one
        for one in objects
    ]
    folder.mkdir(exist_ok=True)
    content = {"imgHeight": size[0], "imgWidth": size[1], "objects": entries}
    (folder / name).write_text(json.dumps(content))
    return folder


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


# ---- labelme


def labelme(folder: Path, *shapes: dict[str, Any], name: str = "a", **more: Any) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\pictures\\{name}.jpg"}
    content |= {"imageData": "A" * 10_000, "imageHeight": SIZE[0], "imageWidth": SIZE[1]} | more
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def shape(label: Any, points: Any, kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


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


# ---- YOLO text


def yolo(root: Path, **texts: str) -> Path:
    """A data set as YOLO has it: images/train and labels/train, names in data.yaml."""
    for folder in (root / "images" / "train", root / "labels" / "train"):
        folder.mkdir(parents=True)
    (root / "data.yaml").write_text("train: images/train\nnames:\n  0: car\n  1: person\n  7: dog\n")
    for name, text in texts.items():
        Image.new("RGB", (SIZE[1], SIZE[0])).save(root / "images" / "train" / f"{name}.png")
        if text:
            (root / "labels" / "train" / f"{name}.txt").write_text(text)
    return root


LEFT_HALF = "0.0 0.0 0.5 0.0 0.5 1.0 0.0 1.0"
RIGHT_HALF = "0.5 0 1 0 1 1 0.5 1"


def test_lines_of_yolo_are_objects(tmp_path: Path) -> None:
    path = yolo(tmp_path, a=f"0 {LEFT_HALF}\n\n1 {RIGHT_HALF}\n", b="", c=f"1.0 {LEFT_HALF}")
    assert sniff(path).format.name == "yolo"
    first, nothing, last = truths(path)
    assert first.instances.class_ids.tolist() == [CAR, PERSON]
    assert masks.areas(first.instances.masks).tolist() == [48, 48]
    assert decoded(first)[0][:, :6].all(), "vertices are shares of the image, along pixel edges"
    assert len(nothing.instances) == 0, "an image without a file has no objects"
    assert last.instances.class_ids.tolist() == [PERSON]
    assert [truth.instances.frame.name for truth in (first, nothing)] == [
        "images/train/a.png",
        "images/train/b.png",
    ]


def test_scores_and_tracks_behind_the_points(tmp_path: Path) -> None:
    path = yolo(
        tmp_path,
        score=f"0 {LEFT_HALF} 0.25",
        track=f"0 {LEFT_HALF} 7",
        zboth=f"0 {LEFT_HALF} 0.5 7\n1 {RIGHT_HALF} 0.25 1",
    )
    score, track, both = (truth.instances for truth in truths(path))
    assert (score.scores.tolist(), score.track_ids.tolist()) == ([0.25], [0])
    assert (track.scores.tolist(), track.track_ids.tolist()) == ([1], [7])
    assert (both.scores.tolist(), both.track_ids.tolist()) == ([0.5, 0.25], [7, 1])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"2147483647 {LEFT_HALF}", "class 2.14748e+09 is no whole number below 10,000"),
        (f"{'9' * 400} {LEFT_HALF}", "class inf is no whole number"),
        (f"0 {LEFT_HALF} 1e999", "inf is no track id"),
        (f"0 {LEFT_HALF} 0.5 1e999", "inf is no track id"),
    ],
)
def test_numbers_that_no_class_and_no_track_has_are_bad_lines(
    tmp_path: Path, line: str, sentence: str
) -> None:
    path = yolo(tmp_path, a=f"{line}\n0 {LEFT_HALF}", b=f"0 {LEFT_HALF}")
    assert sentence in refused(path)
    assert [len(truth.instances) for truth in truths(path, skip_bad=True)] == [1, 1]


def test_boxes_of_yolo_are_left_out_and_counted(tmp_path: Path) -> None:
    path = yolo(tmp_path, a=f"0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2 0.9\n0 {LEFT_HALF}")
    assert [len(truth.instances) for truth in truths(path)] == [1]
    assert skipped(path) == {WITHOUT_MASKS: 2}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data.yaml", "nc: 2\nnames: ['car', person]\n"),
        ("labels/classes.txt", "car\nperson\n"),
        ("obj.names", "car\r\nperson\r\n"),
    ],
)
def test_names_of_classes_stand_in_files_beside_or_above(file: str, content: str, tmp_path: Path) -> None:
    path = yolo(tmp_path, a=f"1 {LEFT_HALF}")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / file).write_text(content)
    (truth,) = truths(path / "labels")
    assert truth.instances.class_ids.tolist() == [PERSON]


def test_classes_without_a_name_are_mapped_by_number(tmp_path: Path) -> None:
    path = yolo(tmp_path, a=f"1 {LEFT_HALF}\n2 {RIGHT_HALF}")
    (tmp_path / "data.yaml").unlink()
    assert all(f"'{k}'" in refused(path) for k in "12")
    (truth,) = truths(path, map=("1=person", "2=none"))
    assert truth.instances.class_ids.tolist() == [PERSON]


def test_sizes_are_those_of_images_elsewhere_where_they_are_named(tmp_path: Path) -> None:
    path = yolo(tmp_path / "set", a=f"0 {LEFT_HALF}")
    (path / "images").rename(tmp_path / "pictures")
    assert (
        "a.txt: no image of this name tells its size; `image_folder` names the folder of images"
        in refused(path)
    )
    (truth,) = truths(path, image_folder=tmp_path / "pictures")
    assert truth.instances.frame.size == SIZE


def test_the_size_of_predictions_may_be_that_of_the_truth(tmp_path: Path) -> None:
    truth = yolo(tmp_path / "truth", a=f"0 {LEFT_HALF}", b=f"1 {RIGHT_HALF}")
    predicted = tmp_path / "predict" / "labels"
    predicted.mkdir(parents=True)
    (predicted / "a.txt").write_text(f"0 {LEFT_HALF} 0.9\n")
    (predicted.parent / "classes.txt").write_text("car\n")
    report = evaluate(predicted, truth, ["coco"])
    assert report.figure("car.AP50") == pytest.approx(1)
    assert (report.counts.compared, report.counts.only_true) == (1, 1)


BAD_LINES = [
    ("car 0.1 0.1 0.9 0.9 0.1 0.9", "is not 'class x1 y1 x2 y2 ...'"),
    ("0 10 10 90 90 10 90", "no shares of the frame's width and height"),
    ("0 nan 0.1 0.9 0.9 0.1 0.9", "is not 'class x1 y1 x2 y2 ...'"),
    ("0 0.1", "is not 'class x1 y1 x2 y2 ...'"),
]


@pytest.mark.parametrize(("line", "why"), BAD_LINES)
def test_a_line_that_is_none_is_named_and_can_be_left_out(line: str, why: str, tmp_path: Path) -> None:
    path = yolo(tmp_path, a=f"0 {LEFT_HALF}\n{line}\n")
    assert "a.txt: line 2: " in refused(path)
    assert why in refused(path)
    assert [len(truth.instances) for truth in truths(path, skip_bad=True)] == [1]
    (finding,) = check(path)
    assert why in finding.message


def test_yaml_that_is_none_is_refused(tmp_path: Path) -> None:
    path = yolo(tmp_path, a=f"0 {LEFT_HALF}")
    for content in ("names: [", "[" * 100_000):
        (path / "data.yaml").write_text(content)
        assert "data.yaml: no YAML that can be read" in refused(path)


# ---- all of them

MAKERS: dict[str, Callable[[Path], Path]] = {
    "polygons": lambda folder: polygons(folder, ("car", BOX)),
    "labelme": lambda folder: labelme(folder, shape("car", BOX)),
    "yolo": lambda folder: yolo(folder, a=f"0 {LEFT_HALF}"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_command_takes_them(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = MAKERS[name](tmp_path / "labels")
    run = in_process(convert.command, capsys)
    assert run("check", path).stdout == "nothing was found\n"
    answer = run(path, "--to", "coco", "--out", tmp_path / "out")
    assert answer.returncode == 0
    assert "1 frames, 1 instances" in answer.stdout
    assert evaluate(tmp_path / "out", path, ["coco"]).figure("car.AP") == pytest.approx(1)
    (labels,) = sniff(path).labels
    picture = "ulm_000000_000019_leftImg8bit.png" if name == "polygons" else "a.jpg"
    folder = path / "images" / "train" if name == "yolo" else path
    Image.new("RGB", (SIZE[1], SIZE[0])).save(folder / picture)
    refs = [truth.instances.frame for truth in labels.truth()]
    assert [file.stem for file in frame_files(labels, refs, None, tmp_path)] == [Path(picture).stem]


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_alone_is_recognized_too(name: str, tmp_path: Path) -> None:
    path = MAKERS[name](tmp_path / "labels")
    (file,) = (file for file in path.rglob("*") if file.suffix in (".json", ".txt"))
    assert sniff(file).format is sniff(path).format
    assert [len(truth.instances) for truth in truths(file)] == [1]


def test_a_folder_of_coco_files_is_a_recording_each(tmp_path: Path) -> None:
    content = {"images": [], "annotations": [], "categories": []}
    for name in ("day/drive/coco.json", "other.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "camera.json").write_text('{"focal": 3}')
    assert [labels.name for labels in sniff(tmp_path).labels] == ["day/drive", "other"]


def test_annotations_of_via_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "via.json").write_text('{"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": []}}')
    answer = in_process(convert.command, capsys)(
        tmp_path / "via.json", "--to", "coco", "--out", tmp_path / "out"
    )
    assert_one_sentence(answer, "via.json", "VIA", "COCO format")
    assert answer.returncode == ExitCode.USAGE
    answer = in_process(convert.command, capsys)("check", tmp_path / "via.json")
    assert "error: " in answer.stdout
    assert "VIA" in answer.stdout
    assert answer.returncode == ExitCode.SOME_FAILED
