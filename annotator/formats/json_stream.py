"""JSON of any length, record by record: the elements of the lists in the top object, or of a list at the top.

Memory holds one record. UTF-16, and what is in a zip, goes to a temporary file first.
"""

from __future__ import annotations

import codecs
import json
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from annotator.errors import OutputError
from annotator.formats import zips
from annotator.formats.names import BOM
from annotator.limits import DEEPEST_JSON, LONGEST_RECORD

CHUNK = 1 << 15  # bytes read at once
KEPT = 1 << 63  # whole numbers below are kept by orjson; it makes floats of some above

SPACE = re.compile(rb"[ \t\r\n]*+")
TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
PLAIN = re.compile(rb"[^\s\[\]{}\",:]++")  # a number, true, false, null


def _nested(depth: int) -> bytes:
    """A pattern of an object or a list with at most `depth` others in each other; whether they fit is seen later."""
    inner = rb"|" + _nested(depth - 1) if depth else b""
    return rb'[\[{](?:[^\[\]{}"]++|' + TEXT + inner + rb")*+[\]}]"


KEY = re.compile(rb"(" + TEXT + rb")[ \t\r\n]*+:", re.DOTALL)
VALUE = re.compile(_nested(DEEPEST_JSON) + rb"|" + TEXT, re.DOTALL)


class Element(NamedTuple):
    """An element of a list, and where it lies in the file."""

    name: str  # key of the list in the top object, "" for a list at the top
    at: int  # offset in bytes
    text: bytes  # JSON


class NoList(NamedTuple):
    """A value of the top object that is no list."""

    name: str
    text: bytes  # JSON


class JsonFile:
    """A JSON file whose records are read one by one, and again by their place."""

    def __init__(self, file: IO[bytes]) -> None:
        self.lists = set[str]()  # names of the lists that were met
        self._file = file
        self._buffer = b""
        self._start = self._pos = 0  # offset of the buffer in the file, and of what comes next in the buffer

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[JsonFile]:
        """The file, or the one of a zip.

        Raises ValueError for a zip that can't be read, OutputError without room for what is in it.
        """
        with ExitStack() as files:
            file: IO[bytes] = files.enter_context(path.open("rb"))
            if zipfile.is_zipfile(file):
                file = files.enter_context(_unpacked(file))
            yield cls(files.enter_context(_in_utf8(file)))

    def at(self, offset: int, length: int) -> bytes:
        """What stands at a place."""
        self._file.seek(offset)
        return self._file.read(length)

    def elements(self) -> Iterator[Element | NoList]:
        """Yield the elements of all lists, in the order of the file. Raises ValueError for what is no JSON.

        A list at the top is called "".
        """
        self._file.seek(0)
        self._buffer, self._start, self._pos = b"", 0, 0
        self._fill()
        self._pos = len(BOM) if self._buffer.startswith(BOM) else 0
        opening = self._next()
        if opening == b"[":
            yield from self._list("")
        elif opening == b"{":
            yield from self._object()
        else:
            raise self._fault("neither an object nor a list")
        if self._next():
            raise self._fault("more behind its end")

    def _object(self) -> Iterator[Element | NoList]:
        self._pos += 1
        names = set[str]()
        while True:
            mark = self._next()
            if mark == b"}" and not names:
                break
            name = loads(
                self._match(KEY, "no name and colon where a value begins, or one").rstrip(b" \t\r\n:")
            )
            if name in names:
                raise self._fault(f"{name!r} is there twice")
            names.add(name)
            if self._next() == b"[":
                yield from self._list(name)
            else:
                yield NoList(name, self._value())
            if (mark := self._next()) != b",":
                break
            self._pos += 1
        if mark != b"}":
            raise self._fault("no end of the object" if mark else "unexpected end")
        self._pos += 1

    def _list(self, name: str) -> Iterator[Element]:
        self.lists.add(name)
        self._pos += 1
        if self._next() != b"]":
            while True:
                self._next()
                at = self._start + self._pos
                yield Element(name, at, self._value())
                if (mark := self._next()) != b",":
                    break
                self._pos += 1
            if mark != b"]":
                raise self._fault("no comma between two records" if mark else "unexpected end")
        self._pos += 1

    def _value(self) -> bytes:
        if self._next() in (b"{", b"[", b'"'):
            return self._match(VALUE, "a record")
        while (found := PLAIN.match(self._buffer, self._pos)) and found.end() == len(self._buffer):
            if not self._fill():
                break
        if not found:
            raise self._fault("no value" if self._next() else "unexpected end")
        self._pos = found.end()
        return found[0]

    def _match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        """What comes next, which is as a pattern."""
        while not (found := pattern.match(self._buffer, self._pos)):
            is_too_long = len(self._buffer) - self._pos > LONGEST_RECORD
            if is_too_long or not self._fill():
                sense = f"is longer than {LONGEST_RECORD >> 20} MB" if is_too_long else "does not end"
                raise self._fault(f"{what} that {sense}, or has more than {DEEPEST_JSON} lists in each other")
        self._pos = found.end()
        return found[0]

    def _next(self) -> bytes:
        """The next character that is no space; none at the end."""
        while True:
            found = SPACE.match(self._buffer, self._pos)
            self._pos = found.end() if found else self._pos
            if self._pos < len(self._buffer):
                return self._buffer[self._pos : self._pos + 1]
            if not self._fill():
                return b""

    def _fill(self) -> bool:
        """Read on, as much as there is in hand: so that a long record costs no more than its length."""
        kept = self._buffer[self._pos :]
        more = self._file.read(max(CHUNK, len(kept)))
        self._start += self._pos
        self._buffer, self._pos = kept + more, 0
        return bool(more)

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"no JSON that can be read: {what}, at byte {self._start + self._pos}")


def loads(text: bytes) -> Any:
    """The value of a JSON text, with whole numbers of any length. Raises ValueError, in the tool's words."""
    try:
        value = orjson.loads(text)
        if not _may_have_lost_digits(value):
            return value
    except orjson.JSONDecodeError:
        pass  # not a number, infinities, halves of characters: some write them
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "a number of thousands of digits").lower()
        raise ValueError(f"no JSON that can be read: {reason}") from None


def _may_have_lost_digits(value: Any) -> bool:
    """Whether a number beside others, as ids are, may have been one of more than 64 bits."""
    numbers = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(number, float) and abs(number) >= KEPT for number in numbers)


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    """The JSON of a zip, in a temporary file."""
    with zips.opened(file, ".json", is_kept=True) as packed:
        return _temporary(iter(lambda: packed.read(CHUNK), b""))


def _in_utf8(file: IO[bytes]) -> IO[bytes]:
    """The same text from its beginning, if it is UTF-16 in a temporary file."""
    file.seek(0)
    mark = file.read(2)
    file.seek(0)
    if mark not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return file
    reader = codecs.getreader("utf-16")(file)
    try:
        texts = iter(lambda: reader.read(CHUNK), "")
        return _temporary(text.encode("utf-8", "surrogatepass") for text in texts)
    except UnicodeError:
        raise ValueError("no JSON that can be read: its UTF-16 is damaged; save it as UTF-8") from None


def _temporary(blocks: Iterable[bytes]) -> IO[bytes]:
    """A temporary file with this content."""
    with ExitStack() as closing_on_faults:
        copy = closing_on_faults.enter_context(tempfile.TemporaryFile())
        for block in blocks:
            try:
                copy.write(block)
            except OSError as error:
                raise OutputError(
                    f"temporary files can't be written ({error.strerror});"
                    " make room, or name another folder in TMPDIR"
                ) from error
        closing_on_faults.pop_all()
        return copy
