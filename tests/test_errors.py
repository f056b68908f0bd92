"""Faults are told apart by their cause, and each cause has its exit code."""

from __future__ import annotations

import pytest

from annotator.errors import (
    AnnotatorError,
    ExitCode,
    FormatError,
    FormatLimitError,
    LabelFileError,
    NotFound,
    OutputError,
    ServerUnavailable,
    SourceError,
    UsageError,
    others_go_on,
)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UsageError, ExitCode.USAGE),
        (LabelFileError, ExitCode.USAGE),
        (FormatLimitError, ExitCode.SOME_FAILED),
        (SourceError, ExitCode.SOME_FAILED),
        (OutputError, ExitCode.SOME_FAILED),
        (ServerUnavailable, ExitCode.SOME_FAILED),
        (NotFound, ExitCode.SOME_FAILED),
    ],
)
def test_each_cause_has_its_exit_code(fault: type[AnnotatorError], code: ExitCode) -> None:
    assert fault("why").exit_code == code


def test_reading_and_writing_label_files_are_kinds_of_one_fault() -> None:
    assert issubclass(LabelFileError, FormatError)
    assert issubclass(FormatLimitError, FormatError)
    assert not issubclass(FormatLimitError, UsageError)


def test_label_files_of_which_none_can_be_read_are_wrong_usage_as_a_whole() -> None:
    def read(*faults: AnnotatorError) -> None:
        with others_go_on(len(faults)) as attempt:
            for fault in faults:
                with attempt():
                    raise fault

    with pytest.raises(UsageError, match="a; b"):
        read(LabelFileError("a"), LabelFileError("b"))
    with pytest.raises(SourceError, match="a; b") as caught:
        read(LabelFileError("a"), FormatLimitError("b"))
    assert caught.value.exit_code == ExitCode.SOME_FAILED
