"""Cityscapes PNGs are 16-bit, named as the evaluators want, and numbered along tracks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.cityscapes import gtfine
from annotator.formats.names import frame_stem
from annotator.instances import Instances
from tests.formats.test_all_formats import BESIDE, CAR, CASES, FOLDER, PERSON, SQUARE, VIDEO, instances
from tests.helpers.builders import REAL_DATA, Labels, Recording, frame_ref, needs_real_data, read_instances


def png(folder: Path, stem: str, kind: str = "instanceIds") -> np.ndarray:
    return cv2.imread(str(folder / "cityscapes" / f"{stem}_gtFine_{kind}.png"), cv2.IMREAD_UNCHANGED)


def test_ids_labels_and_colours_of_a_frame(tmp_path: Path) -> None:
    gtfine.write(CASES["overlapping masks"], VIDEO, tmp_path)
    ids = png(tmp_path, "day-1-drive_000000_000000")
    assert ids.dtype == np.uint16
    assert np.array_equal(ids == 26000, SQUARE), "the better scored is on top"
    assert set(np.unique(ids)) == {0, 26000, 28000}
    labels = png(tmp_path, "day-1-drive_000000_000000", "labelIds")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, ids // 1000)
    color = png(tmp_path, "day-1-drive_000000_000000", "color")
    assert color[0, 0].tolist() == [142, 0, 0], "a car is blue: cv2 reads BGR"


def test_a_frame_without_instances_is_background(tmp_path: Path) -> None:
    gtfine.write(CASES["frames without instances"], VIDEO, tmp_path)
    assert len(list((tmp_path / "cityscapes").iterdir())) == 6
    assert not png(tmp_path, "day-1-drive_000000_000001").any()


def test_a_number_stays_along_a_track_and_is_free_again_behind_it(tmp_path: Path) -> None:
    frames = [
        instances(0, (SQUARE, CAR, 0.9, 7), (BESIDE, CAR, 0.8, 3)),
        instances(1, (SQUARE, CAR, 0.2, 7), (BESIDE, CAR, 0.8, 3)),
        instances(2, (BESIDE, CAR, 0.8, 0)),  # 7 lives on unseen, 3 has ended
        instances(3, (SQUARE, CAR, 0.9, 7), (BESIDE, CAR, 0.95, 9)),
    ]
    gtfine.write(Labels(frames), VIDEO, tmp_path)
    seen = [png(tmp_path, f"day-1-drive_000000_00000{k}") for k in range(4)]
    assert [int(ids[0, 0]) for ids in seen] == [26000, 26000, 0, 26000]
    assert [int(ids[-1, -1]) for ids in seen] == [26001, 26001, 26001, 26001]


def many_cars(count: int) -> Labels:
    rles = [masks.encode_window(np.ones((1, 1), bool), k // 40, k % 40, (40, 40)) for k in range(count)]
    return Labels([Instances.of(frame_ref(0, (40, 40)), rles, [CAR] * count, [0.5] * count)])


def test_a_thousand_instances_of_a_class_fit_and_one_more_is_refused(tmp_path: Path) -> None:
    gtfine.write(many_cars(1000), VIDEO, tmp_path)
    assert png(tmp_path, "day-1-drive_000000_000000").max() == 26999
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FormatError, match=r"frame 0: car number 1000: .* `min_pixels`"):
        gtfine.write(many_cars(1001), VIDEO, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("image", "stem"),
    [
        ("aachen_000000_000005_leftImg8bit.jpg", "aachen_000000_000005"),
        ("ulm_000001_000019.png", "ulm_000001_000019"),
        ("IMG_0001.jpg", "day-1-drive_000000_000004"),
        ("", "day-1-drive_000000_000004"),
    ],
)
def test_names_of_frames(image: str, stem: str) -> None:
    assert frame_stem(FOLDER, frame_ref(4, name=image)) == stem


def test_long_recordings_and_odd_names_have_six_digits_and_no_underscore() -> None:
    assert frame_stem(VIDEO, frame_ref(1_234_567)) == "day-1-drive_000001_234567"
    assert frame_stem(Recording(name="__"), frame_ref(0)) == "recording_000000_000000"


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    found = [
        Instances.of(frame_ref(k, name=f"ulm_000000_000001.{kind}")) for k, kind in enumerate(("jpg", "png"))
    ]
    with pytest.raises(FormatError, match="two images would both be labelled as ulm_000000_000001"):
        gtfine.write(Labels(found), FOLDER, tmp_path)


def test_an_8_bit_png_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "ulm_000000_000001_gtFine_instanceIds.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(FormatError, match="not a 16-bit PNG"):
        list(read_instances("cityscapes", tmp_path))


def test_a_folder_named_like_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ulm_000000_000001_gtFine_instanceIds.png").mkdir()
    with pytest.raises(FormatError, match="not a 16-bit PNG"):
        list(gtfine.read(tmp_path))


def test_groups_and_stuff_are_left_out(tmp_path: Path) -> None:
    ids = np.array([[7, 26, 26000], [24001, 24001, 0]], np.uint16)
    cv2.imwrite(str(tmp_path / "ulm_000000_000001_gtFine_instanceIds.png"), ids)
    (found,) = read_instances("cityscapes", tmp_path)
    assert sorted(found.class_ids.tolist()) == [PERSON, CAR]
    assert found.frame.index == 1


IDS = np.array(
    [
        [0, 3, 26000, 26000, 7, 24, 24],
        [29, 29001, 26000, 23, 7, 24, 26],
        [9, 29001, 24002, 24002, 15, 33, 30],
    ],
    np.uint16,
)


def test_truth_knows_void_and_groups(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "ulm_000000_000001_gtFine_instanceIds.png"), IDS)
    (truth,) = gtfine.read(tmp_path)
    (found,) = read_instances("cityscapes", tmp_path)
    assert truth.instances.frame == found.frame
    assert truth.instances.masks == found.masks
    assert truth.instances.class_ids.tolist() == [24, 26, 29], "by ascending id, caravans included"
    regions = {region.class_id: masks.decode(region.mask) for region in truth.ignore_regions}
    assert list(regions) == [0, 24, 26, 33]
    assert np.array_equal(regions[0], np.isin(IDS, (0, 3, 9, 15, 29, 30))), "instances of caravan are no void"
    assert np.array_equal(regions[24], IDS == 24)
    assert truth.class_ids is None


@pytest.mark.parametrize("unknown", [34, 999, 34000, 65535])
def test_ids_of_no_class_are_refused(unknown: int, tmp_path: Path) -> None:
    path = tmp_path / "ulm_000000_000001_gtFine_instanceIds.png"
    cv2.imwrite(str(path), np.full((2, 2), unknown, np.uint16))
    with pytest.raises(FormatError, match=f"{path}: {unknown} is no id of a Cityscapes class"):
        list(gtfine.read(tmp_path))


@pytest.mark.realdata
@needs_real_data
def test_official_ground_truth_is_read() -> None:
    found = list(read_instances("cityscapes", REAL_DATA / "frankfurt_gt"))
    assert found
    assert sum(map(len, found)) > 0
