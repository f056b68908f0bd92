"""CVAT XML as a stream of elements, from a file or a zip, in constant memory whatever is in it.

Nothing is ever unpacked to disk. What would take memory is refused: entities, attributes of many megabytes, elements
in hundreds of elements.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from annotator.errors import FormatError, LabelFileError
from annotator.formats import zips
from annotator.formats.fields import shown, whole
from annotator.limits import DEEPEST_XML, LONGEST_TAG, MOST_ELEMENTS

CONTAINERS = ("image", "track")
CHUNK = 1 << 16  # bytes read at once: expat scans a long tag anew with each


STEP = re.compile(r"step\s*=\s*([1-9]\d*)")


class Part(NamedTuple):
    """An element below the root, or one of an <image> or <track>."""

    of: Element | None  # the image or track that it lies in; of it only the attributes are known
    element: Element
    is_open: bool = False  # an image or track begins; only its attributes are known


def step_of(meta: Element) -> int:
    """From which frame to which a task steps, in frames of its video. Raises ValueError for what is no step."""
    return step_of_filter(meta.findtext(".//frame_filter") or "")


def step_of_filter(text: str) -> int:
    """The same of a task's frame filter, which may be empty."""
    found = STEP.search(text.strip() or "step=1")
    if not found:
        raise ValueError(f"a frame filter {shown(text)}")
    return whole("the step of its frame filter", found[1])


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file that is no CVAT XML into sentences."""
    try:
        yield
    except (ParseError, DefusedXmlException) as error:
        raise LabelFileError(f"{path}: no XML that can be read ({error})") from error
    except zips.ZipError as error:
        raise LabelFileError(f"{path}: {error}") from error
    except KeyError as error:
        raise LabelFileError(f"{path}: no CVAT XML of instances ({error} is missing)") from error
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, FormatError) as error:
        raise LabelFileError(f"{path}: no CVAT XML of instances ({error})") from error


def parts(path: Path) -> Iterator[Part]:
    """The elements below the root, whole but for <image> and <track>, of which every child comes by itself."""
    above: list[Element] = []
    kept = 0
    with _open(path) as file:
        for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
            file.is_heard()
            if event == "start":
                above.append(element)
                kept += 1
                _check(above, kept)
                if len(above) == 2 and element.tag in CONTAINERS:
                    yield Part(None, element, is_open=True)
                continue
            above.pop()
            if len(above) == 2 and above[1].tag in CONTAINERS:
                yield Part(above[1], element)
                attributes = dict(above[1].attrib)
                above[1].clear()
                above[1].attrib.update(attributes)
                kept = 0
            elif len(above) == 1:
                yield Part(None, element)
                above[0].clear()
                kept = 0


class _Watched:
    """A file that is read as long as elements come of it."""

    def __init__(self, file: IO[bytes] | zips.Member) -> None:
        self._file = file
        self._silent = 0  # bytes since the last element

    def read(self, count: int = -1) -> bytes:
        content = self._file.read(max(count, CHUNK))
        self._silent += len(content)
        if self._silent > LONGEST_TAG:
            raise ValueError(f"a tag or a text of more than {LONGEST_TAG >> 20} MB")
        return content

    def is_heard(self) -> None:
        self._silent = 0


@contextmanager
def _open(path: Path) -> Iterator[_Watched]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield _Watched(file)
            return
        with zips.opened(file, ".xml") as inside:
            yield _Watched(inside)


def _check(above: list[Element], kept: int) -> None:
    if above[0].tag != "annotations":
        raise ValueError(f"its root is <{above[0].tag}>, not <annotations>")
    if len(above) > DEEPEST_XML:
        raise ValueError(f"elements in more than {DEEPEST_XML} others")
    if kept > MOST_ELEMENTS:
        raise ValueError(f"more than {MOST_ELEMENTS} elements in one")
