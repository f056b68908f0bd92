"""spatialemb-convert: labels of one kind in, of another out; and what else there is to do with labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from annotator import __version__
from annotator.options import ConversionJob
from cli import shell
from cli.options import build, options_from

CONVERT = "convert"
PATH = click.Path(path_type=Path)


class WithDefault(click.Group):
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


@click.group(name="spatialemb-convert", cls=WithDefault)
@click.version_option(__version__, prog_name="spatialemb-convert", message="%(prog)s %(version)s")
def command() -> None:
    """Convert, check, compare and edit labels."""


@command.command(CONVERT, hidden=True)
@click.argument("source", metavar="SRC", type=PATH)
@options_from(ConversionJob)
@click.option(
    "--map",
    multiple=True,
    metavar="NAME=CLASS",
    help="Class of a label that is not called as in Cityscapes, or none to leave it out; may be repeated.",
)
@click.option("--quiet", is_flag=True, help="Say nothing of what was made.")
def convert(source: Path, map: tuple[str, ...], quiet: bool, **values: Any) -> None:
    """Convert labels.

    SRC is recognised by what it holds: a folder that spatialemb-annotate wrote, or one recording of it, Cityscapes
    instanceIds or results, COCO JSON or a list of results, CVAT XML or the .zip of an export, MOTS text.

    \b
    Exit codes: 0 converted, 1 the format can't hold the labels, 2 wrong usage or labels that can't be read,
    130 interrupted.
    """
    job = build(ConversionJob, values, source=source, map=map)
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator import conversion

    for converted in conversion.convert(job):
        if not quiet:
            shell.show(_told(converted))


def _told(converted: Any) -> str:
    """What became of a recording, in a line."""
    losses = "".join(f"; {count} {what}" for what, count in sorted(converted.losses.items()) if count)
    return (
        f"{converted.name}: {converted.frames} frames, {converted.instances} instances,"
        f" {converted.tracks} tracks -> {', '.join(map(str, converted.files))}{losses}"
    )


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
