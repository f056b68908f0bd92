"""Sound files in, damaged ones out: what disks, downloads, editors, other tools and attackers do to them.

All is drawn from a `random.Random`, so that a seed tells the damage.
"""

from __future__ import annotations

import copy
import io
import json
import re
import sqlite3
import struct
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np

DEEP = "@deep@"  # stands for lists in lists, which json.dumps can't write
DEPTH = 100_000
ODD_NUMBERS = [0, -1, 1, 2, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), 255, 256, 65_535, 65_536]
ODD_NUMBERS += [2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 10**400]
ODD_TEXTS = ["", " ", "a", "1", "-1", "1e9", "nan", "car", " car ", "none", "null", "\0", "\u202e", "\ud800"]
ODD_TEXTS += [
    "../../x",
    "/etc/hostname",
    "a/b\\c",
    "x" * 5000,
    "٣",
    "0x1F",
    "1_000",
    "[1, 2]",
    "é",
    "\n\n",
    "1,1;2,2",
]
ODD_LISTS: list[Any] = [[], {}, [[]], [{}], [None], [1, 2], [[1, 2]], [0] * 7, {"a": 1}, DEEP]
BOMB = 1 << 28  # zero bytes, which compress to next to nothing

Damage = Callable[[Random, bytes], bytes]


def damaged(rng: Random, path: Path) -> None:
    """Damage a file in its place: by what it holds, or its bytes."""
    suffix = path.suffix
    if suffix == ".sqlite" and rng.random() < 0.6:
        tables(rng, path)
        return
    content = path.read_bytes()
    by_content = BY_SUFFIX.get(suffix)
    if by_content is None or rng.random() < 0.25:
        content = some_bytes(rng, content)
    else:
        with suppress(ValueError, ET.ParseError, zipfile.BadZipFile):  # it was damaged before
            content = by_content(rng, content)
    path.write_bytes(content)


# ---- bytes


