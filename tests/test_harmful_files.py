"""Small files that would take all memory or time, crash C code, or wait for ever end in a sentence or in labels.

Each is read in a process of its own, by every command that reads labels, so that crashes and memory count.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import label_commands
from tests.helpers.forks import Forks, forks_of

MOST_MB, MOST_S = 2_000, 10  # a command; of CPU time, because the machine may be busy
RECTANGLE = [1, 1, 20, 1, 20, 20, 1, 20]
Make = Callable[[Path], Path]


def coco(segmentation: object, width: int = 64, height: int = 48) -> Make:
    image = {"id": 1, "width": width, "height": height, "file_name": "a.png"}
    labels = [
        {"id": k, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": segmentation} for k in (1, 2)
    ]
    content = {"images": [image], "categories": [{"id": 1, "name": "car"}], "annotations": labels}
    return lambda folder: written(folder / "a.json", json.dumps(content))


def cvat(shape: str, width: int = 64, height: int = 48) -> Make:
    image = f'<image id="0" name="a.png" width="{width}" height="{height}">{shape}</image>'
    return lambda folder: written(folder / "a.xml", f"<annotations>{image}</annotations>")


def cvat_polygon(points: list[tuple[float, float]]) -> str:
    text = ";".join(f"{x},{y}" for x, y in points)
    return f'<polygon label="car" points="{text}" z_order="0" />'


def cvat_mask(rle: str, width: int, height: int) -> str:
    return f'<mask label="car" rle="{rle}" left="0" top="0" width="{width}" height="{height}" z_order="0" />'


def mots(*lines: str) -> Make:
    return lambda folder: written(folder / "a.txt", "\n".join(lines))


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def png(width: int, height: int, bits: int, rows: bytes = b"") -> bytes:
    """A grey PNG whose header may not be true."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def cityscapes(content: bytes) -> Make:
    return lambda folder: written(folder / "a_000000_000001_gtFine_instanceIds.png", content).parent


def results(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        written(folder / "a_000000_000001_pred.txt", "m.png 26 0.9\n")
        return written(folder / "m.png", content).parent

    return make


def pipe(name: str) -> Make:
    def make(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder

    return make


def zigzag(count: int, reach: int) -> list[tuple[float, float]]:
    return [((-1) ** k * reach, 7 * k % 1000 - 500) for k in range(count)]


def flat(points: list[tuple[float, float]]) -> list[list[float]]:
    return [[number for point in points for number in point]]


HARMFUL: dict[
    str, tuple[Make, str]
] = {  # what is made, and words of the sentence about it; "" where labels come
    "a COCO frame of 2^32 pixels": (coco([RECTANGLE], 1 << 16, 1 << 16), "too large"),
    "a COCO frame of 4 billion columns": (coco([RECTANGLE], 4_000_000_000, 10), "too large"),
    "a COCO frame of 10^10 pixels": (coco([RECTANGLE], 100_000, 100_000), "too large"),
    "a CVAT frame of 2^32 pixels": (
        cvat(cvat_polygon([(1, 1), (9, 1), (9, 9)]) * 2, 1 << 31, 2),
        "too large",
    ),
    "a MOTS frame of 2^32 pixels": (mots("0 1001 1 65536 65536 PPP8"), "too large"),
    "edges that lead far away": (coco(flat(zigzag(60_000, 1_000_000))), ""),
    "edges that lead far away in CVAT": (cvat(cvat_polygon(zigzag(3_000, 1_000_000))), ""),
    "20,000 edges across the frame": (
        coco(flat([(200 * (k % 2), k / 50) for k in range(20_000)]), 640, 480),
        "",
    ),
    "a border that crosses too much": (
        coco(flat([(60_000 * (k % 2), k % 9) for k in range(2_000)]), 60_000, 10),
        "crosses",
    ),
    "very many rings": (coco([RECTANGLE] * 5_000), ""),
    "negative runs": (coco({"size": [48, 64], "counts": [-1, 3073]}), "-1 pixels"),
    "runs of 2^32 pixels": (coco({"size": [48, 64], "counts": [1 << 32, 3072]}), "add up"),
    "runs that wrap around": (coco({"size": [48, 64], "counts": [1 << 63, 1 << 63, 3072]}), "too large"),
    "compressed runs beyond the frame": (coco({"size": [48, 64], "counts": "ooooooooooo0"}), "its counts"),
    "compressed runs that are cut off": (mots("0 1001 1 48 64 oooo"), "its counts"),
    "a mask of CVAT of 1.6 billion pixels": (
        cvat(cvat_mask("1600000000", 40_000, 40_000), 40_000, 40_000),
        "too large",
    ),
    "runs of a mask of CVAT that wrap around": (
        cvat(cvat_mask(f"{(1 << 63) - 1}, {(1 << 63) - 1}, 66", 8, 8)),
        "add up",
    ),
    "a MOTS line 10 million frames on": (mots("9999999 1001 1 1 4 13"), "without a label"),
    "instance ids of 900 million pixels": (cityscapes(png(30_000, 30_000, 16, bytes(1 << 20))), "too large"),
    "instance ids of 2^62 pixels": (cityscapes(png((1 << 31) - 1, (1 << 31) - 1, 16)), "too large"),
    "instance ids in a picture of 8 bits": (cityscapes(png(1 << 20, 1 << 20, 8)), "instead of 16 bits"),
    "instance ids in a chunk that says it has 3.5 GB": (
        cityscapes(re.sub(b"....IDAT", b"\xd5\0\0\0IDAT", png(768, 384, 16, bytes(999)), flags=re.DOTALL)),
        "no picture that can be read",
    ),
    "a benchmark's mask of 2^34 pixels": (results(png(1 << 17, 1 << 17, 8)), "not a picture"),
    "a benchmark's mask without a whole header": (
        results(png(9, 9, 8).replace(b"\x00\x00\x00\x0dIHDR", b"\x00\x00\x00\x02IHDR")),
        "not a picture",
    ),
    "a pipe among instance ids": (pipe("a_000000_000001_gtFine_instanceIds.png"), "no file"),
    "a pipe among CVAT files": (pipe("a.xml"), "no file"),
    "a pipe among COCO files": (pipe("a.json"), "no file"),
    "a pipe among texts": (pipe("a.txt"), "no file"),
}


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    with forks_of(label_commands.__name__, *label_commands.USED) as forks:
        yield forks


@pytest.mark.parametrize("harm", HARMFUL)
def test_harmful_labels_end_in_a_sentence_or_in_labels(harm: str, tmp_path: Path, processes: Forks) -> None:
    """When they are converted, checked and evaluated."""
    make, sentence = HARMFUL[harm]
    (tmp_path / "in").mkdir()
    said = tmp_path / "said"
    with said.open("w") as file:
        paths = (make(tmp_path / "in"), tmp_path / "out")
        ended = processes.run(paths, file, file, most_cpu_seconds=3 * MOST_S)
    text = " ".join(said.read_text().split())
    answers = text.split("--- ")
    assert ended.code == 0, f"ended by signal {-ended.code}: {text}"
    assert "Traceback" not in text
    assert "unexpected" not in text
    if sentence:
        assert [answer.count(sentence) > 0 for answer in answers[:3]] == [True] * 3, text
    codes = [int(answer.split()[0]) for answer in answers[1:]]
    wanted = [[2], [1, 2], [2]] if sentence else [[0], [0, 1], [0]]
    assert all(code in allowed for code, allowed in zip(codes, wanted, strict=True)), text
    assert ended.cpu_seconds < 3 * MOST_S
    assert ended.peak_bytes < MOST_MB << 20
