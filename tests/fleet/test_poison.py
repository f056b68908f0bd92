"""One machine labels a folder in which a recording crashes or hangs the process: the others are as they would be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotator.fleet.supervision import IS_POSSIBLE
from tests.helpers.fake_detector import write_video
from tests.helpers.forks import Forks
from tests.pipeline.test_annotate import label_files, run_json

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="there are no forks here")


@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        ("SEGV@80", ("--retries", 1), "SIGSEGV"),
        ("HANG@80", ("--retries", 0, "--stall-minutes", 0.3), "no progress"),
    ],
)
def test_the_others_are_labelled_and_a_second_run_takes_what_is_missing(
    tmp_path: Path, fault: str, options: tuple[object, ...], reason: str, toy_processes: Forks
) -> None:
    annotate = toy_processes.answer
    for name, size in (("a", (48, 64)), ("b", (60, 80)), ("c", (48, 64))):
        write_video(tmp_path / "in" / f"{name}.mp4", size=size)
    answer = annotate(
        tmp_path / "in", "--out", tmp_path / "out", "--overwrite", "--json", *options, TOY_FAULT=fault
    )
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    summary = {source["name"]: source for source in json.loads(answer.stdout)["sources"]}
    assert [summary[name]["state"] for name in "abc"] == ["done", "failed", "done"]
    assert not any(source["already_done"] for source in summary.values())
    assert str(tmp_path / "in" / "b.mp4") in summary["b"]["error"]
    assert reason in summary["b"]["error"]
    assert "maps" in (tmp_path / "out" / "b" / "traceback.txt").read_text(), "where it was"
    assert run_json(tmp_path / "out")["state"] == "done"
    assert annotate(tmp_path / "in", "--out", tmp_path / "out").returncode == 0
    assert annotate(tmp_path / "in", "--out", tmp_path / "undisturbed").returncode == 0
    assert label_files(tmp_path / "out") == label_files(tmp_path / "undisturbed")
