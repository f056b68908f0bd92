"""spatialemb-eval as a user meets it: tables, files, exit codes, and a sentence for every fault."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator import __version__, masks
from annotator.options import METRICS
from annotator.store import FILE_NAME as STORE
from cli import evaluate as module
from cli.evaluate import command
from tests.evaluation.test_report import CAR, GOOD, A, B, C, found, write
from tests.helpers.commands import Run, assert_one_sentence, in_process
from tests.helpers.fake_detector import ROOT

INSTANCE_IDS = "ulm_000000_000000_gtFine_instanceIds.png"


@pytest.fixture
def score(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""
    return in_process(command, capsys)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write(tmp_path / "truth", GOOD, "run")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A car too low, a car too much, no person."""
    return write(tmp_path / "labels", [found(k, ((3, 2, 19, 18), CAR), (C, CAR)) for k in range(3)], "run")


# ---- what comes out


def test_a_run_against_a_copy_of_itself_is_perfect(tmp_path: Path, truth: Path, score: Run) -> None:
    shutil.copytree(truth, tmp_path / "copy")
    answer = score(tmp_path / "copy", truth)
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["mean", "1.000", "1.000"] in lines  # AP and AP50
    assert ["all", "6", "6", *["0"] * 6, "0.000"] in lines  # objects, those that may stay, edits
    assert answer.stdout.splitlines()[-1] == "compared 3 frames; figures are fractions of 1"


def test_tables_show_every_part_and_the_classes_that_have_figures(
    labels: Path, truth: Path, score: Run
) -> None:
    said = score(labels, truth).stdout
    for title in ("Cityscapes instances", "COCO masks", "Tracks", "Outlines", "Cost of correction"):
        assert said.splitlines().count(title) == 1
    assert "bus" not in said
    assert "nan" not in said


def test_what_was_left_out_and_resolved_is_said(tmp_path: Path, score: Run) -> None:
    predicted = write(tmp_path / "a", [found(k, (A, CAR), (A, CAR)) for k in range(2)], "run")
    true = write(tmp_path / "b", GOOD[1:], "run")
    said = score(predicted, true).stdout
    assert "compared 1 frame;" in said
    assert "left out: 1 frame that only predictions have" in said
    assert "left out: 1 frame that only truth has" in said
    assert "overlaps: 1 predicted object gave pixels up" in said
    assert "background: in 1 frame of truth" in score(tmp_path / "a", cityscapes(tmp_path)).stdout


def cityscapes(folder: Path) -> Path:
    return write(folder / "png", GOOD[:1], "cityscapes")


def test_json_and_csv_hold_what_the_table_shows_and_more(
    tmp_path: Path, labels: Path, truth: Path, score: Run
) -> None:
    answer = score(labels, truth, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    content = json.loads((tmp_path / "a.json").read_text())
    assert [part for part in content if part in METRICS] == list(METRICS)
    assert f"cityscapes,all,AP,{content['cityscapes']['AP']}\n" in (tmp_path / "a.csv").read_text()


def test_metrics_are_chosen_by_name(tmp_path: Path, labels: Path, truth: Path, score: Run) -> None:
    assert score(labels, truth, "--metrics", "edits,tracks", "--json", tmp_path / "a.json").returncode == 0
    content = json.loads((tmp_path / "a.json").read_text())
    assert [part for part in content if part in METRICS] == ["tracks", "edits"]


def test_plots_are_written(tmp_path: Path, labels: Path, truth: Path, score: Run) -> None:
    pytest.importorskip("matplotlib")
    assert score(labels, truth, "--plots", tmp_path / "plots").returncode == 0
    assert (tmp_path / "plots" / "precision_recall.png").exists()
    assert (tmp_path / "plots" / "worst_frames" / "01.png").exists()


def test_a_terminal_gets_tables_with_lines(labels: Path, truth: Path) -> None:
    pty = pytest.importorskip("pty")  # not on Windows
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.evaluate", str(labels), str(truth)],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
        stdout=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux says so when the other side is closed
        pass
    assert process.wait(60) == 0
    assert "┃" in shown.decode()
    assert "Cost of correction" in shown.decode()


def test_version_is_told(score: Run) -> None:
    assert score("--version").stdout == f"spatialemb-eval {__version__}\n"


# ---- a bound to fail under


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        (["AP50=0.5"], 0),  # not below it
        (["AP50=0.51"], 1),
        (["AP50=0.1", "cityscapes.classes.car.AP=0.99"], 1),
        (["tracks.IDF1=0.1", "HOTA=0.1", "car.AP50=1"], 0),
        (["bus.AP=0"], 1),  # not known
    ],
)
def test_figures_below_their_bounds_give_1(
    bounds: list[str], code: int, labels: Path, truth: Path, score: Run
) -> None:
    answer = score(labels, truth, *(f"--fail-under={bound}" for bound in bounds))
    assert answer.returncode == code
    assert "compared 3 frames" in answer.stdout
    if code:
        assert_one_sentence(answer, bounds[-1].split("=")[0], "below")


def test_every_figure_that_is_below_is_told(labels: Path, truth: Path, score: Run) -> None:
    answer = score(labels, truth, "--fail-under", "AP=0.9", "--fail-under", "HOTA=0.99", "--quiet")
    assert answer.returncode == 1
    assert [line.split()[1] for line in answer.stderr.splitlines()] == ["AP", "HOTA"]


