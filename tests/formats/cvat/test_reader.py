"""CVAT XML as CVAT exports it, and as nobody should send it."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator import masks, polygons
from annotator.errors import FormatError, OutputError, UsageError
from annotator.formats.class_map import ClassMap
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.cvat.interpolation import interpolate
from annotator.formats.cvat.shape_buffer import POLYGON, ShapeBuffer, ShapeRow
from annotator.formats.sniffing import sniff
from annotator.labels import BY_NAME
from tests.formats.cvat.test_writer import exported, track
from tests.helpers.builders import read_instances

CAR, PERSON = BY_NAME["car"].id, BY_NAME["person"].id
SIZE = (8, 10)


def polygon(frame: int, x: float, *, key: bool = True, outside: bool = False, more: str = "") -> str:
    """A 3x3 square at (x, 1) as CVAT writes it, with two decimals."""
    points = ";".join(f"{a:.2f},{b:.2f}" for a, b in ((x, 1), (x + 3, 1), (x + 3, 4), (x, 4)))
    return (
        f'<polygon frame="{frame}" keyframe="{key:d}" outside="{outside:d}" occluded="0" points="{points}"'
        f' z_order="0">{more}</polygon>'
    )


def in_track(*shapes: str, number: int = 0, label: str = "car") -> str:
    return f'<track id="{number}" label="{label}" source="manual">{"".join(shapes)}</track>'


def lefts(path: Path) -> list[list[float]]:
    """The left edges of the objects of every frame."""
    return [sorted(masks.boxes_xywh(found.masks)[:, 0].tolist()) for found in read_instances("cvat", path)]


# ---- what CVAT exports


def test_exports_list_interpolated_frames_and_these_are_taken(tmp_path: Path) -> None:
    listed = in_track(
        polygon(0, 0), polygon(1, 5, key=False), polygon(2, 2), polygon(3, 2, key=False, outside=True)
    )
    assert lefts(exported(tmp_path, listed, frames=5)) == [[0], [5], [2], [], []]


def test_between_keyframes_alone_shapes_are_interpolated_until_they_are_outside(tmp_path: Path) -> None:
    keyframes = in_track(polygon(0, 0), polygon(4, 4), polygon(5, 4, outside=True), polygon(7, 6))
    found = lefts(exported(tmp_path, keyframes, frames=9, is_export=False))
    assert found == [[0], [1], [2], [3], [4], [], [], [6], [6]]


def test_tracks_of_frames_without_a_size_are_refused_in_words(tmp_path: Path) -> None:
    path = exported(tmp_path, in_track(polygon(0, 0)))
    whole = path.read_text()
    start, end = whole.index("<original_size>"), whole.index("</original_size>") + len("</original_size>")
    path.write_text(whole[:start] + whole[end:])
    with pytest.raises(FormatError, match="its <meta> has no original_size, which is the size of its frames"):
        list(read_instances("cvat", path))


def test_behind_its_last_keyframe_an_object_is_seen_to_the_end_of_the_task_unless_it_is_outside(
    tmp_path: Path,
) -> None:
    """As other tools write it, and CVAT reads it; what CVAT exports has every frame itself."""
    one = in_track(polygon(2, 4))
    assert lefts(exported(tmp_path, one, frames=5, is_export=False)) == [[], [], [4], [4], [4]]
    assert lefts(exported(tmp_path, one, frames=5)) == [[], [], [4], [], []]
    mask = (
        '<mask frame="1" keyframe="1" outside="0" occluded="0" rle="0, 4" left="2" top="3" width="2"'
        ' height="2" z_order="0"></mask>'
    )
    assert lefts(exported(tmp_path, in_track(mask), frames=4, is_export=False)) == [[], [2], [], []]


def test_frames_that_an_export_skips_were_deleted(tmp_path: Path) -> None:
    content = in_track(polygon(0, 0), polygon(1, 0, key=False), polygon(4, 4), polygon(5, 4, key=False))
    skipped = Counter[str]()
    found = list(read_instances("cvat", exported(tmp_path, content, frames=6), skipped=skipped))
    assert [each.frame.index for each in found] == [0, 1, 4, 5]
    assert skipped == {"frames deleted in CVAT": 2}


def test_interpolation_keeps_to_the_step_of_the_task(tmp_path: Path) -> None:
    path = exported(tmp_path, in_track(polygon(2, 0), polygon(10, 4)), frames=11, is_export=False)
    text = path.read_text().replace("<start_frame>0", "<start_frame>2")
    path.write_text(text.replace("<frame_filter></frame_filter>", "<frame_filter>step=4</frame_filter>"))
    found = list(read_instances("cvat", path))
    assert [each.frame.index for each in found] == [2, 6, 10]
    assert lefts(path) == [[0], [2], [4]]


def test_a_single_shape_comes_back_as_a_track_of_two_keyframes(tmp_path: Path) -> None:
    uid = '<attribute name="uid">frame1-0</attribute><attribute name="score">0.5</attribute>'
    single = in_track(polygon(1, 3, more=uid), polygon(2, 3, outside=True, more=uid))
    found = list(read_instances("cvat", exported(tmp_path, single, frames=4)))
    assert [len(each) for each in found] == [0, 1, 0, 0]
    assert (found[1].track_ids.tolist(), found[1].scores.tolist()) == ([0], [0.5])


def test_painted_masks_come_back_in_tracks_of_two_keyframes(tmp_path: Path) -> None:
    mask = (
        '<mask frame="{}" keyframe="1" outside="{}" occluded="0" rle="0, 4" left="2" top="3" width="2"'
        ' height="2" z_order="0"></mask>'
    )
    found = list(read_instances("cvat", exported(tmp_path, in_track(mask.format(0, 0), mask.format(1, 1)))))
    assert [masks.boxes_xywh(each.masks).tolist() for each in found] == [[[2, 3, 2, 2]], [], []]


def test_a_zip_is_read_as_the_xml_in_it_and_nothing_is_unpacked(tmp_path: Path) -> None:
    xml = exported(tmp_path, track(0, "7", {0: "1,1", 1: "2,1"}))
    path = tmp_path / "export" / "task.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/notes.txt", "not labels")
        archive.writestr("../../annotations.xml", xml.read_bytes())
    assert sniff(path).format.name == "cvat"
    assert lefts(path) == lefts(xml)
    assert [entry.name for entry in path.parent.iterdir()] == ["task.zip"]
    assert not (tmp_path.parent / "annotations.xml").exists()


def test_what_is_no_mask_is_left_out_and_counted(tmp_path: Path) -> None:
    box = '<box frame="0" keyframe="1" outside="0" occluded="0" xtl="0" ytl="0" xbr="3" ybr="3"/>'
    skipped = Counter[str]()
    body = in_track(box, box) + in_track(polygon(0, 1))
    found = read_instances("cvat", exported(tmp_path, body), skipped=skipped)
    assert list(map(len, found)) == [1, 0, 0]
    assert skipped == {"shapes of the kind 'box'": 2}


def test_an_export_for_video_of_a_task_of_images_is_told_as_such(tmp_path: Path) -> None:
    path = exported(tmp_path, in_track(polygon(0, 1)), mode="annotation")
    with pytest.raises(FormatError, match=r"of a task of images, .*; export it as CVAT for images"):
        list(read_instances("cvat", path))


def test_labels_of_other_names_are_what_the_user_says(tmp_path: Path) -> None:
    body = in_track(polygon(0, 1), label="Pedestrian") + in_track(polygon(0, 5), label="Car")
    path = exported(tmp_path, body)
    found = next(read_instances("cvat", path, classes=ClassMap.parse(["Pedestrian=person"])))
    assert sorted(found.class_ids.tolist()) == [PERSON, CAR]
    with pytest.raises(FormatError, match="label 'Pedestrian' is no Cityscapes class"):
        next(read_instances("cvat", path))


def test_the_order_of_tracks_decides_which_keeps_a_number(tmp_path: Path) -> None:
    body = "".join(track(k, "3", {k: "1,1"}) for k in range(3)) + track(3, "1", {0: "5,5"})
    tracks = [sorted(each.track_ids.tolist()) for each in read_instances("cvat", exported(tmp_path, body))]
    assert tracks == [[1, 3], [2], [4]]


# ---- interpolation


def circle() -> polygons.Ring:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return 20 + 12 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_ring_on_its_way_to_itself_stays() -> None:
    ring = circle()
    for between in interpolate(ring, ring, [0.25, 0.5]):
        assert np.allclose(between, ring)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.01, 0.99))
def test_a_ring_that_moves_is_moved(x: float, y: float, share: float) -> None:
    ring = circle()
    (between,) = interpolate(ring, ring + np.array([x, y]), [share])
    assert np.allclose(between, ring + share * np.array([x, y]))


def test_vertices_need_not_be_as_many() -> None:
    square = np.array([[0.0, 0], [8, 0], [8, 8], [0, 8]])
    with_middles = np.array([[0.0, 0], [4, 0], [8, 0], [8, 4], [8, 8], [4, 8], [0, 8], [0, 4]])
    for first, second in ((square, with_middles), (with_middles, square)):
        (between,) = interpolate(first, second, [0.5])
        assert masks.iou([polygons.fill(between, (9, 9))], [polygons.fill(square, (9, 9))])[0, 0] > 0.6


# ---- bad input

Hostile = Callable[[], Iterator[str]]


def deep() -> Iterator[str]:
    yield "<annotations>" + "<a>" * 1_000_000


def long_attribute() -> Iterator[str]:
    yield '<annotations><track id="'
    for _ in range(100):
        yield "9" * 1_000_000


def long_text() -> Iterator[str]:
    yield "<annotations><meta><task><name>"
    for _ in range(100):
        yield "9" * 1_000_000


def many_in_one() -> Iterator[str]:
    yield "<annotations><meta>"
    for _ in range(1000):
        yield "<label/>" * 1000


@pytest.mark.parametrize(
    ("hostile", "sentence"),
    [
        (deep, "elements in more than 64 others"),
        (long_attribute, "a tag or a text of more than 4 MB"),
        (long_text, "a tag or a text of more than 4 MB"),
        (many_in_one, "more than 262144 elements in one"),
    ],
    ids=["deep", "long attribute", "long text", "many elements"],
)
def test_what_would_take_memory_is_refused_before_it_does(
    hostile: Hostile, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.xml"
    with path.open("w") as file:
        file.writelines(hostile())
    tracemalloc.start()
    with pytest.raises(FormatError, match=rf"hostile\.xml: no CVAT XML of instances \({sentence}"):
        list(read_instances("cvat", path))
    assert tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "<annotations/>")
    return path


def test_zips_that_hold_no_one_export_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"it holds 2 files .* instead of one"):
        list(read_instances("cvat", zipped(tmp_path / "two.zip", "a.xml", "b.xml")))
    with pytest.raises(UsageError, match="a zip without CVAT XML or COCO JSON; unpack it"):
        sniff(zipped(tmp_path / "png.zip", "gtFine/a.png"))
    cut = zipped(tmp_path / "cut.zip", "annotations.xml")
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(UsageError, match="no zip that can be read"):
        sniff(cut)
    with pytest.raises(FormatError, match=r"no XML|no zip"):
        list(read_instances("cvat", cut))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            in_track(polygon(1, 0), polygon(1, 2)),
            "frame 1 comes after frame 1 in track 0, frame 1",
        ),
        (in_track(polygon(9, 0)), "shapes in frame 9, and no such frame"),
        (
            in_track(polygon(0, 0).replace(";3.00,4.00;0.00,4.00", "")),
            "a polygon of 2 points in track 0, frame 0",
        ),
        (in_track(polygon(0, 0), label="dog"), "label 'dog' is no Cityscapes class"),
        (
            in_track(polygon(0, 0, more='<attribute name="score">good</attribute>')),
            'score "good" is no number in track 0, frame 0',
        ),
        (in_track(polygon(0, 0, more='<attribute name="score">7</attribute>')), "a score of 7.0"),
        (
            in_track('<mask frame="0" outside="0" rle="0, 4" left="9" top="3" width="2" height="2"/>'),
            "a mask that leaves the frame",
        ),
        (in_track(polygon(0, 0).replace('frame="0"', "")), "'frame' is missing in track 0"),
    ],
)
def test_shapes_that_cannot_be_are_named_by_their_place(body: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as fault:
        list(read_instances("cvat", exported(tmp_path, body)))
    assert sentence in str(fault.value)
    assert "\n" not in str(fault.value)


def test_an_export_of_several_tasks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "project.xml"
    path.write_text(
        "<annotations><meta><project><tasks><task/><task/></tasks></project></meta></annotations>"
    )
    with pytest.raises(FormatError, match="it is of 2 tasks; export them one by one"):
        list(read_instances("cvat", path))


def test_an_image_twice_is_refused(tmp_path: Path) -> None:
    image = '<image id="0" name="a.png" width="10" height="8"/>'
    with pytest.raises(FormatError, match="image 0 is there twice"):
        list(read_instances("cvat", exported(tmp_path, image * 2, "annotation", 2)))


def test_without_room_for_temporary_files_it_is_told() -> None:
    drawn = ShapeRow(0, 0, 0, CAR, 1.0, 0, POLYGON, bytes(4000))
    with (  # noqa: PT012
        pytest.raises(OutputError, match=r"temporary files can't be written \(.*full\); make room"),
        ShapeBuffer.opened() as spool,
    ):
        spool.db.execute("PRAGMA max_page_count = 20")
        for _ in range(2000):
            spool.add(drawn)


def test_memory_follows_tracks_and_not_frames(tmp_path: Path) -> None:
    def peak(frames: int) -> int:
        shapes = (polygon(k, k % 7) for k in range(frames))
        path = exported(tmp_path, in_track(*shapes), frames=frames)
        tracemalloc.start()
        seen = sum(len(found) for found in read_instances("cvat", path))
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == frames
        return memory

    peak(100)  # what is loaded once
    assert peak(12_000) < peak(4000) + 300_000  # a row of each frame would take 900 kB more


def refusal(path: Path) -> str | None:
    """The sentence that a file is refused with, None for one that is read."""
    try:
        list(read_instances("cvat", path))
    except FormatError as error:
        return str(error)
    return None


def test_fuzzed_files_give_labels_or_a_sentence(tmp_path: Path) -> None:
    text = exported(tmp_path, track(0, "7", {0: "1,1", 2: "2,1"})).read_bytes()
    random = np.random.default_rng(5)
    path = tmp_path / "fuzzed.xml"
    for _ in range(300):
        content = bytearray(text)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            content[place] = random.integers(32, 127)
        path.write_bytes(bytes(content))
        sentence = refusal(path)
        assert sentence is None or (sentence.startswith(f"{path}: no ") and "\n" not in sentence)


def test_of_shapes_of_one_depth_the_later_lies_on_top(tmp_path: Path) -> None:
    from tests.formats.test_all_formats import CAR, PERSON, SQUARE, instances
    from tests.helpers.builders import Labels, Recording

    below = Labels([instances(0, (SQUARE, CAR, 0.9, 0))])
    source = Recording("a", False, Path("/data/a"))
    file = cvat_writer.write(below, source, tmp_path).files[0]
    text = file.read_text()
    shape = text[text.index("<polygon") : text.index("</polygon>") + 10]
    file.write_text(text.replace(shape, shape + shape.replace('"car"', '"person"')))
    (found,) = read_instances("cvat", file)
    shown = dict(zip(found.class_ids.tolist(), masks.areas(found.masks).tolist(), strict=True))
    assert shown[PERSON] > 0
    assert not shown.get(CAR)


# ---- identities that CVAT keeps in uids alone


def uid(name: str) -> str:
    return f'<attribute name="uid">{name}</attribute>'


def identities(path: Path) -> list[list[int]]:
    return [found.track_ids.tolist() for found in read_instances("cvat", path)]


def test_masks_that_cvat_takes_out_of_their_track_keep_its_identity(tmp_path: Path) -> None:
    mask = (
        '<mask frame="{}" keyframe="1" outside="{}" occluded="0" rle="0, 4" left="2" top="3" width="2"'
        f' height="2" z_order="0">{uid("7")}</mask>'
    )
    drawn = [polygon(k, k, more=uid("7"), outside=k in (1, 3)) for k in range(4)]
    alone = [
        in_track(mask.format(k, 0), mask.format(k + 1, 1), number=k) for k in (1, 3)
    ]  # the frames between
    for order in ([in_track(*drawn), *alone], [*alone, in_track(*drawn)]):
        assert identities(exported(tmp_path, "".join(order), frames=5))[:4] == [[7]] * 4


def test_hand_drawn_tracks_of_two_files_are_two_objects(tmp_path: Path) -> None:
    folder = tmp_path / "cvat"
    folder.mkdir()
    for first in (0, 4):
        drawn = in_track(*(polygon(k, 2) for k in range(first, first + 4)))
        text = exported(tmp_path, drawn, frames=first + 4).read_text()
        part = folder / f"{first:06}-{first + 3:06}.xml"
        part.write_text(text.replace("<start_frame>0", f"<start_frame>{first}"))
    assert len({track for tracks in identities(folder) for track in tracks}) == 2


def test_an_export_of_cvat_has_every_frame_so_that_others_were_deleted(tmp_path: Path) -> None:
    skipped = in_track(polygon(0, 0), polygon(1, 1), polygon(4, 4), polygon(5, 5))
    path = exported(tmp_path, skipped, frames=6)
    assert [found.frame.index for found in read_instances("cvat", path)] == [0, 1, 4, 5]


@pytest.mark.parametrize("text", ["step=2", "step = 2", " step=2 "])
def test_steps_may_be_written_with_blanks(tmp_path: Path, text: str) -> None:
    path = exported(tmp_path, in_track(polygon(0, 0), polygon(2, 0)), frames=4)
    path.write_text(
        path.read_text().replace("<frame_filter></frame_filter>", f"<frame_filter>{text}</frame_filter>")
    )
    assert [found.frame.index for found in read_instances("cvat", path)] == [0, 2]


def test_parts_that_were_relabelled_and_so_lost_their_uid_are_still_one_object(tmp_path: Path) -> None:
    def part(number: int, left: float, label: str) -> str:
        opened = f'<track id="{number}" label="{label}" group_id="3">'
        return opened + "".join(polygon(k, left, more=uid("")) for k in range(3)) + "</track>"

    together = exported(tmp_path, part(0, 1, "car") + part(1, 5, "car"))
    assert [len(found) for found in read_instances("cvat", together)] == [1, 1, 1]
    apart = exported(tmp_path, part(0, 1, "car") + part(1, 5, "person"))
    assert [len(found) for found in read_instances("cvat", apart)] == [2, 2, 2]
