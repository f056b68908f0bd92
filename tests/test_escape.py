"""What names hold does nothing to a terminal, and stays what it is in JSON."""

from __future__ import annotations

import pytest

from annotator.escape import one_line


@pytest.mark.parametrize("char", ["\x1b", "\r", "\x9b", "\u202e", "\u2066", "\u2028"])
def test_what_moves_a_terminal_or_turns_its_text_is_written_as_its_number(char: str) -> None:
    assert one_line(f"a{char}b") == f"a\\u{ord(char):04x}b"


@pytest.mark.parametrize(
    "name", ["\u65e5\u672c\u3000.png", "\u0639\u0631\u0628\u064a.png", "d\u00e9j\u00e0.png"]
)
def test_names_of_any_language_stay_as_they_are(name: str) -> None:
    assert one_line(name) == name
