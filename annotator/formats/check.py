"""What would make an import of labels fail, or change them: a linter for all formats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from annotator.errors import UnreadableError, UsageError, unreadable
from annotator.files import find_files
from annotator.formats.cityscapes.format import CITYSCAPES
from annotator.formats.class_map import AS_FAR_AS_KNOWN
from annotator.formats.findings import ERROR, WARNING, Finding
from annotator.formats.frames.format import FRAMES
from annotator.formats.label_set import RecordingLabels
from annotator.formats.names import CVAT_LABELS, INSTANCE_IDS, RESULTS
from annotator.formats.registry import FORMATS
from annotator.formats.run.format import RUN
from annotator.formats.sniffing import bad_input, sniff

__all__ = ["ERROR", "WARNING", "Finding", "check"]


def check(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a label file, a folder of them, or all label files of a run.

    Raises UsageError when it can't be told what the path holds, or it isn't there.
    """
    try:
        yield from _check(path)
    except OSError as error:
        raise unreadable(error, path) from error


def _check(path: Path) -> Iterator[Finding]:
    if path.is_dir() and not find_files(path, "*.sqlite"):
        yield from _check_folder(path)
        return
    try:
        label_set = sniff(path)
    except UnreadableError as error:
        if not path.is_file():
            raise
        yield Finding(ERROR, str(path), str(error).removeprefix(f"{path}: "))
        return
    for labels in label_set.labels:
        if labels.format is RUN:
            yield from RUN.check(labels.path)
            yield from _check_published(labels.path)
        else:
            yield from _check_labels(labels)


def _check_labels(labels: RecordingLabels) -> Iterator[Finding]:
    """Check labels of a recording; where nothing is wrong with its records, whether they can be read."""
    is_sound = True
    for finding in labels.format.check(labels.path):
        is_sound &= finding.severity != ERROR
        yield finding
    if is_sound and not labels.format.check_reads:
        try:
            with bad_input():
                for _ in replace(labels, classes=AS_FAR_AS_KNOWN).truth():
                    pass
        except UsageError as error:
            yield Finding(ERROR, str(labels.path), str(error).removeprefix(f"{labels.path}: "))


def _check_folder(path: Path) -> Iterator[Finding]:
    """Check every label file of a folder that is no run; those with an image each together."""
    with suppress(UsageError):  # which a file below says better
        if (found := sniff(path).format).is_file_an_image:
            yield from found.check(path)
            return
    files = sorted(file for suffix in ("xml", "json", "txt") for file in find_files(path, f"*.{suffix}"))
    files = [file for file in files if file.name != CVAT_LABELS and not RESULTS.fullmatch(file.name)]
    if find_files(path, f"*{INSTANCE_IDS}"):
        yield from CITYSCAPES.check(path)
    elif not files:
        sniff(path)  # which says what is lacking
    for file in files:
        try:
            yield from check(file)
        except UsageError as error:
            severity = ERROR if isinstance(error, UnreadableError) else WARNING
            yield Finding(severity, str(file), str(error).removeprefix(f"{file}: "))


def _check_published(folder: Path) -> Iterator[Finding]:
    """Check the label files beside a store."""
    outputs = {name for each in FORMATS.values() if each is not FRAMES for name in each.outputs}
    for file in sorted(folder.iterdir()):
        if file.name in outputs:
            yield from check(file)
