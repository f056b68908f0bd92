"""spatialemb-convert: labels of one kind in, of another out; and what else there is to do with labels."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.errors import ExitCode, UsageError
from annotator.labels import class_ids
from annotator.options import ConversionJob, CvatOptions, EditJob, PairingOptions, ReadingOptions

from . import shell
from .options import RenamedOption, build, options_from

CONVERT = "convert"
PATH = click.Path(path_type=Path)


class DefaultGroup(click.Group):
    """Commands, of which CONVERT need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name there that was left out."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "--version"):
            args = [CONVERT, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help of CONVERT, and what other commands there are."""
        default = self.commands[CONVERT]
        with click.Context(default, info_name=ctx.info_name, parent=ctx.parent) as inner:
            default.format_help(inner, formatter)
        self.format_commands(ctx, formatter)


@click.group(name="spatialemb-convert", cls=DefaultGroup)
@click.version_option(__version__, prog_name="spatialemb-convert", message="%(prog)s %(version)s")
def command() -> None:
    """Convert, check, compare and edit labels."""


@command.command(CONVERT, hidden=True)
@click.argument("source", metavar="SRC", type=PATH)
@options_from(ConversionJob, PairingOptions, ReadingOptions, CvatOptions)
@click.option("--quiet", is_flag=True, help="Say nothing of what was made.")
@shell.verbose
def convert(source: Path, quiet: bool, **values: Any) -> None:
    """Convert labels.

    SRC is recognized by what it holds: a folder that spatialemb-annotate wrote, or one recording of it, Cityscapes
    instanceIds, polygons or results, COCO JSON or a list of results, CVAT XML or the .zip of an export, labelme JSON,
    YOLO text, MOTS text.

    \b
    Exit codes: 0 converted, 1 the format can't hold the labels, 2 wrong usage or labels that can't be read,
    130 interrupted.
    """
    publishing, reading = build(CvatOptions, values), build(ReadingOptions, values)
    pairing = build(PairingOptions, values)
    job = build(ConversionJob, values, source=source, reading=reading, pairing=pairing, publishing=publishing)
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.pipeline import convert as conversion

    done = []
    for converted in conversion.convert(job):
        done.append(converted)
        if not quiet:
            shell.print_result(describe(converted))
    warn_of_unmet_names(reading.map, done)


@command.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@shell.verbose
def check(paths: tuple[Path, ...]) -> int:
    """List what would make an import of labels fail, or change them.

    PATH is a label file, a folder of them, or a run with all its label files.

    \b
    Exit codes: 0 nothing that is an error was found, 1 errors were found, 2 wrong usage, 130 interrupted.
    """
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.formats.check import ERROR
    from annotator.formats.check import check as findings

    counts = Counter[str]()
    for finding in (finding for path in paths for finding in findings(path)):
        counts[finding.severity] += 1
        shell.print_result(f"{finding.severity}: {finding.where}: {finding.message}")
    shell.print_result(
        ", ".join(f"{count} {what}s" for what, count in sorted(counts.items())) or "nothing was found"
    )
    return ExitCode.SOME_FAILED if counts[ERROR] else ExitCode.OK


@command.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.option("--relabel", multiple=True, metavar="TRACK=CLASS", help="Give a track another class.")
@click.option(
    "--split",
    "--cut",
    cls=RenamedOption,
    multiple=True,
    metavar="TRACK@FRAME",
    help="Make a new track from this frame on.",
)
@click.option(
    "--merge",
    "--join",
    cls=RenamedOption,
    multiple=True,
    metavar="TRACK,TRACK,...",
    help="Make one track of several.",
)
@click.option("--delete", multiple=True, metavar="TRACK,...", help="Delete tracks with their objects.")
@shell.verbose
def edit(
    run: Path,
    relabel: tuple[str, ...],
    split: tuple[str, ...],
    merge: tuple[str, ...],
    delete: tuple[str, ...],
) -> None:
    """Change tracks of a run, and publish it again.

    Edits are made in the order of the options here, all or none; each may be repeated. RUN is a run with one
    recording, or a recording of it. `spatialemb-annotate` with the same options keeps edited tracks as they are.
    """
    relabelled = [_pair(text, "=", "--relabel takes TRACK=CLASS, as 12=truck") for text in relabel]
    job = EditJob(
        run,
        relabel=tuple((_number(t, "--relabel"), class_ids([name])[0]) for t, name in relabelled),
        split=tuple(
            (_number(t, "--split"), _number(frame, "--split"))
            for t, frame in (_pair(text, "@", "--split takes TRACK@FRAME, as 12@340") for text in split)
        ),
        merge=tuple(tuple(_number(t, "--merge") for t in text.split(",")) for text in merge),
        delete=tuple(_number(t, "--delete") for text in delete for t in text.split(",")),
    )
    from annotator.pipeline import edit as editing

    for sentence in editing.edit(job):
        shell.print_result(sentence)


@command.command()
@click.argument("machine", metavar="MACHINE", type=PATH)
@click.argument("corrected", metavar="CORRECTED", type=PATH)
@options_from(PairingOptions, ReadingOptions)
@click.option(
    "--kept-iou",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Overlap from which an outline was kept.",
)
@click.option("--seconds", default="", metavar="KIND=NUMBER,...", help="Other seconds than the assumed ones.")
@click.option(
    "--most",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Most frames to name as worth training on.",
)
@click.option("--json", "json_file", type=PATH, help="File for all of it, frame by frame and track by track.")
@shell.verbose
def diff(
    machine: Path,
    corrected: Path,
    kept_iou: float,
    seconds: str,
    most: int,
    json_file: Path | None,
    **values: Any,
) -> None:
    """Tell what people changed, what it cost, and where to train again.

    MACHINE are labels as they were sent, CORRECTED as they came back; both are recognized by what they hold.
    Time is estimated from acts with assumed seconds, which the output states.

    \b
    Exit codes: 0 compared, 2 wrong usage or labels that can't be read or compared, 130 interrupted.
    """
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.evaluation.diff import diff as compare
    from annotator.evaluation.diff import parse_seconds
    from annotator.evaluation.output import require_files
    from annotator.files import write_json

    from .tables import show_diff

    assumed = parse_seconds(seconds)
    require_files([json_file] if json_file else [])
    reading, pairing = build(ReadingOptions, values), build(PairingOptions, values)
    found = compare(machine, corrected, reading, kept_iou, pairing)
    if json_file:
        write_json(json_file, found.as_json(most, assumed))
    show_diff(found, most, assumed)


def _pair(text: str, mark: str, usage: str) -> tuple[str, str]:
    """What stands before and behind a mark. Raises UsageError."""
    before, found, behind = (part.strip() for part in text.partition(mark))
    if not found:
        raise UsageError(f"{usage}, not {text!r}")
    return before, behind


def _number(text: str, flag: str) -> int:
    """A number of a track or frame. Raises UsageError."""
    if not text.strip().isdecimal() or len(text.strip()) > 10:
        raise UsageError(f"{flag}: {text.strip()!r} is no number of a track or frame")
    return int(text)


def describe(converted: Any) -> str:
    """What became of a recording, in a line."""
    losses = "".join(f"; {count} {what}" for what, count in sorted(converted.losses.items()) if count)
    return (
        f"{converted.name}: {converted.frames} frames, {converted.instances} instances,"
        f" {converted.tracks} tracks -> {', '.join(map(str, converted.files))}{losses}"
    )


def warn_of_unmet_names(texts: tuple[str, ...], done: list[Any]) -> None:
    """Say which --map NAME=CLASS met no label of any recording that was converted."""
    for text in texts:
        if done and all(text.rpartition("=")[0].strip() in converted.unmet for converted in done):
            shell.warn(f"--map {text}: no label is called so")


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
