"""The recordings of a storage, in the order of its listing: videos, and folders of images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from annotator.errors import SourceError
from annotator.fleet.storage import Storage, Stored
from annotator.video.container import Video
from annotator.video.image_folder import ImageFolder
from annotator.video.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from annotator.video.sources import Source, safe_name

USUAL = ".mp4"  # whose recordings are called as they are; others add what they are


@dataclass(frozen=True)
class StoredRecording:
    """A recording in a storage."""

    name: str  # by its key alone: whatever is beside it, and in whatever order things are listed
    storage: Storage
    key: str  # of the video, or of the folder
    size: int  # bytes, -1 where it can't be known
    version: str
    is_folder: bool

    @property
    def address(self) -> str:
        """Where it lies, without secrets."""
        return f"{self.storage.name}/{self.key}" if self.key else self.storage.name

    @property
    def path(self) -> Path:
        """The same; a Path joins its slashes."""
        return Path(self.address)

    def fetch(self, folder: Path, beat: Callable[[], None] | None = None) -> Source:
        """Copy it to a folder of this machine; `beat` is called as it comes. Raises StorageError, SourceError."""
        if self.is_folder:
            for image in images_of(self):
                goal = folder / self._file_name / PurePosixPath(image.key).name
                self.storage.fetch(image.key, image.size, goal, beat)
        else:
            self.storage.fetch(self.key, self.size, folder / self._file_name, beat)
        return self.source_in(folder)

    def source_in(self, folder: Path) -> Source:
        """The copy that was fetched to a folder."""
        kind = ImageFolder if self.is_folder else Video
        return kind(folder / self._file_name, self.name)

    @property
    def _file_name(self) -> str:
        return PurePosixPath(self.key or self.storage.url).name or "images"


@dataclass(frozen=True)
class LocalRecording:
    """A recording of this machine, or of a disk that all share."""

    source: Source

    @property
    def name(self) -> str:
        """Its name in the run."""
        return self.source.name

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.source.path

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.source.files)

    @property
    def version(self) -> str:
        """When it was changed."""
        return max((str(file.stat().st_mtime_ns) for file in self.source.files), default="")


def recordings(storage: Storage) -> Iterator[StoredRecording]:
    """The recordings below the address of a storage, as its listing comes; those that it is itself, first."""
    folders: set[str] = set()
    for stored in storage.find():
        suffix = PurePosixPath(stored.key or storage.url).suffix.lower()
        if any(part.startswith(".") for part in PurePosixPath(stored.key).parts):
            continue
        if suffix in VIDEO_SUFFIXES:
            yield StoredRecording(
                _video_name(stored.key, storage), storage, stored.key, stored.size, stored.version, False
            )
        elif suffix in IMAGE_SUFFIXES and (folder := _parent(stored.key)) not in folders and stored.key:
            folders.add(folder)
            found = StoredRecording(_folder_name(folder, storage), storage, folder, 0, "", True)
            images = list(images_of(found))
            digest = hashlib.sha256(repr([(i.key, i.size, i.version) for i in images]).encode()).hexdigest()
            size = sum(max(image.size, 0) for image in images)
            yield StoredRecording(found.name, storage, folder, size, digest, True)


def images_of(folder: StoredRecording) -> Iterator[Stored]:
    """The images right in a folder. Raises SourceError when there are none any more."""
    below = Storage(folder.storage.url + (f"/{folder.key}" if folder.key else ""))
    is_empty = True
    for stored in below.find():
        if "/" not in stored.key and PurePosixPath(stored.key).suffix.lower() in IMAGE_SUFFIXES:
            is_empty = False
            key = f"{folder.key}/{stored.key}" if folder.key else stored.key
            yield Stored(key, stored.size, stored.version)
    if is_empty:
        raise SourceError(f"{folder.address}: holds no images any more; check the address")


def _parent(key: str) -> str:
    return key.rpartition("/")[0]


def _video_name(key: str, storage: Storage) -> str:
    key = key or PurePosixPath(storage.url).name
    suffix = PurePosixPath(key).suffix
    stem = key[: -len(suffix)]
    return _safe(stem if suffix.lower() == USUAL else f"{stem}_{suffix[1:].lower()}", key)


def _folder_name(key: str, storage: Storage) -> str:
    key = key or PurePosixPath(storage.url).name
    return _safe(f"{key}_images", key)


def _safe(wished: str, key: str) -> str:
    """A name that leads nowhere but down; where that isn't the wished one, a digest of the key tells it apart."""
    name = safe_name(wished)
    return name if name == wished else f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
