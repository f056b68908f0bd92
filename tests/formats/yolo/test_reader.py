"""Lines of YOLO text are objects; names and sizes come from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator import masks
from annotator.evaluation.report import evaluate
from annotator.formats.check import check
from annotator.formats.coco.index import WITHOUT_MASKS
from annotator.formats.sniffing import sniff
from tests.helpers.label_files import (
    CAR,
    LEFT_HALF,
    PERSON,
    RIGHT_HALF,
    SIZE,
    decoded,
    refused,
    skipped,
    truths,
    yolo,
)


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
