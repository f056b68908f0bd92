"""spatialemb-cvat: runs to a CVAT server, and corrections back."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.errors import ExitCode
from annotator.options import PullJob, PushJob, ReadingOptions

from . import shell
from .convert import describe, warn_of_unmet_names
from .options import build, options_from

PATH = click.Path(path_type=Path)
SECONDS_BETWEEN_LINES = 5.0
WORTH_TELLING = 1_000_000  # bytes of an upload; less is sent at once


@click.group(name="spatialemb-cvat")
@click.version_option(__version__, prog_name="spatialemb-cvat", message="%(prog)s %(version)s")
def command() -> None:
    """Send runs to a CVAT server, and fetch what people made of them.

    The token of the server is read from CVAT_ACCESS_TOKEN, or from where `cvat-cli profile` keeps it.

    \b
    Exit codes: 0 all is there, 1 some recordings are not, or the server is away, 2 wrong usage or no token,
    130 interrupted.
    """


@command.command()
@click.argument("run", metavar="RUN", type=PATH)
@options_from(PushJob)
@shell.verbose
def push(run: Path, **values: Any) -> int:
    """Make a task of every recording of a run, with its video, labels and tracks.

    The same command again goes on where it stopped, and sends tracks again that were changed here. What people
    edited meanwhile is left alone, unless --replace is given.
    """
    job = build(PushJob, values, run=run)
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.cvat_server import push as exchange

    code = ExitCode.OK
    for pushed in exchange.push(job, _Sent().update):
        if pushed.error:
            shell.report_error(pushed.error)
            code = ExitCode.SOME_FAILED
        else:
            shell.print_result(f"{pushed.name}: task {pushed.task_id}: {pushed.what}")
    return code


@command.command()
@click.argument("run", metavar="RUN", type=PATH)
@options_from(PullJob, ReadingOptions)
@shell.verbose
def pull(run: Path, **values: Any) -> int:
    """Fetch the corrections of a run that was pushed into a run of their own.

    Frames keep the names and times of RUN. The export of CVAT lies beside the labels as cvat_export.zip.
    """
    job = build(PullJob, values, run=run, reading=build(ReadingOptions, values))
    from annotator.cvat_server import pull as exchange

    code, fetched = ExitCode.OK, []
    for pulled in exchange.pull(job):
        if pulled.error:
            shell.report_error(pulled.error)
            code = ExitCode.SOME_FAILED
        else:
            shell.print_result(
                describe(pulled.converted) if pulled.converted else f"{pulled.name}: {pulled.what}"
            )
        if pulled.converted:
            fetched.append(pulled.converted)
    warn_of_unmet_names(job.reading.map, fetched)
    return code


class _Sent:
    """Tells on stderr how far an upload is, every few seconds."""

    def __init__(self) -> None:
        self._printed_at = time.monotonic()

    def update(self, done: int, total: int) -> None:
        now = time.monotonic()
        if total >= WORTH_TELLING and now - self._printed_at >= SECONDS_BETWEEN_LINES:
            self._printed_at = now
            click.echo(f"sent {done / 1e6:.1f} of {total / 1e6:.1f} MB", err=True)


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
