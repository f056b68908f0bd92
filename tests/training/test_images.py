"""Labelled images of any format, as training sees them; mixes of several sets."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pycocotools.mask
import pytest

from annotator import masks
from annotator.errors import UsageError
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_NAME, INSTANCE_CLASSES
from annotator.store import Store
from annotator.training.augmentation import target
from annotator.training.datasets import DatasetSpec, WeightedDataset, mix_of, open_files, open_parts, read_mix
from annotator.training.images import UNKNOWN, CachedImages, ImageFiles, RenderedImages, subsample
from annotator.training.loop import foreground_weights
from tests.helpers.builders import blob, finish
from tests.helpers.fake_detector import write_video
from tests.helpers.labelled import ALL, CAR, PERSON, RIDER, SIZE, DrawnImages, labelled_image, write_coco

SMALL = (20, 30)


# ---- COCO


def rle(mask: npt.NDArray[np.bool_], compressed: bool) -> dict[str, Any]:
    if compressed:
        encoded = pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))
        return {"size": list(mask.shape), "counts": encoded["counts"].decode()}
    flat = mask.ravel(order="F")
    bounds = np.flatnonzero(np.diff(flat, prepend=False))
    return {"size": list(mask.shape), "counts": np.diff([0, *bounds, flat.size]).tolist()}


def annotation(k: int, category_id: int, segmentation: Any, area: float, iscrowd: int = 0) -> dict[str, Any]:
    return {
        "id": k,
        "image_id": 1,
        "category_id": category_id,
        "segmentation": segmentation,
        "area": area,
        "iscrowd": iscrowd,
    }


def coco_content() -> dict[str, Any]:
    """A car behind a walker, a crowd below both, on one image; another image without anything."""
    rows, columns = np.indices(SMALL)
    vehicle = [[5, 4, 25, 4, 25, 16, 5, 16]]
    walker = (abs(rows - 10) <= 5) & (abs(columns - 12) <= 1)
    crowd = columns >= 20
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 20, "width": 30, "labelled": [24]},
            {"id": 2, "file_name": "b.png", "height": 20, "width": 30},
        ],
        "categories": [{"id": 24, "name": "person"}, {"id": 26, "name": "car"}],
        "annotations": [
            annotation(1, 24, rle(walker, compressed=True), 33),
            annotation(2, 24, rle(crowd, compressed=False), 200, iscrowd=1),
            annotation(3, 26, vehicle, 240),
        ],
    }


def coco(folder: Path, content: Any = None) -> Path:
    """The file, with its images beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate("ab"):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((*SMALL, 3), (10, 20, 30 + k), np.uint8))
    (folder / "street.json").write_text(json.dumps(coco_content() if content is None else content))
    return folder / "street.json"


def opened(labels: Path, images: Path | None = None, size: tuple[int, int] = SMALL) -> ImageFiles:
    return open_files(DatasetSpec(labels, images), size, labels.parent / "kept")


def test_small_objects_lie_in_front_of_large_ones_and_crowds_beneath_all(tmp_path: Path) -> None:
    labelled = opened(coco(tmp_path)).image(0)
    number_of = {
        (int(class_id), bool(group)): k + 1
        for k, (class_id, group) in enumerate(zip(labelled.class_ids, labelled.is_group, strict=True))
    }
    expected = np.zeros(SMALL, int)
    expected[:, 20:] = number_of[PERSON, True]
    expected[4:16, 5:25] = number_of[CAR, False]
    expected[5:16, 11:14] = number_of[PERSON, False]
    np.testing.assert_array_equal(labelled.label_map, expected)
    assert labelled.labelled == {24}
    assert labelled.image[0, 0].tolist() == [30, 20, 10]  # RGB


def test_an_image_without_annotations_is_all_background(tmp_path: Path) -> None:
    labelled = opened(coco(tmp_path)).image(1)
    assert not labelled.label_map.any()
    assert labelled.labelled == {24, 26}  # all categories, where nothing else is said
    assert target(labelled.label_map, labelled, (PERSON, CAR), 1).background.all()


def test_pixels_are_counted_only_where_a_class_is_labelled(tmp_path: Path) -> None:
    assert opened(coco(tmp_path)).pixel_counts() == {24: (33, 1200), 26: (0, 600)}