def some_bytes(rng: Random, content: bytes) -> bytes:
    """Flip bits, cut off, leave out, repeat, or put bytes of one place to another."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, length = rng.randrange(len(data) + 1), rng.choice([1, 2, 4, 16, 300])
        match rng.randrange(7):
            case 0 | 1:
                for _ in range(rng.choice([1, 3, 20])):
                    if data:
                        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 2:
                del data[at:]
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * rng.choice([1, 2, 50])
            case 5:
                other = rng.randrange(len(data) + 1)
                data[at : at + length] = data[other : other + length]
            case 6:
                data[at : at + length] = rng.choice([b"\0", b"\xff", b"\x80", b"\xfe\xff", b"9"]) * length
    if rng.random() < 0.03:
        with suppress(UnicodeDecodeError):
            return data.decode().encode(rng.choice(["utf-16", "utf-8-sig", "utf-32", "utf-16-be"]))
    return bytes(data)


# ---- JSON


def json_text(rng: Random, content: bytes) -> bytes:
    """Put values of other kinds into JSON; delete, repeat and exchange parts of it."""
    root = [json.loads(content)]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        _change_node(rng, root)
    text = json.dumps(root[0]).replace(json.dumps(DEEP), "[" * DEPTH + "]" * DEPTH)
    if rng.random() < 0.03:
        text = re.sub(r'("\w+": )', r"\1 0, \1", text, count=1)  # a key twice
    return text.encode()


def _change_node(rng: Random, root: list[Any]) -> None:
    places = list(_places(root))
    parent, key = rng.choice(places)
    match rng.randrange(8):
        case 0 | 1 | 2:
            parent[key] = odd_value(rng)
        case 3 if parent is not root:
            del parent[key]
        case 4 if isinstance(parent, list):
            parent[key:key] = [copy.deepcopy(parent[key]) for _ in range(rng.choice([1, 1, 3, 500]))]
        case 5:
            other, at = rng.choice(places)
            parent[key] = copy.deepcopy(other[at])
        case 6 if isinstance(parent[key], (int, float)):
            parent[key] = rng.choice([str, bool, lambda x: -x, lambda x: x * 1000, lambda x: [x]])(
                parent[key]
            )
        case 7 if isinstance(parent, dict):
            parent[rng.choice(["", "id", "x", "segmentation", key.upper()])] = parent.pop(key)
        case _:
            parent[key] = odd_value(rng)


def _places(node: Any) -> Any:
    """All that can be changed in lists and objects: container and key or place."""
    for key, inner in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def odd_value(rng: Random) -> Any:
    """A value that hardly belongs anywhere."""
    kinds: list[list[Any]] = [[None, True, False], ODD_NUMBERS, ODD_NUMBERS, ODD_TEXTS, ODD_LISTS]
    return copy.deepcopy(rng.choice(rng.choice(kinds)))


def odd_word(rng: Random) -> str:
    """The same as a word of a text."""
    return str(rng.choice([rng.choice(ODD_NUMBERS), rng.choice(ODD_NUMBERS), rng.choice(ODD_TEXTS)])).replace(
        "\ud800", ""
    )


# ---- XML


def xml(rng: Random, content: bytes) -> bytes:
    """Change attributes and texts; delete, repeat, rename and nest elements."""
    root = ET.fromstring(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        _change_element(rng, root)
    return ET.tostring(root)


def _change_element(rng: Random, root: ET.Element) -> None:
    pairs = [(parent, child) for parent in root.iter() for child in parent]
    if not pairs:
        return
    parent, child = rng.choice(pairs)
    with_attributes = [each for each in root.iter() if each.attrib]
    choice = rng.randrange(9)
    if choice < 4 and with_attributes:
        element = rng.choice(with_attributes)
        name = rng.choice(list(element.attrib))
        if choice == 3:
            del element.attrib[name]
        else:
            element.attrib[name] = _said(odd_word(rng))
    elif choice == 4:
        parent.remove(child)
    elif choice == 5:
        parent.extend(copy.deepcopy(child) for _ in range(rng.choice([1, 1, 3, 200])))
    elif choice == 6:
        child.text = _said(odd_word(rng))
    elif choice == 7:
        child.tag = rng.choice(
            [*{each.tag for each in root.iter()}, "x", "skeleton", "cuboid", "ellipse", "points"]
        )
    else:
        others = [each for each in root.iter() if each not in set(child.iter())]
        if others:
            rng.choice(others).append(copy.deepcopy(child))


def _said(text: str) -> str:
    """Text that XML can hold."""
    return text.replace("\0", "")


# ---- text


def lines(rng: Random, content: bytes) -> bytes:
    """Change, delete and repeat words and lines."""
    text = content.decode("utf-8", "surrogateescape")
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        rows = text.splitlines(keepends=True) or [""]
        at = rng.randrange(len(rows))
        words = list(re.finditer(r"[^\s,;=]+", text))
        match rng.randrange(7):
            case 0 | 1 | 2 if words:
                word = rng.choice(words)
                text = text[: word.start()] + odd_word(rng) + text[word.end() :]
            case 3 if words:
                word = rng.choice(words)
                text = text[: word.start()] + text[word.end() :]
            case 4:
                text = "".join(rows[:at] + rows[at + 1 :])
            case 5:
                text = "".join(rows[:at] + [rows[at]] * rng.choice([2, 2, 300]) + rows[at:])
            case _:
                brackets = rng.choice(["[" * 5000, '"', "'", "\r", "\0", "{" * 2000, "#", "\t\t"])
                text = "".join([*rows[:at], brackets, *rows[at:]])
    return text.encode("utf-8", "surrogateescape")


# ---- pictures


def png(rng: Random, content: bytes) -> bytes:
    """Change what a PNG says of itself, with a right check sum, or its pixels."""
    if rng.random() < 0.5:
        return _other_pixels(rng, content)
    chunks = _chunks(content)
    kind, body = chunks[0]
    match rng.randrange(4):
        case 0 | 1 if kind == b"IHDR" and len(body) == 13:
            fields = list(struct.unpack(">IIBBBBB", body))
            at = rng.randrange(7)
            fields[at] = rng.choice(
                [0, 1, 2, 3, 4, 6, 8, 16, 255] if at > 1 else [0, 1, 40, 30_000, 70_000, 2**31]
            )
            chunks[0] = kind, struct.pack(">IIBBBBB", *fields)
        case 2:
            del chunks[rng.randrange(len(chunks))]
        case _:
            at = rng.randrange(len(chunks))
            chunks[at:at] = [
                (rng.choice([b"tEXt", b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"IDAT"]), b"\xff" * 40)
            ]
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return content[:8] + b"".join(packed)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        raise ValueError("no PNG")
    return chunks


def _other_pixels(rng: Random, content: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("no PNG")
    height, width = image.shape[:2]
    match rng.randrange(5):
        case 0:
            image[rng.randrange(height), rng.randrange(width)] = rng.choice(
                [0, 1, 26, 255, 26_000, 26_999, 65_535]
            ) % (256 if image.dtype == np.uint8 else 65_536)
        case 1:
            image = image[: rng.randrange(1, height + 1), : rng.randrange(1, width + 1)]
        case 2:
            image = np.dstack([image] * 3) if image.ndim == 2 else image[..., 0]
        case 3:
            image = image.astype(np.uint8 if image.dtype == np.uint16 else np.uint16)
        case 4:
            image = np.zeros_like(image)
    return cv2.imencode(".png", image)[1].tobytes()


# ---- containers


def zipped(rng: Random, content: bytes) -> bytes:
    """Damage a file within a zip, pack it in another way, or let the zip lie."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    match rng.randrange(8):
        case 0 | 1 | 2:
            files[name] = BY_SUFFIX.get(Path(name).suffix, some_bytes)(rng, files[name])
        case 3:
            files[rng.choice(["../" + name, "/" + name, "b" + name, name + "/x", "é" + name])] = files.pop(
                name
            )
        case 4:
            del files[name]
        case 5 if rng.random() < 0.1:
            files[name] = files[name][:40] + bytes(BOMB) if rng.random() < 0.5 else bytes(BOMB)
            method = zipfile.ZIP_DEFLATED
        case 6:
            files["copy_of_" + name] = files[name]
        case _:
            pass
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for each, text in files.items():
            archive.writestr(zipfile.ZipInfo(each), text, compress_type=method)
    return some_bytes(rng, packed.getvalue()) if rng.random() < 0.5 else packed.getvalue()


