"""Videos of many containers and codecs are read as FFmpeg decodes them: as many frames, the same pixels and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from annotator.video.container import Video
from tests.faults.videos import number_of, picture
from tests.helpers.builders import gaps_of

EVEN = tuple(range(12))
BY_MS = (0, 40, 80, 500, 533, 1200, 1201, 1999)
QUIET = {"x265-params": "log-level=none"}
CIF, PAL = (144, 176), (576, 720)  # the sizes that old codecs have


@dataclass(frozen=True)
class Made:
    """A video to make."""

    name: str  # of the file
    codec: str
    pixels: str = "yuv420p"
    size: tuple[int, int] = (48, 64)
    times: tuple[int, ...] = EVEN
    time_base: Fraction = Fraction(1, 25)
    b_frames: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join(
            [self.codec, self.pixels, "x".join(map(str, self.size[::-1])), *self.options.values(), self.name]
        )

    def write(self, path: Path) -> None:
        """Write it, or skip the test where this build of FFmpeg has no encoder for it."""
        if self.codec not in av.codecs_available:
            pytest.skip(f"this build of FFmpeg has no encoder {self.codec}")
        with av.open(str(path), "w") as output:
            stream: Any = output.add_stream(self.codec, rate=25)
            stream.height, stream.width = self.size
            stream.pix_fmt = self.pixels
            stream.codec_context.time_base = self.time_base
            stream.codec_context.gop_size = 5
            stream.codec_context.max_b_frames = self.b_frames
            stream.codec_context.options = dict(self.options)
            for k, time in enumerate(self.times):
                frame = av.VideoFrame.from_ndarray(picture(k, self.size), format="rgb24")
                frame.pts, frame.time_base = time, self.time_base
                output.mux(stream.encode(frame))
            output.mux(stream.encode())


VIDEOS = [
    *(
        Made(f"drive.{end}", "libx264", b_frames=2)
        for end in ("mp4", "mov", "mkv", "ts", "m2ts", "flv", "avi", "3gp")
    ),
    *(Made(f"drive.{end}", "libx264", b_frames=2) for end in ("mxf", "nut", "h264", "asf")),
    *(Made(f"drive.{end}", "libx265", b_frames=2, options=QUIET) for end in ("mp4", "hevc")),
    *(Made(f"drive.{end}", "mpeg4", b_frames=2) for end in ("mp4", "avi", "m4v", "3gp")),
    *(
        Made(f"drive.{end}", "mpeg2video", b_frames=2)
        for end in ("mpg", "ts", "vob", "m2v", "mxf", "mkv", "wtv")
    ),
    *(Made(f"drive.{end}", "mpeg1video", b_frames=2) for end in ("mpg", "m1v")),
    *(Made(f"drive.{end}", "mjpeg", "yuvj420p") for end in ("avi", "mov", "mjpeg")),
    *(Made(f"drive.{end}", "libvpx") for end in ("webm", "ivf")),
    *(Made(f"drive.{end}", "libvpx-vp9") for end in ("webm", "mp4")),
    *(Made(f"drive.{end}", "libsvtav1", size=(64, 64)) for end in ("mkv", "mp4", "obu")),
    *(Made(f"drive.{end}", codec) for end, codec in [("wmv", "wmv1"), ("asf", "wmv2"), ("avi", "msmpeg4")]),
    *(Made(f"drive.{end}", "flv") for end in ("flv", "swf")),
    *(Made(f"drive.{end}", codec, size=CIF) for end, codec in [("3gp", "h263"), ("rm", "rv20")]),
    *(Made(f"drive.{end}", "dvvideo", size=PAL, times=EVEN[:2]) for end in ("dv", "avi")),
    Made("drive.gxf", "mpeg2video", size=PAL, times=EVEN[:2]),
    Made("drive.ogv", "libtheora"),
    Made("drive.gif", "gif", "rgb8"),
    Made("drive.apng", "apng", "rgb24"),
    *(Made(f"drive.{end}", "rawvideo", pixels) for end, pixels in [("avi", "bgr24"), ("mov", "uyvy422")]),
    Made("drive.y4m", "wrapped_avframe"),
    *(Made("drive.mkv", "ffv1", pixels) for pixels in ("yuv444p", "yuv422p10le", "gray", "gray16le", "bgr0")),
    *(Made("drive.mov", codec, "yuv422p10le") for codec in ("prores_ks", "cfhd", "v210")),
    *(Made("drive.mov", codec, "rgb24") for codec in ("png", "qtrle")),
    *(Made("drive.avi", codec) for codec in ("ffvhuff", "utvideo", "asv2")),
    Made("drive.mov", "jpeg2000"),
    Made("sizes.mp4", "libx264", size=(46, 66), b_frames=2),
    Made("rate.mkv", "libx264", times=BY_MS, time_base=Fraction(1, 1000), b_frames=3),
    Made("rate.mp4", "libx264", times=BY_MS, time_base=Fraction(1, 1000)),
    Made(
        "groups.mkv",
        "libx264",
        b_frames=3,
        options={"x264-params": "open-gop=1:keyint=5:bframes=3:b-pyramid=2"},
    ),
    Made("fields.ts", "libx264", size=(64, 64), options={"x264-params": "tff=1"}),
    Made("refresh.mkv", "libx264", options={"x264-params": "intra-refresh=1"}),
    Made("slices.mp4", "libx264", options={"x264-params": "slices=3"}),
    Made("full.mp4", "libx264", "yuvj420p"),
    Made("deep.mp4", "libx264", "yuv420p10le"),
    Made("rich.mp4", "libx264", "yuv444p"),
]


@pytest.mark.parametrize("made", VIDEOS, ids=str)
def test_a_video_is_read_as_ffmpeg_decodes_it(tmp_path: Path, made: Made) -> None:
    path = tmp_path / made.name
    made.write(path)
    source = Video(path, "drive")
    frames = list(source.frames())
    decoded = decoded_by_ffmpeg(path)
    assert [frame.image.tobytes() for frame in frames] == [pixels for _, pixels in decoded]
    assert all(
        frame.ref.pts == pts for frame, (pts, _) in zip(frames, decoded, strict=True) if pts is not None
    )
    assert [number_of(frame.image) for frame in frames] == list(range(len(made.times)))
    assert gaps_of(source) == []
    assert source.remarks == []


def decoded_by_ffmpeg(path: Path) -> list[tuple[int | None, bytes]]:
    """Time and RGB pixels of every frame, decoded by one thread."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "NONE"
        return [
            (frame.pts, np.ascontiguousarray(frame.to_ndarray(format="rgb24")).tobytes())
            for frame in file.decode(stream)
        ]
