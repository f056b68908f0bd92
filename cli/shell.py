"""What every command owes its shell: one sentence per fault, the right exit code, and no traceback."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from types import FrameType

import click

from annotator.errors import AnnotatorError, ExitCode
from annotator.escape import one_line, printable

from .options import with_flags

DEBUG_VARIABLE = "SPATIALEMB_DEBUG"
SAME_S = 1.0  # between two signals that are two


def run(command: click.Command, arguments: list[str] | None = None, obj: object = None) -> int:
    """Run a command and return its exit code. Faults are reported on stderr, each in one sentence.

    `obj` is for the command, as Click has it.
    """
    log, handler = logging.getLogger("annotator"), _LogOnStderr()
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.WARNING)  # whatever other libraries set for all loggers
    interrupt = _Interrupt()
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        result = command.main(arguments, standalone_mode=False, obj=obj)
        return result if isinstance(result, int) else ExitCode.OK
    except click.ClickException as error:
        report_error(" ".join(error.format_message().split()))  # choices come in lines
        return ExitCode.USAGE
    except AnnotatorError as error:
        report_error(str(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        report_error("interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        report_error(f"unexpected fault ({kind}); set {DEBUG_VARIABLE}=1 to see where, and please report it")
        return ExitCode.SOME_FAILED
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        for number, action in before.items():
            signal.signal(number, action)


class _LogOnStderr(logging.Handler):
    """Shows what the library logs: warnings as those of the command, all else by where it is from."""

    def emit(self, record: logging.LogRecord) -> None:
        sentence = record.getMessage()
        if record.levelno >= logging.WARNING:
            warn(sentence)
        else:
            click.echo(one_line(with_flags(f"{record.name}: {sentence}")), err=True)


def _set_verbosity(context: click.Context, option: click.Parameter, count: int) -> None:
    if count:
        logging.getLogger("annotator").setLevel(logging.INFO if count == 1 else logging.DEBUG)


verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    is_eager=True,
    expose_value=False,
    callback=_set_verbosity,
    help="Tell on stderr what is decided on the way; -vv tells more.",
)


def report_error(sentence: str) -> None:
    """Say what went wrong, on stderr."""
    click.echo(one_line(with_flags(f"error: {sentence}")), err=True)


def warn(sentence: str) -> None:
    """Say on stderr what a user should know of a command that goes on."""
    click.echo(one_line(with_flags(f"warning: {sentence}")), err=True)


def print_result(text: str) -> None:
    """Print the result on stdout; that nobody reads it any more is no fault."""
    try:
        print(_encodable(with_flags(text)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit


def _encodable(text: str) -> str:
    """Text as stdout can show it, whatever its encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


class _Interrupt:
    """Ends a command once, however many send the signal: a terminal to all its processes, and a parent to its child."""

    def __init__(self) -> None:
        self._last = -SAME_S

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        is_new, self._last = now - self._last >= SAME_S, now
        if is_new:
            raise KeyboardInterrupt
