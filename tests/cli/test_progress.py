"""How a recording went is told in a line, with the reasons of its first gaps."""

from __future__ import annotations

from annotator.store.records import DONE, SourceRecord
from cli.progress import outcome

REASONS = tuple(f"after frame {k}: broken" for k in range(3))


def test_the_first_gaps_are_told_with_their_reasons() -> None:
    record = SourceRecord("drive", "drive.mp4", DONE, frames=9, gaps=3, gap_reasons=REASONS)
    told = outcome(record, changed=True)
    assert "9 frames, 3 gaps (after frame 0: broken; after frame 1: broken; and 1 more), 0 instances" in told


def test_a_recording_without_gaps_is_told_without_them() -> None:
    assert "9 frames, 0 instances" in outcome(
        SourceRecord("drive", "drive.mp4", DONE, frames=9), changed=True
    )
