"""How a recording went is told in a line, with the reasons of its first gaps."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from annotator.pipeline.events import FramesLabelled, SourceEnded, SourceStarted
from annotator.store.records import DONE, SourceRecord
from cli import progress
from cli.progress import Bar, Lines, outcome

REASONS = tuple(f"after frame {k}: broken" for k in range(3))


def test_the_first_gaps_are_told_with_their_reasons() -> None:
    record = SourceRecord("drive", "drive.mp4", DONE, frames=9, gaps=3, gap_reasons=REASONS)
    told = outcome(record, changed=True)
    assert "9 frames, 3 gaps (after frame 0: broken; after frame 1: broken; and 1 more), 0 instances" in told


def test_a_recording_without_gaps_is_told_without_them() -> None:
    assert "9 frames, 0 instances" in outcome(
        SourceRecord("drive", "drive.mp4", DONE, frames=9), changed=True
    )


WITH_OTHERS = (
    SourceStarted("a", 100),
    SourceStarted("b", 20),
    FramesLabelled("a", 50, 50, 7),
    FramesLabelled("b", 10, 10, 7),
    SourceEnded(SourceRecord("a", "a.mp4", DONE, frames=50), changed=True),
    FramesLabelled("b", 20, 10, 7),
)


def test_lines_tell_of_each_source_what_is_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    lines = Lines()
    for event in WITH_OTHERS:
        lines.show(event)
    told = capsys.readouterr().err.splitlines()
    assert told[2:4] == ["a: 50 frames, 2.5 frames/s, 20 s left", "b: 10 frames, 0.5 frames/s, 20 s left"]
    assert told[-1] == "b: 20 frames, 0.7 frames/s"


def test_each_source_under_work_has_its_bar() -> None:
    text = io.StringIO()
    with Bar(Console(file=text, force_terminal=True, width=100)) as bar:
        for event in WITH_OTHERS:
            bar.show(event)
            tasks = {
                task.description: (task.completed, task.total) for task in bar._progress.tasks if task.visible
            }
        assert tasks == {"b": (20, 20)}
        bar.show(SourceStarted("c", None))
        assert len(bar._progress.tasks) == 3
    assert not bar._progress.tasks
    assert "a: done: 50 frames" in text.getvalue()
