"""Videos: frames as decoded, at their time, upright; and what is left of broken ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from annotator.errors import SourceError
from annotator.frames import Frame, Gap
from annotator.video import container, decoding
from annotator.video.container import Video
from annotator.video.upright import Converter
from tests.faults import empty_video, text_named_mp4
from tests.faults.videos import (
    blank,
    blank_packets,
    cut,
    garble,
    number_of,
    picture,
    set_matrix,
    side_by_side,
    without,
    write_sound,
    write_video,
)
from tests.helpers.builders import REAL_DATA, gaps_of, needs_real_data

FASTSTART = {"movflags": "faststart"}  # the index in front, so that a cut file can be opened


def read(path: Path, start: int = 0, end: int | None = None, every: int = 1) -> list[Frame]:
    return list(Video(path, "drive").frames(start, end, every))


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def as_told(frames: list[Frame]) -> list[tuple[int, int, bytes]]:
    """All that there is to say of frames."""
    return [(frame.ref.index, frame.ref.pts, frame.image.tobytes()) for frame in frames]


def decoded_by_pyav(path: Path, threads: str = "NONE") -> list[bytes]:
    """What PyAV decodes by itself, in one thread, faults ignored."""
    found = []
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = threads
        stream.codec_context.thread_count = 1 if threads == "NONE" else 4
        for packet in file.demux(stream):
            try:
                found += [frame.to_ndarray(format="rgb24").tobytes() for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return found


def filtered(path: Path, *filters: str) -> list[bytes]:
    """What FFmpeg's filters make of each frame."""
    found = []
    with av.open(str(path)) as file:
        graph = av.filter.Graph()
        nodes = [graph.add_buffer(template=file.streams.video[0])]
        for each in filters:
            name, _, arguments = each.partition("=")
            nodes.append(graph.add(name, arguments or None))
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        for frame in file.decode(video=0):
            graph.push(frame)
            found.append(graph.pull().to_ndarray(format="rgb24").tobytes())
    return found


def garbled(path: Path) -> Path:
    return garble(path, 0.4, 0.5)


def with_holes(path: Path) -> Path:
    return blank(path, (0.4, 0.5), (0.7, 0.72))


# -- sound videos ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("drive.mp4", "libx264"),
        ("drive.mov", "libx264"),
        ("drive.mkv", "libx265"),
        ("drive.ts", "libx264"),
        ("drive.avi", "mpeg4"),
        ("drive.avi", "mjpeg"),
        ("drive.mkv", "ffv1"),
        ("drive.h264", "libx264"),
        ("drive.webm", "libvpx-vp9"),
    ],
)
def test_every_frame_once_and_in_the_order_of_time(tmp_path: Path, name: str, codec: str) -> None:
    source = Video(write_video(tmp_path / name, codec=codec), "drive")
    frames = list(source.frames())
    assert numbers(frames) == list(range(24))
    assert [frame.ref.index for frame in frames] == list(range(24))
    assert all(later.ref.pts > earlier.ref.pts for earlier, later in pairwise(frames))
    assert gaps_of(source) == []


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 533, 1200, 1201, 1999]
    path = write_video(tmp_path / "drive.mkv", 8, times=times, time_base=Fraction(1, 1000))
    frames = read(path)
    assert numbers(frames) == list(range(8))
    assert [frame.ref.time_s for frame in frames] == [time / 1000 for time in times]
    assert {frame.ref.time_base for frame in frames} == {Fraction(1, 1000)}


def test_a_stream_without_times_is_timed_at_its_rate(tmp_path: Path) -> None:
    refs = [frame.ref for frame in read(write_video(tmp_path / "drive.h264"))]
    steps = {later.pts - earlier.pts for earlier, later in pairwise(refs)}
    assert refs[0].pts == 0
    assert len(steps) == 1
    assert min(steps) > 0


def test_frames_that_an_edit_list_hides_are_no_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mp4", b_frames=0, delay=-5)
    frames = read(path)
    assert numbers(frames) == list(range(5, 24))
    assert frames[0].ref.index == 0
    assert len(frames) == len(decoded_by_pyav(path))


