"""Click options made from the option records: names, types, defaults and help are written there, once."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click

from annotator.options import options_of

Record = TypeVar("Record")
Command = Callable[..., Any]


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
        else:
            settings |= _click_type(kind, spec.choices)
            if default is MISSING:
                settings |= {"required": True}
            else:
                shown = (",".join(default) or False) if isinstance(default, tuple) else default is not None
                settings |= {"default": default, "show_default": shown}
        made.append(click.option(flag, name, **settings))
    return made


def _plain(hint: Any) -> Any:
    """The type of a field without `| None`; `tuple` for any tuple."""
    if get_origin(hint) is types.UnionType:
        (hint,) = (part for part in get_args(hint) if part is not types.NoneType)
    return tuple if get_origin(hint) is tuple else hint


def _click_type(kind: Any, choices: tuple[str, ...]) -> dict[str, Any]:
    if kind is tuple:
        return {"type": names, "metavar": "NAME,..."}
    if kind is Path:
        return {"type": click.Path(path_type=Path)}
    return {"type": click.Choice(choices) if choices else kind}
