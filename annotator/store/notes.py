"""What the notes of a store hold: a store comes from anywhere, and what reads them may trust in their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EDITED = "edited"  # key in the note "tracked": tracks as people made them, not to be made anew unasked
TRACKING_LOSSES = "tracking losses"  # key of the note of what association lost, in words, and how many


def is_note(key: str, value: Any) -> bool:
    """Whether what stands under a key of the table `meta` can have been written there."""
    return value is None or KINDS.get(key, _is_anything)(value)


def _is_anything(value: Any) -> bool:
    return True


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_remarks(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_are_texts, value.values()))


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int and count >= 0 for count in value.values())


def _are_published(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_published, value.values()))


def _is_published(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("options"), dict | None):
        return False
    return _are_counts(entry.get("files")) and _are_counts(entry.get("losses"))


KINDS: Mapping[str, Callable[[Any], bool]] = {
    "fingerprint": _is_record,
    "note.detected": _is_flag,
    "note.evenly": _is_flag,
    "note.tracked": _is_record,
    "note.tracks": _is_text,
    "note.edits": _are_texts,
    "note.remarks": _are_remarks,
    "note.published": _are_published,
    f"note.{TRACKING_LOSSES}": _are_counts,
}
