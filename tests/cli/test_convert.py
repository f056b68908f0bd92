"""spatialemb-convert as a user meets it: what is made, what is said, exit codes, a sentence for every fault."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from annotator import __version__
from annotator.formats.mots import writer as mots
from annotator.formats.sniffing import read_labels
from cli.convert import command
from tests.formats.test_comparison import IN_VIDEO, VIDEO, WRITERS, labelled, stored
from tests.helpers.builders import Labels
from tests.helpers.commands import Run, assert_one_sentence, in_process


@pytest.fixture
def convert(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""
    return in_process(command, capsys)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return stored(tmp_path / "machine", IN_VIDEO, VIDEO)


def test_labels_become_others(tmp_path: Path, run: Path, convert: Run) -> None:
    answer = convert(run, "--to", "coco", "--out", tmp_path / "out")
    file = tmp_path / "out" / "drive" / "coco.json"
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"drive: 4 frames, 8 instances, 2 tracks -> {file}, ")
    assert len(list(read_labels(file))) == 4
    assert convert(file, "--to", "run", "--out", tmp_path / "run", "--quiet").stdout == ""
    assert (tmp_path / "run" / "drive" / "labels.sqlite").is_file()


def test_what_a_format_cannot_hold_is_said(tmp_path: Path, convert: Run) -> None:
    source = WRITERS["cvat"](tmp_path, IN_VIDEO, VIDEO)
    source.write_text(source.read_text().replace('label="person"', 'label="tree"'))
    answer = convert(source, "--to", "mots", "--out", tmp_path / "out", "--map", "tree=bus")
    assert answer.returncode == 0
    assert answer.stdout.rstrip().endswith("; 4 instances of other classes than car and person")
    options = "--map", "tree=none", "--overwrite"
    answer = convert(source, "--to", "mots", "--out", tmp_path / "out", *options)
    assert re.search(r"; \d+ shapes of the label 'tree' left out$", answer.stdout)


def test_a_name_that_no_label_has_is_told(tmp_path: Path, run: Path, convert: Run) -> None:
    source = WRITERS["cvat"](tmp_path, IN_VIDEO, VIDEO)
    maps = "--map", "person=rider", "--map", "persn=car", "--quiet"
    answer = convert(source, "--to", "coco", "--out", tmp_path / "out", *maps)
    assert (answer.returncode, answer.stdout) == (0, "")
    assert answer.stderr == "warning: --map persn=car: no label is called so\n"


def test_cvat_files_are_made_as_options_say(tmp_path: Path, run: Path, convert: Run) -> None:
    for name, options in (("thin", []), ("all", ["--keyframe-iou", 1])):
        assert convert(run, "--to", "cvat", "--out", tmp_path / name, *options).returncode == 0
    shapes = [
        (tmp_path / name / "drive" / "cvat.xml").read_text().count("<polygon") for name in ("thin", "all")
    ]
    assert shapes[0] < shapes[1] == 8


def test_tracks_are_edited(run: Path, convert: Run) -> None:
    answer = convert("edit", run, "--relabel", "1=truck", "--split", "2@2", "--delete", "1")
    assert (answer.returncode, answer.stdout.splitlines()) == (
        0,
        [
            "track 1 is truck in 4 frames",
            "track 2 is track 3 from frame 2 on",
            "track 1 is deleted from 4 frames",
        ],
    )
    assert convert("edit", run, "--merge", "2,3").stdout == "track 3 is track 2\n"
    assert convert("edit", run).returncode == 0


def test_edits_go_on_by_the_names_that_they_had(run: Path, convert: Run) -> None:
    assert convert("edit", run, "--cut", "2@2").stdout == "track 2 is track 3 from frame 2 on\n"
    assert convert("edit", run, "--join", "2,3").stdout == "track 3 is track 2\n"
    shown = convert("edit", "--help").stdout
    assert "--split" in shown
    assert "--cut" not in shown


def test_changes_are_told(tmp_path: Path, run: Path, convert: Run) -> None:
    corrected = WRITERS["cvat"](tmp_path, Labels([*IN_VIDEO.found[:3], labelled(3, moved=2)]), VIDEO)
    answer = convert("diff", run, corrected, "--json", tmp_path / "diff.json", "--seconds", "reshaped=60")
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[0] == "What people changed"
    assert lines[1].split() == [
        "class",
        "kept",
        "reshaped",
        "added",
        "deleted",
        "relabelled",
        "joined",
        "cut",
    ]
    assert "compared 4 frames, 1 of them changed" in lines
    assert any("assumed: added 30 s, reshaped 60 s" in line for line in lines)
    assert lines[-1] == "worth training on, most first: 3"
    assert json.loads((tmp_path / "diff.json").read_text())["frames"] == 4


def test_labels_are_checked_and_errors_give_1(tmp_path: Path, run: Path, convert: Run) -> None:
    xml = WRITERS["cvat"](tmp_path, IN_VIDEO, VIDEO)
    answer = convert("check", xml, run)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "nothing was found\n", "")
    xml.write_text(xml.read_text().replace('label="person"', 'label="dragon"'))
    answer = convert("check", xml)
    assert answer.returncode == 1
    *found, last = answer.stdout.splitlines()
    assert any(line.startswith(f"error: {xml}") and "dragon" in line for line in found)
    assert last.endswith("errors")


def test_help_tells_of_converting_and_of_the_other_commands(convert: Run) -> None:
    for arguments in (["--help"], []):
        said = convert(*arguments)
        shown = said.stdout + said.stderr
        assert all(word in shown for word in ("SRC", "--to", "--map", "check", "diff", "edit", "Exit codes"))
    assert convert("--version").stdout == f"spatialemb-convert {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.json", "--to", "coco", "--out", "out"], ["nothing.json: is not there"]),
        (["RUN", "--to", "yolo", "--out", "out"], ["yolo"]),
        (["RUN", "--to", "coco"], ["--out"]),
        (["RUN", "--to", "coco", "--out", "out", "--map", "dog"], ["--map takes NAME=CLASS", "'dog'"]),
        (["edit", "RUN", "--relabel", "1"], ["--relabel takes TRACK=CLASS, as 12=truck, not '1'"]),
        (["edit", "RUN", "--relabel", "1=dog"], ["'dog' is not a Cityscapes class"]),
        (["edit", "RUN", "--split", "1@soon"], ["--split: 'soon' is no number"]),
        (["edit", "RUN", "--merge", "1,x"], ["--merge: 'x' is no number"]),
        (["edit", "RUN", "--delete", "77"], ["there is no track 77"]),
        (["check", "nothing"], ["nothing: is not there"]),
        (["diff", "RUN", "nothing"], ["nothing: is not there"]),
        (["diff", "RUN", "RUN", "--seconds", "x=1"], ["--seconds takes KIND=NUMBER"]),
    ],
)
def test_wrong_usage_gives_2_and_a_sentence(
    arguments: list[str],
    words: list[str],
    run: Path,
    convert: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = convert(*(run if argument == "RUN" else argument for argument in arguments))
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert_one_sentence(answer, *words)
    assert not (tmp_path / "out").exists()


def test_labels_that_a_format_cannot_hold_give_1(
    tmp_path: Path, run: Path, convert: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mots, "IDS_PER_CLASS", 0)
    answer = convert(run, "--to", "mots", "--out", tmp_path / "out")
    assert answer.returncode == 1
    assert_one_sentence(answer, "the format holds 0 objects of a class")
