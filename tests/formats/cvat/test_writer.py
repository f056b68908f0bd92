"""CVAT XML keeps the rules of CVAT's import, and identities, parts, holes and order through the frames."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from annotator import masks, polygons
from annotator.errors import FormatError
from annotator.formats.check import check
from annotator.formats.cvat import reader as cvat_reader
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.cvat.elements import ring_of
from annotator.formats.cvat.shapes import CUT_SHORT, HOLES, SPECKS, shapes_of
from annotator.formats.names import CVAT_LABELS
from annotator.formats.sniffing import sniff
from annotator.instances import Instances
from annotator.labels import INSTANCE_CLASSES
from annotator.options import CvatOptions
from tests.formats.test_all_formats import (
    BESIDE,
    BUS,
    CAR,
    CASES,
    FOLDER,
    PERSON,
    RING_AND_PARTS,
    SQUARE,
    VIDEO,
    WITHIN,
    any_labels,
    each_case,
    each_kind,
    instances,
)
from tests.helpers.builders import Labels, Recording, blob, mask, read_instances
from tests.reference.cvat_rules import violations

ALL_KEYFRAMES = CvatOptions(keyframe_iou=1)


def published(
    folder: Path, labels: Labels, source: Recording = VIDEO, options: CvatOptions = ALL_KEYFRAMES
) -> ET.Element:
    cvat_writer.write(labels, source, folder, options)
    return ET.parse(folder / cvat_writer.FILE).getroot()


def uids(element: ET.Element) -> set[str | None]:
    return {attribute.text for attribute in element.iterfind("polygon/attribute[@name='uid']")}


def seen(track: ET.Element) -> list[tuple[int, bool]]:
    """Frame by frame, whether the object is seen."""
    return [(int(shape.attrib["frame"]), shape.attrib["outside"] == "0") for shape in track]


@each_case
@each_kind
def test_the_rules_of_the_import_are_kept(tmp_path: Path, labels: Labels, source: Recording) -> None:
    cvat_writer.write(labels, source, tmp_path)
    assert violations(tmp_path / cvat_writer.FILE) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_labels())
@each_kind
def test_the_rules_are_kept_for_any_labels(tmp_path: Path, source: Recording, labels: Labels) -> None:
    cvat_writer.write(labels, source, tmp_path)
    assert violations(tmp_path / cvat_writer.FILE) == []


def test_a_track_ends_a_step_behind_each_stretch_in_which_it_is_seen(tmp_path: Path) -> None:
    root = published(tmp_path, CASES["a track with a gap, on every second frame"])
    car, person = root.iterfind("track")
    assert seen(car) == [(3, True), (5, True), (7, False), (11, True)]
    assert seen(person) == [(5, True), (7, True), (9, False)]
    assert root.findtext("meta/task/frame_filter") == "step=2"
    assert (root.findtext("meta/task/start_frame"), root.findtext("meta/task/stop_frame")) == ("3", "11")


def test_without_tracks_every_instance_is_a_track_of_one_frame(tmp_path: Path) -> None:
    root = published(tmp_path, CASES["instances without tracks"])
    tracks = list(root.iterfind("track"))
    assert [seen(track) for track in tracks] == [
        [(0, True), (1, False)],
        [(0, True), (1, False)],
        [(1, True), (2, False)],
        [(1, True), (2, False)],
        [(2, True)],
        [(2, True)],
    ]
    assert len({uid for track in tracks for uid in uids(track)}) == 6


def test_parts_are_tracks_with_one_group_and_one_uid(tmp_path: Path) -> None:
    labels = CASES["a mask with a hole, something in it, and parts"]
    written = cvat_writer.write(labels, VIDEO, tmp_path)
    root = ET.parse(tmp_path / cvat_writer.FILE).getroot()
    groups = Counter(track.get("group_id") for track in root.iterfind("track"))
    assert groups == {"1": 3, None: 1}
    assert [uids(track) for track in root.iterfind("track")] == [{"1"}, {"1"}, {"1"}, {"2"}]
    assert written.losses == {HOLES: 3}


def test_what_lies_in_a_filled_hole_is_drawn_above_it(tmp_path: Path) -> None:
    root = published(tmp_path, CASES["a mask with a hole, something in it, and parts"], FOLDER)
    image = next(root.iterfind("image"))
    order = {shape.get("label"): shape.get("z_order") for shape in image}
    assert order == {"bus": "0", "person": "1"}
    back = next(read_instances("cvat", tmp_path / cvat_writer.FILE))
    person = back.masks[back.class_ids.tolist().index(PERSON)]
    assert np.array_equal(masks.decode(person), WITHIN)
    assert masks.are_disjoint(back.masks)


def test_a_class_is_that_of_most_frames(tmp_path: Path) -> None:
    (track,) = published(tmp_path, CASES["a track that changes its class"]).iterfind("track")
    assert track.get("label") == "car"


def test_specks_are_left_out_and_counted() -> None:
    speckled = blob((60, 60), 30, 30, 20)
    speckled[2, 2] = speckled[57, 57] = True
    losses = Counter[str]()
    (parts,) = shapes_of(instances(0, (speckled, CAR, 0.9, 1), size=(60, 60)), losses, ALL_KEYFRAMES)
    assert len(parts) == 1
    assert losses[SPECKS] == 2
    dust = np.zeros((60, 60), bool)
    dust[::3, ::3] = True  # nothing but specks: one of them stands for all
    (parts,) = shapes_of(instances(0, (dust, CAR, 0.9, 1), size=(60, 60)), losses, ALL_KEYFRAMES)
    assert len(parts) == 1


def rings(track: ET.Element) -> list[np.ndarray]:
    return [ring_of(shape) for shape in track if shape.attrib["outside"] == "0"]


def test_a_part_stays_in_its_track_when_another_grows_larger(tmp_path: Path) -> None:
    def frame(index: int, left: float, right: float) -> Instances:
        both = blob((60, 120), 30, 30, left) | blob((60, 120), 30, 90, right)
        return instances(index, (both, CAR, 0.9, 1), size=(60, 120))

    tracks = published(tmp_path, Labels([frame(0, 20, 10), frame(1, 15, 15), frame(2, 10, 20)]))
    assert [
        [round(ring[:, 0].mean() / 30) for ring in rings(track)] for track in tracks.iterfind("track")
    ] == [
        [1, 1, 1],
        [3, 3, 3],
    ]


def test_rings_of_a_moving_object_begin_at_one_place_and_run_one_way(tmp_path: Path) -> None:
    frames = [
        instances(k, (blob((80, 200), 40, 40 + 12 * k, 25), CAR, 0.9, 1), size=(80, 200)) for k in range(6)
    ]
    (track,) = published(tmp_path, Labels(frames)).iterfind("track")
    starts = [ring[0] - ring.mean(axis=0) for ring in rings(track)]
    assert np.ptp(starts, axis=0).max() < 10
    assert all(polygons.area(ring) > 0 for ring in rings(track))


def test_an_object_has_one_group_in_all_files_of_a_split_recording(tmp_path: Path) -> None:
    found = [instances(k, (SQUARE | BESIDE if k < 5 else SQUARE, CAR, 0.9, 4)) for k in range(20)]
    folder = cvat_writer.write(Labels(found), VIDEO, tmp_path, CvatOptions(split_frames=12)).files[0]
    roots = [ET.parse(file).getroot() for file in sorted(folder.iterdir())]
    groups = [[track.get("group_id") for track in root.iterfind("track")] for root in roots]
    assert groups == [["4", "4"], ["4"], ["4"]]


def test_a_fast_object_in_one_piece_is_one_track(tmp_path: Path) -> None:
    labels = Labels([instances(k, ((SQUARE, BESIDE)[k % 2], CAR, 0.9, 1)) for k in range(4)])
    assert len(list(published(tmp_path, labels).iterfind("track"))) == 1


def test_the_label_file_makes_a_task_that_knows_every_label_and_attribute(tmp_path: Path) -> None:
    root = published(tmp_path, CASES["one object"])
    specification = json.loads((tmp_path / CVAT_LABELS).read_text())
    assert len(specification) == len(INSTANCE_CLASSES)
    car = next(label for label in specification if label["name"] == "car")
    assert (car["color"], car["type"]) == ("#00008e", "any")
    assert {a["name"]: a["mutable"] for a in car["attributes"]} == {
        "uid": False,
        "score": True,
        "review": True,
        "doubt": True,
    }
    assert all(attribute["values"] for attribute in car["attributes"]), "CVAT refuses empty values"
    drawn_by_hand = {a["name"]: a["default_value"] for a in car["attributes"]}
    assert drawn_by_hand == {"uid": "", "score": "1", "review": "", "doubt": "0"}, (
        "CVAT's export to COCO needs a number"
    )
    defaults = root.iterfind("meta/task/labels/label[1]/attributes/attribute/default_value")
    assert [default.text or "" for default in defaults] == list(drawn_by_hand.values())
    in_meta = [name.text for name in root.iterfind("meta/task/labels/label/name")]
    assert in_meta == [label["name"] for label in specification]


def test_a_shape_tells_its_score(tmp_path: Path) -> None:
    (track,) = published(tmp_path, CASES["one object"]).iterfind("track")
    assert track.findtext("polygon/attribute[@name='score']") == "0.9"


class DoubtedLabels(Labels):
    """Labels of which frame k's instances are doubted by 0.1 k, and the next of a frame by 0.005 more."""

    def doubts(self, index: int) -> list[float]:
        return [0.1 * index + 0.005 * place for place in range(9)]