def test_a_later_beginning_is_kept_in_the_times(tmp_path: Path) -> None:
    frames = read(write_video(tmp_path / "drive.mkv", delay=30))
    assert numbers(frames) == list(range(24))
    assert frames[0].ref.time_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("matrix", "filters"),
    [
        ((1, 0, 0, 1), []),
        ((-1, 0, 0, 1), ["hflip"]),
        ((1, 0, 0, -1), ["vflip"]),
        ((-1, 0, 0, -1), ["hflip", "vflip"]),
        ((0, 1, 1, 0), ["transpose=cclock_flip"]),
        ((0, 1, -1, 0), ["transpose=clock"]),
        ((0, -1, 1, 0), ["transpose=cclock"]),
        ((0, -1, -1, 0), ["transpose=clock_flip"]),
    ],
)
def test_pictures_are_turned_and_mirrored_as_the_display_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int], filters: list[str]
) -> None:
    """By the filters that the program `ffmpeg` puts before its output for each of the eight."""
    path = set_matrix(write_video(tmp_path / "drive.mov", 3), matrix)
    frames = read(path)
    assert [frame.image.tobytes() for frame in frames] == filtered(path, *filters)
    assert all(frame.ref.size == frame.image.shape[:2] for frame in frames)
    assert all(frame.image.flags.c_contiguous for frame in frames)


@pytest.mark.parametrize("order", [("small", "large"), ("large", "small")])
def test_of_several_videos_in_a_file_the_largest_is_read(tmp_path: Path, order: tuple[str, str]) -> None:
    files = {
        "small": write_video(tmp_path / "small.mkv", 5, size=(24, 32)),
        "large": write_video(tmp_path / "large.mkv", 7),
    }
    source = Video(side_by_side(tmp_path / "drive.mkv", *(files[name] for name in order)), "drive")
    assert [frame.image.tobytes() for frame in source.frames()] == decoded_by_pyav(files["large"])
    assert source.remarks == [
        f"holds 2 video streams: the largest is labelled, stream {order.index('large')} of 64x48"
        + "; CVAT shows the first" * order.index("large")
    ]
    list(source.frames())
    assert len(source.remarks) == 1


def test_of_equal_ones_the_first(tmp_path: Path) -> None:
    files = [write_video(tmp_path / f"{first}.mkv", 5, first=first) for first in (0, 100)]
    assert numbers(read(side_by_side(tmp_path / "drive.mkv", *files))) == list(range(5))


