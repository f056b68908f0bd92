"""What is wrong comes first: planted errors are found without ground truth, and a budget picks the frames with most."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from annotator.formats.summary import LabelSummary
from annotator.instances import Instances
from annotator.review.listing import COLUMNS, NO_REASON, ReviewList
from annotator.review.signs import SIGNS, signs_of
from tests.helpers.builders import Labels, frame_ref
from tests.helpers.planted import KINDS, planted
from tests.helpers.scenes import scene


def listed(*rows: tuple[int, int, float]) -> ReviewList:
    """A list of (frame, track, probability)."""
    entries = np.zeros(len(rows), COLUMNS)
    for entry, (frame, track, probability) in zip(entries, rows, strict=True):
        entry["frame"], entry["track"], entry["class"], entry["probability"] = frame, track, 26, probability
    entries["reasons"] = NO_REASON
    return ReviewList(entries)


def test_the_first_tenth_holds_most_of_the_errors_that_were_planted() -> None:
    found, total = Counter[str](), Counter[str]()
    for seed in (71,):  # of no drive that the number was fitted to
        drive = planted(seed, 40, share=0.08)
        labels = Labels(list(drive.instances()))
        ranked = ReviewList.of(labels, LabelSummary.of(labels))
        first = {(entry.frame_index, entry.track_id) for entry in ranked.first(len(ranked) // 10)}
        total.update(drive.errors.values())
        found.update(kind for place, kind in drive.errors.items() if place in first)
    assert set(total) == set(KINDS)
    assert found.total() >= 0.6 * total.total(), (found, total)


def test_every_instance_is_listed_once_and_memory_does_not_follow_the_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import annotator.review.signs as signs

    labels = Labels(scene(3, frames=60).predictions)
    whole = next(signs_of(labels, LabelSummary.of(labels)))
    monkeypatch.setattr(signs, "STRETCH", 10)
    parts = list(signs_of(labels, LabelSummary.of(labels)))
    assert max(len(part.items) for part in parts) < len(whole.items) * 2 / 3
    order = sorted(range(len(whole.items)), key=lambda k: whole.items[k])
    items = [item for part in parts for item in part.items]
    again = sorted(range(len(items)), key=lambda k: items[k])
    assert [items[k] for k in again] == [whole.items[k] for k in order]
    values = np.vstack([part.values for part in parts])[again]
    assert np.allclose(values, whole.values[order])
    assert values.shape[1] == len(SIGNS)


def test_a_gap_between_frames_of_a_track_is_an_item(tmp_path: Path) -> None:
    drive = planted(5, 12, share=0)
    track = drive.frames[5][0].track
    assert all(any(thing.track == track for thing in drive.frames[k]) for k in (4, 6))
    drive.frames[5] = [thing for thing in drive.frames[5] if thing.track != track]
    labels = Labels(list(drive.instances()))
    ranked = ReviewList.of(labels, LabelSummary.of(labels))
    missing = [entry for entry in ranked.first(len(ranked)) if entry.is_missing]
    assert (5, track) in [(entry.frame_index, entry.track_id) for entry in missing]
    ranked.with_budget(3).write(tmp_path / "review.csv", {5: "five.png"})
    with (tmp_path / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ranked)
    [row] = [row for row in rows if row["what"] == "missing" and row["track"] == str(track)]
    assert (row["frame"], row["file"]) == ("5", "five.png")
    assert "missing between frames that have it" in row["reasons"]
    chances = [float(row["probability"]) for row in rows]
    assert chances == sorted(chances, reverse=True)
    assert {row["pick"] for row in rows} == {"", "1", "2", "3"}


def test_a_budget_takes_the_frames_with_most_to_do_and_not_their_neighbours() -> None:
    ranked = listed((10, 1, 0.9), (10, 2, 0.8), (11, 1, 0.9), (11, 2, 0.7), (40, 3, 0.9), (80, 4, 0.5))
    assert ranked.with_budget(2).picks == {10: 1, 40: 2}
    assert ranked.with_budget(100).picks == {10: 1, 40: 2, 11: 3, 80: 4}
    assert ranked.expected([10, 40]) == pytest.approx(2.6)


def test_a_recording_without_objects_has_an_empty_list() -> None:
    labels = Labels([Instances.of(frame_ref(k)) for k in range(3)])
    ranked = ReviewList.of(labels, LabelSummary.of(labels))
    assert len(ranked) == 0
    assert not ranked.with_budget(2).picks
