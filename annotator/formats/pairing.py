"""Which frames of two sets of labels are one, by what they are called: strict names first, then those made alike.

Tools rename what they are given: they cut folders off, quote characters, change case, put hashes before and behind.
Each level of a name forgets more of that. A name counts at a level only where no other frame of its side has it too,
so that two frames never meet one: what is ambiguous there has met at a stricter level, or does not meet.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from urllib.parse import parse_qs, unquote

from annotator.formats.names import NAME

IMAGE_SUFFIX = re.compile(
    r"\.(png|jpe?g|jpe|jfif|bmp|tiff?|tga|webp|p[bgpn]m|gif|jp2|j2k|avif|hei[cf])$", re.IGNORECASE
)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
QUERY = re.compile(r"[?#]")
NUMBERED = re.compile(r"image (-?\d+)")  # what readers call an image that has a number and no name
ROBOFLOW = re.compile(r"(.+)_(?:png|jpe?g|bmp|tiff?|webp)\.rf\.[0-9a-z]+", re.IGNORECASE)
LABEL_STUDIO = re.compile(r"([0-9a-f]{3,32})-(.+)")
NO_LETTERS = re.compile(r"[\W_]+")
MOST_FOLDERS = 3  # that are compared beside all of them, and none

Names = Sequence[str]  # of frames, in order; "" where a frame has none
Pair = tuple[int, int]  # places of a frame in both sides


class By(Enum):
    """What two frames were paired by."""

    NAME = "name"
    SIMILAR = "similar name"  # but for its case, or for what an export put before or behind it
    NUMBER = "number"


@dataclass(frozen=True)
class FrameNames:
    """What the frames of some labels are called."""

    names: tuple[Names, ...] = ()  # all of them in each way, those that their makers use first
    numbers: Names = ()  # by which other files refer to them

    def __len__(self) -> int:
        return max(map(len, (*self.names, self.numbers)))

    @classmethod
    def of_all(cls, parts: Mapping[str, FrameNames]) -> FrameNames:
        """Those of several recordings, one behind the other, in a folder called as the recording; without numbers."""
        ways = zip(
            *([_in_folder(way, name) for way in part.names] for name, part in parts.items()), strict=False
        )
        return cls(tuple([*chain.from_iterable(way)] for way in ways))

    def first(self, place: int) -> str:
        """What a frame is called in the first way that has a name for it."""
        return next((way[place] for way in self.names if way[place]), "")

    @property
    def are_numbers(self) -> bool:
        """Whether names say nothing but numbers, as those of a list of results."""
        return any(self.names) and all(NUMBERED.fullmatch(name) for name in self.names[0])


def by_name(ours: FrameNames, theirs: FrameNames) -> dict[Pair, By]:
    """Pair frames by their names, level by level."""
    found = _Pairing()
    ways = [(a, b) for a in ours.names for b in theirs.names if any(a) and any(b)]
    for forget, by in LEVELS:
        ways = [(forget(a), forget(b)) for a, b in ways]
        for a, b in ways:
            for folders in _depths(a, b):
                if len(found.pairs) == min(len(a), len(b)):
                    return found.pairs
                found.add(_common(_cut(a, folders), _cut(b, folders)), by)
    return found.pairs


def by_number(ours: FrameNames, theirs: FrameNames) -> dict[Pair, By]:
    """Pair frames by the numbers that files refer to them by.

    A list of results tells images by their ids or, as some tools write it, by the number that their file is called:
    by what more of them meet.
    """
    ways: list[list[Pair]] = [[*_common(_numbers(ours), _numbers(theirs))]]
    if ours.are_numbers:
        ways.append([*_common(_numbers(ours), _stems(theirs))])
    if theirs.are_numbers:
        ways.append([*_common(_stems(ours), _numbers(theirs))])
    most = max(ways, key=lambda pairs: len(pairs))
    return dict.fromkeys(most, By.NUMBER)


@dataclass
class _Pairing:
    """The frames of two sides that are one."""

    pairs: dict[Pair, By] = field(default_factory=dict)
    ours: set[int] = field(default_factory=set)  # that have met one
    theirs: set[int] = field(default_factory=set)

    def add(self, pairs: Iterable[Pair], by: By) -> None:
        """Add pairs of frames that have met none yet."""
        for i, j in pairs:
            if i not in self.ours and j not in self.theirs:
                self.pairs[i, j] = by
                self.ours.add(i)
                self.theirs.add(j)


def repeated(names: FrameNames, others: FrameNames) -> list[str]:
    """Names that belong to several frames, and to one of the others."""
    there = {_plain(name) for way in others.names for name in way}
    for way in names.names:
        times = Counter(map(_plain, way))
        if twice := [name for name, count in times.items() if name and count > 1 and name in there]:
            return twice
    return []


# ---- what is forgotten of names, level by level


def _plain(name: str) -> str:
    """A path with / between folders, whatever its tool writes; of an address what leads to the file."""
    path = name
    if address := ADDRESS.match(name):
        path = QUERY.split(name[address.end() :])[0]
    elif "?d=" in name:  # Label Studio's local files
        path = parse_qs(name.partition("?")[2]).get("d", [name])[0]
    return path.replace("\\", "/").removeprefix("./")


def _stem(name: str) -> str:
    """Without the suffix, and without what Cityscapes appends."""
    folders, slash, file = IMAGE_SUFFIX.sub("", name).rpartition("/")
    given = NAME.fullmatch(file)
    return folders + slash + (f"{given['city']}_{given['seq']}_{given['frame']}" if given else file)


def _unquoted(name: str) -> str:
    return unicodedata.normalize("NFC", unquote(name).replace("\\", "/"))


def _without_marks(names: Names) -> Names:
    """Without what export services add to the names of files, or put in the place of what is no letter."""
    files = [name.rpartition("/")[2] for name in names]
    hashes = [found[1] for file in files if (found := LABEL_STUDIO.fullmatch(file))]
    # Words and dates are no hashes: these are of every file, differ, and mix letters and digits.
    mixed = sum(not text.isalpha() and not text.isdecimal() for text in hashes)
    are_hashed = len(hashes) == len(files) == len(set(hashes)) and 2 * mixed >= len(hashes)
    return [_without_mark(name, are_hashed) for name in names]


def _without_mark(name: str, is_hashed: bool) -> str:
    folders, slash, file = name.rpartition("/")
    if found := ROBOFLOW.fullmatch(file):
        file = found[1]
    elif is_hashed and (found := LABEL_STUDIO.fullmatch(file)):
        file = found[2]
    return folders + slash + NO_LETTERS.sub("-", file)


LEVELS: tuple[tuple[Callable[[Names], Names], By], ...] = (  # each on top of the one before
    (lambda names: [_plain(name) for name in names], By.NAME),
    (lambda names: [_stem(name) for name in names], By.NAME),
    (lambda names: [_unquoted(name) for name in names], By.NAME),
    (lambda names: [name.casefold() for name in names], By.SIMILAR),
    (_without_marks, By.SIMILAR),
)


def _depths(a: Names, b: Names) -> Iterator[int]:
    """Folders to compare, all of them first."""
    deepest = max(name.count("/") for name in chain(a, b))
    yield deepest
    yield from range(min(deepest - 1, MOST_FOLDERS), -1, -1)


def _cut(names: Names, folders: int) -> Names:
    """The names with their last folders alone."""
    return ["/".join(name.rsplit("/", folders + 1)[-folders - 1 :]) for name in names]


def _in_folder(names: Names, folder: str) -> Names:
    return [f"{folder}/{name}" if name else "" for name in names]


def _common(a: Names, b: Names) -> Iterator[Pair]:
    """Where both sides have a name that no other frame of them has."""
    ours, theirs = _places(a), _places(b)
    return ((ours[name], place) for name, place in theirs.items() if name in ours)


def _places(names: Names) -> dict[str, int]:
    times = Counter(names)
    return {name: place for place, name in enumerate(names) if name and times[name] == 1}


# ---- numbers


def _numbers(side: FrameNames) -> Names:
    """The number of every frame as a text, "" where it has none."""
    named = side.numbers or (side.names[0] if side.names and side.are_numbers else ())
    return [found[1] if (found := NUMBERED.fullmatch(name)) else "" for name in named]


def _stems(side: FrameNames) -> Names:
    """The number that the file of every frame is called."""
    files = (_stem(_plain(name)).rpartition("/")[2] for name in (side.names[0] if side.names else ()))
    return [str(int(file)) if file.isdecimal() and len(file) < 20 else "" for file in files]
