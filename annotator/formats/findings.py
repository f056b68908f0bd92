"""What a check finds in a label file, and what a writer verifies of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.errors import FormatLimitError

ERROR, WARNING = "error", "warning"
Said = tuple[str, str]  # severity and message


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with labels."""

    severity: str  # "error": an import fails, or reads other labels; "warning": it may not be what is meant
    where: str  # the file, and the place in it
    message: str


class DuplicateFinder:
    """Numbers that were met, to tell which are there twice; those in sequence take no memory."""

    def __init__(self) -> None:
        self._sequence: range | None = None  # the one that the first number begins
        self._others: set[Hashable] = set()

    def is_new(self, number: Hashable) -> bool:
        """Whether a number, or another name, is met for the first time."""
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if not isinstance(number, int):
            is_new = number not in self._others
            self._others.add(number)
            return is_new
        if self._sequence is None:
            self._sequence = range(number, number)
        if number in self._sequence or number in self._others:
            return False
        if number == self._sequence.stop:
            self._sequence = range(self._sequence.start, number + 1)
        else:
            self._others.add(number)
        return True


def refusal(require: Callable[..., None], *values: Any) -> Iterator[Said]:
    """Say what a check of values, which raises ValueError, has against them."""
    try:
        require(*values)
    except ValueError as error:
        yield ERROR, str(error)


def verify_sound(findings: Iterable[Finding], path: Path) -> None:
    """Raise FormatError when a file that was just written is not what it should be."""
    for finding in findings:
        verify(False, path, f"{finding.where.removeprefix(str(path)).lstrip(', ')}: {finding.message}")


def verify(is_right: bool, path: Path, what: str) -> None:
    """Raise FormatError when a file that was just written is not what it should be."""
    if not is_right:
        goal = path.name.removeprefix(".").removesuffix(".tmp")
        raise FormatLimitError(
            f"{path.with_name(goal)}: not published, because what was written is not right ({what});"
            " please report this"
        )
