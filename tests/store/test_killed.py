"""A store that a process was killed over, at whichever write, opens again: as it was before that, or after."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.errors import SourceError, UsageError
from annotator.files import FileLock
from annotator.store import Store
from annotator.store.lock import LOCK_FILE, RUN_FILE
from tests.faults.killed import FRAMES, live
from tests.helpers.fake_detector import ROOT
from tests.helpers.permissions import permitted
from tests.store.test_store import content


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of stores, by the write that their process was killed at."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.faults.killed", str(folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "SQLite is a part of Python" in answer.stderr:
        pytest.skip("SQLite can't be reached here")
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) > 50
    return folder


def stores(killed: Path) -> list[Path]:
    return sorted(
        (path for path in killed.iterdir() if path.name != "undisturbed"), key=lambda p: float(p.name)
    )


def has_hot_journal(folder: Path) -> bool:
    journal = folder / "labels.sqlite-journal"
    return journal.is_file() and any(journal.read_bytes()[:8])


def test_every_store_is_read_as_it_was_before_or_after_the_write(killed: Path, tmp_path: Path) -> None:
    seen, told = [], set()
    for folder in stores(killed):
        shutil.copytree(folder, copy := tmp_path / folder.name)
        try:
            with Store.read(copy) as store:
                indices = [each.frame.index for each in store.instances()]
                assert store.frame_count == len(indices)
        except SourceError as error:
            told.add(str(error).partition("; ")[2])
            indices = []
        assert indices == list(range(len(indices)))
        seen.append(len(indices))
    assert seen == sorted(seen)
    assert set(seen) == {0, 2, FRAMES}
    assert told == {"label the recording first"}  # while nothing was in it


def test_every_store_goes_on_and_ends_as_if_nothing_had_happened(killed: Path, tmp_path: Path) -> None:
    for folder in stores(killed):
        shutil.copytree(folder, copy := tmp_path / folder.name)
        live(copy)
        assert content(copy) == content(killed / "undisturbed"), folder
        assert [path.name for path in copy.iterdir()] == ["labels.sqlite"]


def test_some_leave_a_journal_that_is_to_be_rolled_back(killed: Path) -> None:
    assert sum(map(has_hot_journal, stores(killed))) > 2


@pytest.fixture
def stuck(killed: Path, tmp_path: Path) -> Path:
    """A run whose recording was being closed, with all its frames."""
    hot = [folder for folder in stores(killed) if has_hot_journal(folder)]
    shutil.copytree(hot[-1], tmp_path / "run" / "drive")
    (tmp_path / "run" / RUN_FILE).write_text("{}")
    return tmp_path / "run"


def test_a_journal_is_rolled_back_under_the_lock_of_the_run(stuck: Path) -> None:
    lock = FileLock(stuck / LOCK_FILE)
    lock.take()
    with Store.read(stuck / "drive") as store:  # the lock is ours
        assert store.frame_count == FRAMES
    lock.release()
    assert sorted(path.name for path in stuck.rglob("*")) == ["drive", "labels.sqlite", "run.json"]


def test_a_run_that_goes_on_elsewhere_is_left_alone(stuck: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(stuck / LOCK_FILE)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdout.readline()
    with pytest.raises(UsageError, match="another run is writing here"):
        Store.read(stuck / "drive")
    holder.communicate()
    assert has_hot_journal(stuck / "drive")


HOLDER = """
import sys
from pathlib import Path
from annotator.files import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.take()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("where", ["run", "run/drive"])
def test_what_cannot_be_rolled_back_for_lack_of_permission_is_told(stuck: Path, where: str) -> None:
    with (
        permitted(0o555, stuck.parent / where),
        permitted(0o444, stuck / "drive" / "labels.sqlite"),
        pytest.raises(
            SourceError, match=r"a process was killed while it wrote here.*permission to write.*or copy"
        ),
    ):
        Store.read(stuck / "drive")
    with Store.read(stuck / "drive") as store:
        assert store.frame_count == FRAMES


def test_a_store_in_a_folder_that_cannot_be_written_is_read(killed: Path, tmp_path: Path) -> None:
    shutil.copytree(killed / "undisturbed", tmp_path / "drive")
    with permitted(0o555, tmp_path / "drive"), Store.read(tmp_path / "drive") as store:
        assert store.frame_count == FRAMES


def test_a_store_that_cannot_be_read_is_told_so(killed: Path, tmp_path: Path) -> None:
    shutil.copytree(killed / "undisturbed", tmp_path / "drive")
    with (
        permitted(0, tmp_path / "drive" / "labels.sqlite"),
        pytest.raises(SourceError, match=r"labels\.sqlite: can't be read"),
    ):
        Store.read(tmp_path / "drive")
