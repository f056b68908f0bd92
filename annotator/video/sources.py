"""What to label: the recordings behind the paths that a user gives, each with a name of its own."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from annotator.errors import UsageError
from annotator.escape import shortened
from annotator.frames import Frame, Gap
from annotator.video.container import Video
from annotator.video.image_folder import ImageFolder, natural
from annotator.video.media import VIDEO_SUFFIXES, Media, entry_media, is_image
from annotator.video.selection import IsCancelled, never

IGNORED_FOLDERS = frozenset({"__MACOSX", "@eaDir"})  # what macOS and NAS boxes leave behind
LONGEST_PART = 200  # bytes of a folder's name: what tells equal names apart comes behind it
OUTPUT_MARK = "labels.sqlite"  # a folder with it holds labels that this tool wrote, not recordings
RESERVED_NAMES = frozenset({"run.json"})  # files beside the folders of the sources


class Source(Protocol):
    """A recording: a video or a folder of images. Whether it can be read shows when it is read."""

    @property
    def path(self) -> Path:
        """The video file, the folder, or the single image."""

    @property
    def name(self) -> str:
        """A safe relative path with "/", unique in its run, that labels are filed under."""

    @property
    def is_video(self) -> bool:
        """Whether frames have a time, and one file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the frames. Raises SourceError when they can't be listed."""

    @property
    def remarks(self) -> list[str]:
        """What is to be told of the latest read beside its gaps, in sentences."""

    @property
    def is_in_order(self) -> bool:
        """Whether each frame that the latest read came by, skipped ones too, was later than the one before."""

    def length_hint(self) -> int | None:
        """How many frames there may be, for a progress bar. It may lie."""

    def read(
        self, start: int = 0, end: int | None = None, every: int = 1, is_cancelled: IsCancelled = never
    ) -> Generator[Frame | Gap, None, None]:
        """Frames start, start + every ... below end, and the gaps between; the same from wherever a read begins."""

    def frames(self, start: int = 0, end: int | None = None, every: int = 1) -> Generator[Frame, None, None]:
        """The frames alone of `read`."""


@dataclass(frozen=True)
class Findings:
    """What is behind the paths that a user gives."""

    sources: list[Source]
    passed_over: list[
        Path
    ]  # pictures that nothing here reads, and folders with recordings below one of images


def find_sources(inputs: Sequence[Path]) -> list[Source]:
    """The recordings that `find` finds."""
    return find(inputs).sources


def find(inputs: Sequence[Path]) -> Findings:
    """The recordings behind files and folders, by input, then in natural order.

    A file is a video, or an image by itself. A folder that holds images is one recording, and videos beside
    them are more. Any other folder is walked: every video and every folder of images below is a recording,
    named by its path in there. A folder with nothing to read becomes a source whose reading says so, for the
    others of the run must go on, and so does what can't be looked at. The same recording given twice is taken once.

    Names depend on the recordings given and not on the order or on what can be read. Raises UsageError when
    an input is missing.
    """
    found: dict[str, tuple[Path, str]] = {}  # real path -> path, wished name
    passed_over: list[Path] = []
    for given in inputs:
        for path, name in _recordings(Path(given), passed_over):
            real = os.path.realpath(path)
            found[real] = min(found.get(real, (path, name)), (path, name), key=_preference)
    names = _unique_names(list(found.values()))
    sources = [_source(path, name) for (path, _), name in zip(found.values(), names, strict=True)]
    taken = {os.path.realpath(source.path) for source in sources}  # by another input
    return Findings(sources, [path for path in passed_over if os.path.realpath(path) not in taken])


def _preference(recording: tuple[Path, str]) -> tuple[int, str]:
    """Of one recording given twice: as part of a tree rather than alone, then by its path."""
    path, name = recording
    return -name.count("/"), os.path.abspath(path)


def _source(path: Path, name: str) -> Source:
    if os.path.isdir(path) or is_image(path):
        return ImageFolder(path, name)
    return Video(path, name)


def _recordings(given: Path, passed_over: list[Path]) -> Iterator[tuple[Path, str]]:
    """The recordings behind one input, with the names that they would like to have."""
    if os.path.isfile(given):
        yield given, given.stem
        return
    if not os.path.isdir(given):
        raise UsageError(f"{given}: {_why_not(given)}; check the path")
    own_name = Path(os.path.abspath(given)).name
    try:
        contents = _Contents.of(given)
    except OSError:
        yield given, own_name  # can't be listed, and says so when it is read
        return
    if contents.has_images:
        passed_over += contents.unread
        passed_over += [folder for folder in contents.folders if any(_walk(folder, set(), []))]
        yield given, own_name
        for video in contents.videos:
            yield video, video.stem
        return
    is_empty = True
    for path in _walk(given, set(), passed_over):
        is_empty = False
        relative = path.relative_to(given)
        yield path, (relative if os.path.isdir(path) else relative.with_suffix("")).as_posix()
    if is_empty:
        yield given, own_name


