"""What a recording has been through: records in the code, JSON notes in the store beneath.

A store comes from anywhere, so every note is checked before it becomes a part of a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from annotator.errors import UsageError
from annotator.options import TrackingOptions

EDITED = "edited"  # key in the note "tracked"


@dataclass(frozen=True)
class Edited:
    """Tracks as people made or changed them: they are not made anew unasked."""

    edits: int = 0  # made by this tool, since they came


@dataclass(frozen=True)
class OtherTracking:
    """Tracks made with options that this version doesn't have."""

    options: Mapping[str, Any]


Tracking = TrackingOptions | Edited | OtherTracking


@dataclass(frozen=True)
class Publication:
    """The files of a format, and what they were made of."""

    files: Mapping[str, int]  # names within the recording's folder, and how many files each is
    losses: Mapping[str, int] = field(default_factory=dict)  # what the format could not hold, and how many
    tracking: Tracking | None = None  # of the recording, when they were written
    tracks_digest: str | None = None
    options: Mapping[str, Any] | None = None  # of the format, by field name


@dataclass(frozen=True)
class Progress:
    """What a recording has been through. `Store.progress` reads it, `Store.update` keeps it."""

    detected: bool = False  # all frames are in the store
    goes_by_index: bool = False  # frames follow evenly by their index, because their times are out of order
    tracking: Tracking | None = None  # what made the tracks; None before they are complete
    tracks_digest: str | None = (
        None  # tells these tracks from others, made with the same options as they may be
    )
    tracking_losses: Mapping[str, int] = field(default_factory=dict)  # in words, and how many
    edits: tuple[str, ...] = ()  # in words, oldest first
    remarks_by_step: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # sentences
    published: Mapping[str, Publication] = field(default_factory=dict)  # by the name of the format

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be told of the recording, in sentences, by step."""
        by_step = self.remarks_by_step
        return tuple(sentence for step in sorted(by_step) for sentence in by_step[step])

    def with_remarks(self, step: str, sentences: tuple[str, ...]) -> Progress:
        """Return the same with what a step has to say, in place of what it said before."""
        return replace(self, remarks_by_step={**self.remarks_by_step, step: sentences})

    def with_publication(self, name: str, publication: Publication) -> Progress:
        """Return the same with the files of a format, in place of those before."""
        return replace(self, published={**self.published, name: publication})


IMPORTED = Progress(detected=True, tracking=Edited())  # labels that are complete when they come into a store


# ---- to and from JSON


def to_notes(progress: Progress) -> dict[str, Any]:
    """Return the JSON of every note, by key."""
    return {
        "detected": progress.detected,
        "evenly": progress.goes_by_index,
        "tracked": _tracking_to_json(progress.tracking),
        "tracks": progress.tracks_digest,
        "tracking losses": dict(progress.tracking_losses),
        "edits": list(progress.edits),
        "remarks": {step: list(said) for step, said in progress.remarks_by_step.items()},
        "published": {name: _publication_to_json(each) for name, each in progress.published.items()},
    }


def from_notes(notes: Mapping[str, Any]) -> Progress:
    """Read the notes of a store, each None where it lacks. Raises ValueError, naming a note that can't be one."""
    for key, value in notes.items():
        if value is not None and not NOTES.get(key, _is_anything)(value):
            raise ValueError(f"note.{key} is odd")
    published = notes.get("published") or {}
    remarks = notes.get("remarks") or {}
    return Progress(
        detected=bool(notes.get("detected")),
        goes_by_index=bool(notes.get("evenly")),
        tracking=_tracking_from_json(notes.get("tracked")),
        tracks_digest=notes.get("tracks"),
        tracking_losses=notes.get("tracking losses") or {},
        edits=tuple(notes.get("edits") or ()),
        remarks_by_step={step: tuple(sentences) for step, sentences in remarks.items()},
        published={name: _publication_from_json(entry) for name, entry in published.items()},
    )


def _tracking_to_json(tracking: Tracking | None) -> dict[str, Any] | None:
    match tracking:
        case None:
            return None
        case Edited(edits):
            return {EDITED: edits}
        case OtherTracking(options):
            return dict(options)
    return asdict(tracking)


def _tracking_from_json(note: Any) -> Tracking | None:
    if not isinstance(note, dict) or not note:
        return None
    if EDITED in note:
        return Edited(note[EDITED] if isinstance(note[EDITED], int) else 0)
    if note.keys() == {each.name for each in fields(TrackingOptions)}:
        try:
            return TrackingOptions(**note)
        except (TypeError, UsageError):
            pass  # another version may allow them
    return OtherTracking(note)


def _publication_to_json(publication: Publication) -> dict[str, Any]:
    return {
        "files": dict(publication.files),
        "losses": dict(publication.losses),
        "tracked": _tracking_to_json(publication.tracking),
        "tracks": publication.tracks_digest,
        "options": None if publication.options is None else dict(publication.options),
    }


def _publication_from_json(entry: Mapping[str, Any]) -> Publication:
    tracks = entry.get("tracks")
    return Publication(
        entry["files"],
        entry["losses"],
        _tracking_from_json(entry.get("tracked")),
        tracks if isinstance(tracks, str) else None,
        entry.get("options"),
    )


# ---- what notes can be


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


NOTES: Mapping[str, Callable[[Any], bool]] = {
    "detected": _is_flag,
    "evenly": _is_flag,
    "tracked": _is_record,
    "tracks": _is_text,
    "edits": _are_texts,
    "remarks": _are_remarks,
    "published": _are_published,
    "tracking losses": _are_counts,
}
