"""Frames of two sets of labels meet by what they are called, and never two of one side meet one of the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import UsageError
from annotator.evaluation.diff import diff
from annotator.evaluation.report import Report, evaluate
from annotator.formats.pairing import By, FrameNames, by_name, by_number
from annotator.options import ConversionJob, PairingOptions
from cli import convert
from cli import evaluate as evaluation
from tests.helpers.commands import in_process


def met(ours: list[str], theirs: list[str]) -> dict[str, str]:
    """Which names are of one frame."""
    pairs = by_name(FrameNames((ours,)), FrameNames((theirs,)))
    return {ours[i]: theirs[j] for i, j in pairs}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a.jpg", "a.jpg"),
        ("a.png", "a.jpg"),
        ("a", "a.jpg"),
        ("train/x/a.jpg", "a.jpg"),
        ("images/x/a.jpg", "x/a.jpg"),
        (r"C:\data\x\a.jpg", "data/x/a.jpg"),
        ("ulm_000000_000019_leftImg8bit.png", "ulm_000000_000019"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("a%20b.jpg", "a b.jpg"),
        ("https://host/bucket/x/a%20b.jpg?token=c0ffee", "x/a b.jpg"),
        ("/data/local-files/?d=drive/a.jpg", "drive/a.jpg"),
        ("s3://bucket/x/a.jpg", "a.jpg"),
    ],
)
def test_frames_meet_whatever_a_tool_writes_for_a_path(ours: str, theirs: str) -> None:
    names = FrameNames(([ours, "other.jpg"],)), FrameNames((["another.jpg", theirs],))
    assert by_name(*names) == {(0, 1): By.NAME}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("A.JPG", "a.jpg"),
        ("a_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "a.jpg"),
        ("my-photo-2_png.rf.0123456789abcdef0123456789abcdef.jpg", "my photo.2.png"),
        ("/data/upload/1/3f2a9c1b-a.jpg", "a.jpg"),
        ("3f2a9c1b-a.jpg", "77ab01de-a.jpg"),
    ],
)
def test_frames_meet_by_similar_names_and_it_is_known(ours: str, theirs: str) -> None:
    assert by_name(FrameNames(([ours],)), FrameNames(([theirs],))) == {(0, 0): By.SIMILAR}


def test_what_is_ambiguous_meets_by_stricter_names_alone() -> None:
    assert met(["a.jpg", "A.jpg"], ["A.JPG", "a.jpg"]) == {"a.jpg": "a.jpg", "A.jpg": "A.JPG"}
    assert met(["a.jpg", "A.jpg"], ["A.jpg"]) == {"A.jpg": "A.jpg"}
    assert met(["a.png", "a.jpg"], ["a.jpg", "a.png"]) == {"a.png": "a.png", "a.jpg": "a.jpg"}
    assert met(["x/a.jpg", "y/a.jpg"], ["a.jpg"]) == {}
    assert met(["x/a.jpg", "y/a.jpg"], ["i/y/a.jpg", "i/z/a.jpg"]) == {"y/a.jpg": "i/y/a.jpg"}
    copies = [f"a_jpg.rf.{k:032x}.jpg" for k in range(2)]
    assert met(copies, ["a.jpg"]) == {}


def test_dates_words_and_cameras_are_no_hashes() -> None:
    assert met(["20240101-0001.jpg"], ["20240102-0001.jpg"]) == {}
    assert met(["facade-0001.jpg"], ["0001.jpg"]) == {}
    assert met(["f16-0001.jpg", "f16-0002.jpg"], ["0001.jpg", "0002.jpg"]) == {}, "one camera, not two hashes"


NAME = st.text("aA1_. /\\-%2e0", min_size=1, max_size=12) | st.sampled_from(
    [
        "a_jpg.rf.0a1b.jpg",
        "0a1b2c3d-a.jpg",
        "a.jpg",
        "A.JPG",
        "x/a.png",
        "https://h/a.jpg?x=1",
        "https://[::1",
    ]
)


@given(st.lists(NAME, max_size=8), st.lists(NAME, max_size=8))
def test_no_two_frames_meet_one_whatever_they_are_called(ours: list[str], theirs: list[str]) -> None:
    pairs = by_name(FrameNames((ours,)), FrameNames((theirs,)))
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert by_name(FrameNames((theirs,)), FrameNames((ours,))) == {(j, i): by for (i, j), by in pairs.items()}
    unique = {name for name in ours if ours.count(name) == 1 and theirs.count(name) == 1}
    plain = {name for name in unique if not set(name) & set("\\:?") and not name.startswith("./")}
    assert {(ours.index(name), theirs.index(name)) for name in plain} <= pairs.keys()


def test_results_meet_images_by_their_id_or_by_the_number_of_the_file() -> None:
    images = FrameNames((["000007.jpg", "000008.jpg"],), ["image 1", "image 2"])
    by_id, by_file = FrameNames((["image 1", "image 2"],)), FrameNames((["image 7", "image 8"],))
    assert (
        by_number(by_id, images) == by_number(by_file, images) == dict.fromkeys([(0, 0), (1, 1)], By.NUMBER)
    )


# ---- as figures


def coco(path: Path, names: list[str], order: list[int], width: int = 20) -> Path:
    """A car in each image, at a place of its own; images are numbered in an order."""
    images = [
        {"id": number, "file_name": names[k], "height": 10, "width": width} for number, k in enumerate(order)
    ]
    boxes = [[3.0 * k, 0, 3 * k + 3, 0, 3 * k + 3, 5, 3 * k, 5] for k in order]
    annotations = [
        {"id": n, "image_id": n, "category_id": 26, "segmentation": [box]} for n, box in enumerate(boxes)
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 26, "name": "car"}]}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return coco(tmp_path / "truth.json", ["a.jpg", "b.jpg", "c.jpg"], [0, 1, 2])


def scored(prediction: Path, truth: Path, **options: str) -> Report:
    return evaluate(prediction, truth, ["coco"], pairing=PairingOptions(**options))


def test_renamed_predictions_with_other_ids_are_as_good_as_before(tmp_path: Path, truth: Path) -> None:
    names = [f"{name}_jpg.rf.0a1b{name}9.jpg" for name in "abc"]
    report = scored(coco(tmp_path / "roboflow.json", names, [2, 0, 1]), truth)
    assert report.figure("AP") == 1
    assert report.as_json()["paired_by"] == {"similar name": 3}
    assert report.counts.similar == ("a_jpg.rf.0a1ba9.jpg", "a.jpg")


def test_predictions_of_other_images_have_no_figure(tmp_path: Path, truth: Path) -> None:
    other = coco(tmp_path / "other.json", ["x.jpg", "y.jpg", "z.jpg"], [0, 1, 2])
    for compared in (scored, diff):
        with pytest.raises(UsageError, match=r"has x.jpg, .* has a.jpg; .* `match` id pairs them by number"):
            compared(other, truth)
    assert scored(other, truth, match="id").as_json()["paired_by"] == {"number": 3}


def test_results_that_name_no_image_meet_by_number_unless_names_are_insisted_on(
    tmp_path: Path, truth: Path
) -> None:
    found = json.loads(truth.read_text())["annotations"]
    mask = {"size": [10, 20], "counts": [0, 5, 195]}
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{**one, "score": 0.9, "segmentation": mask} for one in found]))
    assert scored(results, truth).as_json()["paired_by"] == {"number": 3}
    with pytest.raises(UsageError, match="no frame in common"):
        scored(results, truth, match="name")


def test_the_table_says_what_frames_were_paired_by(
    tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score, changed = in_process(evaluation.command, capsys), in_process(convert.command, capsys)
    loud = coco(tmp_path / "loud.json", ["A.JPG", "B.JPG", "C.JPG"], [2, 1, 0])
    assert "paired 3 frames by similar names, as A.JPG with a.jpg" in score(loud, truth).stdout
    assert "paired 3 frames by number, not by name" in score(loud, truth, "--match", "id").stdout
    assert "paired 3 frames by similar names" in changed("diff", loud, truth).stdout
    assert "paired" not in score(truth, truth).stdout


def test_match_needs_something_to_match_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`like`"):
        ConversionJob(tmp_path, "coco", tmp_path, pairing=PairingOptions("id"))