def doubts_of(track: ET.Element) -> list[str | None]:
    return [shape.findtext("attribute[@name='doubt']") for shape in track.iterfind("polygon[@outside='0']")]


def test_a_shape_says_in_percent_how_likely_a_person_would_change_it(tmp_path: Path) -> None:
    frames = [
        instances(k, (SQUARE, CAR, 0.9, 1), (SQUARE, BUS, 0.8, 2), (BESIDE, CAR, 0.7, 3)) for k in range(3)
    ]
    car, beside = published(tmp_path, DoubtedLabels(frames)).iterfind("track")  # the bus is hidden by the car
    assert doubts_of(car) == ["0", "10", "20"]
    assert doubts_of(beside) == ["1", "11", "21"]


def test_a_keyframe_has_the_highest_doubt_until_the_next(tmp_path: Path) -> None:
    frames = [instances(k, (SQUARE, CAR, 0.9, 1)) for k in range(4)]
    (track,) = published(tmp_path, DoubtedLabels(frames), options=CvatOptions()).iterfind("track")
    assert doubts_of(track) == ["20", "30"]


def test_nothing_is_said_of_doubt_where_none_is_known(tmp_path: Path) -> None:
    (track,) = published(tmp_path, CASES["one object"]).iterfind("track")
    assert doubts_of(track) == [None] * len(doubts_of(track))


