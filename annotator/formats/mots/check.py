"""What is wrong with MOTS text, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from annotator import masks
from annotator.formats.findings import ERROR, WARNING, Finding, Said
from annotator.formats.mots.numbers import IDS_PER_CLASS, IGNORE_REGION
from annotator.formats.names import BOM
from annotator.limits import MOST_FRAMES, MOST_UNLABELLED, unlabelled

CLASSES = {1: "car", 2: "pedestrian", IGNORE_REGION: "ignore region"}
Size = tuple[int, int]  # (H, W)


def check_mots(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a file."""
    content = _Content()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            for at, (severity, message) in content.of(number, line):
                yield Finding(severity, f"{path}, line {at}", message)
    for at, (severity, message) in content.end_frame():
        yield Finding(severity, f"{path}, line {at}", message)


@dataclass
class _Content:
    """What is known of the frame at hand; findings come with the number of a line."""

    frame: int = -1
    ids: set[int] = field(default_factory=set)
    masks: list[tuple[int, Size, bytes]] = field(default_factory=list)  # line, size and runs
    size: Size | None = None  # of all frames
    class_of: dict[int, int] = field(default_factory=dict)  # by object

    def of(self, number: int, line: bytes) -> Iterator[tuple[int, Said]]:
        """Check the next line."""
        columns = line.removeprefix(BOM).split()
        if not columns:
            return
        if len(columns) not in (6, 7):
            yield number, (ERROR, f"{len(columns)} columns instead of 6 or 7")
            return
        try:
            frame, object_id, mots_class, height, width = map(int, columns[:5])
            score = float(columns[6]) if len(columns) == 7 else 1.0
        except ValueError:
            yield number, (ERROR, "a column that is no number")
            return
        if not 0 <= score <= 1:
            yield number, (ERROR, f"a score of {score:g}: scores are from 0 to 1")
        if not 0 <= frame < MOST_FRAMES:
            yield number, (ERROR, f"no frame has the number {frame}")
        if frame < self.frame:
            yield number, (ERROR, f"frame {frame} comes behind frame {self.frame}")
        elif frame - self.frame > MOST_UNLABELLED:
            yield number, (ERROR, unlabelled(self.frame, frame))
        if frame != self.frame:
            yield from self.end_frame()
            self.frame = frame
        for said in self._object(object_id, mots_class):
            yield number, said
        self.masks.append((number, (height, width), columns[5]))

    def end_frame(self) -> Iterator[tuple[int, Said]]:
        """What can be said when all masks of a frame have come."""
        of_size: dict[Size, list[tuple[int, bytes]]] = {}
        for number, size, counts in self.masks:
            of_size.setdefault(size, []).append((number, counts))
        for size, lines in of_size.items():
            if size != next(iter(of_size)):
                yield (
                    lines[0][0],
                    (ERROR, f"a mask of size {list(size)} in a frame of {list(next(iter(of_size)))}"),
                )
            elif self.size is not None and self.size != size:
                yield lines[0][0], (WARNING, f"a mask of size {list(size)} behind masks of {list(self.size)}")
            self.size = self.size or size
            yield from self._of_one_size(lines, size)
        self.masks, self.ids = [], set()

    def _of_one_size(self, lines: list[tuple[int, bytes]], size: Size) -> Iterator[tuple[int, Said]]:
        numbers = [number for number, _ in lines]
        try:
            rles = masks.from_counts([counts for _, counts in lines], size)
        except ValueError:  # one by one, to tell which
            for number, counts in lines:
                try:
                    masks.from_counts([counts], size)
                except ValueError as error:
                    yield number, (ERROR, f"no mask ({error})")
            return
        for number, area in zip(numbers, masks.areas(rles).tolist(), strict=True):
            if not area:
                yield number, (WARNING, "a mask without a pixel")
        if not masks.are_disjoint(rles):
            yield numbers[-1], (ERROR, f"masks of frame {self.frame} overlap: every evaluation refuses them")

    def _object(self, object_id: int, mots_class: int) -> Iterator[Said]:
        if mots_class not in CLASSES:
            yield ERROR, f"class {mots_class}: MOTS knows 1, 2 and 10"
        elif object_id // IDS_PER_CLASS != mots_class:
            yield ERROR, f"id {object_id} is none of class {mots_class}: ids are class * 1000 + 0 to 999"
        if object_id in self.ids and mots_class != IGNORE_REGION:
            yield ERROR, f"id {object_id} is twice in frame {self.frame}"
        if self.class_of.setdefault(object_id, mots_class) != mots_class:
            yield ERROR, f"id {object_id} is of another class in another frame"
        self.ids.add(object_id)
