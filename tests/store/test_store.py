"""The store gives back what was put in, survives a killed process, and says what is wrong in a sentence."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from annotator import masks
from annotator.errors import OutputError, SourceError, UsageError
from annotator.frames import Gap
from annotator.instances import Instances
from annotator.store import Store
from annotator.store.store import SLICE
from tests.faults import small_disk
from tests.helpers.builders import frame_ref, mask
from tests.helpers.fake_detector import ROOT

FINGERPRINT = {"weights": "c0ffee", "--every": 1, "--end": None}
BIG = masks.encode(mask("########..", "########..", *[".........."] * 6))
SMALL = masks.encode(mask("..........", "......##..", *[".........."] * 6))


def found(
    index: int, scores: tuple[float, ...] = (0.9, 0.4), classes: tuple[int, ...] = (26, 24)
) -> Instances:
    n = len(scores)
    features = np.arange(n * 3).reshape(n, 3) / 7 + index
    return Instances.of(frame_ref(index), (BIG, SMALL)[:n], classes[:n], scores, features)


def same(a: Instances, b: Instances) -> bool:
    return (
        a.frame == b.frame
        and [m["counts"] for m in a.masks] == [m["counts"] for m in b.masks]
        and all(
            np.array_equal(getattr(a, name), getattr(b, name))
            and getattr(a, name).dtype == getattr(b, name).dtype
            for name in ("class_ids", "scores", "features", "track_ids")
        )
    )


def content(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "labels.sqlite") as connection:
        return list(connection.iterdump())


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    batch = [found(0), Instances.of(frame_ref(1, name="b.png")), found(2, scores=(0.7,))]
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add(batch)
        assert (store.frame_count, store.instance_count, store.track_count) == (3, 3, 0)
        assert list(store.frames()) == [each.frame for each in batch]
    with Store.read(tmp_path) as store:
        assert all(same(a, b) for a, b in zip(store.instances(), batch, strict=True))
        assert store.fingerprint == FINGERPRINT


def test_readers_walk_more_frames_than_a_slice_holds(tmp_path: Path) -> None:
    count = 2 * SLICE + 3
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(k) for k in range(count)])
        assert [f.index for f in store.frames()] == list(range(count))
        assert [each.frame.index for each in store.instances()] == list(range(count))


def test_tracks_are_given_by_frame(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(k) for k in range(3)])
        store.set_tracks([(0, 0, 1), (2, 0, 1), (1, 1, 2), (0, 1, 0)])
        assert [each.track_ids.tolist() for each in store.instances()] == [[1, 0], [0, 2], [1, 0]]
        assert store.track_count == 2


def test_tracks_may_be_made_while_the_store_is_read(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(k) for k in range(3 * SLICE)])
        store.set_tracks((each.frame.index, 0, 7) for each in store.instances())
        store.set_tracks((each.frame.index, 0, int(each.track_ids[0]) + 1) for each in store.instances())
        assert {int(each.track_ids[0]) for each in store.instances()} == {8}


def test_new_tracks_replace_old_ones(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
        store.set_tracks([(0, 0, 1), (0, 1, 2)])
        store.set_tracks([(0, 1, 1)])
        assert next(store.instances()).track_ids.tolist() == [0, 1]


@pytest.mark.parametrize(
    "assignments",
    [[(0, 0, 1), (0, 1, 1)], [(0, 0, 1), (0, 0, 2)], [(0, 2, 1)], [(5, 0, 1)]],
    ids=["two of a track in a frame", "two tracks of an instance", "no such instance", "no such frame"],
)
def test_impossible_tracks_are_refused_and_the_old_ones_stay(
    tmp_path: Path, assignments: list[tuple[int, int, int]]
) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
        store.set_tracks([(0, 0, 3)])
        with pytest.raises(ValueError, match=r"track|instance"):
            store.set_tracks(assignments)
        assert next(store.instances()).track_ids.tolist() == [3, 0]


def test_the_next_frame_is_the_one_behind_the_last(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        assert store.next_index() == 0
        store.add([found(4), found(6)])
        assert store.next_index() == 7


def test_a_gap_met_twice_is_recorded_once(tmp_path: Path) -> None:
    gaps = [Gap(3, 30, "corrupt packet"), Gap(-1, None, "no keyframe yet")]
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)], gaps)
        store.add([], gaps[:1])
        store.add([], gaps)
        assert list(store.gaps()) == sorted(gaps, key=lambda gap: gap.after_index)
        assert store.gap_count == 2


def test_a_batch_goes_in_whole_or_not_at_all(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
        with pytest.raises(ValueError, match="a frame twice"):
            store.add([found(1), found(0)])
        assert store.frame_count == 1


def test_a_closed_store_is_one_file(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
    assert [path.name for path in tmp_path.iterdir()] == ["labels.sqlite"]


def test_opening_a_store_does_not_change_its_bytes(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
    before = (tmp_path / "labels.sqlite").read_bytes()
    with Store.open(tmp_path, FINGERPRINT) as store:
        assert len(list(store.instances())) == 1
    assert (tmp_path / "labels.sqlite").read_bytes() == before


def test_an_empty_store_leaves_no_file(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_fingerprint_is_refused_with_what_differs_and_the_remedy(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
    with pytest.raises(UsageError, match=r"`every` 1 \(not 2\); use `overwrite` .* or another `out`"):
        Store.open(tmp_path, {**FINGERPRINT, "--every": 2})
    with Store.open(tmp_path, {**FINGERPRINT, "--every": 2}, overwrite=True) as store:
        assert store.frame_count == 0


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.sqlite").write_text("not a database, but long enough to be taken for one\n" * 100)
    with pytest.raises(SourceError, match=r"damaged .* use `overwrite`"):
        Store.open(tmp_path, FINGERPRINT)
    with pytest.raises(SourceError, match="damaged"):
        Store.read(tmp_path)


def test_a_damaged_store_is_told(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(k) for k in range(200)])
    path = tmp_path / "labels.sqlite"
    path.write_bytes(path.read_bytes()[:8192] + os.urandom(8192))
    with (
        pytest.raises(SourceError, match=r"damaged .* use `overwrite`"),
        Store.open(tmp_path, FINGERPRINT) as store,
    ):
        list(store.instances())


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "labels.sqlite") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UsageError, match="another tool"):
        Store.open(tmp_path, FINGERPRINT)


def test_there_is_nothing_to_read_before_anything_is_labelled(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="label the recording first"):
        Store.read(tmp_path)


def test_a_full_disk_is_told_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
    with monkeypatch.context() as patch:
        small_disk(patch, pages=20)
        with Store.open(tmp_path, FINGERPRINT) as store:

            def fill() -> None:
                for k in range(1, 1000):
                    store.add([found(k)])

            with pytest.raises(OutputError, match=r"disk is full.*make room"):
                fill()
    with Store.open(tmp_path, FINGERPRINT) as store:
        count = store.frame_count
        assert 0 < count < 1000
        store.add([found(count)])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another `out`"):
        Store.open(tmp_path / "file" / "drive", FINGERPRINT)


KILLED = """
import os, signal, sys
from pathlib import Path
from annotator.store import Store
from tests.store.test_store import FINGERPRINT, found
store = Store.open(Path(sys.argv[1]), FINGERPRINT)
for k in range(10):
    store.add([found(2 * k), found(2 * k + 1)])