def safetensors(rng: Random, content: bytes) -> bytes:
    """Change what a safetensors file says of its tensors and of its network."""
    (length,) = struct.unpack("<Q", content[:8])
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header.get("__metadata__")
    if metadata and rng.random() < 0.6:
        name = rng.choice(list(metadata))
        metadata[name] = json_text(rng, metadata[name].encode()).decode()
        text = json.dumps(header).encode()
    else:
        text = json_text(rng, json.dumps(header).encode())
    stated = len(text) if rng.random() < 0.95 else rng.choice([0, len(text) - 1, 2**40, 2**64 - 1])
    return struct.pack("<Q", stated) + text + tensors


def tables(rng: Random, path: Path) -> None:
    """Change cells, rows and tables of an SQLite file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                _change_table(rng, connection)


def _change_table(rng: Random, connection: sqlite3.Connection) -> None:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = rng.choice(names)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    column = rng.choice(columns)
    row = connection.execute(f"SELECT * FROM {table} ORDER BY random() LIMIT 1").fetchone()
    which = " AND ".join(f"{name} IS ?" for name in columns)
    match rng.randrange(12):
        case 0:
            connection.execute(f"DELETE FROM {table} WHERE {which}", row)
        case 1:
            connection.execute(f"DELETE FROM {table}")
        case 2:
            connection.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM {table}")
        case 3:
            sentence = rng.choice(
                ["DROP TABLE {}", "ALTER TABLE {} RENAME TO x", "ALTER TABLE {} ADD COLUMN x"]
            )
            connection.execute(sentence.format(table))
        case 4:
            connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO x")
        case 5:
            pragma = rng.choice(["user_version", "application_id"])
            connection.execute(f"PRAGMA {pragma} = {rng.choice([0, 1, 2, 7, 2**31 - 1])}")
        case _ if row is not None:
            at = columns.index(column)
            value = _other_cell(rng, row[at])
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {which}", (value, *row))


def _other_cell(rng: Random, value: Any) -> Any:
    if isinstance(value, bytes) and rng.random() < 0.8:
        return some_bytes(rng, value)
    if isinstance(value, str) and rng.random() < 0.7:
        with suppress(ValueError):
            return json_text(rng, value.encode()).decode()
    odd = odd_value(rng)
    return (
        odd if odd is None or isinstance(odd, (int, float, str)) else rng.choice([b"", b"\xff\0", b"0" * 99])
    )


BY_SUFFIX: dict[str, Damage] = {
    ".json": json_text,
    ".xml": xml,
    ".zip": zipped,
    ".png": png,
    ".safetensors": safetensors,
    **dict.fromkeys((".txt", ".csv", ".toml", ".yaml"), lines),
}