def test_holes_are_filled_cut_in_or_drawn_as_masks(tmp_path: Path) -> None:
    labels = Labels([instances(k, (RING_AND_PARTS, BUS, 0.9, 1)) for k in range(3)])
    exact = masks.encode(RING_AND_PARTS)
    for holes, is_exact, kinds in (
        ("fill", False, {"polygon"}),
        ("keyhole", True, {"polygon"}),
        ("mask", True, {"polygon", "mask"}),
    ):
        root = published(tmp_path, labels, options=CvatOptions(holes=holes, poly_iou=1))
        back = list(read_instances("cvat", tmp_path / cvat_writer.FILE))
        assert [found.masks[0] == exact for found in back] == [is_exact] * 3
        assert [found.track_ids.tolist() for found in back] == [[1]] * 3
        assert {shape.tag for track in root.iterfind("track") for shape in track} == kinds


@each_kind
def test_long_recordings_are_split_like_the_jobs_of_a_task(tmp_path: Path, source: Recording) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1), (BESIDE, PERSON, 0.8, 2)) for k in range(40)])
    written = cvat_writer.write(labels, source, tmp_path, CvatOptions(split_frames=15))
    files = sorted(written.files[0].iterdir())
    names = [file.name for file in files]
    if source.is_video:
        assert names == ["000000-000014.xml", "000010-000024.xml", "000020-000034.xml", "000030-000039.xml"]
    else:
        assert names == ["000000-000014.xml", "000015-000029.xml", "000030-000039.xml"]
    for file in files:
        assert violations(file) == []
        first, last = map(int, file.stem.split("-"))
        back = list(read_instances("cvat", file))
        assert [found.frame.index for found in back] == list(range(first, last + 1))
        assert all(sorted(found.track_ids.tolist()) == [1, 2] for found in back)


