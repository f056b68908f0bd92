"""Text-and-mask results are read as the official script reads them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from annotator import masks
from annotator.errors import FormatError
from annotator.formats.cityscapes import mask_png
from annotator.formats.summary import EMPTY
from tests.helpers.builders import blob, mask, read_instances

SIZE = (60, 90)
CAR = blob(SIZE, 30, 40, 20)
PERSON = blob(SIZE, 10, 70, 8)
BINARY = arrays.arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30)))


def results(folder: Path, **texts: str) -> Path:
    """A folder with two masks and these text files."""
    for name, pixels in (("car", CAR), ("person", PERSON), ("nothing", CAR & ~CAR)):
        cv2.imwrite(str(folder / f"{name}.png"), pixels.astype(np.uint8) * 255)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_objects_of_a_frame(tmp_path: Path) -> None:
    text = "car.png 26 0.30000000000000004\nperson.png 24.0 0.9\n"
    (found,) = read_instances("cityscapes-results", results(tmp_path, ulm_000001_000019_leftImg8bit=text))
    assert (found.frame.name, found.frame.index, found.frame.size) == ("ulm_000001_000019", 1_000_019, SIZE)
    assert found.masks == (masks.encode(PERSON), masks.encode(CAR))
    assert found.class_ids.tolist() == [24, 26]
    assert found.scores.tolist() == [0.9, 0.30000000000000004], "with all their bits"


def test_what_the_official_script_does_not_judge_is_left_out(tmp_path: Path) -> None:
    text = "nothing.png 26 0.5\ncar.png 7 0.8\nmissing.png 29 0.8\nperson.png 24 0.1\nperson.png 25 0.2"
    (found,) = read_instances("cityscapes-results", results(tmp_path, ulm_000000_000001=text))
    assert list(zip(found.class_ids, found.scores, strict=True)) == [(25, 0.2)], (
        "a mask counts as it is named last"
    )


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    text = "nothing.png 26 0.5\ncar.png 13 0.8\nperson.png 24 0.1"
    skipped = Counter[str]()
    list(read_instances("cityscapes-results", results(tmp_path, ulm_000000_000001=text), skipped=skipped))
    assert skipped == {"lines of class 13 (fence)": 1, EMPTY: 1}


def test_results_with_train_ids_are_refused(tmp_path: Path) -> None:
    results(tmp_path, ulm_000000_000001="car.png 13 0.9\nperson.png 11 0.9", ulm_000000_000002="")
    with pytest.raises(FormatError, match=r"its classes are trainIds, as 11 for person; .* 24 for person"):
        list(read_instances("cityscapes-results", tmp_path))
    results(tmp_path, ulm_000000_000001="car.png 13 0.9\nperson.png 24 0.9")  # a fence
    assert [len(found) for found in read_instances("cityscapes-results", tmp_path)] == [1, 0]


def test_masks_may_lie_in_folders_as_windows_writes_them(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    results(tmp_path / "masks")
    (tmp_path / "ulm_000000_000001.txt").write_text("masks\\car.png 26 0.9\n")
    (found,) = read_instances("cityscapes-results", tmp_path)
    assert found.masks == (masks.encode(CAR),)
    (tmp_path / "ulm_000000_000001.txt").write_text("..\\car.png 26 0.9\n")
    with pytest.raises(FormatError, match="leads out of the folder"):
        list(read_instances("cityscapes-results", tmp_path))


def test_frames_come_by_name_and_one_without_masks_has_a_size(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    results(tmp_path, ulm_000000_000002="car.png 26 1", ulm_000000_000001="", notes="not of a frame")
    found = list(read_instances("cityscapes-results", tmp_path))
    assert [(one.frame.name, len(one), one.frame.size) for one in found] == [
        ("ulm_000000_000001", 0, SIZE),
        ("ulm_000000_000002", 1, SIZE),
    ]


def test_a_folder_without_any_mask_needs_a_size(tmp_path: Path) -> None:
    results(tmp_path, ulm_000000_000001="")
    assert [one.frame.size for one in read_instances("cityscapes-results", tmp_path, size=SIZE)] == [SIZE]
    with pytest.raises(FormatError, match="size of its frames is not known"):
        list(read_instances("cityscapes-results", tmp_path))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("car.png 26", "2 fields instead of 3"),
        ("car.png 26 0.5 0.5", "4 fields instead of 3"),
        ("car.png  26 0.5", "4 fields instead of 3"),
        ("", "1 fields instead of 3"),
        ("car.png 34 0.5", "34 is no Cityscapes label"),
        ("car.png car 0.5", "labelID 'car' is no number"),
        ("car.png inf 0.5", "labelID 'inf' is no number"),
        ("car.png 26 good", "score 'good' is no number"),
        ("car.png 26 nan", "score 'nan' is no number"),
        ("../car.png 26 0.5", "leads out of the folder"),
        ("/car.png 26 0.5", "leads out of the folder"),
    ],
)
def test_a_line_that_is_none_is_refused_by_number(line: str, sentence: str, tmp_path: Path) -> None:
    results(tmp_path, ulm_000000_000001=f"car.png 26 0.5\n{line}\n")
    with pytest.raises(
        FormatError, match=rf"000001\.txt: line 2 is not 'mask.png labelID score' \(.*{sentence}"
    ):
        list(read_instances("cityscapes-results", tmp_path))


def test_folders_that_are_no_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no CITY_SEQ_FRAME\.txt in this folder"):
        list(read_instances("cityscapes-results", tmp_path))
    results(tmp_path, ulm_000000_000001_a="", ulm_000000_000001_b="")
    with pytest.raises(
        FormatError, match=r"_b\.txt: ulm_000000_000001_a\.txt is of the same frame; remove one"
    ):
        list(read_instances("cityscapes-results", tmp_path))


def test_masks_that_can_not_be_compared_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.ones((2, 2), np.uint8))
    results(tmp_path, ulm_000000_000001="car.png 26 0.5\nsmall.png 26 0.5")
    with pytest.raises(FormatError, match="masks are not all of one size"):
        list(read_instances("cityscapes-results", tmp_path))


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 60])
def test_a_mask_that_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(FormatError, match=r"mask\.png: not a picture of a mask"):
        mask_png.read(tmp_path / "mask.png")
    results(tmp_path, ulm_000000_000001="mask.png 26 0.5", ulm_000000_000002="car.png 26 1")
    with pytest.raises(FormatError, match="not a picture of a mask"):
        list(read_instances("cityscapes-results", tmp_path))
    with pytest.raises(FormatError, match=r"none\.png: not a picture"):
        mask_png.read(tmp_path / "none.png")


def official(path: Path) -> dict:
    return masks.encode(np.array(Image.open(path).convert("L")) != 0)


@given(BINARY, st.sampled_from(["L", "1", "P", "I;16", "RGB", "LA"]), st.sampled_from([1, 128, 255]))
def test_masks_of_every_kind_of_picture(
    tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray, mode: str, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "mask.png"
    image = Image.fromarray(pixels.astype(np.uint8) * value)
    if mode == "P":
        image.putpalette([0, 0, 0] * 128 + [255, 255, 255] * 128)
    elif mode == "1":
        image = Image.fromarray(pixels)
    elif mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * value)
    else:
        image = image.convert(mode)
    image.save(path)
    assert mask_png.read(path) == official(path)


@pytest.mark.parametrize("strategy", range(5), ids=["default", "filtered", "huffman", "rle", "fixed"])
@pytest.mark.parametrize(
    "png_filter", [8, 16, 32, 64, 128, 248], ids=["none", "sub", "up", "average", "paeth", "all"]
)
def test_masks_of_every_filter(png_filter: int, strategy: int, tmp_path: Path) -> None:
    """Objects in the middle, at the border, over all rows, and with rows below that repeat the one above."""
    drawn = (
        CAR, PERSON, CAR | PERSON, blob(SIZE, 0, 0, 9), blob(SIZE, 59, 89, 9), np.ones(SIZE, bool),
        CAR & ~CAR, np.repeat(mask("..##", "...."), 30, axis=0), np.tile(mask("..##.."), (60, 15)),
    )  # fmt: skip
    path = tmp_path / "mask.png"
    for pixels in drawn:
        options = [cv2.IMWRITE_PNG_FILTER, png_filter, cv2.IMWRITE_PNG_STRATEGY, strategy]
        assert cv2.imwrite(str(path), pixels.astype(np.uint8) * 255, options)
        assert mask_png.read(path) == masks.encode(pixels)


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), CAR.astype(np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="not a picture of a mask"):
        mask_png.read(path)
    path.write_bytes(whole[:16] + (1 << 20).to_bytes(4, "big") * 2 + whole[24:])
    with pytest.raises(FormatError, match="not a picture of a mask"):
        mask_png.read(path)
