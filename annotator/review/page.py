"""`report.html`: all that there is to see of a run in one file that needs no network.

What users name (recordings, files) goes through Jinja's escaping, or as JSON in which no tag can end; the page's own
script and style are let in by their hashes, and nothing else is.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from annotator.escape import encodable
from annotator.files import atomic_file
from annotator.formats.summary import LabelSummary
from annotator.review.colours import class_colour, class_name, hexadecimal
from annotator.review.drawing import FrameDrawer, Picture, picture_size
from annotator.review.listing import Entry, ReviewList
from annotator.review.preview import PREVIEW, caption, is_current, preview_pictures
from annotator.review.recording import Span
from annotator.review.run_folder import UNKNOWN, LabelledRecording
from annotator.review.tracks import MOST_ROWS, Gathered, TrackRuns
from annotator.store import Store

FILE_NAME = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
MOST_LISTED = 100  # lines of a recording's review list
MOST_BYTES = 12_000_000  # of all pictures, before they are written as text, which takes a third more
MOST_OF_ONE = 6_000_000  # of the pictures of a recording
PICTURE_WIDTH = 800
QUALITY = 45  # of WebP
FILLED = 0.35  # opacity of what was filled in


@dataclass(frozen=True)
class Differences:
    """What differs from other labels of the same recording."""

    other: str
    caption: str
    legend: Sequence[tuple[str, str]]  # names and colours
    pictures: Sequence[Mapping[str, Any]]  # frame, content, caption


def write_report(path: Path, name: str, caption: str, sources: Sequence[Mapping[str, Any]]) -> None:
    """Write the page of a run, whole or not at all. Raises OutputError."""
    css, js = (_text(file) for file in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(css)}'; script-src '{_hash(js)}';"
        " base-uri 'none'; form-action 'none'"
    )
    cards = [
        ("recordings", len(sources)),
        ("labelled", sum(bool(source["has_labels"]) for source in sources)),
        ("failed", sum(bool(source["error"]) for source in sources)),
        ("frames", f"{sum(source['frames'] for source in sources):,}"),
        ("objects", f"{sum(source['instances'] for source in sources):,}"),
        ("tracks", f"{sum(source['track_count'] for source in sources):,}"),
    ]
    run = {"name": encodable(name), "caption": encodable(caption), "cards": cards}
    content = _template().render(run=run, sources=sources, css=_safe(css), js=_safe(js), policy=policy)
    with atomic_file(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def source_page(
    number: int, recording: LabelledRecording, store: Store, listed: ReviewList, most_bytes: int
) -> dict[str, Any]:
    """What the page shows of a labelled recording, as the template takes it."""
    summary = LabelSummary.of(store)
    span = Span.of(store)
    gathered = Gathered.of(store, summary, listed)
    shown = gathered.shown()
    has_preview = is_current(store, recording.folder)
    pictures = list(_pictures(store, recording.folder, span, listed, most_bytes))
    data = {
        "first": span.first,
        "last": span.last,
        "step": span.step,
        "columns": _columns(span),
        "pictures": [[index, base64.b64encode(content).decode()] for index, content in pictures],
    }
    too_many = len(gathered.tracks) > len(shown)
    return {
        **unlabelled_page(number, recording),
        "has_labels": True,
        "frames": span.count,
        "instances": int(gathered.objects.sum()),
        "track_count": len(gathered.tracks),
        "expected": f"{listed.expected():.0f}",
        "caption": _caption(recording, store, span),
        "data": _json(data),
        "picture_size": _picture_size(span),
        **{key: data[key] for key in ("first", "last", "step", "columns")},
        "preview": quote(f"{recording.name}/{PREVIEW}") if has_preview else "",
        "list_caption": _list_caption(listed),
        "entries": [_entry(entry) for entry in listed.first(MOST_LISTED)],
        "rows": [_row(k, gathered.tracks[k], summary, span) for k in shown],
        "rows_caption": f"the {MOST_ROWS} most doubtful of {len(gathered.tracks)} tracks" if too_many else "",
        "legend": [(class_name(k), hexadecimal(class_colour(k))) for k in sorted(gathered.classes)],
        "charts": gathered.charts(),
    }


def unlabelled_page(number: int, recording: LabelledRecording) -> dict[str, Any]:
    """What the page shows of a recording without labels."""
    record = recording.record
    remarks = [] if record is None else [*record.remarks, *(f"gap {reason}" for reason in record.gap_reasons)]
    if record is not None:
        remarks += [
            f"{name}: {count} {what}" for name, lost in record.losses.items() for what, count in lost.items()
        ]
    return {
        "id": f"s{number}",
        "name": encodable(recording.name),
        "state": UNKNOWN if record is None else record.state,
        "error": encodable(record.error) if record is not None and record.error else "",
        "remarks": [encodable(remark) for remark in remarks],
        "caption": encodable(record.path) if record is not None else "",
        "has_labels": False,
        "frames": 0,
        "instances": 0,
        "track_count": 0,
        "expected": "",
        "data": _json({}),
        "differences": None,
    }


def bytes_each(count: int) -> int:
    """How many bytes the pictures of each of so many recordings may take."""
    return min(MOST_OF_ONE, MOST_BYTES // max(1, count))


def webp(picture: Picture, width: int = PICTURE_WIDTH) -> bytes:
    """A picture as a small file."""
    if picture.shape[1] > width:
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    _, content = cv2.imencode(
        ".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
    )
    return content.tobytes()


# ---- parts


def _pictures(
    store: Store, folder: Path, span: Span, listed: ReviewList, most_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """The pictures of as many frames as there is room for: of all, or the doubtful ones and some between them."""
    first = next(_drawn(store, folder, span, {span.first}), None)
    if first is None:
        return
    wanted = _wanted(store, span, listed, most_bytes // len(webp(first[1])))
    spent = 0
    for index, picture in _drawn(store, folder, span, wanted):
        if spent >= most_bytes:
            return
        content = webp(picture)
        spent += len(content)
        yield index, content


def _wanted(store: Store, span: Span, listed: ReviewList, room: int) -> set[int]:
    """Frames to show, at most about `room`."""
    indices = [ref.index for ref in store.frames()]
    if span.count <= room:
        return set(indices)
    doubtful = list(dict.fromkeys(listed.doubtful["frame"].tolist()))[: room // 2]
    even = np.linspace(0, span.count - 1, max(1, room - len(doubtful))).round().astype(int)
    return {*doubtful, *(indices[k] for k in even), *list(listed.picks)[:room]}


def _drawn(store: Store, folder: Path, span: Span, wanted: set[int]) -> Iterator[tuple[int, Picture]]:
    """Some frames as they are drawn: out of the preview, or without their pictures where there is none."""
    if is_current(store, folder):
        yield from preview_pictures(folder, store.frames(), wanted)
        return
    drawer = FrameDrawer(picture_size(span.size, PICTURE_WIDTH))
    summary = LabelSummary.of(store)
    for found in store.instances():
        if found.frame.index in wanted:
            yield found.frame.index, drawer.draw(None, summary.disjoint(found), caption(found))


def _columns(span: Span) -> int:
    """Places of a timeline, one a labelled frame, those of images that couldn't be read included."""
    return (span.last - span.first) // span.step + 1


