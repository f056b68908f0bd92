"""Every fault that a user can meet: its type, its exit code, and a sentence that says what to do.

Messages name the file and the remedy, without a traceback. They name options by their fields, as `overwrite`, or
`report=False`: what the command line makes flags of (`cli.options.with_flags`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """What commands return to the shell."""

    OK = 0
    SOME_FAILED = 1  # of the work, while the rest went on
    USAGE = 2  # wrong usage, or input that is no good as a whole
    NOTHING_LABELLED = 3
    INTERRUPTED = 130


class AnnotatorError(Exception):
    """A fault with a sentence for the user. `exit_code` is what the command returns if nothing caught it."""

    exit_code = ExitCode.SOME_FAILED


class UsageError(AnnotatorError):
    """What was asked for can't be done: an unknown class, an option out of bounds, an input that isn't there."""

    exit_code = ExitCode.USAGE


class CheckpointError(UsageError):
    """Weights that can't be loaded: missing, damaged, of another network, or a pickle with code in it."""


class SourceError(AnnotatorError):
    """One recording can't be read or labelled; the others of the run go on."""


class FormatError(SourceError):
    """A label file and its format don't go together: see the two kinds of it."""


class LabelFileError(FormatError, UsageError):
    """A label file that is not what it claims to be, met by reading it."""


class FormatLimitError(FormatError):
    """Labels that a format can't hold, met by writing them."""


class OutputError(AnnotatorError):
    """Labels can't be written (no permission, no space): the run stops, and what is finished stays."""


class RecordingOutputError(OutputError):
    """Labels of one recording can't be written, for a reason that others need not share: they go on."""


@contextmanager
def others_go_on(count: int) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """For work on `count` recordings: a block for each, in which a fault of that recording doesn't end the others.

    Behind them, raises a SourceError with the sentences of those that failed; where all failed in one way, that fault.
    What no recording can do anything about, as a full disk, ends the work at once.
    """
    failed: list[AnnotatorError] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except (UsageError, SourceError, RecordingOutputError) as error:
            failed.append(error)

    yield attempt
    sentences = dict.fromkeys(map(str, failed))
    if len(failed) == count and len(sentences) == 1:
        raise failed[0]
    if failed:
        is_all = len(failed) == count and all(isinstance(error, UsageError) for error in failed)
        raise (UsageError if is_all else SourceError)("; ".join(sentences))


REMEDIES = {  # of faults of one path
    errno.ENAMETOOLONG: "rename the recording, or choose an `out` with a shorter path",
    errno.EACCES: "change its permissions, or choose another `out`",
    errno.EPERM: "change its permissions, or choose another `out`",
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP),
        "move away what is there, or choose another `out`",
    ),
}


def cant_be_written(path: Path, error: Exception, what: str = "") -> OutputError:
    """The fault that `path`, or `what` in it, can't be written, with its remedy: of one recording, or of all."""
    reason = getattr(error, "strerror", None) or error
    number = getattr(error, "errno", None)
    sentence = f"{path}: {what}{' ' * bool(what)}can't be written ({reason});"
    if number in REMEDIES:
        return RecordingOutputError(f"{sentence} {REMEDIES[number]}, and run the command again")
    return OutputError(f"{sentence} make room or choose another place, and run the command again")


class UnreadableError(UsageError):
    """What was given to be read, or something in it, can't be."""


def unreadable(error: OSError, path: Path | None = None) -> UnreadableError:
    """The fault that what was given to be read, or something in it, can't be."""
    named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
    return UnreadableError(
        f"{named}: can't be read ({error.strerror or error}); check that it is there and may be read"
    )


class ServerError(AnnotatorError):
    """A server does not answer, or not as it should."""


class ServerUnavailable(ServerError):
    """A server is away or busy: it is worth asking again later."""


class NotFound(ServerError):
    """What was asked of a server is not there, or not for this token."""