@each_kind
def test_files_of_a_split_recording_read_back_as_one(tmp_path: Path, source: Recording) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1), (BESIDE, PERSON, 0.8, 2)) for k in range(40)])
    cvat_writer.write(labels, source, tmp_path / "whole", ALL_KEYFRAMES)
    cvat_writer.write(labels, source, tmp_path / "split", replace(ALL_KEYFRAMES, split_frames=15))
    [found] = sniff(tmp_path / "split").labels
    whole, split = (
        list(read_instances("cvat", path)) for path in (tmp_path / "whole" / "cvat.xml", found.path)
    )
    assert [(each.frame, each.track_ids.tolist(), each.masks) for each in split] == [
        (each.frame, each.track_ids.tolist(), each.masks) for each in whole
    ]
    assert cvat_reader.names(found.path) == cvat_reader.names(tmp_path / "whole" / "cvat.xml")


@each_kind
def test_a_bad_shape_of_a_split_recording_is_named_with_its_file(tmp_path: Path, source: Recording) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1)) for k in range(20)])
    folder = cvat_writer.write(labels, source, tmp_path, replace(ALL_KEYFRAMES, split_frames=10)).files[0]
    last = sorted(folder.iterdir())[-1]
    last.write_text(re.sub(r'points="[^"]*"', 'points="1,1;2,2"', last.read_text(), count=1))
    with pytest.raises(
        FormatError, match=rf"a polygon of 2 points in (track|image) \d+(, frame \d+)? of {last.name}\)"
    ):
        list(read_instances("cvat", folder))


def test_a_track_that_was_cut_in_one_file_goes_on_in_the_next(tmp_path: Path) -> None:
    frames = [instances(k, (SQUARE, CAR, 0.9, 1)) for k in range(30)]
    folder = cvat_writer.write(
        Labels(frames), VIDEO, tmp_path, replace(ALL_KEYFRAMES, split_frames=20)
    ).files[0]
    first = folder / "000000-000019.xml"
    text = first.read_text().replace(' group_id="1"', "")  # which CVAT takes from what people cut
    opened = re.search(r"<track [^>]*>", text)
    at = text.index('<polygon frame="10"')
    assert opened
    shape = text[at : text.index("</polygon>", at) + len("</polygon>")]
    ended = shape.replace('outside="0"', 'outside="1"') + "</track>"
    first.write_text(text[:at] + ended + opened[0].replace('id="0"', 'id="7"') + text[at:])
    tracks = [each.track_ids.tolist() for each in read_instances("cvat", folder)]
    assert tracks == [[1]] * 10 + [[2]] * 20


def test_a_file_that_is_missing_between_others_is_told(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1)) for k in range(40)])
    folder = cvat_writer.write(labels, VIDEO, tmp_path, CvatOptions(split_frames=15)).files[0]
    (folder / "000010-000024.xml").unlink()
    with pytest.raises(FormatError, match="begins with frame 20, and the files before end with 14"):
        list(read_instances("cvat", folder))


def test_xml_files_with_other_names_are_a_recording_each(tmp_path: Path) -> None:
    for name in ("monday", "tuesday"):
        (cvat_writer.write(Labels([instances(0)]), VIDEO, tmp_path).files[0]).rename(tmp_path / f"{name}.xml")
    assert [labels.name for labels in sniff(tmp_path).labels] == ["monday", "tuesday"]


def test_the_size_of_a_long_file_is_known_beforehand(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1), (BESIDE, PERSON, 0.8, 0)) for k in range(300)])
    expected = cvat_writer.expected_size(labels, VIDEO, ALL_KEYFRAMES, 600)
    written = cvat_writer.write(labels, VIDEO, tmp_path, ALL_KEYFRAMES)
    assert expected == pytest.approx(written.files[0].stat().st_size, rel=0.2)