store._db.execute("BEGIN")
store._db.execute("INSERT INTO frames VALUES (999, 0, 1, 1, 8, 10, '')")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_whole_frames_and_the_store_goes_on(tmp_path: Path) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    run = subprocess.run([sys.executable, "-c", KILLED, str(killed)], cwd=ROOT, check=False)
    assert run.returncode == -signal.SIGKILL
    with Store.read(killed) as store:
        assert store.next_index() == 20
    with Store.open(killed, FINGERPRINT) as store:
        store.add([found(20)])
    with Store.open(undisturbed, FINGERPRINT) as store:
        for k in range(21):
            store.add([found(k)])
    assert content(killed) == content(undisturbed)
    assert [path.name for path in killed.iterdir()] == ["labels.sqlite"]


def test_reading_takes_no_more_memory_for_a_longer_recording(tmp_path: Path) -> None:
    peaks = []
    for slices in (2, 20):
        with Store.open(tmp_path / str(slices), FINGERPRINT) as store:
            store.add([found(k) for k in range(slices * SLICE)])
            store.set_tracks((k, k % 2, 1 + k // 10) for k in range(slices * SLICE))
            tracemalloc.start()
            for reader in (store.frames, store.instances):
                deque(reader(), maxlen=0)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]  # it would be 10 if frames were kept


def test_a_schema_that_is_no_text_is_told_as_damage(tmp_path: Path) -> None:
    with Store.open(tmp_path, FINGERPRINT) as store:
        store.add([found(0)])
    with sqlite3.connect(tmp_path / "labels.sqlite") as connection:
        connection.execute("PRAGMA writable_schema = ON")
        broken = "UPDATE sqlite_master SET sql = CAST(x'4352454154452054d842' AS TEXT) WHERE name = 'frames'"
        connection.execute(broken)
    with pytest.raises(SourceError, match="damaged"):
        Store.read(tmp_path)
