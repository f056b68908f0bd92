"""What is wrong with labels of formats that have no linter of their own: all that reading them meets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from annotator.errors import FormatError
from annotator.formats import cityscapes_polygons, cityscapes_results, labelme, yolo
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import AS_FAR_AS_KNOWN
from annotator.formats.findings import ERROR, WARNING, Finding
from annotator.instances import GroundTruth

Reader = Callable[[Path, Counter[str], BadEntries], Iterator[GroundTruth]]


class _Listed(BadEntries):
    """Entries that are no labels, kept by what is wrong with them until they are told."""

    def __init__(self) -> None:
        super().__init__(is_skipping=True)
        self.messages: list[str] = []

    def add(self, what: str) -> None:
        """Note an entry."""
        self.messages.append(what)


def check_polygons(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with Cityscapes polygons."""
    return _findings(path, lambda *told: cityscapes_polygons.read_truth(told[0], AS_FAR_AS_KNOWN, *told[1:]))


def check_labelme(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with files of labelme."""
    return _findings(path, lambda *told: labelme.read_truth(told[0], AS_FAR_AS_KNOWN, *told[1:]))


def check_yolo(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with YOLO text."""
    return _findings(path, lambda *told: yolo.read_truth(told[0], AS_FAR_AS_KNOWN, *told[1:]))


def check_results(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with results for the Cityscapes benchmark."""
    return _findings(path, lambda *told: cityscapes_results.read_truth(*told[:2]))


def _findings(path: Path, read: Reader) -> Iterator[Finding]:
    """Errors as they come up, one for each entry; what is left out is told in the end."""
    bad, skipped = _Listed(), Counter[str]()
    try:
        for _ in read(path, skipped, bad):
            yield from (Finding(ERROR, str(path), bad.messages.pop(0)) for _ in list(bad.messages))
    except FormatError as error:
        yield Finding(ERROR, str(path), str(error).removeprefix(f"{path}: "))
    yield from (Finding(ERROR, str(path), message) for message in bad.messages)
    for what, count in sorted(skipped.items()):
        if count:
            yield Finding(WARNING, str(path), f"{count} {what} are not read")
