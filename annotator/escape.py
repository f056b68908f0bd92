"""Names of files are bytes: text that UTF-8, JSON, terminals and file systems hold, made of names that they don't."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

LONGEST_NAME = 255  # bytes of a file's name, nearly everywhere
DIGEST = 8  # hexadecimal digits
# Control characters but for the end of a line, and those that turn the direction in which text is shown.
NOT_FOR_TERMINALS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def encodable(text: str) -> str:
    """The text with bytes that are no UTF-8 (lone surrogates in Python) written as `\\udce9`; else as it is."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Text of any number of lines that does nothing to a terminal: other characters are written as `\\u001b`."""
    return NOT_FOR_TERMINALS.sub(lambda found: f"\\u{ord(found[0]):04x}", encodable(text))


def one_line(sentence: str) -> str:
    """A printable sentence in one line, whatever names are in it."""
    return printable(sentence).replace("\n", "\\n")


def to_json(content: object, **options: Any) -> str:
    """JSON that UTF-8 holds; names that are no UTF-8 are read from it as they were.

    What `encodable` writes within a string is JSON's own escape.
    """
    return encodable(json.dumps(content, ensure_ascii=False, **options))


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where it can't be read or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def shortened(name: str, most: int) -> str:
    """The name of a file if it has at most so many bytes in UTF-8, else its beginning and a digest of all of it."""
    content = name.encode("utf-8", "surrogateescape")
    if len(content) <= most:
        return name
    digest = hashlib.sha256(content).hexdigest()[:DIGEST]
    return f"{content[: most - DIGEST - 1].decode('utf-8', 'ignore')}-{digest}"
