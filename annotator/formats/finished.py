"""Whether runs hold all that they are to hold, so that half of a recording is not taken for the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from annotator.errors import SourceError, UsageError
from annotator.escape import read_object
from annotator.formats.label_set import LabelSet, RecordingLabels
from annotator.formats.run.format import RUN
from annotator.options import ReadingOptions
from annotator.store import Store
from annotator.store.lock import RUN_FILE

DONE = "done"  # in run.json
MOST_NAMED = 5


def require_finished(side: LabelSet, reading: ReadingOptions) -> None:
    """Raise UsageError, saying what is lacking, for a run with recordings that are not labelled to their end.

    Nothing is said where `reading` takes them as they are, nor of a store that can't be read, which its reader tells.
    """
    if side.format is not RUN or reading.unfinished:
        return
    found = {labels.name: _lacking(labels) for labels in side.labels}
    lacking = [f"{name} ({why})" for name, why in found.items() if why]
    states = _states(side.path / RUN_FILE)
    lacking += [f"{name} ({state})" for name, state in states.items() if name not in found and state != DONE]
    if lacking:
        more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
        raise UsageError(
            f"{side.path}: is not finished: {', '.join(lacking[:MOST_NAMED])}{more}; run spatialemb-annotate again, or"
            " take what is there with `unfinished`"
        )


def _lacking(labels: RecordingLabels) -> str:
    """What the labels of a recording lack, in words; nothing when they are complete."""
    try:
        with Store.read(labels.path) as store:
            progress = store.progress
            if not progress.detected:
                return f"{store.frame_count} frames so far"
            return "" if progress.tracking else "without its tracks"
    except SourceError:
        return ""


def _states(path: Path) -> Mapping[str, str]:
    """The recordings of a run and how it went with each; none when there is no run.json that says so."""
    sources = read_object(path).get("sources")
    if not isinstance(sources, list):
        return {}
    records = [source for source in sources if isinstance(source, dict) and "state" in source]
    return {str(source.get("name")): str(source["state"]) for source in records}
