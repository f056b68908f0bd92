"""The rendered street: deterministic, exactly labelled, and alive."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from annotator.synthetic import Street, render, write_drive
from annotator.synthetic.paint import Canvas
from annotator.synthetic.stage import paint_order

INSTANCE_CLASSES = {24, 25, 26, 27, 28, 31, 32, 33}
SMALL = (64, 96)
SEEDS = range(6)


@pytest.fixture(scope="module")
def drive() -> list:
    """Forty frames of one drive."""
    return list(render(7, (96, 192), 40))


def test_a_seed_gives_the_same_bytes_whoever_asks() -> None:
    ours, theirs = Street(3, SMALL), Street(3, SMALL)
    assert np.array_equal(ours.frame(5).image, theirs.frame(5).image)
    assert np.array_equal(ours.frame(5).label_map, theirs.frame(5).label_map)


def test_a_frame_needs_no_frame_before_it() -> None:
    *_, last = render(4, SMALL, length=8)
    alone = Street(4, SMALL).frame(7)
    assert last.index == alone.index == 7
    assert np.array_equal(last.image, alone.image)
    assert np.array_equal(last.label_map, alone.label_map)
    assert last.classes == alone.classes


def test_start_skips_frames() -> None:
    (third,) = render(4, SMALL, length=1, start=3)
    assert np.array_equal(third.image, Street(4, SMALL).frame(3).image)


def test_seeds_differ() -> None:
    images = [Street(seed, SMALL).frame(0).image for seed in SEEDS]
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("size", [(64, 96), (37, 53), (96, 64), (120, 160), (1, 1), (384, 768)])
def test_any_size(size: tuple[int, int]) -> None:
    frame = Street(1, size).frame(3)
    assert frame.image.shape == (*size, 3)
    assert frame.image.dtype == np.uint8
    assert frame.label_map.shape == size
    assert frame.label_map.dtype == np.int32


@pytest.mark.parametrize("seed", SEEDS)
def test_every_labelled_pixel_belongs_to_a_listed_object(seed: int) -> None:
    frame = Street(seed, (96, 192)).frame(11)
    assert set(np.unique(frame.label_map).tolist()) - {0} == set(frame.classes)
    assert set(frame.classes.values()) <= INSTANCE_CLASSES


def test_streets_show_every_class_somewhere() -> None:
    seen: set[int] = set()
    for seed in range(60):
        seen |= set(Street(seed, SMALL).frame(0).classes.values())
        if seen == INSTANCE_CLASSES:
            break
    assert seen == INSTANCE_CLASSES


def test_a_stroke_has_the_pixels_that_it_covers_by_half() -> None:
    canvas = Canvas(np.zeros((4, 6, 3), np.uint8))
    square = np.array([[1.0, 1.0], [3.7, 1.0], [3.7, 3.0], [1.0, 3.0]])
    canvas.polygons([square], np.array([[255.0, 255.0, 255.0, 255.0]]), 5)
    assert (canvas.labels == 5).sum() == 6  # 0.7 of the third column is covered
    assert np.array_equal(canvas.labels == 5, canvas.image[:, :, 0] > 127)


def test_the_last_stroke_wins_in_both_picture_and_labels() -> None:
    canvas = Canvas(np.zeros((6, 6, 3), np.uint8))
    below = np.array([[0.0, 0.0], [6.0, 0.0], [6.0, 6.0], [0.0, 6.0]])
    canvas.polygons([below], np.array([[255.0, 0.0, 0.0, 255.0]]), 1)
    canvas.polygons([below / 2], np.array([[0.0, 255.0, 0.0, 255.0]]), 2)
    canvas.polygons([below / 3], np.array([[0.0, 0.0, 255.0, 255.0]]), 0)  # scenery hides objects too
    assert canvas.labels[5, 5] == 1
    assert canvas.labels[2, 2] == 2
    assert canvas.labels[0, 0] == 0
    assert canvas.image[5, 5].argmax() == 0
    assert canvas.image[2, 2].argmax() == 1


def test_what_is_nearer_hides_what_is_further() -> None:
    boxes = np.array(
        [
            [-1.0, 1.0, 10.0, 14.0],  # ahead
            [-1.0, 1.0, 30.0, 34.0],  # further ahead
            [2.0, 4.5, 4.0, 16.0],  # a bus beside the first
            [6.0, 7.0, 8.0, 9.0],  # behind the bus, as seen from here, though its end is nearer
        ]
    )
    order = paint_order(boxes)
    assert order.index(1) < order.index(0)
    assert order.index(2) < order.index(0)
    assert order.index(3) < order.index(2)


def test_objects_move(drive: list) -> None:
    def centres(frame: object) -> dict[int, np.ndarray]:
        labels = frame.label_map
        return {k: np.argwhere(labels == k).mean(0) for k in frame.classes}

    first, later = centres(drive[0]), centres(drive[5])
    shared = first.keys() & later.keys()
    assert len(shared) > 3
    assert max(np.hypot(*(first[k] - later[k])) for k in shared) > 1


def test_an_object_keeps_identity_and_class_through_the_drive(drive: list) -> None:
    classes: dict[int, int] = {}
    for frame in drive:
        for object_id, class_id in frame.classes.items():
            assert classes.setdefault(object_id, class_id) == class_id


def test_an_object_comes_back_under_its_name_after_it_was_hidden() -> None:
    """Somebody is seen, hidden for some frames, and seen again."""
    for seed in range(20):
        street = Street(seed, (96, 192))
        seen = [set(street.frame(k).classes) for k in range(0, 24, 2)]
        for object_id in set.union(*seen):
            here = "".join("x" if object_id in ids else "." for ids in seen)
            if "x." in here and here.strip(".").count("."):
                return
    pytest.fail("in twenty streets nobody was ever hidden and came back")


def test_objects_come_and_go(drive: list) -> None:
    first, last = set(drive[0].classes), set(drive[-1].classes)
    assert first - last
    assert last - first


def test_a_rider_rides_a_machine_of_its_own() -> None:
    for seed in range(40):
        frame = Street(seed, (96, 192)).frame(0)
        for rider in (k for k, class_id in frame.classes.items() if class_id == 25):
            if frame.classes.get(rider - 1) in (32, 33):
                return
    pytest.fail("no rider with a bicycle or motorcycle in forty streets")


def test_the_sensor_has_noise_of_its_own_in_every_frame() -> None:
    street = Street(2, SMALL)
    still = np.full((*SMALL, 3), 120, np.uint8)
    assert not np.array_equal(street.lens.expose(still, 0), street.lens.expose(still, 1))


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        Street(0, (0, 10))


def test_write_drive_makes_a_video(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    write_drive(path, seed=1, size=SMALL, length=5, fps=10)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5
    rendered = Street(1, SMALL).frame(4).image.astype(float)
    assert np.abs(frames[4] - rendered).mean() < 12  # lossy, but the same picture
