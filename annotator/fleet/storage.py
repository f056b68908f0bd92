"""Object storage by fsspec: listed lazily, fetched and written whole, with patience for a storage that is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from annotator.errors import AnnotatorError, SourceError, UsageError
from annotator.escape import one_line, to_json
from annotator.fleet.address import KNOWN, READ_ONLY, shown
from annotator.video.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES

Result = TypeVar("Result")
TRIES = 8
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
PAGE = 1000  # objects that are listed at once
AT_ONCE = 16  # that are read at once
FINAL = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)  # asking again doesn't help
WITH_FOLDERS = ("sftp", "")  # others have only names with slashes
TIMEOUTS = {"connect_timeout": 15, "read_timeout": 60}  # seconds, of S3


class StorageError(AnnotatorError):
    """What is stored can't be read or written, however often it was tried."""


@dataclass(frozen=True)
class Stored:
    """An object or file in a storage."""

    key: str  # relative to the storage's address
    size: int  # bytes
    version: str  # another one where the content is another: an ETag, or a time


class Storage:
    """What lies below an address.

    Raises UsageError for an address that can't be used, StorageError when the storage doesn't do what is asked, after
    trying for some minutes.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.name = shown(self.url)  # without secrets, for sentences and manifests
        protocol = url.partition("://")[0]
        self._kind = KNOWN[protocol]  # the extra that it needs
        self.is_writable = protocol not in READ_ONLY
        try:
            self._files, root = self._begun()
        except ImportError as error:
            extra = self._kind or "s3"
            raise UsageError(
                f'{self.name}: needs `pip install "spatialemb-annotate[{extra}]"` ({error.name or error})'
            ) from error
        except Exception as error:
            raise UsageError(
                f"{self.name}: can't be used ({_said(error)}); check the address, and the credentials"
            ) from error
        self._root = root.rstrip("/")

    def _begun(self, **settings: Any) -> tuple[Any, str]:
        """The storage in fsspec's form, and the path of our address in it."""
        import fsspec

        if self._kind != "sftp":  # which has no cache, and hands all settings to its connection
            settings["use_listings_cache"] = False
        if self._kind == "s3" and "config_kwargs" not in fsspec.config.conf.get("s3", {}):
            settings["config_kwargs"] = TIMEOUTS
        files, root = fsspec.core.url_to_fs(self.url, **settings)
        return files, str(root)

    def _connect_again(self) -> None:
        """Where a storage is one connection, which may be broken: make another, if it can be."""
        if self._kind == "sftp":
            with suppress(Exception):
                self._files, _ = self._begun(skip_instance_cache=True)

    def path(self, key: str) -> str:
        """Where the storage has an object of ours. Raises UsageError for one that would lie elsewhere."""
        if ".." in PurePosixPath(key).parts or key.startswith("/"):
            raise UsageError(f"{self.name}: {one_line(key)} would lie elsewhere")
        return f"{self._root}/{key}" if key else self._root

    def find(self) -> Iterator[Stored]:
        """All objects below the address, or the one that it names; some are in memory at a time."""
        try:
            if hasattr(self._files, "call_s3"):
                yield from self._find_in_pages()
            elif self._names_a_recording() and (whole := self.one()) is not None:
                yield Stored("", whole.size, whole.version)
            else:
                yield from self._find_by_folder(self._root)
        except FileNotFoundError as error:
            raise UsageError(f"{self.name}: isn't there ({_said(error)}); check the address") from error

    def one(self, key: str = "") -> Stored | None:
        """The object of this key; None when there is none."""
        try:
            found = self._patiently(lambda: self._files.info(self.path(key)), key)
        except FileNotFoundError:
            return None
        return self._stored(found, key) if found.get("type") != "directory" else None

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        # Another process has credentials of its own.
        return Storage, (self.url,)

    def fetch(self, key: str, size: int, to: Path, beat: Callable[[], None] | None = None) -> None:
        """Copy an object to a file of this machine, which appears whole or not at all; `beat` is called as it comes."""
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary = to.with_name(f".{to.name}"[:200] + ".part")

        def get() -> None:
            self._files.get_file(self.path(key), str(temporary), callback=_callback(beat))
            got = temporary.stat().st_size
            if size >= 0 and got != size:
                raise ConnectionError(f"{got} of {size} bytes came")
            temporary.replace(to)

        try:
            self._patiently(get, key)
        except FileNotFoundError as error:
            raise SourceError(f"{self._of(key)}: isn't there any more; check the address") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def put(self, file: Path, key: str) -> None:
        """Copy a file to the storage, where it appears whole, and see that it is there."""
        size = file.stat().st_size

        def send() -> None:
            self._make_folder_of(key)
            self._files.put_file(str(file), self.path(key))
            there = self._files.info(self.path(key))["size"]
            if there != size:
                raise ConnectionError(f"{there} of {size} bytes arrived")

        self._patiently(send, key)

    def read_json(self, key: str) -> dict[str, Any] | None:
        """The JSON object of this key; None when there is none, or something else."""
        try:
            content = json.loads(self._patiently(lambda: self._files.cat_file(self.path(key)), key))
        except (FileNotFoundError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def read_jsons(self, keys: Iterable[str]) -> Iterator[dict[str, Any] | None]:
        """`read_json` of each key in turn, some at once where the storage can do that."""
        if not getattr(self._files, "async_impl", False):
            yield from map(self.read_json, keys)
            return
        left = iter(keys)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while some := list(islice(left, PAGE)):
                yield from pool.map(self.read_json, some)

    def write_json(self, key: str, content: object) -> None:
        """Write a JSON object under this key."""
        self.write(key, to_json(content, indent=2).encode() + b"\n")

    def write(self, key: str, data: bytes) -> None:
        """Write an object under this key."""

        def send() -> None:
            self._make_folder_of(key)
            self._files.pipe_file(self.path(key), data)

        self._patiently(send, key)

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self._patiently(lambda: self._files.rm_file(self.path(key)), key)

    def _make_folder_of(self, key: str) -> None:
        if self._kind in WITH_FOLDERS:
            self._files.makedirs(self.path(key).rpartition("/")[0], exist_ok=True)

    def _names_a_recording(self) -> bool:
        """Whether the address itself looks like a file: a web server would send all of it as if it were a listing."""
        return PurePosixPath(self._root).suffix.lower() in {*VIDEO_SUFFIXES, *IMAGE_SUFFIXES}

    def _find_in_pages(self) -> Iterator[Stored]:
        bucket, _, prefix = self._root.partition("/")
        if prefix and (whole := self.one()) is not None:
            yield Stored("", whole.size, whole.version)
            return
        prefix = f"{prefix}/" if prefix else ""
        after: dict[str, str] = {}
        while True:
            page = self._patiently(
                lambda after=after: self._files.call_s3(  # type: ignore[misc]
                    "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **after
                ),
                "",
            )
            for entry in page.get("Contents", ()):
                key = entry["Key"][len(prefix) :]
                if key and not key.endswith("/"):
                    yield Stored(key, int(entry["Size"]), str(entry.get("ETag", "")).strip('"'))
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def _find_by_folder(self, folder: str) -> Iterator[Stored]:
        try:
            entries = self._patiently(lambda: self._files.ls(folder, detail=True), "")
        except FileNotFoundError:
            if folder == self._root and (whole := self.one()) is not None:
                yield Stored("", whole.size, whole.version)
            return
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            path = str(entry["name"]).rstrip("/")
            if entry.get("type") == "directory":
                if path != folder:
                    yield from self._find_by_folder(path)
            else:
                at = path.find(self._root)
                key = path[at + len(self._root) :].strip("/") if at >= 0 else path.rpartition("/")[2]
                yield self._stored(entry, key)

    @staticmethod
    def _stored(entry: dict[str, Any], key: str) -> Stored:
        marks = (entry.get(name) for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created"))
        version = next((str(mark).strip('"') for mark in marks if mark), "")
        return Stored(key, -1 if entry.get("size") is None else int(entry["size"]), version)

    def _of(self, key: str) -> str:
        return f"{self.name}/{one_line(key)}" if key else self.name

    def _patiently(self, act: Callable[[], Result], key: str) -> Result:
        """What `act` gives, tried again with pauses that double while the storage is away.

        Raises StorageError, naming the object and the remedy; FileNotFoundError when it isn't there.
        """
        pause = FIRST_PAUSE_S
        for left in reversed(range(TRIES)):
            try:
                return act()
            except FileNotFoundError:
                raise
            except FINAL as error:
                raise StorageError(
                    f"{self._of(key)}: the storage doesn't let us ({_said(error)}); check the credentials in the"
                    " environment, and the permissions"
                ) from None
            except Exception as error:
                if isinstance(error, OSError) and error.errno == 28:  # no space left, on this machine
                    raise
                if not left:
                    raise StorageError(
                        f"{self._of(key)}: the storage doesn't answer as it should, tried {TRIES} times"
                        f" ({_said(error)}); run the command again when it does"
                    ) from None
            time.sleep(pause)
            self._connect_again()
            pause = min(2 * pause, LONGEST_PAUSE_S)
        raise AssertionError


def _callback(beat: Callable[[], None] | None) -> Any:
    """What fsspec calls as data come."""
    from fsspec.callbacks import Callback

    return Callback(hooks={"beat": lambda *_, **__: beat()} if beat else {})


def _said(error: Exception) -> str:
    """What an error says, in a line and without secrets."""
    return shown(one_line(str(error) or type(error).__name__))[:300]
