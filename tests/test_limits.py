"""What would take time or memory without bound is refused with a sentence, or done in little of both."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from annotator.errors import AnnotatorError, FormatError, UsageError
from annotator.formats.check import check
from annotator.formats.cityscapes import mask_png
from annotator.formats.cvat import interpolation as cvat_interpolation
from annotator.formats.cvat import track_reader
from annotator.formats.mots import reader as mots
from annotator.limits import require_frame_size
from annotator.model.checkpoint import load_checkpoint
from annotator.training.datasets import read_mix
from annotator.video.image_folder import decode
from tests.helpers.builders import read_instances

TASK = (
    "<annotations><meta><task><size>{size}</size><mode>interpolation</mode><start_frame>0</start_frame>"
    "<stop_frame>{last}</stop_frame><original_size><width>96</width><height>64</height></original_size></task></meta>"
    '<track id="0" label="car">{shapes}</track></annotations>'
)
POLYGON = '<polygon frame="{}" keyframe="1" outside="{}" points="1,1;20,1;20,20" />'


def task(path: Path, size: int, *frames: tuple[int, int]) -> Path:
    """A track in a task of `size` frames, with keyframes at frames, each outside or not."""
    shapes = "".join(POLYGON.format(frame, outside) for frame, outside in frames)
    path.write_text(TASK.format(size=size, last=size - 1, shapes=shapes))
    return path


@pytest.mark.parametrize("size", [(16_384, 8_192), (8_192, 8_192), (1, 65_535)])
def test_frames_that_people_have_are_read(size: tuple[int, int]) -> None:
    require_frame_size(*size)


@pytest.mark.parametrize(
    "size", [(46_341, 46_341), (65_536, 1), (1, 1 << 32), (8_193, 16_384), (0, 4), (10**400, 2)]
)
def test_frames_beyond_are_refused_in_few_words(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"no frame is|a frame of .* is too large") as refused:
        require_frame_size(*size)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("size", "frames", "sentence"),
    [
        (
            200_001,
            [(0, 0), (200_000, 1)],
            "199,999 frames behind its keyframe 0 without another; up to 100,000",
        ),
        (200_001, [(0, 0)], "200,000 frames behind its keyframe 0 without another"),
        (
            9_999_999,
            [(0, 0), (1, 1), (9_999_998, 0)],
            "9,999,997 frames without a label before frame 9999998",
        ),
        (9_999_999, [(0, 0), (1, 1)], "9,999,998 frames without a label before frame 9999999"),
        (99_999_999, [(0, 0), (1, 1)], "more than 10,000,000 frames"),
    ],
)
def test_frames_of_a_task_are_not_made_up_without_end(
    size: int, frames: list[tuple[int, int]], sentence: str, tmp_path: Path
) -> None:
    path = task(tmp_path / "a.xml", size, *frames)
    with pytest.raises(FormatError, match=sentence):
        list(read_instances("cvat", path))
    assert any(sentence in finding.message for finding in check(path))


def test_what_is_made_between_keyframes_is_bounded_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = task(tmp_path / "a.xml", 30, (0, 0), (10, 0), (20, 1))
    assert len(list(read_instances("cvat", path))) == 30
    monkeypatch.setattr(track_reader, "MOST_INTERPOLATED", 18 * 48 - 1)
    with pytest.raises(FormatError, match="of shapes between keyframes; export it from CVAT in parts"):
        list(read_instances("cvat", path))


def test_frames_without_a_line_are_not_made_up_without_end(tmp_path: Path) -> None:
    path = tmp_path / "mots.txt"
    path.write_text("3 1001 1 1 4 13\n1000004 1001 1 1 4 13\n")
    with pytest.raises(
        FormatError, match="1,000,000 frames without a label before frame 1000004; up to 1,000,000"
    ):
        list(mots.read(path))
    assert any("1,000,000 frames without a label" in finding.message for finding in check(path))


ALONG = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(lambda n: np.sort(np.array(n)) / 40)


@given(ALONG, ALONG)
def test_vertices_are_matched_without_a_table_of_all_pairs(values: np.ndarray, among: np.ndarray) -> None:
    nearest = np.abs(values[:, None] - among).argmin(axis=1)
    assert np.array_equal(cvat_interpolation._nearest_of(values, among), nearest)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[training]]\nrendered = 1e2147483647", "rendered Infinity is no whole number"),
        ("[[training]]\nrendered = inf", "is no whole number"),
        ("[[training]]\nrendered = 100_000_000_000", "it takes 1 to 10,000,000"),
        ("[[training]]\nlabels = 'a'\nshare = nan", "share nan is not positive"),
        ("a = " + "[" * 100_000, "too deep in each other"),
        ("# " + "x" * (1 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_settings_that_cannot_be_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_mix(path)


@pytest.mark.parametrize(
    "row",
    [
        "0,0,inf,8,8,a",
        "0,0,nan,8,8,a",
        "0,0,1e300,8,8,a",
        "0,0,0,1e9,8,a",
        "99999999,0,0,8,8,a",
        "-1,0,0,8,8,a",
    ],
)
def test_frames_that_cannot_be_are_refused(row: str, tmp_path: Path) -> None:
    path = tmp_path / "frames.csv"
    path.write_text(f"index,pts,time_s,width,height,file\n{row}\n")
    with pytest.raises(FormatError, match=r"no frames\.csv of this tool"):
        list(read_instances("frames", path))


@pytest.mark.parametrize("read", [load_checkpoint, read_mix, mask_png.read, mask_png.size])
def test_a_pipe_is_not_waited_for(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(AnnotatorError, match="it is a pipe or a device, and no file"):
        read(path)


def test_an_image_is_decoded_only_if_its_header_says_that_it_can_be_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (65_536, 1)).save(path)
    assert "a frame of 65536x1 pixels is too large" in str(decode(path))