def test_the_size_may_change_on_the_way(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.ts", 4).read_bytes()
    large = write_video(tmp_path / "large.ts", 5, size=(64, 96), first=4, delay=4).read_bytes()
    both = tmp_path / "both.ts"
    both.write_bytes(small + large)
    frames = read(both)
    assert [frame.ref.size for frame in frames] == [(48, 64)] * 4 + [(64, 96)] * 5
    assert numbers(frames) == list(range(9))


@pytest.mark.parametrize("size", [(48, 64), (50, 70), (46, 66)])
def test_colours_are_those_of_pyav(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "drive.mp4", 5, size=size)
    frames = read(path)
    assert [frame.image.tobytes() for frame in frames] == decoded_by_pyav(path)
    assert np.abs(frames[0].image.astype(int) - picture(0, size)).mean() < 12
    assert all(frame.image.flags.c_contiguous for frame in frames)


def test_threads_change_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mp4", 60)
    assert decoded_by_pyav(path, "NONE") == decoded_by_pyav(path, "AUTO")
    assert [frame.image.tobytes() for frame in read(path)] == decoded_by_pyav(path)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    sound = write_sound(tmp_path / "sound.mp4")
    with av.open(str(sound)) as original, av.open(str(path), "w") as output:
        audio = output.add_stream_from_template(original.streams.audio[0])
        cover = output.add_stream("mjpeg")
        cover.height, cover.width, cover.pix_fmt = 48, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        image = av.VideoFrame.from_ndarray(picture(0), format="rgb24")
        image.pts = 0
        output.mux(cover.encode(image))
        output.mux(cover.encode())
        for packet in original.demux():
            if packet.size:
                packet.stream = audio
                output.mux(packet)
    with pytest.raises(SourceError, match="no video stream"):
        read(path)


# -- a part of the frames --------------------------------------------------------------------------


def test_start_end_and_every_count_decoded_frames(tmp_path: Path) -> None:
    frames = read(write_video(tmp_path / "drive.mp4"), start=5, end=17, every=4)
    assert [frame.ref.index for frame in frames] == [5, 9, 13]
    assert numbers(frames) == [5, 9, 13]


@pytest.mark.parametrize("start", [0, 1, 7, 8, 9, 23, 24, 100])
def test_a_read_from_the_middle_gives_the_same_frames(tmp_path: Path, start: int) -> None:
    path = write_video(tmp_path / "drive.mp4")
    assert as_told(read(path, start)) == as_told(read(path))[start:]


def test_skipped_frames_are_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []
    upright = Converter._upright

    def counting(self: Converter, frame: av.VideoFrame) -> np.ndarray:
        converted.append(frame.pts)
        return upright(self, frame)

    monkeypatch.setattr(Converter, "_upright", counting)
    read(write_video(tmp_path / "drive.mp4"), start=10, every=5)
    assert len(converted) == 3


def test_a_read_can_be_cancelled_while_it_skips(tmp_path: Path) -> None:
    asked = []

    def is_cancelled() -> bool:
        asked.append(True)
        return len(asked) == 4

    source = Video(write_video(tmp_path / "drive.mp4"), "drive")
    assert list(source.read(start=20, is_cancelled=is_cancelled)) == []
    assert len(asked) == 4


@pytest.mark.parametrize("selection", [(-1, None, 1), (0, -1, 1), (0, None, 0)])
def test_impossible_numbers_are_refused(tmp_path: Path, selection: tuple[int, int | None, int]) -> None:
    with pytest.raises(ValueError, match="no frames are"):
        Video(tmp_path / "drive.mp4", "drive").frames(*selection)


@pytest.mark.parametrize("name", ["drive.mp4", "drive.mkv", "drive.avi"])
def test_the_container_claims_a_length(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    assert Video(write_video(tmp_path / name, codec=codec), "drive").length_hint() == 24


def test_what_is_no_video_claims_nothing(tmp_path: Path) -> None:
    assert Video(text_named_mp4(tmp_path / "drive.mp4"), "drive").length_hint() is None


# -- broken videos ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["drive.mp4", "drive.mov", "drive.mkv", "drive.ts", "drive.avi"])
def test_of_a_cut_video_the_readable_part_is_read(tmp_path: Path, name: str) -> None:
    codec = "mjpeg" if name.endswith("avi") else "libx264"
    whole = write_video(
        tmp_path / name, 60, codec=codec, container=FASTSTART if name in ("drive.mp4", "drive.mov") else None
    )
    sound = decoded_by_pyav(whole)
    source = Video(cut(whole, 0.6), "drive")
    frames = list(source.frames())
    assert 10 < len(frames) < 60
    assert [frame.image.tobytes() for frame in frames[:-2]] == sound[: len(frames) - 2]
    assert gaps_of(source)[-1].after_index == len(frames) - 1
    assert "cut short" in gaps_of(source)[-1].reason


def test_a_cut_video_without_its_index_says_so(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "drive.mp4"), 0.6)
    with pytest.raises(SourceError, match=r"drive\.mp4.*cut short.*copy"):
        read(path)


@pytest.mark.parametrize("harm", [garbled, with_holes])
@pytest.mark.parametrize("name", ["drive.mp4", "drive.mkv", "drive.ts"])
def test_of_a_damaged_video_all_that_decodes_is_read(
    tmp_path: Path, name: str, harm: Callable[[Path], Path]
) -> None:
    path = write_video(tmp_path / name, 60, container=FASTSTART if name == "drive.mp4" else None)
    sound = read(path)
    source = Video(harm(path), "drive")
    frames = list(source.frames())
    gaps = list(gaps_of(source))

    assert [frame.ref.index for frame in frames] == list(range(len(frames)))
    assert [frame.image.tobytes() for frame in frames] == decoded_by_pyav(path), "as one thread decodes it"
    assert as_told(frames)[:15] == as_told(sound)[:15], "all is well before the damage"
    assert gaps
    assert 10 < gaps[0].after_index < 40
    assert [gap.after_index for gap in gaps] == sorted(gap.after_index for gap in gaps)
    for start in (0, 20, 30, len(frames)):
        assert as_told(list(source.frames(start))) == as_told(frames)[start:], "and the same from anywhere"
        assert gaps_of(source, start) == [gap for gap in gaps if gap.after_index >= start - 1]


def test_lost_packets_leave_a_gap_at_their_place(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.avi", 30, codec="mjpeg")
    source = Video(blank_packets(path, range(12, 15)), "drive")
    frames = list(source.frames())
    assert numbers(frames) == [*range(12), *range(15, 30)]
    assert [frame.ref.index for frame in frames] == list(range(27))
    [gap] = gaps_of(source)
    assert gap.after_index == 11
    assert gap.pts == 12
    assert "can't be decoded" in gap.reason
    assert "and 2 more" in gap.reason


@pytest.mark.parametrize(("codec", "lost"), [("libx264", 15), ("libx265", 17), ("mpeg2video", 18)])
def test_what_a_recording_lacks_that_begins_between_keyframes_is_a_gap(
    tmp_path: Path, codec: str, lost: int
) -> None:
    path = write_video(tmp_path / "drive.ts", 40, codec=codec, group=16, size=(96, 128))
    source = Video(without(path, 0.0, 0.25, keep=3 * 188), "drive")
    assert numbers(list(source.frames())) == list(range(lost, 40))
    [gap] = gaps_of(source)
    assert gap.after_index == -1
    assert re.fullmatch(
        r"the recording begins between keyframes: its first \d\.\d0 s can't be decoded", gap.reason
    )
    assert gaps_of(source, 5) == []


def test_a_jump_in_time_of_an_even_recording_is_a_gap(tmp_path: Path) -> None:
    times = [*range(20), *range(50, 60)]
    source = Video(write_video(tmp_path / "drive.mkv", 30, times=times), "drive")
    assert numbers(list(source.frames())) == list(range(30))
    [gap] = gaps_of(source)
    assert gap.after_index == 19
    assert gap.pts == 2000
    assert "no frames for 3.10 s" in gap.reason


def test_a_clock_that_was_set_back_keeps_no_gap_from_being_noticed(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / f"{k}.ts", len(times), times=times, b_frames=0).read_bytes()
        for k, times in enumerate([range(20), [*range(20), *range(50, 60)]])
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    source = Video(both, "drive")
    assert len(list(source.frames())) == 50
    assert not source.is_in_order
    assert (gaps_of(source)[-1].after_index, gaps_of(source)[-1].reason[:13]) == (39, "no frames for")


@pytest.mark.parametrize("seed", range(3))
def test_a_variable_rate_is_no_gap(tmp_path: Path, seed: int) -> None:
    times = np.cumsum(np.random.default_rng(seed).integers(5, 400, 40)).tolist()
    path = write_video(tmp_path / "drive.mkv", 40, times=times, time_base=Fraction(1, 1000))
    source = Video(path, "drive")
    assert len(list(source.frames())) == 40
    assert gaps_of(source) == []


def test_a_gap_comes_before_the_frame_behind_it(tmp_path: Path) -> None:
    source = Video(garble(write_video(tmp_path / "drive.mkv", 60), 0.4, 0.5), "drive")
    items = list(source.read())
    gaps = [item for item in items if isinstance(item, Gap)]
    assert gaps
    for gap in gaps:
        frames_before = [item for item in items[: items.index(gap)] if isinstance(item, Frame)]
        assert gap.after_index == len(frames_before) - 1


def test_every_read_has_gaps_of_its_own(tmp_path: Path) -> None:
    source = Video(garble(write_video(tmp_path / "drive.mkv", 60), 0.4, 0.5), "drive")
    assert gaps_of(source) == gaps_of(source) != []
    assert gaps_of(source, 0, 5) == []


def test_parts_of_a_video_share_out_its_gaps(tmp_path: Path) -> None:
    source = Video(garble(write_video(tmp_path / "drive.mkv", 60), 0.4, 0.6), "drive")
    whole, parts = gaps_of(source), []
    edge = whole[0].after_index + 1  # a gap at the edge of two parts belongs to the second
    for start, end in [(0, edge), (edge, 40), (40, None)]:
        parts += gaps_of(source, start, end)
    assert parts == whole


def test_a_hopeless_rest_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_BAD_PACKETS", 5)
    path = write_video(tmp_path / "drive.avi", 30, codec="mjpeg")
    source = Video(blank_packets(path, range(10, 25)), "drive")
    assert numbers(list(source.frames())) == list(range(10))
    assert gaps_of(source)[-1].after_index == 9


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    path = blank_packets(write_video(tmp_path / "drive.mp4", container=FASTSTART), range(24))
    with pytest.raises(SourceError, match=r"drive\.mp4.*not one frame"):
        read(path)


def test_a_video_that_decodes_to_nothing_without_a_word_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "decoded", lambda path, codec: (frame for frame in ()))
    with pytest.raises(SourceError, match=r"drive\.mp4.*not one frame"):
        read(write_video(tmp_path / "drive.mp4"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"drive\.mp4: the file is empty; "):
        read(empty_video(tmp_path / "drive.mp4"))


def test_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"drive\.mp4: not a video that FFmpeg can read .*; check"):
        read(text_named_mp4(tmp_path / "drive.mp4"))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"drive\.mp4: holds no video stream; "):
        read(write_sound(tmp_path / "drive.mp4"))