def test_void_is_neither_background_nor_an_object(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((*SMALL, 3), np.uint8))
    car, void = blob(SMALL, 10, 10, 5), blob(SMALL, 10, 14, 5)
    frame = FrameRef(0, 0, Fraction(1), SMALL, "a.png")
    truth = GroundTruth(
        Instances.of(frame, [masks.encode(car)], [CAR], [1]), (Region(0, masks.encode(void)),)
    )
    labelled = ImageFiles([truth], [tmp_path / "a.png"], SMALL).image(0)
    np.testing.assert_array_equal(labelled.label_map, np.where(car, 1, np.where(void, UNKNOWN, 0)))
    goal = target(labelled.label_map, labelled, INSTANCE_CLASSES, 1)
    assert not goal.background[:, void & ~car].any()


def test_images_come_at_the_size_that_the_network_processes(tmp_path: Path) -> None:
    """A large recording is shrunk as labelling shrinks it, labels and all."""
    large = labelled_image([(CAR, blob((192, 288), 90, 150, 45))], size=(192, 288))
    shrunk = opened(write_coco(tmp_path, [large]), size=SIZE).image(0)
    assert shrunk.image.shape == (*SIZE, 3)
    assert shrunk.label_map.shape == SIZE
    seen = shrunk.image[..., 0] > (255 + 90) / 2  # the car is red, the street grey
    assert (seen != (shrunk.label_map == 1)).sum() <= 10
    assert abs((shrunk.label_map == 1).sum() * 9 - (large.label_map == 1).sum()) < 90


@pytest.mark.parametrize("content", [[], 3, {}, {"images": []}], ids=str)
def test_what_is_no_coco_file_is_wrong_usage(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UsageError, match=r"street\.json"):
        opened(coco(tmp_path, content))


def test_a_file_without_images_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no labelled images"):
        opened(coco(tmp_path, {"images": [], "annotations": [], "categories": []}))


def test_labels_that_aren_t_there_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        opened(tmp_path / "nowhere.json")


def test_an_image_that_can_t_be_read_is_wrong_usage(tmp_path: Path) -> None:
    images = opened(coco(tmp_path))
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"a\.png"):
        images.image(0)


def test_labels_of_another_size_than_their_image_are_wrong_usage(tmp_path: Path) -> None:
    images = opened(coco(tmp_path))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(UsageError, match=r"a\.png has 10x10 pixels, but its labels 30x20"):
        images.image(0)


