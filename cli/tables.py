"""The figures of an evaluation as people read them: rich tables on a terminal, plain columns elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from annotator.escape import one_line
from annotator.evaluation.diff import KEYFRAME_EVERY, KINDS, Diff
from annotator.evaluation.report import CLASSES, Report
from annotator.formats.comparison import Counts
from annotator.formats.pairing import By
from annotator.labels import BY_ID

from . import shell
from .options import with_flags

TITLES = {
    "cityscapes": "Cityscapes instances",
    "coco": "COCO masks",
    "tracks": "Tracks",
    "boundary": "Outlines",
    "edits": "Cost of correction",
}
COLUMNS = {
    "cityscapes": ("AP", "AP50"),
    "coco": ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100"),
    "tracks": ("HOTA", "DetA", "AssA", "LocA", "IDF1", "MOTSA", "sMOTSA", "IDS", "Frag"),
    "boundary": ("boundary_iou", "contour_px", "pairs"),
    "edits": (
        *("objects", "stay", "reshape", "delete", "missing", "wrong_class", "joins", "cuts"),
        "edits_per_object",
    ),
}
UNKNOWN = "-"


@dataclass(frozen=True)
class Sheet:
    """A table: a line for every class that has figures, and one for all."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def show(report: Report) -> None:
    """Print the tables, and what was compared, on stdout."""
    _print(list(sheets(report)), remarks(report))


def show_diff(found: Diff, most: int, assumed: Mapping[str, float]) -> None:
    """Print what people changed, what it cost, and at most so many frames worth training on, on stdout."""
    head = ("class", *KINDS)
    class_ids = sorted({class_id for _, class_id in found.counts})
    rows = [(BY_ID[c].name, *(str(found.counts[kind, c]) for kind in KINDS)) for c in class_ids]
    rows.append(("all", *(str(found.total(kind)) for kind in KINDS)))
    _print([Sheet("What people changed", head, rows)], _diff_remarks(found, most, assumed))


def _diff_remarks(found: Diff, most: int, assumed: Mapping[str, float]) -> Iterator[str]:
    yield f"compared {_plural(found.frames, 'frame')}, {len(found.changed)} of them changed"
    yield from _pairing(found.pairing)
    if found.skipped:
        left = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.skipped.items())
        yield f"left out: {left} that the other side lacks"
    yield from _unread(found.unread)
    times = ", ".join(f"{kind} {seconds:g} s" for kind, seconds in assumed.items())
    yield (
        f"time: about {found.seconds(assumed) / 60:.1f} minutes of correcting, against"
        f" {found.seconds_from_nothing(assumed) / 60:.1f} of drawing all of it; assumed: {times}; an outline serves"
        f" for {KEYFRAME_EVERY} frames, and what is done to a track in consecutive frames is done once"
    )
    frames = found.frames_to_retrain(most)
    several = len({frame.recording for frame in frames}) > 1
    names = [
        (f"{frame.recording}:" if several else "") + (frame.name or str(frame.index)) for frame in frames
    ]
    if names:
        yield f"worth training on, most first: {', '.join(names)}"


def _print(tables: Sequence[Sheet], lines: Iterable[str]) -> None:
    if sys.stdout.isatty():
        console = Console()
        for sheet in tables:
            console.print(_rich(sheet))
        for line in lines:
            console.print(one_line(with_flags(line)), markup=False, highlight=False)
    else:
        shell.print_result("\n".join([*(f"{_plain(sheet)}\n" for sheet in tables), *lines]))


def sheets(report: Report) -> Iterator[Sheet]:
    """A table for every part."""
    for part, figures in report.parts.items():
        columns = COLUMNS[part]
        classes = {
            name: of_class
            for name, of_class in figures[CLASSES].items()
            if not math.isnan(of_class[columns[0]])  # no truth: nothing to say
        }
        rows = [_row(name, of_class, columns) for name, of_class in classes.items()]
        last = "all" if part in ("edits", "boundary") else "mean"
        yield Sheet(TITLES[part], ("class", *columns), [*rows, _row(last, figures, columns)])


def remarks(report: Report) -> Iterator[str]:
    """What the figures are figures of, in sentences."""
    counts = report.counts
    yield f"compared {_plural(counts.compared, 'frame')}; figures are fractions of 1"
    yield from _pairing(counts)
    for side, frames, recordings in (
        ("predictions", counts.only_predicted, report.only_predicted),
        ("truth", counts.only_true, report.only_true),
    ):
        if frames:
            yield f"left out: {_plural(frames, 'frame')} that only {side} {'have' if side[-1] == 's' else 'has'}"
        if recordings:
            yield f"left out: {_plural(len(recordings), 'recording')} of {side}: {', '.join(recordings)}"
    yield from _unread(report.unread)
    for side, objects in (("predicted", report.hidden_predicted), ("true", report.hidden_true)):
        if objects:
            yield (
                f"overlaps: {_plural(objects, f'{side} object')} gave pixels up to better ones,"
                " for tracks and edits, whose masks must not overlap"
            )
    if report.unlabelled_frames:
        yield (
            f"background: in {_plural(report.unlabelled_frames, 'frame')} of truth all but objects is unlabelled;"
            " what is predicted there does not count for Cityscapes AP, and is wrong for the other figures"
        )


def _unread(sides: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for side, counts in sides.items():
        if counts:
            yield f"left out of {side} labels: {', '.join(f'{count} {what}' for what, count in counts.items())}"


def _pairing(counts: Counts) -> Iterator[str]:
    """What frames were paired by, unless it is what they are called."""
    if counts.similar:
        frames = _plural(counts.paired_by[By.SIMILAR], "frame")
        yield f"paired {frames} by similar names, as {' with '.join(counts.similar)}"
    if counts.are_named and counts.paired_by[By.NUMBER]:
        frames = _plural(counts.paired_by[By.NUMBER], "frame")
        yield f"paired {frames} by number, not by name: nothing but their size tells whether they show the same"


def _row(name: str, figures: dict[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    return (name, *(_number(figures.get(column, math.nan)) for column in columns))


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return UNKNOWN if math.isnan(value) else f"{value:.3f}"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _rich(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left")
    for name in sheet.head:
        # Words may be broken where the terminal is narrow, numbers not.
        table.add_column(Text(name.replace("_", " ")), justify="left" if name == "class" else "right")
    for row in sheet.rows:
        table.add_row(*map(Text, row), end_section=row is sheet.rows[-2] if len(sheet.rows) > 1 else False)
    return table


def _plain(sheet: Sheet) -> str:
    """Columns as wide as they need to be."""
    rows = [sheet.head, *sheet.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([sheet.title, *lines])
