"""What shapes the labels of a source, by names that a user knows: equal fingerprints mean equal labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import annotator
from annotator.options import DetectionOptions, options_of

ENDS = 1 << 16  # bytes read at either end of a recording
IMAGE_ENDS = 1 << 12  # bytes read at either end of an image of a folder: there may be very many


def fingerprint(
    recording: str, weights_sha256: str, head_sha256: str | None, options: DetectionOptions
) -> dict[str, Any]:
    """The fingerprint of a source with this `identity`; batch size and device don't belong to it.

    Weights without an instance head have no entry for one.
    """
    asked = {
        spec.flag_of(name): getattr(options, name) for name, spec in options_of(DetectionOptions).items()
    }
    if not options.fill_every:  # as before there was that
        del asked["--fill-every"]
    asked["--classes"] = None if options.class_ids is None else ",".join(map(str, options.class_ids))
    head = {} if head_sha256 is None else {"instance head": head_sha256}
    return {
        "version": annotator.__version__,
        "weights": weights_sha256,
        **head,
        "recording": recording,
        **asked,
    }


def named(key: str) -> str:
    """What messages call an entry of a fingerprint: an option by its field, as `scale`."""
    return f"`{key[2:].replace('-', '_')}`" if key.startswith("--") else key


def content_hash(files: Iterable[Path]) -> str:
    """A hash of the files of a recording: names, sizes, and what stands at the ends of each.

    Cheap for a recording of any length, and enough to notice that another file has taken its name.
    Raises OSError.
    """
    files = list(files)
    span = ENDS if len(files) == 1 else IMAGE_ENDS
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.name}\0".encode(errors="surrogateescape"))
        try:
            _add(found, path, span)
        except OSError:
            if len(files) == 1:
                raise
            found.update(b"unreadable")  # one of many images, which leaves a gap
    return found.hexdigest()


def _add(found: hashlib._Hash, path: Path, span: int) -> None:
    """Add the size of a file, and at most `span` bytes from either end of it."""
    size = path.stat().st_size
    found.update(f"{size}\0".encode())
    if not path.is_file():
        return  # a pipe, which would have us wait; reading it tells
    with path.open("rb") as file:
        found.update(file.read(span))
        if size > span:
            file.seek(max(span, size - span))
            found.update(file.read(span))
