"""spatialemb-review as a user meets it, and --preview of spatialemb-annotate."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cli.annotate
from cli.review import command
from tests.helpers.commands import Run, assert_one_sentence, in_process
from tests.helpers.fake_detector import install, write_video


@pytest.fixture
def annotate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Label with the toy in place of the network."""
    install(monkeypatch)
    return in_process(cli.annotate.command, capsys)


@pytest.fixture
def review(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""
    return in_process(command, capsys)


def test_labels_are_drawn_as_they_are_made(tmp_path: Path, annotate: Run) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    assert annotate(video, "--out", out, "--preview").returncode == 0
    made = (out / "drive" / "preview.mp4").stat().st_mtime_ns
    assert (out / "drive" / "contact_sheet.jpg").stat().st_size > 0
    again = annotate(video, "--out", out, "--preview")
    assert "already done" in again.stdout
    assert (out / "drive" / "preview.mp4").stat().st_mtime_ns == made


def test_a_preview_is_no_recording_and_no_fault_of_the_labels(tmp_path: Path, annotate: Run) -> None:
    from annotator.video import find_sources

    out = tmp_path / "labels"
    annotate(write_video(tmp_path / "in" / "drive.mp4"), "--out", out, "--preview")
    assert [source.path.parent.name for source in find_sources([tmp_path])] == ["in"]


def test_labels_are_drawn_afterwards(tmp_path: Path, annotate: Run, review: Run) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    annotate(video, "--out", out)
    answer = review(out)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert str(out / "drive" / "preview.mp4") in answer.stdout
    assert str(out / "report.html") in answer.stdout
    head, *rows = (out / "drive" / "review.csv").read_text().splitlines()
    assert head.startswith("rank,frame,file,track,class,what,probability")
    assert len(rows) >= 43
    made = (out / "drive" / "preview.mp4").stat().st_mtime_ns
    assert review(out / "drive").returncode == 0
    assert (out / "drive" / "preview.mp4").stat().st_mtime_ns == made


def test_the_page_names_options_as_the_command_line_does(tmp_path: Path, annotate: Run, review: Run) -> None:
    out = tmp_path / "labels"
    annotate(write_video(tmp_path / "drive.mp4", frames=14), "--out", out, "--min-track", 12)
    assert review(out, "--no-preview").returncode == 0
    page = (out / "report.html").read_text()
    assert "which --min-track 1 or --no-track keeps" in page
    assert "`" not in page.partition("<main>")[2].partition("<script>")[0]


def test_a_recording_that_is_gone_fails_and_the_others_are_drawn(
    tmp_path: Path, annotate: Run, review: Run
) -> None:
    out = tmp_path / "labels"
    videos = [write_video(tmp_path / name) for name in ("one.mp4", "two.mp4")]
    annotate(*videos, "--out", out)
    videos[0].unlink()
    answer = review(out)
    assert answer.returncode == 1
    assert_one_sentence(answer, "one.mp4", "isn't there")
    assert not (out / "one" / "preview.mp4").exists()
    assert (out / "two" / "preview.mp4").exists()


def test_a_budget_picks_frames_and_another_run_is_compared(
    tmp_path: Path, annotate: Run, review: Run
) -> None:
    video, out = write_video(tmp_path / "drive.mp4"), tmp_path / "labels"
    annotate(video, "--out", out)
    annotate(video, "--out", tmp_path / "cars", "--classes", "car")
    answer = review(out, tmp_path / "cars", "--review-budget", 3, "--no-preview", "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    picks = {row.rsplit(",", 1)[1] for row in (out / "drive" / "review.csv").read_text().splitlines()[1:]}
    assert picks == {"", "1", "2", "3"}
    page = (out / "report.html").read_text()
    assert "3 frames that hold" in page
    assert "24 missing" in page
    assert not (out / "drive" / "preview.mp4").exists()


def test_what_holds_no_labels_is_refused(tmp_path: Path, review: Run) -> None:
    for path, why in ((tmp_path / "nothing", "isn't there"), (tmp_path, "holds no labels")):
        answer = review(path)
        assert answer.returncode == 2
        assert_one_sentence(answer, str(path), why)


def test_one_frame_is_drawn_with_what_the_network_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annotate: Run, review: Run
) -> None:
    import annotator.review.show as show

    def drawn(maps: object, image: object, found: object) -> object:
        return image

    monkeypatch.setattr(show, "maps_picture", drawn)  # the toy has no maps
    out = tmp_path / "labels"
    annotate(write_video(tmp_path / "drive.mp4"), "--out", out)
    answer = review(out, "--show", 3)
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.strip()).stat().st_size > 0
    beyond = review(out, "--show", 99)
    assert beyond.returncode == 2
    assert_one_sentence(beyond, "frame 99 is not labelled", "from frame 0 to 23")
    shutil.copytree(out / "drive", out / "other")
    assert_one_sentence(review(out, "--show", 3), "name its folder")