def test_a_file_that_has_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"drive\.mp4: can't be read \(No such file or directory\)"):
        read(tmp_path / "drive.mp4")


def test_a_playlist_in_disguise_opens_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/part.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceError, match=r"drive\.mp4"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("drive.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\npart.ts\n"),
        ("drive.mp4", "ffconcat version 1.0\nfile part.ts\nfile part.ts\n"),
    ],
)
def test_a_playlist_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """FFmpeg would wait for the rest of the first for ever."""
    write_video(tmp_path / "part.ts")
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=r"playlist.*; give the videos themselves"):
        read(tmp_path / name)


def test_a_frame_of_absurd_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "drive.mp4")
    monkeypatch.setattr("annotator.limits.LARGEST_SIDE", 63)
    with pytest.raises(SourceError, match=r"drive\.mp4: a frame of 64x48 pixels is too large"):
        read(path)


def test_a_size_that_becomes_absurd_on_the_way_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [write_video(tmp_path / f"{size[1]}.ts", 4, size=size) for size in ((48, 64), (64, 96))]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    monkeypatch.setattr("annotator.limits.LARGEST_SIDE", 95)
    frames = Video(tmp_path / "both.ts", "drive").frames()
    assert [next(frames).ref.index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(SourceError, match=r"both\.ts: frame 4: a frame of 96x64 pixels is too large"):
        next(frames)


def test_a_video_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MOST_FRAMES", 10)
    with pytest.raises(SourceError, match=r"drive\.mp4: has more than 10 frames"):
        read(write_video(tmp_path / "drive.mp4"))


@pytest.mark.parametrize(
    "name", ["50%.mp4", "a:b.mp4", "concat:a|b.mp4", "frame%03d.mp4", " ünïcödé .mp4", "-i.mp4"]
)
def test_any_file_name_is_a_file_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "drive.mp4", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert numbers(read(Path(name))) == [0, 1, 2]


# -- real clips ------------------------------------------------------------------------------------


@needs_real_data
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("kitti_drive.mp4", 78),
        ("camvid_dusk.mp4", 101),
        ("udacity_vehicle_test_video.mp4", 38),
        ("vtest.avi", 300),
        ("bgslibrary_video02.avi", 748),  # its header claims 750
    ],
)
def test_real_clips_have_the_frames_that_pyav_decodes(name: str, count: int) -> None:
    path = REAL_DATA / "clips" / name
    source = Video(path, "clip")
    indices = [frame.ref.index for frame in source.frames(every=50)]
    with av.open(str(path)) as file:
        frames = [frame.pts for frame in file.decode(video=0)]
    assert len(frames) == count
    assert indices == list(range(0, count, 50))
    [last] = source.frames(start=count - 1)
    assert last.ref.pts == frames[-1]
    assert gaps_of(source, count - 1) == []