@pytest.mark.parametrize(
    ("bound", "words"), [("mAP=0.3", ["'mAP'", "AP50"]), ("AP", ["FIGURE=NUMBER"]), ("AP=good", ["AP=good"])]
)
def test_bounds_that_say_nothing_give_2(
    bound: str, words: list[str], tmp_path: Path, labels: Path, truth: Path, score: Run
) -> None:
    answer = score(labels, truth, "--fail-under", bound, "--json", tmp_path / "a.json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert_one_sentence(answer, *words)
    assert not (tmp_path / "a.json").exists()


def test_nan_is_no_bound(labels: Path, truth: Path, score: Run) -> None:
    assert math.isnan(module.Bound.parse("AP=nan").least)
    assert score(labels, truth, "--fail-under", "AP=nan", "--quiet").returncode == 1


# ---- bad input

Breaker = Callable[[Path, Path], Path]  # makes bad labels in a folder, given good ones


def bytes_of_nothing(folder: Path, labels: Path) -> Path:
    (folder / "labels.bin").write_bytes(bytes(range(256)))
    return folder / "labels.bin"


def empty_folder(folder: Path, labels: Path) -> Path:
    return folder


def not_there(folder: Path, labels: Path) -> Path:
    return folder / "nowhere"


def truncated_json(folder: Path, labels: Path) -> Path:
    path = write(folder, GOOD)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def unknown_class(folder: Path, labels: Path) -> Path:
    path = write(folder, GOOD)
    path.write_text(path.read_text().replace('"car"', '"dragon"'))
    return path


def xml_bomb(folder: Path, labels: Path) -> Path:
    (folder / "bomb.xml").write_text(
        '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;&b;">]><annotations>&c;</annotations>'
    )
    return folder / "bomb.xml"


def other_size(folder: Path, labels: Path) -> Path:
    counts = masks.encode(np.ones((8, 10), bool))["counts"].decode()
    (folder / "small.txt").write_text(f"0 1001 1 8 10 {counts}\n")
    return folder / "small.txt"


def other_frames(folder: Path, labels: Path) -> Path:
    return write(folder, [found(k, (A, CAR)) for k in (70, 71)], "run")


def eight_bits(folder: Path, labels: Path) -> Path:
    cv2.imwrite(str(folder / INSTANCE_IDS), np.zeros((40, 60), np.uint8))
    return folder


def damaged_store(folder: Path, labels: Path) -> Path:
    (file,) = shutil.copytree(labels, folder / "run").rglob(STORE)
    file.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    return folder / "run"


def one_track_twice(folder: Path, labels: Path) -> Path:
    path = write(folder, [found(0, (A, CAR), (B, CAR))])
    path.write_text(path.read_text().replace('"track_id":2', '"track_id":1'))
    return path


@pytest.mark.parametrize("is_truth", [False, True])
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (bytes_of_nothing, ["labels.bin", "can't be told", "COCO JSON"]),
        (empty_folder, ["holds no labels", "CVAT XML"]),
        (not_there, ["nowhere", "is not there"]),
        (truncated_json, ["coco.json"]),
        (unknown_class, ["coco.json", "dragon"]),
        (xml_bomb, ["bomb.xml"]),
        (other_size, ["10x8", "60x40"]),
        (other_frames, ["no frame in common"]),
        (eight_bits, [INSTANCE_IDS, "16-bit"]),
        (damaged_store, [STORE]),
        (one_track_twice, ["track 1"]),
    ],
)
def test_labels_that_cannot_be_scored_give_2_and_a_sentence(
    broken: Breaker, words: list[str], is_truth: bool, tmp_path: Path, truth: Path, score: Run
) -> None:
    (tmp_path / "bad").mkdir()
    bad = broken(tmp_path / "bad", truth)
    if broken is eight_bits:
        truth = cityscapes(tmp_path)
    sides = (truth, bad) if is_truth else (bad, truth)
    answer = score(*sides, "--json", tmp_path / "a.json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert_one_sentence(answer, *words)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--metrics", "beauty"], ["beauty", "cityscapes, coco, tracks, boundary, edits"]),
        (["--colour", "red"], ["--colour"]),
        (["third"], ["third"]),
    ],
)
def test_wrong_usage_gives_2_and_a_sentence(
    wrong: list[str], words: list[str], labels: Path, truth: Path, score: Run
) -> None:
    answer = score(labels, truth, *wrong)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert_one_sentence(answer, *words)


@pytest.mark.parametrize("option", ["--json", "--csv", "--plots"])
def test_files_that_cannot_be_written_are_told_before_the_work(
    option: str, tmp_path: Path, labels: Path, truth: Path, score: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("annotator.evaluation.report.evaluate", pytest.fail)
    answer = score(labels, truth, option, tmp_path / "file" / "inside")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert_one_sentence(answer, "inside", "choose another place")
    if option != "--plots":
        assert_one_sentence(score(labels, truth, option, tmp_path), "is a folder")


def test_plots_without_matplotlib_say_how_to_install_it(
    tmp_path: Path, labels: Path, truth: Path, score: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotator.evaluation.plots.find_spec", lambda name: None)
    answer = score(labels, truth, "--plots", tmp_path / "plots")
    assert answer.returncode == 2
    assert_one_sentence(answer, 'pip install "spatialemb-annotate[plots]"')
    assert not (tmp_path / "plots").exists()


def test_an_interrupted_evaluation_gives_130(
    labels: Path, truth: Path, score: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("annotator.evaluation.report.evaluate", interrupted)
    answer = score(labels, truth)
    assert answer.returncode == 130
    assert_one_sentence(answer, "interrupted")