def test_vertices_that_are_limited_are_counted(tmp_path: Path) -> None:
    size = (120, 160)
    labels = Labels([instances(0, (blob(size, 60, 80, 40), CAR, 0.9, 1), size=size)])
    written = cvat_writer.write(labels, VIDEO, tmp_path, CvatOptions(max_vertices=5))
    assert written.losses == {CUT_SHORT: 1}


def test_images_are_known_by_name_and_number(tmp_path: Path) -> None:
    labels = Labels([instances(4, (RING_AND_PARTS, BUS, 0.9, 7)), instances(5)])
    first, second = published(tmp_path, labels, FOLDER).iterfind("image")
    assert first.attrib == {"id": "4", "name": "image 4.png", "width": "10", "height": "8"}
    assert len(second) == 0
    assert {shape.get("group_id") for shape in first} == {"1"}
    assert uids(first) == {"7"}


def test_names_that_xml_cannot_hold_are_escaped(tmp_path: Path) -> None:
    source = Recording(name='a<b>&"\x01', path=Path("a<b>&\udc80.mp4"))
    root = published(tmp_path, CASES["one object"], source)
    assert root.findtext("meta/task/name") == 'a<b>&"\\x01'
    assert root.findtext("meta/task/source") == "a<b>&\\udc80.mp4"


# ---- what comes back from CVAT