def _why_not(given: Path) -> str:
    """Why there is neither a file nor a folder."""
    try:
        given.stat()
    except FileNotFoundError:
        return "is a link that leads nowhere" if given.is_symlink() else "isn't there"
    except (OSError, ValueError) as error:
        return f"can't be looked at ({getattr(error, 'strerror', None) or error})"
    return "is neither a file nor a folder"


@dataclass(frozen=True)
class _Contents:
    """What lies directly in a folder, in natural order."""

    has_images: bool
    videos: list[Path]
    unread: list[Path]  # pictures that can't be read here
    folders: list[Path]
    is_output: bool  # of this tool

    @classmethod
    def of(cls, folder: Path) -> _Contents:
        """Raises OSError when the folder can't be listed."""
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: natural(folder / entry.name))
        found = defaultdict[Media, list[Path]](list)
        for entry in entries:
            found[entry_media(entry)].append(folder / entry.name)
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
        return cls(
            has_images=bool(found[Media.IMAGE]),
            videos=found[Media.VIDEO],
            unread=found[Media.UNREAD],
            folders=[folder / n for n in names if n not in IGNORED_FOLDERS and os.path.isdir(folder / n)],
            is_output=OUTPUT_MARK in names,
        )


def _walk(folder: Path, seen: set[str], passed_over: list[Path]) -> Iterator[Path]:
    """Every video and every folder of images in a tree, in natural order; links that lead in circles end."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        contents = _Contents.of(folder)
    except OSError:
        yield folder  # can't be listed, and says so when it is read
        return
    if contents.is_output:
        return
    passed_over += contents.unread
    if contents.has_images:
        yield folder
    yield from contents.videos
    for below in contents.folders:
        yield from _walk(below, seen, passed_over)


def _unique_names(recordings: Sequence[tuple[Path, str]]) -> list[str]:
    """A name for each recording, as near to the wished one as can be, whatever their order.

    Of those that wish for the same name (capitals don't count: many disks don't tell them apart), the first
    by kind and path has it. A name that is a folder of another name is taken as well: "drive" can't hold its
    labels where "drive/part1" is. The others add what tells them apart: drive_avi, drive_images, drive_cityB,
    drive_2.
    """
    wished = [safe_name(name) for _, name in recordings]
    groups = defaultdict(list)
    for k, name in enumerate(wished):
        groups[_key(name)].append(k)
    parents = {_key(str(parent)) for name in wished for parent in PurePosixPath(name).parents}
    taken = parents | RESERVED_NAMES
    names = dict[int, str]()
    for key, group in groups.items():
        group.sort(key=lambda k: _rank(recordings[k][0]))
        if key not in taken:
            names[group[0]] = wished[group[0]]
    taken |= groups.keys()
    for _, group in sorted(groups.items()):
        kinds = Counter(_kind(recordings[k][0]) for k in group)
        for k in group:
            if k not in names:
                path = recordings[k][0]
                variants = _variants(wished[k], path, kinds[_kind(path)] == 1)
                names[k] = next(name for name in variants if _key(name) not in taken)
                taken.add(_key(names[k]))
    return [names[k] for k in range(len(wished))]


def _variants(name: str, path: Path, is_only_of_kind: bool) -> Iterator[str]:
    """Other names for a recording, the best first."""
    folder = Path(os.path.abspath(path)).parent.name
    if is_only_of_kind and _kind(path):
        yield safe_name(f"{name}_{_kind(path)}")
    if folder:
        yield safe_name(f"{name}_{folder}")
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _kind(path: Path) -> str:
    """What tells a recording from others of its name."""
    return "images" if os.path.isdir(path) else path.suffix[1:].lower()


def _rank(path: Path) -> tuple[int, tuple[list[str | int], str]]:
    """Who has the first claim on a name: videos by how usual they are, then folders."""
    suffix = path.suffix.lower()
    kind = VIDEO_SUFFIXES.index(suffix) if suffix in VIDEO_SUFFIXES else len(VIDEO_SUFFIXES)
    return kind + os.path.isdir(path), natural(Path(os.path.abspath(path)))


def safe_name(name: str) -> str:
    """A name that every file system takes, and that leads nowhere but down."""
    parts = (_safe_part(part) for part in name.split("/"))
    return "/".join(part for part in parts if part) or "recording"


def _safe_part(part: str) -> str:
    part = re.sub(r'[\x00-\x1f\x7f<>:"\\|?*\ud800-\udfff]', "_", part).strip()
    return shortened(re.sub(r"^\.+|[. ]+$", lambda dots: "_" * len(dots[0]), part), LONGEST_PART)


def _key(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()
