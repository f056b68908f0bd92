"""Videos made on the spot, sound and broken. Every frame carries its number in its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

BITS = 8
RATE = 10  # frames a second


def picture(number: int, size: tuple[int, int] = (48, 64)) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) with its number as black and white columns, the highest bit left, over a red foot.

    Noise keeps the file from being so small that nothing can be broken in it.
    """
    height, width = size
    bits = [number >> bit & 1 for bit in reversed(range(BITS))]
    columns = np.repeat(np.array(bits, np.uint8) * 200 + 20, width // BITS)
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, : len(columns)] = columns[None, :, None]
    image[height * 3 // 4 :] = (200, 20, 20)
    noise = np.random.default_rng(number).integers(0, 30, (height, width, 1), dtype=np.uint8)
    return image + noise


def number_of(image: npt.NDArray[np.uint8]) -> int:
    """The number that an image carries, read back."""
    height, width, _ = image.shape
    columns = (
        image[: height // 2, : width // BITS * BITS].reshape(height // 2, BITS, -1).mean(axis=(0, 2)) > 128
    )
    return int("".join(str(int(bit)) for bit in columns), 2)


def write_video(
    path: Path,
    count: int = 24,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (48, 64),
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    b_frames: int = 2,
    group: int = 8,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    first: int = 0,
    delay: int = 0,
) -> Path:
    """A video of pictures first, first + 1 ... at `times` (ticks of time_base), or evenly at 10 a second.

    `delay` shifts all packets by so many frames: below 0, an mp4 gets an edit list that hides the first ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=RATE)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = group
        stream.codec_context.max_b_frames = 0 if codec == "mjpeg" else b_frames
        stream.codec_context.options = options or {}

        def mux(packets: list[Any]) -> None:
            for packet in packets:
                shift = round(delay / RATE / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                output.mux(packet)

        for k in range(count):
            frame = av.VideoFrame.from_ndarray(picture(first + k, size), format="rgb24")
            frame.pts = times[k] if times is not None else round(k / RATE / time_base)
            frame.time_base = time_base
            mux(stream.encode(frame))
        mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file with sound and without pictures."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def side_by_side(path: Path, *videos: Path) -> Path:
    """A file with the video streams of others."""
    with ExitStack() as stack:
        output = stack.enter_context(av.open(str(path), "w"))
        originals = [stack.enter_context(av.open(str(video))) for video in videos]
        streams = [output.add_stream_from_template(each.streams.video[0]) for each in originals]
        for original, stream in zip(originals, streams, strict=True):
            for packet in original.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    return path


def cut(path: Path, share: float) -> Path:
    """The file, cut short to a share of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def without(path: Path, start: float, end: float, keep: int = 0) -> Path:
    """The file without a stretch (shares of its length, whole packets of 188 bytes); its first `keep` bytes stay."""
    data = path.read_bytes()
    low, high = (188 * int(len(data) * share / 188) for share in (start, end))
    path.write_bytes(data[:keep] + data[:low] + data[high:])
    return path


def garble(path: Path, start: float, end: float, step: int = 7) -> Path:
    """The file with every `step`-th byte of a stretch (shares of its length) turned round."""
    data = bytearray(path.read_bytes())
    stretch = slice(int(len(data) * start), int(len(data) * end), step)
    data[stretch] = bytes(byte ^ 0xFF for byte in data[stretch])
    path.write_bytes(data)
    return path


def garble_packet(path: Path, number: int) -> Path:
    """The file with bytes amid a packet, counted in the order of the file, turned round."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        middle = packets[number].pos + packets[number].size // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 20] = bytes(byte ^ 0x5A for byte in data[middle : middle + 20])
    path.write_bytes(data)
    return path


def blank(path: Path, *shares: tuple[float, float]) -> Path:
    """The file with zeros in stretches of it."""
    data = bytearray(path.read_bytes())
    for start, end in shares:
        low, high = int(len(data) * start), int(len(data) * end)
        data[low:high] = bytes(high - low)
    path.write_bytes(data)
    return path


def blank_packets(path: Path, numbers: range) -> Path:
    """The file with zeros instead of some of its video packets."""
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    data = path.read_bytes()
    for number in numbers:
        assert data.count(packets[number]) == 1
        data = data.replace(packets[number], bytes(len(packets[number])))
    path.write_bytes(data)
    return path


def set_matrix(path: Path, turn: tuple[int, int, int, int]) -> Path:
    """An mp4 or mov whose display matrix has a, b, c and d: what is at (x, y) goes to (ax + cy, bx + dy)."""
    a, b, c, d = (value << 16 for value in turn)
    one = 1 << 16
    before, after = (
        b"".join(value.to_bytes(4, "big", signed=True) for value in (*row, 0, *other, 0, 0, 0, 1 << 30))
        for row, other in (((one, 0), (0, one)), ((a, b), (c, d)))
    )
    data = path.read_bytes()
    at = data.index(before, data.index(b"tkhd"))
    path.write_bytes(data[:at] + after + data[at + len(before) :])
    return path