def exported(
    folder: Path, body: str, mode: str = "interpolation", frames: int = 3, is_export: bool = True
) -> Path:
    """A file as CVAT exports it from a task of this many frames of 10x8 pixels, or as others write it."""
    path = folder / "annotations.xml"
    dumped = "<dumped>2026-01-01</dumped>" if is_export else ""
    path.write_text(
        f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>7</id><name>drive</name><size>{frames}</size><mode>{mode}</mode>
<start_frame>0</start_frame><stop_frame>{frames - 1}</stop_frame><frame_filter></frame_filter>
<original_size><width>10</width><height>8</height></original_size></task>{dumped}</meta>
{body}</annotations>"""
    )
    return path


def track(number: int, uid: str | None, frames: dict[int, str], label: str = "car", group: int = 0) -> str:
    """A track of squares at "left,top", 3 pixels wide; `uid` None: the task has no attributes."""
    shapes = []
    for frame, corner in frames.items():
        x, y = map(int, corner.split(","))
        points = f"{x},{y};{x + 3},{y};{x + 3},{y + 3};{x},{y + 3}"
        attributes = (
            "" if uid is None else f'<attribute name="uid">{uid}</attribute><attribute name="score"/>'
        )
        shapes.append(
            f'<polygon frame="{frame}" keyframe="{frame == 0:d}" outside="0" occluded="0" points="{points}"'
            f' z_order="0">{attributes}</polygon>'
        )
    group_id = f' group_id="{group}"' if group else ""
    return f'<track id="{number}" label="{label}" source="manual"{group_id}>{"".join(shapes)}</track>'


def identities(path: Path) -> list[list[int]]:
    return [sorted(found.track_ids.tolist()) for found in read_instances("cvat", path)]


def test_tracks_that_people_drew_have_identities_of_their_own(tmp_path: Path) -> None:
    drawn = track(0, "", {0: "0,0", 1: "1,0"}) + track(1, "", {1: "5,5"}) + track(2, "1", {0: "5,0"})
    assert identities(exported(tmp_path, drawn)) == [[1, 2], [2, 3], []]
    drawn = track(0, None, {0: "0,0", 1: "1,0"}) + track(1, None, {1: "5,5", 2: "5,5"})
    assert identities(exported(tmp_path, drawn)) == [[1], [1, 2], [2]]
    assert next(read_instances("cvat", exported(tmp_path, drawn))).scores.tolist() == [1]


def test_a_track_that_was_cut_is_two(tmp_path: Path) -> None:
    cut = track(0, "7", {0: "0,0"}) + track(1, "7", {1: "0,0", 2: "0,0"})
    assert identities(exported(tmp_path, cut)) == [[7], [1], [1]]


def test_parts_are_one_object_while_they_are_grouped(tmp_path: Path) -> None:
    parts = track(0, "7", {0: "0,0", 1: "0,0"}, group=3) + track(1, "7", {0: "5,5"}, group=3)
    found = list(read_instances("cvat", exported(tmp_path, parts)))
    assert [each.track_ids.tolist() for each in found] == [[7], [7], []]
    assert masks.areas(found[0].masks).tolist() == [18]
    parts = track(0, "7", {0: "0,0"}) + track(1, "7", {0: "5,5"})
    assert identities(exported(tmp_path, parts)) == [[1, 7], [], []]


def test_masks_that_people_painted_are_read(tmp_path: Path) -> None:
    painted = (
        '<image id="0" name="a.png" width="10" height="8">'
        '<mask label="person" source="manual" occluded="0" rle="1, 2, 2, 1" left="4" top="5" width="3" height="2"'
        ' z_order="0"></mask><box label="car" xtl="0" ytl="0" xbr="2" ybr="2"/></image>'
    )
    (found,) = read_instances("cvat", exported(tmp_path, painted, "annotation", 1))
    assert found.frame.name == "a.png"
    assert found.class_ids.tolist() == [PERSON]
    rows = [".........."] * 5 + [".....##...", "......#..."] + [".........."]
    assert np.array_equal(masks.decode(found.masks[0]), mask(*rows))


def test_a_video_exported_as_images_is_read_once(tmp_path: Path) -> None:
    images = "".join(f'<image id="{k}" name="frame_{k:06d}" width="10" height="8"/>' for k in range(3))
    assert [found.frame.index for found in read_instances("cvat", exported(tmp_path, images))] == [0, 1, 2]


def test_copies_of_a_shape_in_an_image_are_objects_of_their_own(tmp_path: Path) -> None:
    polygon = '<polygon label="car" points="{}"><attribute name="uid">7</attribute></polygon>'
    both = polygon.format("0,0;2,0;2,2") + polygon.format("5,5;9,5;9,8")
    image = f'<image id="0" name="a.png" width="10" height="8">{both}</image>'
    assert identities(exported(tmp_path, image, "annotation", 1)) == [[0, 7]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (track(0, "1", {0: "0,0"}, label="dog"), "label 'dog' is no Cityscapes class"),
        (track(0, "1", {5: "0,0"}), "shapes in frame 5, and no such frame"),
        (
            '<track id="0" label="car"><polygon frame="0" outside="0" points="1,1;2,2"/></track>',
            "of 2 points",
        ),
        (
            '<track id="0" label="car"><polygon outside="0" points="1,1;2,2;3,1"/></track>',
            "'frame' is missing",
        ),
        (
            '<image id="0" name="a" width="9" height="9"><polygon label="car" points="0,x;1,1;2,2"/></image>',
            "x",
        ),
    ],
)
def test_shapes_that_fit_nowhere_are_refused(body: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=rf"annotations\.xml: no CVAT XML of instances \(.*{sentence}"):
        list(read_instances("cvat", exported(tmp_path, body)))


def test_a_file_whose_last_image_has_no_labels_does_not_get_that_of_the_next(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 0)) for k in range(25) if k != 9])
    written = cvat_writer.write(labels, FOLDER, tmp_path, CvatOptions(split_frames=10))
    shown = [
        [found.frame.index for found in read_instances("cvat", file)]
        for file in sorted(written.files[0].iterdir())
    ]
    assert shown == [[*range(9)], [*range(10, 20)], [*range(20, 25)]]


@pytest.mark.parametrize("far", [1e8, 1e12])
def test_a_polygon_that_reaches_out_of_all_bounds_is_refused_and_does_not_crash(
    tmp_path: Path, far: float
) -> None:
    file = cvat_writer.write(Labels([instances(0, (SQUARE, CAR, 0.9, 1))]), VIDEO, tmp_path).files[0]
    points = re.search(r'points="([^;]*)', file.read_text())
    assert points
    file.write_text(file.read_text().replace(points[1], f"{far:.0f},1", 1))
    with pytest.raises(FormatError, match="beyond 1,000,000 pixels"):
        list(read_instances("cvat", file))
    assert any("beyond 1,000,000 pixels" in finding.message for finding in check(file))
