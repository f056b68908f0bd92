"""The page of a run: nothing in it comes from elsewhere, what users name stays text, and all frames are there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.instances import Instances
from annotator.masks import encode
from annotator.options import ReviewJob
from annotator.review.page import MOST_BYTES
from annotator.review.review import review
from annotator.store import Store
from annotator.store.records import SourceRecord
from tests.helpers.builders import finish, frame_ref

SIZE = (48, 64)
EVIL = "<img src=x onerror=alert(1)>"


def source_record(**changes: Any) -> SourceRecord:
    """What run.json tells of a recording."""
    return replace(SourceRecord("drive", "/nowhere/drive.mp4", state="done", seconds=1.0), **changes)


def label(folder: Path, frames: int = 12, names: str = "") -> None:
    """A car that drives right, and isn't there in frames 5 and 6."""
    with Store.open(folder, {"made": "here"}) as store:
        for k in range(frames):
            mask = np.zeros(SIZE, bool)
            mask[20:40, 2 + k % 40 : 20 + k % 40] = True
            ref = frame_ref(k, SIZE, f"{names}{k}.png" if names else "")
            is_there = k not in (5, 6)
            store.add([Instances.of(ref, [encode(mask)], [26], [0.8])] if is_there else [Instances.of(ref)])
        store.set_tracks((k, 0, 1) for k in range(frames) if k not in (5, 6))
        finish(store)


def page_of(run: Path, records: Mapping[str, SourceRecord]) -> str:
    job = ReviewJob(run, preview=False)
    for made in review(job, records):
        assert made.error is None
    return (run / "report.html").read_text()


class Tags(HTMLParser):
    """All tags of a page, and the data of its sources."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[dict[str, object]] = []
        self._is_json = False
        self.feed(content)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._is_json = dict(attributes).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._is_json and data.strip():
            self.data.append(json.loads(data))


def test_the_page_shows_tracks_gaps_doubt_and_all_frames(tmp_path: Path) -> None:
    label(tmp_path / "drive")
    page = Tags(page_of(tmp_path, {"drive": source_record()}))
    [data] = page.data
    assert [index for index, _ in data["pictures"]] == list(range(12))  # type: ignore[attr-defined]
    [bars] = [at["d"] or "" for tag, at in page.tags if tag == "path" and at.get("opacity") == "1"]
    assert re.findall(r"M(\d+) \d+H(\d+)", bars) == [("0", "5"), ("7", "12")]  # from, to
    rows = [at["data-frame"] for tag, at in page.tags if tag == "tr" and "data-frame" in at]
    assert len(rows) == 12  # ten instances, and two that may be missing
    assert {"5", "6"} <= set(rows)


def test_nothing_comes_from_outside_and_only_our_script_may_run(tmp_path: Path) -> None:
    label(tmp_path / "drive")
    content = page_of(tmp_path, {"drive": source_record()})
    page = Tags(content)
    [policy] = [at["content"] for tag, at in page.tags if at.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:")
    assert "unsafe" not in policy
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?!data:)[a-z]+:|//", value), value


@pytest.mark.parametrize("where", ["name", "path", "error", "remark", "file"])
def test_what_users_name_stays_text(tmp_path: Path, where: str) -> None:
    name = EVIL.replace("/", "_") if where == "name" else "drive"
    label(tmp_path / name, names=EVIL if where == "file" else "")
    record = source_record(
        path=f"/data/{EVIL}.mp4" if where == "path" else "/data/drive.mp4",
        error=f"{EVIL}: failed" if where == "error" else None,
        remarks=(EVIL,) if where == "remark" else (),
    )
    page = Tags(page_of(tmp_path, {name: record}))
    assert [at.get("class") for tag, at in page.tags if tag == "img" and at.get("src") == "x"] == []
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_a_recording_that_failed_is_told_with_its_reason(tmp_path: Path) -> None:
    label(tmp_path / "good")
    content = page_of(
        tmp_path, {"good": source_record(), "bad": source_record(state="failed", error="bad.mp4: no frames")}
    )
    assert "bad.mp4: no frames" in content
    assert "1 of 2 recordings failed: bad" in content


def test_many_long_recordings_make_a_page_that_mail_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import annotator.review.page as page

    monkeypatch.setattr(page, "MOST_BYTES", 20_000)
    for name in ("a", "b"):
        label(tmp_path / name, frames=60)
    content = page_of(tmp_path, {"a": source_record(), "b": source_record()})
    pictures = [data["pictures"] for data in Tags(content).data]
    size = sum(len(picture) for of_one in pictures for _, picture in of_one)  # type: ignore[attr-defined]
    assert 0 < size < 20_000 * 4 / 3 * 1.2
    assert all(0 < len(of_one) < 60 for of_one in pictures)  # type: ignore[arg-type]
    assert MOST_BYTES * 4 / 3 < 17e6


def test_the_page_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label(tmp_path / "drive")
    before = page_of(tmp_path, {"drive": source_record()})
    monkeypatch.setattr(Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(Exception, match="disk full"):
        page_of(tmp_path, {"drive": source_record()})
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_text() == before
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]
