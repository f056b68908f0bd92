"""Click options made from the option records: names, types, defaults and help are written there, once."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from annotator import options
from annotator.options import GROUPS, group_of, options_of

NAMED_OPTION = re.compile(r"`(\w+(?:=False)?)`")  # in sentences of the library
OF_NO_RECORD = ("delete", "merge", "relabel", "seconds")  # that commands declare by hand
Record = TypeVar("Record")
Command = Callable[..., Any]
SIZE = tuple[int, int]  # (H, W) in pixels


class GroupedOption(click.Option):
    """An option that help lists under the name of its group."""

    def __init__(self, *arguments: Any, group: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group


class RenamedOption(click.Option):
    """An option that help lists by the first of its names; what it was called before goes on."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The line of help."""
        before, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = before


class GroupedCommand(click.Command):
    """A command whose help lists options by group, the most used first in each, and those of no group behind."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        lines: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, "Other")}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                lines[getattr(parameter, "group", "") or "Other"].append(line)
        for group, of_group in lines.items():
            if of_group:
                with formatter.section(group):
                    formatter.write_dl(of_group)


def options_from(*records: type) -> Callable[[Command], Command]:
    """Give a command the options of these records, in their order."""
    made = [make for record in records for make in _click_options(record)]

    def decorate(command: Command) -> Command:
        for make in reversed(made):
            command = make(command)
        return command

    return decorate


def build(record: type[Record], values: dict[str, Any], **others: Any) -> Record:
    """Make a record from the values that Click collected; `others` are the fields that are no options."""
    return record(**{name: values[name] for name in options_of(record)}, **others)


def chosen(context: click.Context, record: type, values: dict[str, Any]) -> dict[str, Any]:
    """What the command line says of a record's options, without defaults."""
    return {
        name: values[name]
        for name in options_of(record)
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


def with_flags(text: str) -> str:
    """Text with the options that the library names by their fields, as `overwrite`, named as they are given here."""
    return NAMED_OPTION.sub(lambda named: _flags().get(named[1], named[0]), text)


@cache
def _flags() -> dict[str, str]:
    """The flag of every option, by its field, and with "=False" where the flag takes away what is the default."""
    flags = {name: f"--{name}" for name in OF_NO_RECORD}
    for record in (getattr(options, name) for name in options.__all__):
        if isinstance(record, type) and is_dataclass(record):
            defaults = {field.name: field.default for field in fields(record)}
            for name, spec in options_of(record).items():
                flags[f"{name}=False" if defaults[name] is True else name] = spec.flag_of(name)
    return flags


def pixels(value: str | tuple[int, int]) -> tuple[int, int]:
    """Height and width from "HxW"."""
    if isinstance(value, tuple):
        return value
    try:
        height, width = value.lower().split("x")
        return int(height), int(width)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not height and width, as 384x768") from None


def names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names separated by commas; spaces and doubles don't matter."""
    if isinstance(value, tuple):
        return value
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _click_options(record: type) -> list[Callable[[Command], Command]]:
    defaults = {field.name: field.default for field in fields(record)}
    hints = get_type_hints(record)
    made: list[Callable[[Command], Command]] = []
    for name, spec in options_of(record).items():
        default, flag = defaults[name], spec.flag_of(name)
        kind = _plain(hints[name])
        settings: dict[str, Any] = {"help": spec.help}
        if kind is bool:
            settings |= {"is_flag": True, "flag_value": not default, "default": default}
        elif spec.repeated:
            settings |= {"multiple": True, "metavar": spec.repeated}
        else:
            settings |= _click_type(kind, spec.choices)
            if default is MISSING:
                settings |= {"required": True}
            else:
                settings |= {"default": default, "show_default": _shown(default)}
        made.append(click.option(flag, name, cls=GroupedOption, group=group_of(record, spec), **settings))
    return made


def _shown(default: Any) -> bool | str:
    """What help says of a default; nothing where the option's own help does."""
    if isinstance(default, tuple):
        return ("x" if isinstance(default[0], int) else ",").join(map(str, default)) if default else False
    return default is not None


def _plain(hint: Any) -> Any:
    """The type of a field without `| None`; `tuple` for any tuple but sizes."""
    if get_origin(hint) is types.UnionType:
        (hint,) = (part for part in get_args(hint) if part is not types.NoneType)
    return tuple if get_origin(hint) is tuple and hint != SIZE else hint


def _click_type(kind: Any, choices: tuple[str, ...]) -> dict[str, Any]:
    if kind is tuple:
        return {"type": names, "metavar": "NAME,..."}
    if kind == SIZE:
        return {"type": pixels, "metavar": "HxW"}
    if kind is Path:
        return {"type": click.Path(path_type=Path)}
    return {"type": click.Choice(choices) if choices else kind}
