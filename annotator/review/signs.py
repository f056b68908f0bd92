"""Signs of doubt: what tells, without ground truth, that a person would change an instance, or add one in a gap.

A recording is read once, in its order. Columns of instances are held for a stretch of frames and a margin on both
sides, so that memory follows the number of objects in them and not the length.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.formats.interface import LabelReader
from annotator.formats.summary import LabelSummary
from annotator.labels import INSTANCE_CLASSES
from annotator.review.measuring import FrameMeasures, Measurer, share_of_box

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

STRETCH = 2000  # frames whose instances are looked at together
MARGIN = 24  # frames on both sides of them
WINDOW = 8  # frames before and behind, of which an instance should be like
LONGEST_GAP = 15  # frames of a gap in which an instance may be missing
UNKNOWN = -1.0  # value of a sign that can't be told

SIGNS = (
    *("is gap", "score", "score against its track", "area", "height by width", "filled share of its box"),
    *("at the border", "hidden by others", "box in one of its class", "box in one of another class"),
    *(
        "class of its track",
        "class votes",
        "overlap before",
        "overlap behind",
        "shape before",
        "shape behind",
    ),
    *("growth before", "growth behind", "area against its track", "motion before", "motion behind"),
    *("gap before", "gap behind", "frames since birth", "frames to death", "born inside", "dies inside"),
    *("seen near by", "appearance before", "appearance behind", "objects in the frame", "class"),
    *("interpolated", "width against its track", "height against its track", "others born near by"),
    *("others before", "others behind", "fill against its track", "score of its track"),
)


class Item(NamedTuple):
    """What may have to be changed: an instance, or a place in a gap of a track where there is none."""

    frame_index: int
    track_id: int  # 0: of no track
    class_id: int
    place: int  # of the instance in its frame, in score order; -1: in a gap
    score: float
    area: float  # pixels
    box: tuple[float, float, float, float]  # left, top, width, height; in a gap, about there


@dataclass(frozen=True)
class Signs:
    """N items, and the signs (N, len(SIGNS)) of each."""

    items: list[Item]
    values: Floats


def signs_of(reader: LabelReader, summary: LabelSummary) -> Iterator[Signs]:
    """Yield the signs of all instances and gaps of a recording, stretch by stretch, in its order."""
    measurer = Measurer()
    held: list[FrameMeasures] = []
    core = 0  # of `held`: the first frame whose signs are still to be given
    for found in reader.instances():
        held.append(measurer.measure(found))
        if len(held) >= core + STRETCH + MARGIN:
            yield _signs(held, summary, (core, core + STRETCH))
            begin = max(0, core + STRETCH - MARGIN)
            held, core = held[begin:], core + STRETCH - begin
    if len(held) > core:
        yield _signs(held, summary, (core, len(held)))


def _signs(held: list[FrameMeasures], summary: LabelSummary, core: tuple[int, int]) -> Signs:
    """The signs of the frames core[0] to core[1] - 1 of those that are held."""
    rows = _Rows.of(held)
    instances = _of_instances(rows, held, summary)
    is_core = (rows.frame >= core[0]) & (rows.frame < core[1])
    items = [_item(rows, held, k) for k in np.flatnonzero(is_core).tolist()]
    gaps = [
        (item, values) for item, values in _of_gaps(rows, held, instances) if core[0] <= item[0] < core[1]
    ]
    values = np.vstack([instances[is_core], *(value for _, value in gaps)])
    return Signs([*items, *(item[1] for item, _ in gaps)], np.nan_to_num(values, nan=UNKNOWN))


@dataclass(frozen=True)
class _Rows:
    """Instances of some frames as columns of N, frame by frame."""

    frame: Indices  # place of the frame among those that are held
    columns: Mapping[str, npt.NDArray[np.float64]]
    before: Indices  # (N,) the row of the track's instance before; -1 = none
    behind: Indices

    @classmethod
    def of(cls, held: list[FrameMeasures]) -> _Rows:
        """Put frames together."""
        frame = np.repeat(np.arange(len(held)), [len(each) for each in held])
        names = FrameMeasures.COLUMNS
        columns = {name: np.concatenate([each.columns[name] for each in held]) for name in names}
        track = columns["track"]
        order = np.lexsort((frame, track))
        order = order[track[order] > 0]
        same = track[order[1:]] == track[order[:-1]]
        before, behind = np.full(len(frame), -1), np.full(len(frame), -1)
        before[order[1:][same]] = order[:-1][same]
        behind[order[:-1][same]] = order[1:][same]
        return cls(frame, columns, before, behind)

    def of_behind(self, name: str) -> Floats:
        """A column of links, as the link to the instance behind has it."""
        values = self.columns[name][self.behind]
        return np.where(self.behind >= 0, values, np.nan)

    def around(self, name: str) -> Floats:
        """(N, 2 * WINDOW) a column of the instances of the same track before and behind; nan = none near by."""
        out = np.full((len(self.frame), 2 * WINDOW), np.nan)
        for side, links in enumerate((self.before, self.behind)):
            row = links.copy()
            for step in range(WINDOW):
                is_near = row >= 0
                is_near &= np.abs(self.frame[row] - self.frame) <= WINDOW
                out[is_near, side * WINDOW + step] = self.columns[name][row[is_near]]
                row = np.where(row >= 0, links[row], -1)
        return out


def _of_instances(rows: _Rows, held: list[FrameMeasures], summary: LabelSummary) -> Floats:
    """The signs (N, len(SIGNS)) of the instances."""
    c = rows.columns
    n = len(rows.frame)
    nan = np.full(n, np.nan)
    of_track = _of_tracks(rows, summary)
    is_end = (of_track["frames since birth"] == 0) | (of_track["frames to death"] == 0)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # medians of nothing are nan
        medians = {name: np.nanmedian(rows.around(name), axis=1) for name in ("score", "log_fill")}
        trends = {name: _trend(rows.around(name)) for name in ("log_area", "log_width", "log_height")}
        classes = rows.around("class")
        near = np.isfinite(classes).sum(1)
        votes = (classes == c["class"][:, None]).sum(1) / np.where(near, near, np.nan)
    gap_before = np.where(rows.before >= 0, rows.frame - rows.frame[rows.before] - 1, nan)
    gap_behind = np.where(rows.behind >= 0, rows.frame[rows.behind] - rows.frame - 1, nan)
    values = of_track | {
        "is gap": np.zeros(n),
        "score": c["score"],
        "score against its track": c["score"] - medians["score"],
        "area": c["log_area"] - c["log_frame"],
        "height by width": c["log_height"] - c["log_width"],
        "filled share of its box": np.exp2(c["log_fill"]),
        "at the border": c["border"],
        "hidden by others": c["hidden"],
        "box in one of its class": c["in_same"],
        "box in one of another class": c["in_other"],
        "class votes": votes,
        "overlap before": c["overlap"],
        "overlap behind": rows.of_behind("overlap"),
        "shape before": c["shape"],
        "shape behind": rows.of_behind("shape"),
        "growth before": np.abs(c["growth"]),
        "growth behind": np.abs(rows.of_behind("growth")),
        "area against its track": c["log_area"] - trends["log_area"],
        "motion before": c["motion"],
        "motion behind": rows.of_behind("motion"),
        "gap before": gap_before,
        "gap behind": gap_behind,
        "seen near by": near,
        "appearance before": c["appearance"],
        "appearance behind": rows.of_behind("appearance"),
        "objects in the frame": np.array([len(held[k]) for k in rows.frame], float),
        "class": np.array([_class_number(int(k)) for k in c["class"]], float),
        "interpolated": c["interpolated"],
        "width against its track": c["log_width"] - trends["log_width"],
        "height against its track": c["log_height"] - trends["log_height"],
        "others born near by": _born_near(rows, held, is_end),
        "others before": c["others_before"],
        "others behind": c["others_behind"],
        "fill against its track": c["log_fill"] - medians["log_fill"],
    }
    return np.stack([np.asarray(values[name], float) for name in SIGNS], axis=1)


def _of_tracks(rows: _Rows, summary: LabelSummary) -> dict[str, npt.NDArray[np.float64]]:
    """The signs (N,) that tell where in its track an instance is, and how it fits the whole of it."""
    c = rows.columns
    tracks = [summary.tracks.get(int(track)) for track in c["track"]]
    first = np.array([np.nan if t is None else t.first for t in tracks], float)
    last = np.array([np.nan if t is None else t.last for t in tracks], float)
    track_class = np.array([np.nan if t is None else t.class_id for t in tracks], float)
    step = max(1, summary.step)
    since, until = (c["index"] - first) / step, (last - c["index"]) / step
    is_inside = c["border"] == 0
    signs = {
        "class of its track": np.where(np.isnan(track_class), np.nan, c["class"] == track_class),
        "frames since birth": np.minimum(since, 30),
        "frames to death": np.minimum(until, 30),
        "born inside": (since == 0) & is_inside & (c["index"] > summary.first),
        "dies inside": (until == 0) & is_inside & (c["index"] < summary.last),
        "score of its track": np.array([np.nan if t is None else t.score for t in tracks], float),
    }
    return {name: np.asarray(values, float) for name, values in signs.items()}


def _trend(around: Floats) -> Floats:
    """(N,) what a column should be, by the medians of the nearest ones before and behind (N, 2 * WINDOW)."""
    sides = [np.nanmedian(around[:, k : k + WINDOW // 2], axis=1) for k in (0, WINDOW)]
    return np.nanmean(sides, axis=0)


def _born_near(rows: _Rows, held: list[FrameMeasures], is_end: npt.NDArray[np.bool_]) -> Floats:
    """(N,) share of each box that lies in the box of another instance that is the first or last of its track."""
    out = np.zeros(len(rows.frame))
    begin = 0
    for each in held:
        of = slice(begin, begin := begin + len(each))
        ends = is_end[of]
        if ends.any():
            inside = share_of_box(each.boxes, each.boxes)
            np.fill_diagonal(inside, 0)
            out[of] = inside[:, ends].max(1)
    return out


def _of_gaps(
    rows: _Rows, held: list[FrameMeasures], instances: Floats
) -> Iterator[tuple[tuple[int, Item], Floats]]:
    """Yield places in gaps, each with the place of its frame among those that are held, and its signs (1, S)."""
    c = rows.columns
    for k in np.flatnonzero(rows.before >= 0).tolist():
        j = int(rows.before[k])
        length = int(rows.frame[k] - rows.frame[j] - 1)
        if not 1 <= length <= LONGEST_GAP:
            continue
        box_j, box_k = _box(rows, held, j), _box(rows, held, k)
        for step in range(1, length + 1):
            share = step / (length + 1)
            box = (1 - share) * box_j + share * box_k
            frame = int(rows.frame[j]) + step
            hidden = share_of_box(box[None], held[frame].boxes)
            same = held[frame].columns["class"] == c["class"][k]
            values = np.fmin(instances[j], instances[k])
            score, area = min(c["score"][j], c["score"][k]), 2.0 ** min(c["log_area"][j], c["log_area"][k])
            changes = {
                "is gap": 1.0,
                "hidden by others": hidden.max(initial=0),
                "box in one of its class": hidden[:, same].max(initial=0),
                "box in one of another class": hidden[:, ~same].max(initial=0),
                "overlap before": c["overlap"][k],
                "overlap behind": c["overlap"][k],
                "growth before": abs(c["growth"][k]),
                "motion before": c["motion"][k],
                "gap before": step - 1,
                "gap behind": length - step,
                "objects in the frame": len(held[frame]),
            }
            for name, value in changes.items():
                values[SIGNS.index(name)] = value
            left, top, width, height = box.tolist()
            ids = int(c["track"][k]), int(c["class"][k])
            item = Item(held[frame].index, *ids, -1, float(score), float(area), (left, top, width, height))
            yield (frame, item), values[None]


def _box(rows: _Rows, held: list[FrameMeasures], k: int) -> Floats:
    each = held[rows.frame[k]]
    return each.boxes[int(rows.columns["place"][k])]


def _item(rows: _Rows, held: list[FrameMeasures], k: int) -> Item:
    c = {name: rows.columns[name][k] for name in ("track", "class", "place", "score", "log_area")}
    box = _box(rows, held, k).tolist()
    area = float(np.exp2(c["log_area"]))
    ids = int(c["track"]), int(c["class"]), int(c["place"])
    return Item(held[rows.frame[k]].index, *ids, float(c["score"]), area, (box[0], box[1], box[2], box[3]))


def _class_number(class_id: int) -> int:
    return INSTANCE_CLASSES.index(class_id) if class_id in INSTANCE_CLASSES else len(INSTANCE_CLASSES)
