"""Tracks are edited within one transaction: all of it or nothing, and what was done is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annotator.errors import UsageError
from annotator.store import Edited, Store
from tests.store.test_store import found

CAR, TRUCK = 26, 27


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Four frames: track 1 in all of them, track 2 beside it in the first two."""
    with Store.open(tmp_path, {}) as store:
        store.add([found(k) for k in range(4)])
        store.set_tracks([*((k, 0, 1) for k in range(4)), (0, 1, 2), (1, 1, 2)])
        yield store


def track_ids(store: Store) -> list[list[int]]:
    return [frame.track_ids.tolist() for frame in store.instances()]


def test_a_track_is_split_merged_relabelled_and_deleted(store: Store) -> None:
    with store.edit_tracks() as tracks:
        assert tracks.split(1, first=2) == 3
        tracks.merge((2, 3))
        assert tracks.relabel(2, TRUCK) == 4
        assert tracks.delete(1) == 2
        tracks.done.append("all of it")
    assert track_ids(store) == [[2], [2], [2, 0], [2, 0]]
    assert [frame.class_ids[0] for frame in store.instances()] == [TRUCK] * 4
    assert (store.progress.edits, store.progress.tracking) == (("all of it",), Edited(1))


def test_nothing_is_left_of_edits_of_which_one_is_refused(store: Store) -> None:
    before = track_ids(store)

    def edit() -> None:
        with store.edit_tracks() as tracks:
            tracks.delete(1)
            tracks.merge((2, 7))

    with pytest.raises(UsageError, match="there is no track 7"):
        edit()
    assert track_ids(store) == before
    assert store.progress.tracking is None
