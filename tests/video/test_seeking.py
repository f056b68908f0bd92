"""Decoding from a keyframe gives what decoding from the start gives: frames, indices, times, pixels and gaps."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from annotator.frames import Frame, Gap
from annotator.video.container import Video
from annotator.video.decoding import Flaw
from annotator.video.h264 import turns_pictures
from annotator.video.seeking import packets_of
from tests.faults.mutations import some_bytes
from tests.faults.videos import blank, cut, garble, without, write_video
from tests.video.test_container import FASTSTART

Told = tuple[int, int | None, object]
COUNT, GROUP = 40, 7


def told(item: Frame | Gap) -> Told:
    if isinstance(item, Gap):
        return item.after_index, item.pts, item.reason
    return item.ref.index, item.ref.pts, item.image.tobytes()


def from_start(path: Path, start: int = 0) -> list[Told]:
    return [told(item) for item in Video(path, "drive").read(start)]


def entering(path: Path) -> Video:
    return Video(path, "drive", packets_of(path), enters=True)


def entries(path: Path) -> list[int]:
    packets = packets_of(path)
    return [] if packets is None else [entry.index for entry in packets.entries]


CLOSED = {"x264-params": "open-gop=0:scenecut=0"}
SEEKABLE: dict[str, dict[str, Any]] = {
    "closed.mp4": {"options": CLOSED},
    "moov.mov": {"options": CLOSED, "container": FASTSTART, "b_frames": 3},
    "closed.mkv": {"options": CLOSED},
    "transport.ts": {"options": CLOSED},
    "even.mp4": {"options": CLOSED, "b_frames": 0},
    "each.mp4": {"options": CLOSED, "group": 1, "b_frames": 0},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lag-in-frames": "0"}},
    "late.mp4": {"options": CLOSED, "delay": 30},
    "rates.mp4": {"options": CLOSED, "times": [k * 3 + Random(k).randrange(3) for k in range(COUNT)]},
    "jump.mkv": {"options": CLOSED, "times": [k if k < 25 else k + 60 for k in range(COUNT)]},
}


@pytest.mark.parametrize("name", SEEKABLE)
def test_from_every_frame_on_all_is_as_from_the_start(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, COUNT, **{"group": GROUP, **SEEKABLE[name]})
    assert len(entries(path)) >= 3
    source = entering(path)
    for start in range(COUNT):
        assert [told(item) for item in source.read(start)] == from_start(path, start)
        assert source.is_in_order
        assert source.is_as_listed


def test_a_read_decodes_from_the_last_keyframe_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "drive.mp4", COUNT, group=10, b_frames=2, options=CLOSED)
    assert entries(path) == [10, 20, 30]
    seen: list[int] = []
    import annotator.video.container as container

    strictly = container.decoded_strictly

    def watched(*arguments: Any) -> Any:
        for frame in strictly(*arguments):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(container, "decoded_strictly", watched)
    frames = list(entering(path).frames(25, 27))
    assert [frame.ref.index for frame in frames] == [25, 26]
    assert len(seen) == 8, "frames 20 to 27"


NOT_SEEKABLE: dict[str, dict[str, Any]] = {
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "open-gop=0:scenecut=0:log-level=error"}},
    "open.mp4": {"options": {"x264-params": "open-gop=1:scenecut=0:bframes=2"}},
    "refresh.mp4": {"options": {"x264-params": "intra-refresh=1:scenecut=0"}, "b_frames": 0},
    "hidden.mp4": {"options": CLOSED, "b_frames": 0, "delay": -5},
    "untimed.h264": {"options": CLOSED},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 0},
}


@pytest.mark.parametrize("name", NOT_SEEKABLE)
def test_what_is_not_certain_is_decoded_from_the_start(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, COUNT, **{"group": GROUP, **NOT_SEEKABLE[name]})
    assert entries(path) == []
    for start in (9, 30):
        assert [told(item) for item in entering(path).read(start)] == from_start(path, start)


def test_a_file_that_is_cut_short_is_decoded_from_the_start(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "cut.mp4", COUNT, options=CLOSED, container=FASTSTART), 0.8)
    assert packets_of(path) is None


def in_chunks(path: Path, step: int) -> list[Told]:
    """A video as workers of a cluster read it: each chunk from a keyframe, unless one before it isn't as listed."""
    packets = packets_of(path)
    items: list[Told] = []
    is_proven = True
    for start in range(0, COUNT, step):
        end = start + step if start + step < COUNT else None
        source = Video(path, "drive", packets, enters=start > 0 and is_proven)
        try:
            found = [told(item) for item in source.read(start, end)]
            is_proven &= source.is_as_listed
        except Flaw:
            found = [told(item) for item in Video(path, "drive").read(start, end)]
            is_proven = False
        items += [item for item in found if item not in items]
    return items


def hurt(path: Path, seed: int) -> Path:
    """The video with damage of one kind or another."""
    rng = Random(seed)
    low = rng.uniform(0.1, 0.85)
    match seed % 4:
        case 0:
            path.write_bytes(some_bytes(rng, path.read_bytes()))
        case 1:
            garble(path, low, low + 0.03, 50)
        case 2:
            blank(path, (low, low + 0.01))
        case _:
            without(path, low, low + 0.05)
    return path


@pytest.mark.parametrize("name", ["closed.mp4", "transport.ts", "closed.mkv", "vp9.webm"])
def test_of_damaged_videos_chunks_are_the_whole(tmp_path: Path, name: str) -> None:
    sound = write_video(tmp_path / name, COUNT, **{"group": GROUP, **SEEKABLE[name]})
    content = sound.read_bytes()
    for seed in range(40):
        sound.write_bytes(content)
        path = hurt(sound, seed)
        try:
            whole = from_start(path)
        except Exception:
            continue
        assert sorted(in_chunks(path, 9), key=str) == sorted(whole, key=str), f"seed {seed}"


def test_messages_that_turn_pictures_are_found() -> None:
    assert turns_pictures(bytes([6, 47, 1, 0x80, 0x80]))
    assert turns_pictures(bytes([6, 5, 2, 9, 9, 47, 1, 0x80, 0x80]))
    assert turns_pictures(bytes([6, 255, 10, 2, 9, 9, 47, 1, 0x80, 0x80]))
    assert not turns_pictures(bytes([6, 5, 2, 47, 47, 0x80]))
