"""spatialemb-track as users meet it: runs in place, MOTS text to --out, a sentence for what can't be tracked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from annotator import masks
from annotator.instances import Instances
from annotator.options import EditJob, TrackingOptions
from annotator.pipeline.annotate import annotate
from annotator.pipeline.edit import edit
from annotator.store import FrameTracks, Store
from annotator.tracking import association
from cli import shell
from cli.track import command
from tests.helpers.builders import read_instances
from tests.helpers.fake_detector import install, write_video
from tests.pipeline.test_annotate import job

SIZE = (40, 120)


def text(path: Path, frames: int = 12, missing: tuple[int, ...] = ()) -> Path:
    """MOTS text of two cars and a person, whose ids mean nothing."""
    lines = []
    for k in range(frames):
        boxes = [(2 * k, 5, 1), (100 - 2 * k, 25, 1), (40 + k, 14, 2)]
        for number, (left, top, mots_class) in enumerate(boxes):
            if k in missing and mots_class == 2:
                continue
            pixels = np.zeros(SIZE, bool)
            pixels[top : top + 8, left : left + 12] = True
            counts = masks.encode(pixels)["counts"].decode()
            lines.append(f"{k} {(number + k) % 3} {mots_class} {SIZE[0]} {SIZE[1]} {counts} 0.9")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments: object) -> int:
    return shell.run(command, [str(argument) for argument in arguments])


def tracked(path: Path) -> list[Instances]:
    return list(read_instances("mots", path))


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of the toy."""
    install(monkeypatch)
    list(annotate(job(write_video(tmp_path / "drive.mp4"), out=tmp_path / "labels", formats=("coco",))))
    return tmp_path / "labels"


# ---- MOTS text


def test_the_tracks_of_a_text_go_to_a_file(tmp_path: Path) -> None:
    assert run(text(tmp_path / "found.txt"), "--out", tmp_path / "tracked.txt") == 0
    found = tracked(tmp_path / "tracked.txt")
    assert len(found) == 12
    assert {tuple(sorted(each.track_ids.tolist())) for each in found} == {(1000, 1001, 2000)}


def test_those_of_several_go_to_files_of_the_same_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        text(tmp_path / "found" / f"{name}.txt")
    assert run(tmp_path / "found", "--out", tmp_path / "tracked") == 0
    assert sorted(path.name for path in (tmp_path / "tracked").iterdir()) == ["a.txt", "b.txt"]


def test_a_text_that_is_there_is_replaced_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out = text(tmp_path / "found.txt"), tmp_path / "out.txt"
    out.write_text("mine")
    assert run(found, "--out", out) == 2
    assert "use --overwrite to replace it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(found, "--out", out, "--overwrite") == 0
    assert len(tracked(out)) == 12


def test_gaps_are_filled_as_asked(tmp_path: Path) -> None:
    found = text(tmp_path / "found.txt", missing=(5, 6))
    for flags, sizes in (((), {3}), (("--fill-gaps", 0), {2, 3}), (("--fill-gaps", 1), {2, 3})):
        assert run(found, "--out", tmp_path / "out.txt", "--overwrite", *flags) == 0
        assert {len(each) for each in tracked(tmp_path / "out.txt")} == sizes


def test_tracks_shorter_than_asked_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = text(tmp_path / "found.txt")
    lines = found.read_text().splitlines()
    of_one_to_the_end = [line for k, line in enumerate(lines) if k < 15 or k % 3 == 0]  # of others 5 frames
    found.write_text("\n".join(of_one_to_the_end) + "\n")
    assert run(found, "--out", tmp_path / "out.txt", "--min-track", 6) == 0
    assert [len(found) for found in tracked(tmp_path / "out.txt")] == [1] * 12
    assert "10 instances left out" in capsys.readouterr().out


