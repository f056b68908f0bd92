"""spatialemb-annotate: recordings in, label files out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator import __version__
from annotator.errors import ExitCode, OutputError
from annotator.escape import to_json
from annotator.fleet.supervision import Link, supervised
from annotator.options import (
    AnnotationJob,
    Attempts,
    CvatOptions,
    DetectionOptions,
    EngineOptions,
    FaultOptions,
    StorageOptions,
    TrackingOptions,
)

from . import shell
from .options import GroupedCommand, build, options_from

if TYPE_CHECKING:
    from annotator.pipeline.run import Run
    from annotator.store.records import SourceRecord


def _doctor(context: click.Context, parameter: click.Parameter, is_asked: bool) -> None:
    """Tell what this machine has, and end."""
    if is_asked:
        from .doctor import examine

        findings = examine()
        shell.print_result("\n".join(finding.line for finding in findings))
        context.exit(ExitCode.SOME_FAILED if any(finding.is_fault for finding in findings) else ExitCode.OK)


@click.command(name="spatialemb-annotate", cls=GroupedCommand)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@options_from(
    AnnotationJob,
    DetectionOptions,
    TrackingOptions,
    CvatOptions,
    FaultOptions,
    StorageOptions,
    EngineOptions,
)
@click.option("--quiet", is_flag=True, help="Show no progress and no table.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on stdout.")
@click.option(
    "--doctor",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_doctor,
    help="Look at what this machine has to label with, and end: 1 where something is missing that is needed.",
)
@click.version_option(__version__, prog_name="spatialemb-annotate", message="%(prog)s %(version)s")
@click.pass_obj
@shell.verbose
def command(link: Link | None, /, inputs: tuple[Path, ...], quiet: bool, as_json: bool, **values: Any) -> int:
    """Label every object in videos and image folders.

    INPUT is a video, a folder of images, or a folder of recordings; several may be given. The labels of each
    recording go to a folder of its own in --out. The same command again goes on where it stopped.

    \b
    Exit codes: 0 all labelled, 1 some recordings failed, 2 wrong usage, 3 no recording could be labelled,
    130 interrupted.
    """
    link = link or Link()
    job = _job(values, inputs, link.past)
    if job.engine.engine == "local":
        link.bounds(job.faults)  # workers of a cluster are watched by its driver
    # Torch and the like must not be behind --help, nor behind wrong usage.
    from annotator.fleet.engine import annotate
    from annotator.pipeline.events import RunStarted, SourceEnded, SourceTaken

    from .progress import display, summary_table

    run: Run | None = None
    unchanged = {name for name, changed in link.past.ended.items() if not changed}
    code: int = ExitCode.OK
    try:
        with display(quiet) as screen, closing(annotate(job)) as events:
            for event in events:
                link.beats()
                match event:
                    case SourceTaken() if job.engine.engine == "local":
                        link.begins(event.name)
                    case RunStarted():
                        run = event.run
                        if event.passed_over and not link.past.deaths:
                            shell.warn(passed_over(event.passed_over))
                    case SourceEnded(record=record, changed=False):
                        unchanged.add(record.name)
                    case SourceEnded(record=record) if record.error and quiet:
                        shell.report_error(record.error)
                screen.show(event)
                if isinstance(event, SourceEnded):
                    link.ends(event.record.name, event.changed)
    except KeyboardInterrupt:
        shell.report_error("interrupted; the same command goes on where it stopped")
        code = ExitCode.INTERRUPTED
    except OutputError as error:
        shell.report_error(str(error))
        code = ExitCode.SOME_FAILED
    if run is None:
        return code
    code = code if code == ExitCode.INTERRUPTED else max(code, exit_code(run.records))
    if as_json:
        shell.print_result(to_json(summary(run, unchanged, code)))
    elif not quiet:
        shell.print_result(summary_table(run.records, unchanged))
        if len(unchanged) == len(run.records):
            shell.print_result(f"all is done: {job.out} holds the labels already")
    return code


def _job(values: dict[str, Any], inputs: tuple[Path, ...], past: Attempts) -> AnnotationJob:
    """What the options ask for. Raises UsageError."""
    return build(
        AnnotationJob,
        values,
        inputs=inputs,
        detection=build(DetectionOptions, values),
        tracking=build(TrackingOptions, values),
        publishing=build(CvatOptions, values),
        faults=build(FaultOptions, values),
        storage=build(StorageOptions, values),
        engine=build(EngineOptions, values),
        past=past,
    )


def passed_over(paths: Sequence[Path]) -> str:
    """What was found and isn't labelled, in a sentence."""
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    said = []
    if files:
        said.append(
            f"{len(files)} pictures of kinds that can't be read here: {_first(files)} (save them as JPEG or PNG)"
        )
    if folders:
        said.append(
            f"{len(folders)} folders of recordings below one that holds images itself: {_first(folders)}"
            " (name them to label them)"
        )
    return f"passed over {'; and '.join(said)}"


def _first(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")


def exit_code(records: list[SourceRecord]) -> int:
    """What a finished run returns: 0 all labelled, 1 some failed, 3 nothing labelled."""
    done = sum(record.state == "done" for record in records)
    return (
        ExitCode.OK if done == len(records) else ExitCode.SOME_FAILED if done else ExitCode.NOTHING_LABELLED
    )


def summary(run: Run, unchanged: set[str], code: int) -> dict[str, Any]:
    """What --json prints."""
    sources = [{**asdict(record), "already_done": record.name in unchanged} for record in run.records]
    return {"out": str(run.out), "exit_code": code, "sources": sources}


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(supervised(lambda link: shell.run(command, obj=link), shell.warn))


if __name__ == "__main__":
    main()
