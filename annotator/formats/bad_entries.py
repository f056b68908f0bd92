"""Entries of label files that are no labels: counted and named, and left out where the user says so.

An entry is what a person would mend or delete by itself: an annotation, a shape, a line. What is wrong with a file as
a whole (no JSON, no frames, two recordings in one) stays a FormatError of the reader.

A reader is told the collector, notes entries in it, goes on without them, and sends its frames through `sift`, which
refuses the file when all entries were looked at, unless they are to be left out::

    def read(path, reading=None):
        reading = reading or Reading()
        return reading.bad.sift(path, _frames(path, reading))

    with bad.entry("annotation 7"):  # or bad.add("annotation 7: a polygon of 2 points")
        raise ValueError("a polygon of 2 points")  # in the tool's words: they are shown as they are

Readers that know all entries before their first frame call `refuse` then, which saves the work of making frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from annotator.errors import FormatError, LabelFileError

SKIPPED = "entries that are no labels (`skip_bad`)"
NAMED = 3  # of the entries of a file: the others are counted
Frame = TypeVar("Frame")


class BadEntries:
    """What one reading of a file met that is no label."""

    def __init__(self, is_skipping: bool = False, skipped: Counter[str] | None = None) -> None:
        """With `is_skipping` they are left out, and counted in `skipped`; else the file is refused."""
        self.is_skipping = is_skipping
        self.count = 0
        self._first: list[str] = []
        self._skipped = Counter[str]() if skipped is None else skipped

    def add(self, what: str) -> None:
        """Note an entry, by what names it and what is wrong with it."""
        self.count += 1
        if len(self._first) < NAMED:
            self._first.append(what)
        if self.is_skipping:
            self._skipped[SKIPPED] += 1

    @contextmanager
    def entry(self, named: str) -> Iterator[None]:
        """Note the entry that is read in this block if it raises ValueError or FormatError, and go on behind it."""
        try:
            yield
        except (ValueError, FormatError) as error:
            self.add(f"{named}: {error}")

    def sift(self, path: Path, frames: Iterator[Frame], claim: str = "") -> Iterator[Frame]:
        """Yield frames up to the first bad entry; read on to count the others, and raise FormatError in the end.

        When they are left out, all frames. `claim` is what the file is not, as "no COCO instance labels".
        """
        for frame in frames:
            if self.is_skipping or not self.count:
                yield frame
        self.refuse(path, claim)

    def refuse(self, path: Path, claim: str = "") -> None:
        """Raise FormatError when there are bad entries that are not to be left out."""
        if self.is_skipping or not self.count:
            return
        more = [f"and {self.count - NAMED} more"] if self.count > NAMED else []
        listed = "; ".join([*self._first, *more])
        body = listed if self.count == 1 else f"{self.count} entries: {listed}"
        remedy = f"`skip_bad` leaves {'it' if self.count == 1 else 'them'} out"
        raise LabelFileError(f"{path}: {claim} ({body}); {remedy}" if claim else f"{path}: {body}; {remedy}")
