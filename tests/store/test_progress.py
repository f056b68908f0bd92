"""What a recording has been through comes back as it was kept, from notes that older versions wrote too."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import SourceError
from annotator.options import TrackingOptions
from annotator.store import Edited, Progress, Publication, Store
from annotator.store.progress import OtherTracking, Tracking, from_notes, to_notes
from tests.helpers.builders import frame_ref
from tests.store.test_store import found

COUNTS = st.dictionaries(st.text(), st.integers(0, 10**9), max_size=3)
SENTENCES = st.lists(st.text(), max_size=3).map(tuple)
TRACKING: st.SearchStrategy[Tracking | None] = st.one_of(
    st.none(),
    st.builds(Edited, st.integers(0, 99)),
    st.builds(OtherTracking, st.just({"min_track": 3, "of another version": True})),
    st.builds(
        TrackingOptions, st.booleans(), st.integers(1, 50), st.floats(0, 60), fill_gaps=st.integers(0, 500)
    ),
)
PUBLICATIONS = st.builds(
    Publication,
    COUNTS,
    COUNTS,
    TRACKING,
    st.none() | st.text(),
    st.none() | st.just({"poly_iou": 0.9, "max_vertices": None}),
)
PROGRESS = st.builds(
    Progress,
    st.booleans(),
    st.booleans(),
    TRACKING,
    st.none() | st.text(),
    COUNTS,
    SENTENCES,
    st.dictionaries(st.text(), SENTENCES, max_size=3),
    st.dictionaries(st.text(), PUBLICATIONS, max_size=3),
)

OLD_NOTES = {  # of the version before these records
    "detected": True,
    "evenly": False,
    "tracked": {"enabled": True, "min_track": 4, "max_gap": 2.5, "fill_gaps": 15},
    "tracks": "c0ffee",
    "tracking losses": {"tracks shorter than 4": 2},
    "remarks": {"detect": ["seen late"], "associate": ["out of order"]},
    "published": {
        "coco": {
            "files": {"coco.json": 1},
            "losses": {"overlaps": 1},
            "tracked": {"edited": 2},
            "tracks": "c0ffee",
            "options": None,
        }
    },
}


@given(PROGRESS)
def test_progress_comes_back_as_it_was_kept(progress: Progress) -> None:
    assert from_notes(json.loads(json.dumps(to_notes(progress)))) == progress


def keep(folder: Path, notes: Mapping[str, Any]) -> None:
    """Make a store with these notes as they lie on disk."""
    with Store.open(folder, {}) as store:
        store.add([found(0)])
    with closing(sqlite3.connect(folder / "labels.sqlite", isolation_level=None)) as db:
        rows = [(f"note.{key}", json.dumps(value)) for key, value in notes.items()]
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)


def test_notes_of_older_versions_are_understood(tmp_path: Path) -> None:
    keep(tmp_path, OLD_NOTES)
    with Store.read(tmp_path) as store:
        progress = store.progress
    assert progress.detected
    assert progress.tracking == TrackingOptions()
    assert progress.remarks == ("out of order", "seen late")
    assert progress.published == {"coco": Publication({"coco.json": 1}, {"overlaps": 1}, Edited(2), "c0ffee")}


@pytest.mark.parametrize(
    "tracked",
    [{"min_track": 4}, {"min_track": 4, "way": "new"}, {**OLD_NOTES["tracked"], "min_track": -1}],  # type: ignore[dict-item]
    ids=["fewer options", "others", "out of bounds"],
)
def test_tracks_of_options_that_are_not_ours_are_complete_but_not_of_our_options(
    tmp_path: Path, tracked: dict[str, Any]
) -> None:
    keep(tmp_path, {"detected": True, "tracked": tracked})
    with Store.read(tmp_path) as store:
        assert store.progress.tracking == OtherTracking(tracked)


def test_a_store_begins_without_any_progress(tmp_path: Path) -> None:
    with Store.open(tmp_path, {}) as store:
        assert store.progress == Progress()


def test_new_tracks_change_the_digest_and_keep_the_rest(tmp_path: Path) -> None:
    with Store.open(tmp_path, {}) as store:
        store.add([found(0), found(1)])
        store.update(Progress(detected=True, edits=("a",)))
        store.set_tracks([(0, 0, 1)])
        first = store.progress
        store.set_tracks([(0, 0, 1), (1, 0, 1)])
        assert store.progress.tracks_digest != first.tracks_digest
        assert store.progress == replace(first, tracks_digest=store.progress.tracks_digest)


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    keep(tmp_path, OLD_NOTES)
    with Store.open(tmp_path, {}) as store:
        written: list[str] = []
        store._db.connection.set_trace_callback(written.append)
        store.update(replace(store.progress, detected=False))
        assert [line for line in written if line.startswith("INSERT")] == [
            "INSERT OR REPLACE INTO meta VALUES ('note.detected', 'false')"
        ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("detected", "yes"),
        ("tracked", ["x"]),
        ("edits", [1]),
        ("tracking losses", {"x": -1}),
        ("published", {"coco": {"files": {}}}),
    ],
)
def test_odd_notes_are_damage(tmp_path: Path, key: str, value: Any) -> None:
    keep(tmp_path, {key: value})
    with (
        Store.read(tmp_path) as store,
        pytest.raises(SourceError, match=rf"is damaged \(note\.{key} is odd\)"),
    ):
        _ = store.progress


def test_frames_are_read_whatever_the_notes_say(tmp_path: Path) -> None:
    keep(tmp_path, {"published": [1]})
    with Store.read(tmp_path) as store:
        assert list(store.frames()) == [frame_ref(0)]
