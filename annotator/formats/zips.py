"""The one label file that an export of CVAT holds: read as it is unpacked, never written to disk under its own name.

A zip says of itself how large its files are, and may be damaged anywhere: nothing is believed, and all that goes wrong
is a ZipError.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from annotator.limits import DENSEST_ZIP, MOST_UNPACKED

MOST_PACKED = 1 << 12  # bytes unpacked at once where nothing bounds what comes of them: up to 100 MB
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipError(ValueError):
    """A zip that can't be read; its message says so."""


def names(path: Path) -> list[str]:
    """All names in a zip. Raises ZipError."""
    with _faults(), zipfile.ZipFile(path) as archive:
        return archive.namelist()


class Member:
    """A file in a zip, read in order."""

    def __init__(self, file: IO[bytes], is_bounded: bool) -> None:
        self._file = file
        self._most = None if is_bounded else MOST_PACKED

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, none at the end. Raises ZipError."""
        with _faults():
            return self._file.read(count if self._most is None else min(count, self._most))


@contextmanager
def opened(file: IO[bytes], suffix: str, is_kept: bool = False) -> Iterator[Member]:
    """The one file *`suffix` of a zip: by preference what CVAT calls annotations.

    `is_kept`: it takes room when it is unpacked. Raises ZipError.
    """
    with _faults():
        archive = zipfile.ZipFile(file)
    with archive:
        with _faults():
            info = _member(archive, suffix)
            if is_kept and info.file_size > max(MOST_UNPACKED, DENSEST_ZIP * info.compress_size):
                raise ZipError(f"its {suffix[1:].upper()} would unpack to {info.file_size / 1e9:.1f} GB")
            inside = archive.open(info)
        with inside:
            yield Member(inside, info.compress_type in BOUNDED)


def _member(archive: zipfile.ZipFile, suffix: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename.lower().endswith(suffix)]
    named = [info for info in found if Path(info.filename).name == f"annotations{suffix}"] or found
    if len(named) != 1:
        raise ZipError(f"it holds {len(named)} files *{suffix} instead of one")
    return named[0]


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what zipfile and its decoders raise for what is damaged, locked or unknown into a ZipError."""
    try:
        yield
    except ZipError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        OSError,  # of bzip2, and of places before the beginning
        EOFError,
        ValueError,
        LookupError,
        RuntimeError,  # with a password, and NotImplementedError
        MemoryError,  # a dictionary of gigabytes
    ) as error:
        raise ZipError(f"no zip that can be read ({error or type(error).__name__})") from error
