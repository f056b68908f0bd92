"""Folders of images: natural order, upright, RGB of 8 bits; an image that can't be read leaves a gap."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from annotator.errors import SourceError
from annotator.frames import Frame, Gap
from annotator.store.fingerprint import content_hash
from annotator.video.image_folder import ImageFolder
from tests.helpers.builders import REAL_DATA, gaps_of, needs_real_data

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(height: int = 6, width: int = 10) -> np.ndarray:
    """An image whose corners tell how it is turned: red and green above, blue and white below."""
    image = np.zeros((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    image[top, left], image[top, right], image[bottom, left], image[bottom, right] = RED, GREEN, BLUE, WHITE
    return image


def folder_of(path: Path, *names: str) -> Path:
    """A folder of images, each of one grey that counts up by 10."""
    path.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        Image.fromarray(np.full((6, 8, 3), 10 * k, np.uint8)).save(path / name)
    return path


def read(path: Path, start: int = 0, end: int | None = None, every: int = 1) -> list[Frame]:
    return list(ImageFolder(path, "drive").frames(start, end, every))


def only(path: Path) -> np.ndarray:
    [frame] = read(path)
    assert frame.image.flags.c_contiguous
    return frame.image


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    folder_of(tmp_path, "frame10.png", "frame2.png", "Frame1.png", "frame02.png", "frame1b.png")
    names = [frame.ref.name for frame in read(tmp_path)]
    assert names == ["Frame1.png", "frame1b.png", "frame02.png", "frame2.png", "frame10.png"]


def test_index_and_time_are_the_position(tmp_path: Path) -> None:
    refs = [frame.ref for frame in read(folder_of(tmp_path, "a.png", "b.png", "c.png"))]
    assert [(ref.index, ref.pts, ref.time_base) for ref in refs] == [(k, k, Fraction(1)) for k in range(3)]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a.png",
            "a.PNG",
            "a.jpg",
            "a.JPEG",
            "a.jpe",
            "a.jfif",
            "a.bmp",
            "a.tif",
            "a.TIFF",
            "a.webp",
            "a.avif",
        ),
        *("a.jp2", "a.ppm", "a.tga", "a.gif"),
    ],
)
def test_kinds_of_images(tmp_path: Path, name: str) -> None:
    Image.fromarray(corners(16, 32)).save(tmp_path / name)
    assert np.abs(only(tmp_path).astype(int) - corners(16, 32)).mean() < 8


def test_other_files_are_no_images(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", ".hidden.png", "._a.png")
    (tmp_path / "notes.txt").write_text("dusk, light rain")
    (tmp_path / "folder.png").mkdir()
    assert [frame.ref.name for frame in read(tmp_path)] == ["a.png"]


def test_sizes_may_differ(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((8, 5, 3), np.uint8)).save(tmp_path / "b.png")
    assert [frame.ref.size for frame in read(tmp_path)] == [(4, 6), (8, 5)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_exif_turns_the_image(tmp_path: Path, name: str, orientation: int) -> None:
    upright = corners(32, 48)
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo(upright))).save(tmp_path / name, exif=exif)
    image = only(tmp_path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 8


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_unreadable_exif_means_nothing(tmp_path: Path) -> None:
    Image.fromarray(corners(16, 32)).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert np.array_equal(only(tmp_path), corners(16, 32))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_grey_keeps_its_high_byte(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)
    cv2.imwrite(str(tmp_path / name), values)
    assert only(tmp_path)[0].tolist() == [[v, v, v] for v in (0, 0, 1, 0x12, 0xFF)]


def test_deep_colour_keeps_its_high_byte(tmp_path: Path) -> None:
    blue_green_red = np.array([[[0x0100, 0x8000, 0xFFFF]]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), blue_green_red)
    assert only(tmp_path).tolist() == [[[0xFF, 0x80, 0x01]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "PA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = {"CMYK": "a.tif", "PA": "a.tif"}.get(mode, "a.png")
    image = Image.fromarray(corners()).convert("RGBA" if mode == "PA" else mode)
    (image if mode != "PA" else image.convert("P")).save(tmp_path / name)
    found = only(tmp_path)
    expected = Image.fromarray(corners())
    if mode in ("1", "L", "LA"):
        expected = expected.convert("1" if mode == "1" else "L")
    assert np.array_equal(found, np.asarray(expected.convert("RGB")))


def test_transparency_is_dropped(tmp_path: Path) -> None:
    alpha = np.arange(60, dtype=np.uint8).reshape(6, 10)
    Image.fromarray(np.dstack([corners(), alpha])).save(tmp_path / "a.png")
    assert np.array_equal(only(tmp_path), corners())


def test_transparent_palettes_are_looked_up_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    palette = Image.fromarray(corners()).convert("P")
    palette.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert np.array_equal(only(tmp_path), corners())
    assert not recwarn.list


def test_pixels_without_a_known_range_are_not_guessed(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    Image.fromarray(np.ones((6, 8), np.float32)).save(tmp_path / "b.tif")
    source = ImageFolder(tmp_path, "drive")
    assert len(list(source.frames())) == 1
    assert "8 or 16 bits" in gaps_of(source)[0].reason


@pytest.mark.parametrize("name", ["b.png", "b.jpg", "b.bmp", "b.tif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_an_image_that_cannot_be_decoded_leaves_a_gap(tmp_path: Path, name: str, share: float) -> None:
    folder_of(tmp_path, "a.png", "c.png", "d.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])

    source = ImageFolder(tmp_path, "drive")
    assert [(frame.ref.index, frame.ref.name) for frame in source.frames()] == [
        (0, "a.png"),
        (2, "c.png"),
        (3, "d.png"),
    ]
    [gap] = gaps_of(source)
    assert (gap.after_index, gap.pts) == (0, 1)
    assert gap.reason.startswith(f"{name}: ")
    assert str(tmp_path) not in gap.reason


def test_a_gap_comes_before_the_image_behind_it(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{k}.png" for k in range(20)))
    for bad in (0, 4, 5, 13):
        (tmp_path / f"{bad}.png").write_bytes(b"no image")
    source = ImageFolder(tmp_path, "drive")
    places = [item.after_index + 1 if isinstance(item, Gap) else item.ref.index for item in source.read()]
    assert places == list(range(20))
    assert [gap.after_index + 1 for gap in gaps_of(source)] == [0, 4, 5, 13]


def test_start_end_and_every(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{k}.png" for k in range(20)))
    assert [frame.ref.index for frame in read(tmp_path, 3, 15, 5)] == [3, 8, 13]
    assert [frame.ref.name for frame in read(tmp_path, 3, 15, 5)] == ["3.png", "8.png", "13.png"]
    assert read(tmp_path, 20) == []


def test_images_that_are_not_asked_for_are_not_opened(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{k}.png" for k in range(4)))
    (tmp_path / "1.png").write_bytes(b"no image")
    source = ImageFolder(tmp_path, "drive")
    assert [frame.ref.index for frame in source.frames(every=2)] == [0, 2]
    assert gaps_of(source, 0, None, 2) == []


def test_a_folder_of_nothing_but_broken_images_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(
        SourceError, match=rf"{tmp_path.name}: not one image can be decoded \(a\.png: not an image\); copy"
    ):
        read(tmp_path)


def test_a_link_that_leads_nowhere_and_a_pipe_leave_gaps(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "d.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "c.png")
    source = ImageFolder(tmp_path, "drive")
    assert [frame.ref.name for frame in source.frames()] == ["a.png", "d.png"]
    assert [gap.reason for gap in gaps_of(source)] == [
        "b.png: a link that leads nowhere",
        "c.png: not a file",
    ]
    assert content_hash(source.files)


def test_a_resumed_read_that_meets_only_broken_images_has_only_gaps(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "b.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    source = ImageFolder(tmp_path, "drive")
    assert list(source.frames(start=2)) == []
    assert [gap.after_index for gap in gaps_of(source, 2)] == [1]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"{tmp_path.name}: holds no videos and no images .*; give"):
        read(tmp_path)
    assert ImageFolder(tmp_path, "drive").length_hint() is None


def test_a_folder_that_has_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone"):
        read(tmp_path / "gone")


def test_a_single_image(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "b.png")
    source = ImageFolder(tmp_path / "b.png", "b")
    [frame] = source.frames()
    assert frame.ref.name == "b.png"
    assert source.length_hint() == 1


def test_the_length_is_the_number_of_images(tmp_path: Path) -> None:
    source = ImageFolder(folder_of(tmp_path, "a.png", "b.png"), "drive")
    assert source.length_hint() == 2
    assert [path.name for path in source.files] == ["a.png", "b.png"]


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{k}.png" for k in range(20)))
    frames = ImageFolder(tmp_path, "drive").frames()
    next(frames)
    frames.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode-image")]


def test_a_read_can_be_cancelled(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{k}.png" for k in range(20)))
    frames = ImageFolder(tmp_path, "drive").read(is_cancelled=lambda: True)
    assert list(frames) == []


def test_gaps_name_the_image(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    source = ImageFolder(tmp_path, "drive")
    assert gaps_of(source) == [Gap(0, 1, "b.png: not an image")]


@needs_real_data
@pytest.mark.realdata
def test_consecutive_cityscapes_frames() -> None:
    frames = read(REAL_DATA / "clips" / "aachen_000000")
    assert [frame.ref.name for frame in frames] == [
        f"aachen_000000_{k:06d}_leftImg8bit.jpg" for k in range(10)
    ]
    assert {frame.ref.size for frame in frames} == {frames[0].image.shape[:2]}
