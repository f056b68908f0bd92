"""What is wrong with labels of formats that have no linter of their own: all that reading them meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from annotator.errors import FormatError
from annotator.formats.bad_entries import BadEntries
from annotator.formats.class_map import AS_FAR_AS_KNOWN
from annotator.formats.findings import ERROR, WARNING, Finding
from annotator.formats.interface import Reading
from annotator.instances import GroundTruth


class _Listed(BadEntries):
    """Entries that are no labels, kept by what is wrong with them until they are told."""

    def __init__(self) -> None:
        super().__init__(is_skipping=True)
        self.messages: list[str] = []

    def add(self, what: str) -> None:
        """Note an entry."""
        self.messages.append(what)


def check_by_reading(path: Path, read: Callable[[Path, Reading], Iterator[GroundTruth]]) -> Iterator[Finding]:
    """Yield errors as they come up, one for each entry; what is skipped is told in the end."""
    bad = _Listed()
    reading = Reading(AS_FAR_AS_KNOWN, bad)
    try:
        for _ in read(path, reading):
            yield from (Finding(ERROR, str(path), bad.messages.pop(0)) for _ in list(bad.messages))
    except FormatError as error:
        yield Finding(ERROR, str(path), str(error).removeprefix(f"{path}: "))
    yield from (Finding(ERROR, str(path), message) for message in bad.messages)
    for what, count in sorted(reading.skipped.items()):
        if count:
            yield Finding(WARNING, str(path), f"{count} {what} are not read")