def test_ids_and_the_order_of_lines_in_a_frame_make_no_difference(tmp_path: Path) -> None:
    found = text(tmp_path / "found.txt")
    lines = found.read_text().splitlines()
    turned = tmp_path / "turned.txt"
    turned.write_text(
        "\n".join(sorted(lines, key=lambda line: (int(line.split()[0]), -int(line.split()[1])))) + "\n"
    )
    for path in (found, turned):
        assert run(path, "--out", tmp_path / f"{path.stem}_out.txt") == 0
    first, second = (tracked(tmp_path / f"{name}_out.txt") for name in ("found", "turned"))

    def partition(frames: list[Instances]) -> set[frozenset[tuple[int, bytes]]]:
        members: dict[int, set[tuple[int, bytes]]] = {}
        for each in frames:
            for track_id, mask in zip(each.track_ids.tolist(), each.masks, strict=True):
                members.setdefault(track_id, set()).add((each.frame.index, mask["counts"]))
        return {frozenset(of_track) for of_track in members.values()}

    assert partition(first) == partition(second)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("found.txt",), "say with --out"),
        (("found.txt", "--out", "found.txt"), "choose another --out"),
        (("found.txt", "other/found.txt", "--out", "tracked"), "would be written twice"),
        (("found.txt", "other/found.txt", "--out", "tracked.txt"), "name a folder"),
        (("missing.txt", "--out", "tracked"), "missing.txt"),
        (("found.txt", "--out", "tracked", "--min-track", "0"), "--min-track must be at least 1"),
    ],
)
def test_wrong_usage_gets_a_sentence_and_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = text(tmp_path / "found.txt").read_text()
    text(tmp_path / "other" / "found.txt")
    assert run(*arguments) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.txt", "other"]
    assert (tmp_path / "found.txt").read_text() == before


def test_a_damaged_text_is_told_with_its_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = text(tmp_path / "found.txt")
    found.write_text(found.read_text() + "12 1 1 40 120 zzz\n")
    assert run(found, "--out", tmp_path / "tracked.txt") == 2
    assert "line 37" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["found.txt"]


# ---- runs


def test_a_run_is_tracked_anew_and_published_again(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = labels / "drive" / "coco.json"
    filled = len(json.loads(published.read_text())["annotations"])
    assert run(labels, "--fill-gaps", 0) == 0
    assert "drive: 24 frames" in capsys.readouterr().out
    assert len(json.loads(published.read_text())["annotations"]) == filled - 5
    with Store.read(labels / "drive") as store:
        assert store.progress.tracking == TrackingOptions(fill_gaps=0)
    assert run(labels / "drive") == 0
    assert len(json.loads(published.read_text())["annotations"]) == filled


def test_tracks_of_another_version_of_this_tool_are_published_again(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options are those of before, but not what they lead to."""

    def none(frames: Iterable[Instances], *_: object) -> Iterator[FrameTracks]:
        return (FrameTracks(found.frame.index, [0] * len(found), []) for found in frames)

    monkeypatch.setattr(association, "associate_frames", none)
    assert run(labels) == 0
    assert json.loads((labels / "drive" / "coco.json").read_text())["annotations"] == []


def test_the_same_options_give_the_bytes_of_the_run(labels: Path) -> None:
    before = (labels / "drive" / "coco.json").read_bytes()
    assert run(labels, "--max-gap", 0.1) == 0
    assert (labels / "drive" / "coco.json").read_bytes() != before
    assert run(labels) == 0
    assert (labels / "drive" / "coco.json").read_bytes() == before


def test_no_track_labels_all_that_was_found(labels: Path) -> None:
    assert run(labels, "--no-track") == 0
    with Store.read(labels / "drive") as store:
        assert (store.instance_count, store.track_count) == (24 + 19, 0)
        assert not any(each.interpolated.any() for each in store.instances())


def test_tracks_that_people_edited_are_kept_unless_told(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(EditJob(labels / "drive", delete=(1,)))
    assert run(labels) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(labels, "--overwrite") == 0
    with Store.read(labels / "drive") as store:
        assert store.progress.tracking == TrackingOptions()


def test_out_is_not_for_runs(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(labels, "--out", labels.parent / "other") == 2
    assert "in place" in capsys.readouterr().err
