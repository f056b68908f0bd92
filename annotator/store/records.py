"""What `run.json` says of the recordings of a run: written by runs, and read whatever is in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from annotator.escape import read_object
from annotator.store.journal import Journal
from annotator.store.lock import RUN_FILE

PENDING, RUNNING, DONE, FAILED, INTERRUPTED = "pending", "running", "done", "failed", "interrupted"


@dataclass(frozen=True)
class SourceRecord:
    """How it went with one source."""

    name: str
    path: str  # absolute: a run is used from other folders than it was made in
    state: str = PENDING
    frames: int = 0
    gaps: int = 0  # stretches that could not be decoded
    gap_reasons: tuple[str, ...] = ()  # the first of them, in words
    remarks: tuple[str, ...] = ()  # what else is to be told of it, in sentences
    instances: int = 0
    tracks: int = 0
    losses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # what each format could not hold
    error: str | None = None  # one sentence
    seconds: float = 0.0  # spent on it by the run that brought it to this state
    fingerprint: Mapping[str, Any] | None = None  # all that shaped its labels


def record_files(out: Path) -> list[Path]:
    """run.json, then the files of shards that are not taken in yet, the newest last."""
    shards = [
        path for path in out.glob("run.*-of-*.json") if re.fullmatch(r"run\.\d+-of-\d+\.json", path.name)
    ]
    return [out / RUN_FILE, *sorted(shards, key=lambda path: path.stat().st_mtime_ns)]


def read_records(path: Path, is_over: bool = True) -> dict[str, SourceRecord]:
    """The records of the runs before this one, as far as they can be understood; none without a readable run.json.

    What was under work is interrupted, if the run `is_over`.
    """
    sources = read_object(path).get("sources")
    found = chain(sources if isinstance(sources, list) else (), Journal(path).changes())
    records = filter(None, map(record_of, found))
    return {
        record.name: replace(record, state=INTERRUPTED) if is_over and record.state == RUNNING else record
        for record in records
    }


def record_of(source: Any) -> SourceRecord | None:
    """What JSON says of a source, None where it has no name; what can be no such value is as if it weren't there."""
    if not isinstance(source, dict) or not all(ENTRIES[key](source.get(key)) for key in ("name", "path")):
        return None
    known: dict[str, Any] = {
        key: value for key, value in source.items() if key in ENTRIES and ENTRIES[key](value)
    }
    lists: dict[str, Any] = {key: tuple(value) for key, value in known.items() if isinstance(value, list)}
    return SourceRecord(**{**known, **lists})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_losses(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(of_format, dict) and all(map(_is_count, of_format.values()))
        for of_format in value.values()
    )


ENTRIES: Mapping[str, Callable[[Any], bool]] = {  # of SourceRecord, and what they can be
    "name": lambda value: _is_text(value) and bool(value),
    "path": lambda value: _is_text(value) and "\0" not in value,
    "state": lambda value: value in (PENDING, RUNNING, DONE, FAILED, INTERRUPTED),
    **dict.fromkeys(("frames", "gaps", "instances", "tracks"), _is_count),
    **dict.fromkeys(("gap_reasons", "remarks"), _are_texts),
    "losses": _are_losses,
    "error": lambda value: value is None or _is_text(value),
    "seconds": lambda value: isinstance(value, int | float),
    "fingerprint": lambda value: value is None or isinstance(value, dict),
}