def _picture_size(span: Span) -> tuple[int, int]:
    height, width = picture_size(span.size, PICTURE_WIDTH)
    return round(height * PICTURE_WIDTH / width), PICTURE_WIDTH


def _row(track_id: int, track: TrackRuns, summary: LabelSummary, span: Span) -> dict[str, Any]:
    """A track in the timeline, in its places."""
    class_id = summary.tracks[track_id].class_id

    def place(index: int) -> int:
        return (index - span.first) // span.step

    runs: dict[float, list[tuple[int, int]]] = {1: [], FILLED: []}  # by opacity
    for run in track.runs:
        runs[FILLED if run.is_filled else 1].append((place(run.first), place(run.last) + 1))
    return {
        "name": f"{class_name(class_id)} {track_id}",
        "colour": hexadecimal(class_colour(class_id)),
        "first": place(track.runs[0].first),
        "last": place(track.runs[-1].last) + 1,
        "runs": [(opacity, spans) for opacity, spans in runs.items() if spans],
        "doubts": [(place(first), place(last) + 1) for first, last in track.doubts],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    track = f" {entry.track_id}" if entry.track_id else ""
    missing = ", missing?" if entry.is_missing else ""
    return {
        "frame": entry.frame_index,
        "what": f"{class_name(entry.class_id)}{track}{missing}",
        "chance": f"{100 * entry.probability:.0f} %",
        "why": ", ".join(entry.reasons),
    }


def _caption(recording: LabelledRecording, store: Store, span: Span) -> str:
    path = f"{recording.record.path}: " if recording.record is not None else ""
    seconds = f", labelled in {recording.record.seconds:.0f} s" if recording.record is not None else ""
    gaps = f", {store.gap_count} gaps" if store.gap_count else ""
    return encodable(
        f"{path}{span.count} frames of {span.size[1]}x{span.size[0]}, from {span.first} to {span.last}{gaps}{seconds}"
    )


def _list_caption(listed: ReviewList) -> str:
    caption = (
        f"A person would change about {listed.expected():.0f} of {len(listed)} instances. Frames are numbered as in"
        " CVAT; review.csv has the whole list."
    )
    if listed.picks:
        share = listed.expected(list(listed.picks)) / max(listed.expected(), 1e-9)
        frames = ", ".join(str(index) for index in sorted(listed.picks))
        caption += f" {len(listed.picks)} frames that hold {100 * share:.0f} % of that: {frames}."
    return caption


# ---- text


@cache
def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "report.html"
    )


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _safe(content: str) -> Any:
    from markupsafe import Markup

    return Markup(content)  # our own


def _json(data: Mapping[str, Any]) -> Any:
    """JSON for a script element, which nothing in it can end."""
    text = json.dumps(data, separators=(",", ":"))
    return _safe(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
