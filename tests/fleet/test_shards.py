"""Several machines share an output folder by shards: each recording is in one, and a report puts them together."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import UsageError
from annotator.fleet.report import report
from annotator.options import AnnotationJob, Shard
from annotator.pipeline.run import Run
from cli.fleet import command
from tests.helpers.builders import Recording
from tests.helpers.commands import in_process

NAMES = [f"drive_{k:02}" for k in range(12)]


def recordings(shard: Shard | None = None) -> list[Recording]:
    return [Recording(n, True, Path(f"/data/{n}.mp4")) for n in NAMES if shard is None or shard.holds(n)]


def label_all(out: Path, shard: Shard | None, bad: str = "") -> None:
    """What annotate() does to the records of a run."""
    with Run(out, {"options": {"every": 1}}, recordings(shard), shard) as run:
        for recording in recordings(shard):
            run.started(recording)
            if recording.name == bad:
                run.failed(recording, "drive: is broken")
            else:
                run.done(recording)


@given(name=st.text(min_size=1), count=st.integers(1, 1000))
def test_a_name_is_in_one_shard(name: str, count: int) -> None:
    assert sum(Shard(k, count).holds(name) for k in range(1, count + 1)) == 1


def test_shards_share_the_work() -> None:
    names = [f"2026-11/drive_{k}" for k in range(10_000)]
    sizes = [sum(map(Shard(k, 8).holds, names)) for k in range(1, 9)]
    assert sum(sizes) == len(names)
    assert min(sizes) > 1_100


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/0", "a/b", "-1/3", "3/8/9", "1/1000000000"])
def test_what_is_no_shard_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"`shard` .* as 3/8"):
        AnnotationJob((tmp_path,), tmp_path, shard=text)


def test_a_report_puts_the_records_of_shards_together(tmp_path: Path) -> None:
    for k in (1, 2, 3):
        label_all(tmp_path, Shard(k, 3), bad=NAMES[4])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"run.{k}-of-3.json" for k in (1, 2, 3)]
    found = report(tmp_path)
    assert found.exit_code == 1
    assert (found.states["done"], found.states["failed"]) == (11, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.csv", "fleet.json", "run.json"]
    run = json.loads((tmp_path / "run.json").read_text())
    assert [source["name"] for source in run["sources"]] == NAMES
    assert run["options"] == {"every": 1}
    assert report(tmp_path) == found
    lines = (tmp_path / "fleet.csv").read_text().splitlines()
    assert lines[0] == "name,state,frames,objects,seconds,doubts,error"
    assert len(lines) == 13


def test_a_shard_that_has_not_begun_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in (1, 3):
        label_all(tmp_path, Shard(k, 3))
    answer = in_process(command, capsys)("report", tmp_path)
    assert answer.returncode == 1
    assert "of 3 shards these have not begun: 2" in answer.stdout


def test_a_run_over_all_goes_on_from_what_shards_did(tmp_path: Path) -> None:
    label_all(tmp_path, Shard(1, 2), bad="")
    with Run(tmp_path, {}, recordings()) as run:
        done = [record.name for record in run.records if record.state == "done"]
    assert done == [name for name in NAMES if Shard(1, 2).holds(name)]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_shard_goes_on_from_what_it_did(tmp_path: Path) -> None:
    shard = Shard(2, 2)
    label_all(tmp_path, shard)
    with Run(tmp_path, {}, recordings(shard), shard) as run:
        assert all(record.state == "done" for record in run.records)


def test_runs_that_could_meet_are_refused(tmp_path: Path) -> None:
    def run(shard: Shard | None) -> Run:
        return Run(tmp_path, {}, recordings(shard), shard)

    with run(Shard(1, 3)), run(Shard(2, 3)):
        for other in (None, Shard(1, 3), Shard(2, 4)):
            with pytest.raises(UsageError, match="another run is writing here"), run(other):
                pass
        assert report(tmp_path).states["pending"] == sum(
            Shard(1, 3).holds(n) or Shard(2, 3).holds(n) for n in NAMES
        )
    with run(None), pytest.raises(UsageError, match="another run is writing here"), run(Shard(1, 3)):
        pass
    with run(Shard(2, 4)):
        pass


def test_a_report_forecasts_while_a_run_goes_on(tmp_path: Path) -> None:
    with Run(tmp_path, {}, recordings()) as run:
        for recording in recordings()[:3]:
            run.started(recording)
            time.sleep(0.02)
            if recording.name != NAMES[2]:
                run.done(recording)
        found = report(tmp_path)
    assert (found.states["running"], found.states["pending"]) == (1, 9)
    assert found.seconds_left is not None


def test_a_forecast_goes_by_the_workers_of_a_cluster(tmp_path: Path) -> None:
    for workers, left in ((3, 6 * 9.0 / 3), ("3", 6 * 9.0 / 4), (-3, 6 * 9.0 / 4)):
        with Run(tmp_path / str(workers), {"workers": workers}, recordings()) as run:
            for recording in recordings()[:8]:
                run.started(recording)
            for recording in recordings()[:4]:
                run.done(recording, seconds=9.0)  # of work; it waited for its turn before
            found = report(tmp_path / str(workers))
        assert (found.states["running"], found.seconds_left) == (4, round(left))


def test_there_must_be_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = in_process(command, capsys)("report", tmp_path)
    assert answer.returncode == 2
    assert "no run is here" in answer.stderr
