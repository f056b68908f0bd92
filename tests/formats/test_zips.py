"""Zips that are damaged anywhere, or lie about themselves, give a sentence."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotator.errors import AnnotatorError
from annotator.formats import zips
from annotator.formats.check import check
from annotator.formats.sniffing import sniff

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
IMAGES = "".join(f'<image id="{k}" name="{k}.png" width="9" height="9" />' for k in range(40))
CONTENTS = {
    "annotations.xml": f"<annotations>{IMAGES}</annotations>".encode(),
    "instances.json": json.dumps(
        {
            "images": [{"id": k, "width": 9, "height": 9} for k in range(40)],
            "annotations": [],
            "categories": [],
        }
    ).encode(),
}


def packed(content: bytes, name: str, method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def read_all(path: Path) -> None:
    for labels in sniff(path).labels:
        list(labels.instances())


def is_refused(path: Path, read: Callable[[Path], Any]) -> bool:
    try:
        read(path)
    except AnnotatorError as error:
        return str(error).startswith(str(path)) or pytest.fail(str(error))
    return False


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_zip_that_is_damaged_anywhere_gives_labels_or_a_sentence(
    name: str, method: int, tmp_path: Path
) -> None:
    whole, seed = packed(CONTENTS[name], name, method), random.Random(0)
    path, refused = tmp_path / "a.zip", 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(seed.randint(1, 3)):
            content[seed.randrange(len(content))] = seed.randrange(256)
        path.write_bytes(content)
        refused += is_refused(path, read_all)
        is_refused(path, check)
    assert refused > 20


@pytest.mark.parametrize(
    ("method", "most"), [(zipfile.ZIP_DEFLATED, 10), (zipfile.ZIP_LZMA, 100), (zipfile.ZIP_BZIP2, 250)]
)
@pytest.mark.parametrize("size", [1 << 10, 1 << 30])
def test_a_zip_is_not_unpacked_as_far_as_it_may_go(size: int, method: int, most: int, tmp_path: Path) -> None:
    """However large its header says that it is."""
    bomb = packed(b" " * (100 << 20), "a.json", method)
    lying = bomb.replace((100 << 20).to_bytes(4, "little"), size.to_bytes(4, "little"))
    assert lying != bomb
    path = tmp_path / "a.zip"
    path.write_bytes(lying)
    tracemalloc.start()
    try:
        with pytest.raises(AnnotatorError, match=r"no zip that can be read|would unpack to 1\.1 GB"):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < most << 20
    finally:
        tracemalloc.stop()


def test_faults_of_zips_are_of_one_kind() -> None:
    with (
        pytest.raises(zips.ZipError, match="no zip that can be read"),
        zips.opened(io.BytesIO(b"PK"), ".xml"),
    ):
        pass
