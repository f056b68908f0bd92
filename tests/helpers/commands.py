"""Commands as users meet them, run in this process: what they say, and with which exit code."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import click
import pytest

from cli import shell

Answer = subprocess.CompletedProcess[str]
Run = Callable[..., Answer]  # of the arguments


def in_process(command: click.Command, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command that runs in this process."""

    def run(*arguments: object) -> Answer:
        code = shell.run(command, [str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer([], code, said.out, said.err)

    return run


def assert_one_sentence(answer: Answer, *words: str) -> None:
    """A fault is told in one line, which has these words, and without a traceback."""
    assert "Traceback" not in answer.stderr
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line
