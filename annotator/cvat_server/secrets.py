"""Text of a server as it may be shown: without the token in any form, and without what a terminal would obey."""

from __future__ import annotations

import base64
import html
import json
import re
import traceback
from urllib.parse import quote, quote_plus

LONGEST = 300  # characters of what a server says


class Secret:
    """A token, printable ASCII, that must not be shown."""

    def __init__(self, token: str) -> None:
        self._pattern = re.compile("|".join(map(re.escape, _forms(token))), re.IGNORECASE)

    def hidden_in(self, text: str) -> str:
        """The text with an ellipsis in the place of the token, however it is written there."""
        return self._pattern.sub("…", text)

    def is_in(self, error: BaseException) -> bool:
        """Whether the traceback of an error would show the token."""
        return bool(self._pattern.search("".join(traceback.format_exception(error))))


def printable(text: str) -> str:
    """The text in one line, and without control characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def one_line(text: str) -> str:
    """The same, and not too long."""
    line = printable(text)
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


def _forms(token: str) -> list[str]:
    """How a token may be written, longest first: quoted for an address, a page, JSON or Python, or in base64."""
    forms = {
        token,
        quote(token),
        quote(token, safe=""),
        quote_plus(token),
        "".join(f"%{byte:02x}" for byte in token.encode()),
        html.escape(token),
        json.dumps(token)[1:-1],
        repr(token)[1:-1],
        repr(token.encode())[2:-1],
        repr(repr(token))[2:-2],
        token.encode().hex(),
    }
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # where the token begins in a group of three bytes
            whole = encode(b" " * before + token.encode()).decode().rstrip("=")
            # The characters at both ends depend on the neighbours too.
            forms.add(whole[(0, 2, 3)[before] : len(whole) - ((before + len(token)) % 3 > 0)])
    return sorted(filter(None, forms), key=len, reverse=True)
