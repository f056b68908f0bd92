"""The folder of a run, as all that works with finished labels knows it: its recordings, their stores, its run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from annotator.errors import UsageError
from annotator.escape import read_object
from annotator.files import find_files
from annotator.store.lock import RUN_FILE, run_root
from annotator.store.records import SourceRecord, read_records, record_files
from annotator.store.schema import FILE_NAME
from annotator.store.store import Store

RENEWED = ("state", "started", "ended", "sources", "tool", "versions")  # what every run writes itself


@dataclass(frozen=True)
class Recording:
    """A recording as writers know it, when only its labels are at hand."""

    name: str  # relative, with `/` between folders
    path: Path  # the video file, or the folder of images
    is_video: bool = True


@dataclass(frozen=True)
class RunFolder:
    """A run, or the part of one that lies below a folder; there is at least one recording in it."""

    path: Path  # as it was named
    root: Path  # with run.json; `path` where there is none
    folders: Mapping[str, Path]  # of the recordings, by name, in order

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Find the recordings below a folder. Raises UsageError where there are none, or it can't be listed."""
        folder = path.parent if path.name in (RUN_FILE, FILE_NAME) else path
        if found := cls.find(folder):
            return found
        if (folder / RUN_FILE).is_file():
            raise UsageError(f"{folder}: a run that has labelled nothing yet; label a recording first")
        raise UsageError(f"{folder}: is no run; name a folder that spatialemb-annotate wrote")

    @classmethod
    def find(cls, folder: Path) -> RunFolder | None:
        """Return the run that is below a folder, if there is one."""
        stores = [file.parent for file in find_files(folder, FILE_NAME)]
        root = run_root(folder) or folder
        folders = {relative_name(store, root): store for store in stores}
        if len(folders) < len(stores):  # one in the root itself, and one of the root's name
            raise UsageError(f"{folder}: two recordings in it are called {root.absolute().name}; rename one")
        return cls(folder, root, folders) if folders else None

    @cached_property
    def records(self) -> Mapping[str, SourceRecord]:
        """What run.json says of its recordings, and of those that have no labels, by name."""
        found: dict[str, SourceRecord] = {}
        for file in record_files(self.root):
            found |= read_records(file)
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        """What run.json says of the run as a whole; nothing when it can't be read."""
        content = read_object(self.root / RUN_FILE)
        return {key: value for key, value in content.items() if key not in RENEWED}

    @property
    def is_recorded(self) -> bool:
        """Whether there is a run.json."""
        return (self.root / RUN_FILE).is_file()

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings that have labels, in order."""
        return tuple(map(self.recording, self.folders))

    def recording(self, name: str) -> Recording:
        """The recording of this name; its path is that of its labels where run.json doesn't say what was labelled."""
        record = self.records.get(name)
        return Recording(name, Path(record.path) if record else self.folders[name])

    def store(self, name: str) -> Store:
        """The labels of a recording, to read them. Raises SourceError when they are damaged."""
        return Store.read(self.folders[name])

    def only(self) -> str:
        """The name of its one recording. Raises UsageError when there are several."""
        names = list(self.folders)
        if len(names) > 1:
            raise UsageError(
                f"{self.path}: has {len(names)} recordings; name the folder of one, as {', '.join(names[:5])}"
            )
        return names[0]


def relative_name(path: Path, folder: Path) -> str:
    """The name of a recording by where it lies in a folder, or is the folder."""
    relative = path.absolute().relative_to(folder.absolute()).as_posix()
    return path.absolute().name if relative == "." else relative
