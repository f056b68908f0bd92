"""The linter names every fault that was planted, where it is, and is silent on what this tool writes."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from annotator.errors import FormatError, UsageError
from annotator.formats.check import ERROR, WARNING, Finding, check
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.findings import DuplicateFinder
from annotator.formats.names import BOM
from annotator.formats.registry import WRITABLE
from annotator.formats.sniffing import sniff
from annotator.instances import Instances
from annotator.options import CvatOptions
from tests.formats.test_all_formats import (
    BESIDE,
    CAR,
    FOLDER,
    PERSON,
    SQUARE,
    VIDEO,
    any_labels,
    each_case,
    each_kind,
    instances,
)
from tests.helpers.builders import REAL_DATA, Labels, Recording, needs_real_data

STEM = "day-1-drive_000000_000001"
LABELS = Labels([instances(k, (SQUARE, CAR, 0.9, 1), (BESIDE, PERSON, 0.8, 2)) for k in range(3)])
ALL_KEYFRAMES = CvatOptions(keyframe_iou=1)


def said(path: Path) -> list[str]:
    return [f"{finding.severity}: {finding.message}" for finding in check(path)]


def read(path: Path) -> Iterator[Instances]:
    return (found for labels in sniff(path).labels for found in labels.instances())


@each_case
@each_kind
@pytest.mark.parametrize("name", ["cityscapes", "coco", "cvat", "mots"])
def test_silent_on_what_this_tool_writes(
    tmp_path: Path, name: str, labels: Labels, source: Recording
) -> None:
    written = WRITABLE[name].write(labels, source, tmp_path)
    if name == "cityscapes" and not labels.found:
        return  # a folder without PNGs is none to sniff
    assert said(written.files[0]) == []


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_labels())
@pytest.mark.parametrize("holes", ["fill", "keyhole", "mask"])
@each_kind
def test_silent_on_cvat_with_any_options(
    tmp_path: Path, source: Recording, holes: str, labels: Labels
) -> None:
    cvat_writer.write(labels, source, tmp_path, CvatOptions(holes=holes, keyframe_iou=0.6, max_vertices=8))
    assert said(tmp_path / cvat_writer.FILE) == []


def edited(write: Callable[[Path], Path], old: str, new: str, count: int = 1) -> Callable[[Path], Path]:
    """A file of this tool with a fault planted in it."""

    def plant(folder: Path) -> Path:
        path = write(folder)
        text = path.read_text()
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text, count=count))
        return path

    return plant


def video(folder: Path) -> Path:
    return cvat_writer.write(LABELS, VIDEO, folder, ALL_KEYFRAMES).files[0]


def images(folder: Path) -> Path:
    return cvat_writer.write(LABELS, FOLDER, folder).files[0]


def coco(folder: Path) -> Path:
    return WRITABLE["coco"].write(LABELS, VIDEO, folder).files[0]


def mots(folder: Path) -> Path:
    return WRITABLE["mots"].write(LABELS, VIDEO, folder).files[0]


def pngs(kind: str, change: Callable[[np.ndarray], np.ndarray], stem: str = STEM) -> Callable[[Path], Path]:
    """A Cityscapes folder, one picture of it changed."""

    def plant(folder: Path) -> Path:
        path = WRITABLE["cityscapes"].write(LABELS, VIDEO, folder).files[0]
        picture = cv2.imread(str(path / f"{STEM}_gtFine_{kind}.png"), cv2.IMREAD_UNCHANGED)
        (path / f"{STEM}_gtFine_{kind}.png").unlink()
        cv2.imwrite(str(path / f"{stem}_gtFine_{kind}.png"), change(picture))
        return path

    return plant


def as_json(change: Callable[[dict], object]) -> Callable[[Path], Path]:
    """A COCO file changed as data; it is written in one line then."""

    def plant(folder: Path) -> Path:
        path = coco(folder)
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return path

    return plant


def appended(write: Callable[[Path], Path], change: Callable[[str], str]) -> Callable[[Path], Path]:
    """A text file with its first line, changed, once more at the end."""

    def plant(folder: Path) -> Path:
        path = write(folder)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines, change(lines[-1])]))
        return path

    return plant


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a polygon with two points": (
        edited(video, r'points="[^"]*"', 'points="1,1;2,2"'),
        "error: a polygon with 2 points: the import fails",
    ),
    "points that are words": (
        edited(images, r'points="[^"]*"', 'points="here"'),
        "error: points that are no pairs",
    ),
    "a point at infinity": (
        edited(video, r'points="[^;]*', 'points="inf,0'),
        "error: points that are no numbers",
    ),
    "a polygon far outside": (
        edited(video, r'points="[^;]*', 'points="900,0'),
        "warning: a polygon that leaves",
    ),
    "an unknown label on a track": (
        edited(video, r'<track id="0" label="car"', '<track id="0" label="dog"'),
        "error: label 'dog' is none of the task's",
    ),
    "an unknown label in an image": (
        edited(images, r'<polygon label="car"', '<polygon label="dog"'),
        "error: label 'dog' is none of the task's",
    ),
    "a frame twice in a track": (
        edited(video, ' frame="1"', ' frame="0"'),
        "error: the frame is there twice",
    ),
    "a frame behind the end": (edited(video, 'frame="2"', 'frame="9"'), "error: a frame outside of the task"),
    "a frame off the step": (
        edited(video, "step=1", "step=2"),
        "error: a frame off the step of the task",
    ),
    "a track without keyframes": (
        edited(video, 'keyframe="1"', 'keyframe="0"', count=3),
        "error: a track without keyframes",
    ),
    "a shape that says nothing of keyframes": (
        edited(video, ' keyframe="1"', ""),
        "error: keyframe is None, not 0 or 1",
    ),
    "a track that never ends": (
        edited(video, r'<polygon frame="2".*</polygon>\n', ""),
        "warning: never outside: it goes on behind frame 1",
    ),
    "a uid that changes": (
        edited(video, '<attribute name="uid">1', '<attribute name="uid">7'),
        "error: uid '1' in a track of uid '7'",
    ),
    "an attribute that the label lacks": (
        edited(video, '<attribute name="score">', '<attribute name="colour">'),
        "warning: attribute 'colour' is none of the label's",
    ),
    "a tag in a track": (
        edited(video, r"(<track[^>]*>\n)", r'\1<tag label="car"/>'),
        "error: a <tag> outside of an <image>",
    ),
    "an image twice": (
        edited(images, r'image id="1"', 'image id="0"'),
        "error: the number of this image is there",
    ),
    "an image of the same name": (
        edited(images, r'name="image 1.png"', 'name="image 0.png"'),
        "error: image 'image 0.png' is there twice",
    ),
    "an XML that ends early": (edited(video, "</annotations>", ""), "error: no XML that can be read"),
    "more images than the meta says": (
        edited(images, "<size>3</size>", "<size>2</size>"),
        "warning: 3 images, and its <meta> says 2",
    ),
    "frames that the meta has no number for": (
        edited(video, "<size>3</size>", "<size>9</size>"),
        "error: 9 frames, and its <meta> numbers 3",
    ),
    "a label twice": (
        edited(video, r"(?s)(<label>.*?</label>)", r"\1\1"),
        "error: label 'person' is there twice",
    ),
    "a box without corners": (
        edited(images, r"(<image[^>]*>)", r'\1<box label="car" z_order="0"/>'),
        "error: a box without xtl ends the import",
    ),
    "a shape of no kind": (
        edited(images, r"(<image[^>]*>)", r'\1<star label="car"/>'),
        "error: <star> is no shape of CVAT",
    ),
    "a shape outside of everything": (
        edited(video, "</annotations>", '<polygon label="car" points="1,1;2,1;2,2"/></annotations>'),
        "error: a shape outside of tracks and images",
    ),
    "a score that is no share": (
        edited(video, r'<attribute name="score">[^<]*', '<attribute name="score">7'),
        "error: score '7' is no number from 0 to 1",
    ),
    "a far polygon": (
        edited(video, r'points="[^;]*', 'points="1e9,0'),
        "error: a polygon that reaches beyond 1,000,000 pixels",
    ),
    "annotations that are no list": (
        as_json(lambda c: c.update(annotations={})),
        "error: annotations are no list",
    ),
    "a COCO score above 1": (
        as_json(lambda c: c["annotations"][0].update(score=7)),
        "error: score 7 is no number from 0 to 1",
    ),
    "a track id below 0": (
        as_json(lambda c: c["annotations"][0].update(track_id=-3)),
        "error: track_id -3 is no number of a track",
    ),
    "a frame index in words": (
        as_json(lambda c: c["images"][0].update(frame_index="first")),
        "error: frame_index 'first' is no number",
    ),
    "labelled categories that are not there": (
        as_json(lambda c: c["images"][0].update(labelled=[99])),
        "error: labelled names a category that is not there",
    ),
    "a box alone": (
        as_json(lambda c: c["annotations"][0].update(segmentation=None)),
        "warning: a box without a mask",
    ),
    "a category 0": (
        as_json(lambda c: c["categories"][0].update(id=0)),
        "error: category 0: ids begin at 1",
    ),
    "an annotation of no image": (
        edited(coco, '"image_id":1', '"image_id":77'),
        "error: image 77 is not there",
    ),
    "a track id as a text": (
        as_json(lambda c: c["annotations"][0].update(track_id="t1")),
        "warning: track_id 't1' is a text: other tools take numbers",
    ),
    "a track id that is none": (
        as_json(lambda c: c["annotations"][0].update(track_id=2.5)),
        "error: track_id 2.5 is",
    ),
    "a box that is none": (
        as_json(lambda c: c["annotations"][0].update(bbox=[0, 0, "0x1F", 4])),
        'warning: bbox [0, 0, "0x1F", 4] is no list of four numbers',
    ),
    "an image id as a text": (
        as_json(lambda c: c["annotations"][0].update(image_id="1")),
        "warning: image_id '1' is meant to be 1: other tools take them for two",
    ),
    "a category id as a text": (
        as_json(lambda c: c["annotations"][0].update(category_id="26")),
        "warning: category_id '26' is meant to be 26",
    ),
    "an image id with a zero before it": (
        as_json(lambda c: c["annotations"][0].update(image_id="01")),
        "error: image 01 is not there",
    ),
    "an annotation of no category": (
        edited(coco, '"category_id":26,"segm', '"category_id":77,"segm'),
        "error: category 77 is not there",
    ),
    "an annotation id twice": (
        as_json(lambda c: c["annotations"][1].update(id=1)),
        "error: this annotation id is there twice",
    ),
    "a mask of another size": (
        edited(coco, r'"size":\[8,10\]', '"size":[10,8]'),
        r"error: a mask of size [10, 8] in an image of [8, 10]",
    ),
    "a COCO polygon with two points": (
        as_json(lambda c: c["annotations"][0].update(segmentation=[[1, 1, 2, 2]])),
        "error: not a COCO segmentation: a polygon with fewer than 3 points",
    ),
    "a COCO polygon that crosses itself": (
        as_json(lambda c: c["annotations"][0].update(segmentation=[[0, 0, 8, 8, 8, 0, 0, 8]])),
        "warning: a polygon that crosses itself",
    ),
    "a hole as a second ring": (
        as_json(
            lambda c: c["annotations"][0].update(
                segmentation=[[0, 0, 8, 0, 8, 8, 0, 8], [2, 2, 6, 2, 6, 6, 2, 6]], bbox=[0, 0, 8, 8]
            )
        ),
        "warning: a ring within another one",
    ),
    "an area that is wrong": (
        edited(coco, '"area":16', '"area":99'),
        "warning: area 99, and its mask has 16",
    ),
    "a track twice in an image": (
        edited(coco, '"track_id":2', '"track_id":1'),
        "error: track 1 is there twice in image 1",
    ),
    "an 8-bit PNG": (pngs("instanceIds", lambda p: p.astype(np.uint8)), "error: 8 bits and 1 channels"),
    "an id of no class": (
        pngs("instanceIds", lambda p: np.where(p == 0, 34000, p).astype(np.uint16)),
        "error: 34000 is no id of a Cityscapes class",
    ),
    "the thousandth car": (
        pngs("instanceIds", lambda p: np.where(p == 26000, 27000, p).astype(np.uint16)),
        f"error: instance id 27000 where {STEM}_gtFine_labelIds.png says 26: more than 999",
    ),
    "a name that evaluators skip": (
        pngs("instanceIds", lambda p: p, "day_1_000000_000001"),
        "error: its name is not CITY_SEQ_FRAME",
    ),
    "an id over 999": (edited(mots, r"0 1000 1", "0 2001 1"), "error: id 2001 is none of class 1"),
    "an object twice in a frame": (
        appended(mots, lambda line: line),
        "error: id 2000 is twice in frame 2",
    ),
    "masks that overlap": (
        appended(mots, lambda line: line.replace("2 2000 2", "2 2001 2")),
        "error: masks of frame 2 overlap",
    ),
    "frames that go backwards": (
        appended(mots, lambda line: line.replace("2 2000 2", "0 2001 2")),
        "error: frame 0 comes behind frame 2",
    ),
    "a class that MOTS lacks": (
        edited(mots, r"0 1000 1", "0 3000 3"),
        "error: class 3: MOTS knows 1, 2 and 10",
    ),
    "a mask that is cut off": (edited(mots, r"(0 1000 1 8 10 ..)\S*", r"\1"), "error: no mask"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found(tmp_path: Path, fault: str) -> None:
    plant, sentence = FAULTS[fault]
    found = said(plant(tmp_path))
    assert any(line.startswith(sentence) for line in found), found


@pytest.mark.parametrize(
    ("of_image", "of_annotation"), [(7, "7"), ("7", 7), (7, 7.0), ("07", 7), (7, "07"), (7, " 7"), ("a", "b")]
)
def test_ids_meet_in_the_check_as_in_the_reader(tmp_path: Path, of_image: Any, of_annotation: Any) -> None:
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    was = content["images"][0]["id"]
    content["images"][0]["id"] = of_image
    for entry in content["annotations"]:
        if entry["image_id"] == was:
            entry["image_id"] = of_annotation
    path.write_text(json.dumps(content))
    try:
        list(read(path))
    except FormatError:
        assert any(line.startswith("error: ") for line in said(path))
    else:
        assert not any(line.startswith("error: ") for line in said(path))


@pytest.mark.parametrize("track_id", ["t1", "7", 7.0, -1, 0, "", 2.5, 1 << 40, -2, True, [1]])
def test_what_is_a_track_id_is_so_in_the_check_as_in_the_reader(tmp_path: Path, track_id: Any) -> None:
    path = as_json(lambda content: content["annotations"][0].update(track_id=track_id))(tmp_path)
    is_read = True
    try:
        list(read(path))
    except FormatError:
        is_read = False
    assert is_read != any(line.startswith("error: ") for line in said(path))


def test_a_finding_names_the_place(tmp_path: Path) -> None:
    path = edited(video, ' frame="1"', ' frame="0"')(tmp_path)
    (finding, *_) = check(path)
    assert finding == Finding(ERROR, f"{path}, track 0, frame 0", "the frame is there twice")
    (finding, *_) = check(edited(mots, r"0 1000 1", "0 3000 3")(tmp_path))
    assert finding.where == f"{tmp_path / 'mots.txt'}, line 1"


def test_one_fault_does_not_hide_another(tmp_path: Path) -> None:
    path = edited(video, ' frame="1"', ' frame="0"')(tmp_path)
    path.write_text(path.read_text().replace('<track id="1" label="person"', '<track id="1" label="dog"'))
    assert {finding.where.split(", ")[1] for finding in check(path)} >= {"track 0", "track 1"}


def test_exports_in_a_zip_are_checked(tmp_path: Path) -> None:
    path = edited(video, ' frame="1"', ' frame="0"')(tmp_path)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(path, "annotations.xml")
    assert said(tmp_path / "export.zip") == said(path)


def test_what_holds_no_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        list(check(tmp_path / "nothing"))


def test_split_files_are_checked_together(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1)) for k in range(40)])
    files = cvat_writer.write(labels, VIDEO, tmp_path, CvatOptions(split_frames=15)).files
    assert said(files[0]) == []
    one = files[0] / "000010-000024.xml"
    one.write_text(one.read_text().replace('label="car"', 'label="dog"'))
    assert [finding.severity for finding in check(files[0])] == [ERROR]


def test_a_folder_is_checked_file_by_file_and_what_is_none_is_said(tmp_path: Path) -> None:
    video(tmp_path / "a")
    edited(images, r'image id="1"', 'image id="0"')(tmp_path / "b")
    edited(mots, r"0 1000 1", "0 3000 3")(tmp_path / "c")
    (tmp_path / "notes.txt").write_text("nothing of the kind\n")
    found = list(check(tmp_path))
    assert {(Path(f.where.split(",")[0]).relative_to(tmp_path).as_posix(), f.severity) for f in found} == {
        ("b/cvat.xml", ERROR),
        ("c/mots.txt", ERROR),
        ("notes.txt", WARNING),
    }


@pytest.mark.parametrize("write", [coco, mots, video])
def test_a_byte_order_mark_is_no_fault(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    before = [(found.frame.index, found.masks) for found in read(path)]
    path.write_bytes(BOM + path.read_bytes())
    assert said(path) == []
    assert [(found.frame.index, found.masks) for found in read(path)] == before


def test_json_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("annotations.json", "w") as file,
    ):
        for _ in range(80):
            file.write(b" " * (1 << 20))
    [line] = said(tmp_path / "bomb.zip")
    assert "its JSON would unpack to 0.1 GB" in line
    with pytest.raises(FormatError, match="its JSON would unpack"):
        list(read(tmp_path / "bomb.zip"))


def test_severities_are_two() -> None:
    assert (ERROR, WARNING) == ("error", "warning")


def test_numbers_in_sequence_take_no_memory() -> None:
    numbers = DuplicateFinder()
    assert all(numbers.is_new(k) for k in range(1000))
    assert not numbers.is_new(5)
    assert numbers.is_new(5000)
    assert not numbers.is_new(5000)
    assert numbers._others == {5000}


@pytest.mark.realdata
@needs_real_data
def test_official_ground_truth_has_no_faults() -> None:
    for folder in ("frankfurt_gt", "mots/instances_txt"):
        found = [finding for finding in check(REAL_DATA / folder) if finding.severity == ERROR]
        assert found == []
