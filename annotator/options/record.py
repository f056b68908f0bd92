"""What an option is, and how records of options are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from annotator.errors import UsageError

GROUPS = ("Input", "Output", "Detection", "Tracks", "CVAT", "Long runs")  # of options, as help lists them


@dataclass(frozen=True)
class Option:
    """What there is to know of a field beyond its name, type and default."""

    help: str
    flag: str = ""  # as written on the command line, when that is not the field's name
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    repeated: str = ""  # what a value is called, of an option that is given once for each
    group: str = ""  # of GROUPS, under which help lists it, if not that of its record

    def flag_of(self, name: str) -> str:
        """The option of field `name` as it is written on the command line."""
        return self.flag or "--" + name.replace("_", "-")

    def check(self, name: str, value: object) -> None:
        """Raise UsageError when `value` is out of bounds or not one of the choices."""
        values = value if isinstance(value, tuple) else (value,)
        for number in values:
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                self._check_bounds(name, number)
        if self.choices:
            for unknown in (v for v in values if v is not None and v not in self.choices):
                raise UsageError(f"`{name}` does not know {unknown!r}; choose from {', '.join(self.choices)}")

    def _check_bounds(self, name: str, value: float) -> None:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not low <= value <= high:  # also false for nan
            bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            raise UsageError(f"`{name}` must be {bounds}, not {value:g}")


def option(help: str, **details: Any) -> dict[str, Option]:
    """Metadata that makes a field an option."""
    return {"option": Option(help=help, **details)}


def options_of(record: type | object) -> Mapping[str, Option]:
    """The options of a record by field name, in order; fields that are no options are left out."""
    return {f.name: f.metadata["option"] for f in _fields(record) if "option" in f.metadata}


def group_of(record: type, spec: Option) -> str:
    """Of GROUPS, where help lists an option of a record; "" where it has no group of its own."""
    return spec.group or getattr(record, "GROUP", "")


def check(record: object) -> None:
    """Check every option of a record against its bounds and choices."""
    for name, spec in options_of(record).items():
        spec.check(name, getattr(record, name))


def _fields(record: Any) -> tuple[Field[Any], ...]:
    return fields(record)