def test_images_that_are_elsewhere_are_named(tmp_path: Path) -> None:
    labels = coco(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    cv2.imwrite(str(tmp_path / "elsewhere" / "b.png"), np.zeros((*SMALL, 3), np.uint8))
    with pytest.raises(UsageError, match=r"1 of the images, a\.png first, are not in"):
        opened(labels, tmp_path / "elsewhere")


# ---- other formats


def test_cityscapes_finds_its_images_and_leaves_groups_and_void_out(tmp_path: Path) -> None:
    ids = np.zeros(SMALL, np.uint16)
    ids[2:8, 2:8], ids[2:8, 12:20], ids[12:18, 2:8] = 26001, 26, BY_NAME["ego vehicle"].id
    folder = tmp_path / "gtFine" / "train" / "aachen"
    pictures = tmp_path / "leftImg8bit" / "train" / "aachen"
    folder.mkdir(parents=True)
    pictures.mkdir(parents=True)
    cv2.imwrite(str(folder / "aachen_000000_000019_gtFine_instanceIds.png"), ids)
    cv2.imwrite(str(pictures / "aachen_000000_000019_leftImg8bit.png"), np.full((*SMALL, 3), 77, np.uint8))
    labelled = opened(tmp_path / "gtFine" / "train").image(0)
    assert labelled.class_ids.tolist() == [CAR, CAR]
    assert labelled.is_group.tolist() == [False, True]
    assert (labelled.label_map[12:18, 2:8] == UNKNOWN).all()
    assert (labelled.image == 77).all()


def test_frames_of_a_video_become_files_once(tmp_path: Path) -> None:
    """A run folder knows its video; frames that it labels are decoded once and kept."""
    video = write_video(tmp_path / "drive.mp4", frames=6)
    size = (48, 64)
    run = tmp_path / "labels"
    (run / "drive").mkdir(parents=True)
    with Store.open(run / "drive", {"version": "1"}) as store:
        for index in (1, 4):
            frame = FrameRef(index, index, Fraction(1, 10), size)
            store.add([Instances.of(frame, [masks.encode(blob(size, 20, 20, 8))], [CAR], [1])])
        finish(store)
    (run / "run.json").write_text(json.dumps({"sources": [{"name": "drive", "path": str(video)}]}))
    images = opened(run)
    assert [file.name for file in images.files] == ["000001.jpg", "000004.jpg"]
    assert images.pixels(1).shape == (*size, 3)
    video.unlink()
    video.write_bytes(b"")  # it is needed no more
    assert opened(run).pixels(1).shape == (*size, 3)


def test_labels_of_frames_that_a_video_lacks_are_wrong_usage(tmp_path: Path) -> None:
    video = write_video(tmp_path / "drive.mp4", frames=3)
    (tmp_path / "drive.txt").write_text(
        "9 1001 1 48 64 " + masks.encode(blob((48, 64), 20, 20, 8))["counts"].decode()
    )
    with pytest.raises(UsageError, match="has no frame 3, which the labels have"):
        opened(tmp_path / "drive.txt", video)


# ---- sets


def test_images_are_kept_while_they_fit() -> None:
    asked: list[int] = []

    class Counted(DrawnImages):
        def image(self, number: int) -> Any:
            asked.append(number)
            return super().image(number)

    each = DrawnImages().image(0).image.nbytes + DrawnImages().image(0).label_map.nbytes
    kept = CachedImages(Counted(), 2 * each)
    for number in (0, 1, 0, 1, 2, 1, 0):  # 2 takes the place of 0
        assert np.array_equal(kept.image(number).image, DrawnImages().image(number).image)
    assert asked == [0, 1, 2, 0]


def test_rendered_images_label_all_classes_and_every_object_they_show() -> None:
    labelled = RenderedImages(streets=1, frames=2).image(1)
    assert labelled.labelled == ALL
    assert {*np.unique(labelled.label_map)} - {0} <= set(range(1, len(labelled.class_ids) + 1))
    assert {*labelled.class_ids.tolist()} <= ALL
    assert labelled.image.shape[:2] == labelled.label_map.shape


def test_rare_classes_weigh_more() -> None:
    parts = [WeightedDataset("drawn", DrawnImages(), 1), WeightedDataset("rendered", RenderedImages(), 1)]
    expected = [1 / math.log(1.07), 1 / math.log(1.12), 1 / math.log(1.02)]
    assert foreground_weights(parts, (PERSON, CAR, RIDER)).tolist() == pytest.approx(expected)


def test_an_even_choice_spans_the_whole_set(tmp_path: Path) -> None:
    images = opened(write_coco(tmp_path, [DrawnImages().image(k) for k in range(9)]))
    assert [file.stem for file in subsample(images, 3).files] == ["1", "5", "9"]
    assert len(subsample(images, 50)) == 9


# ---- mixes


def toml(folder: Path, text: str) -> Path:
    (folder / "mix.toml").write_text(text, encoding="utf-8", errors="surrogateescape")
    return folder / "mix.toml"


def test_a_mix_names_sets_their_shares_classes_and_what_they_label(tmp_path: Path) -> None:
    labels = coco(tmp_path)
    content = json.loads(labels.read_text())
    content["categories"][1]["name"] = "voiture"
    labels.write_text(json.dumps(content))
    mix = read_mix(
        toml(
            tmp_path,
            """
            [[training]]
            labels = "street.json"
            share = 0.75
            labelled = ["car"]
            classes = { voiture = "car", person = "none" }

            [[training]]
            rendered = 2
            share = 0.25

            [[validation]]
            labels = "street.json"
            """,
        )
    )
    real, rendered = open_parts(mix.training, SMALL, tmp_path / "kept")
    assert (real.name, real.share, rendered.name, len(rendered.images)) == (
        "street.json",
        0.75,
        "rendered",
        120,
    )
    labelled = real.images.image(1)
    assert labelled.labelled == {CAR}
    assert real.images.classes(0) == {CAR}
    assert [source.name for source in mix.validation] == ["street.json"]


def test_without_shares_images_count_alike(tmp_path: Path) -> None:
    labels = coco(tmp_path)
    sources = mix_of(labels, None, None).training
    assert [part.share for part in open_parts((*sources, DatasetSpec(None, streets=1)), SMALL, tmp_path)] == [
        2,
        60,
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training = 3", r"mix.toml: training is 3; it takes sets, each below a \[\[training\]\]"),
        ("training = [3]", r"training is \[3\]; it takes sets"),
        ("[[training]]\nlabels = 3", "labels is 3; it takes a path"),
        ("[[training]]\nlabels = 'a'\nimages = ['b']", r"images is \[\"b\"\]; it takes a path"),
        ("[[training]]\nlabels = 'a'\nshare = 'b'", 'share is "b"; it takes a number'),
        ("[[training]]\nlabels = 'a'\nlabelled = 'car'", 'labelled is "car"; it takes a list of classes'),
        ("[[training]]\nlabels = 'a'\nlabelled = [3]", r"labelled is \[3\]; it takes a list of classes"),
        ("[[training]]\nlabels = 'a'\nclasses = 'car'", 'classes is "car"; it takes a table'),
        ("[[training]]\nlabels = 'a'\nskip_bad = 'no'", 'skip_bad is "no"; it takes true or false'),
        ("[[training]]\nlabels = '\udcff'", r"no TOML \(it is no text in UTF-8\)"),
        ("[[train]]\nlabels = 'a'", "train means nothing"),
        ("[[training]]\nlabel = 'a'", "label means nothing"),
        ("[[training]]\nlabels = 'a'\nrendered = 3", "either labels or"),
        ("[[training]]\nlabels = 'a'\nshare = -1", "share -1 is not positive"),
        ("[[training]]\nlabels = 'a'\nlabelled = ['dragon']", "dragon"),
        ("[[training]]\nlabels = 'a'\nclasses = { a = 'dragon' }", "mix.toml: classes .*dragon"),
        ("no = = toml", "no TOML"),
    ],
)
def test_a_mix_that_makes_no_sense_is_wrong_usage(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_mix(toml(tmp_path, text))


def test_shares_are_given_to_all_sets_or_none(tmp_path: Path) -> None:
    labels = coco(tmp_path)
    with pytest.raises(UsageError, match="every set"):
        open_parts([DatasetSpec(labels, share=1), DatasetSpec(labels)], SMALL, tmp_path)
    with pytest.raises(UsageError, match=r"no \[\[training\]\]"):
        open_parts([], SMALL, tmp_path)


def test_videos_of_equally_named_labels_share_no_frames(tmp_path: Path) -> None:
    line = "0 1001 1 48 64 " + masks.encode(blob((48, 64), 20, 20, 8))["counts"].decode()
    files = []
    for name, frames in (("a", 3), ("b", 6)):
        video = write_video(tmp_path / name / "clip.mp4", frames=frames)
        (tmp_path / name / "mots.txt").write_text(line)
        source = DatasetSpec(tmp_path / name / "mots.txt", video)
        files += open_files(source, (48, 64), tmp_path / "kept").files
    assert files[0] != files[1]


def test_labels_of_a_single_image_find_it(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    cv2.imwrite(str(image), np.zeros((48, 64, 3), np.uint8))
    run = tmp_path / "labels"
    with Store.open(run / "photo", {"version": "1"}) as store:
        frame = FrameRef(0, 0, Fraction(1), (48, 64), "photo.png")
        store.add([Instances.of(frame, [masks.encode(blob((48, 64), 20, 20, 8))], [CAR], [1])])
        finish(store)
    (run / "run.json").write_text(json.dumps({"sources": [{"name": "photo", "path": str(image)}]}))
    assert opened(run).files == [image]


def test_no_rendered_street_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text("[[training]]\nrendered = 0\n")
    with pytest.raises(UsageError, match="rendered = 0 streets to draw; it takes 1 to"):
        read_mix(tmp_path / "mix.toml")
