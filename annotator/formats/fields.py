"""Numbers and names in label files that people and other tools wrote: taken if they are, else named in a sentence.

Every function takes what a field is called and what stands in it, and raises ValueError for what can't be meant.
"""

from __future__ import annotations

import json
import re
from typing import Any

WHOLE = re.compile(r"\s*[+-]?[0-9]{1,40}(?:\.0*)?\s*")
MOST = 1 << 63  # what SQLite and numpy hold
LONGEST_SHOWN = 40  # characters of a value in a sentence


def whole(name: str, value: Any) -> int:
    """A whole number: one, a float without a fraction, or a text that is one."""
    number = value
    if type(value) is not int:
        text = repr(value) if isinstance(value, float) else _text(value)
        if text is None or not WHOLE.fullmatch(text):
            raise ValueError(f"{name} {shown(value)} is no whole number")
        number = int(text.partition(".")[0])
    if abs(number) >= MOST:
        raise ValueError(f"{name} {shown(value)} is too large a number")
    return number


def score_of(value: Any) -> float:
    """A score from 0 to 1: a number, or a text that is one."""
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"score {shown(value)} is no number") from None
    if not 0 <= score <= 1:
        raise ValueError(f"a score of {score}; scores are from 0 to 1")
    return score


def flag(name: str, value: Any) -> bool:
    """Whether something is so: a boolean, a number, nothing, or a text as people write it."""
    if value is None or isinstance(value, (bool, int)):
        return bool(value)
    text = str(value).strip().casefold() if isinstance(value, (str, float)) else "?"
    if text in ("", "0", "0.0", "false", "no", "none"):
        return False
    if text in ("1", "1.0", "true", "yes"):
        return True
    raise ValueError(f"{name} {shown(value)} is neither 0 nor 1")


def shown(value: Any) -> str:
    """A value as a file has it, cut where it is long."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):  # numbers of thousands of digits, or what is deep
        text = f"of {type(value).__name__}s" if isinstance(value, (list, dict)) else "too large"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else None
