"""Which frames of a source are asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from annotator.frames import Frame, Gap

IsCancelled = Callable[[], bool]


def never() -> bool:
    """Not cancelled, ever."""
    return False


def frames_of(items: Generator[Frame | Gap, None, None]) -> Generator[Frame, None, None]:
    """The frames of a read; close it to close that."""
    with closing(items):
        for item in items:
            if isinstance(item, Frame):
                yield item


@dataclass(frozen=True)
class Selection:
    """Frames start, start + every, start + 2 * every ... below end."""

    start: int = 0
    end: int | None = None  # exclusive; None = to the last frame
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.every < 1 or (self.end is not None and self.end < 0):
            raise ValueError(f"no frames are {self.start} to {self.end}, every {self.every}")

    def __contains__(self, index: int) -> bool:
        """Whether frame `index` is asked for."""
        return self.start <= index and not self.ends_before(index) and (index - self.start) % self.every == 0

    def ends_before(self, index: int) -> bool:
        """Whether no frame from `index` on is asked for."""
        return self.end is not None and index >= self.end
