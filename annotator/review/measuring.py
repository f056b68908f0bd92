"""What there is to measure of the instances of a frame, alone and against those of the frame before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from annotator.instances import Instances
from annotator.masks import Window, areas, boxes_xywh, decode_windows, iou

Floats = npt.NDArray[np.float64]
REMEMBERED = 25  # frames for which the last mask of a track is kept
BORDER = 2  # pixels from the edge of the picture at which an object may go on outside


@dataclass(frozen=True)
class FrameMeasures:
    """The N instances of a frame, in score order, as columns of numbers; nan where one can't be told."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *("index", "place", "track", "class", "score", "interpolated", "log_area", "log_frame", "log_width"),
        *("log_height", "log_fill", "border", "hidden", "in_same", "in_other"),
        *("overlap", "shape", "growth", "motion", "appearance", "others_before", "others_behind"),
    )

    index: int  # of the frame
    boxes: Floats  # (N, 4) left, top, width, height
    columns: Mapping[
        str, Floats
    ]  # (N,) each; overlap to others_before are against the track's instance before

    def __len__(self) -> int:
        return len(self.boxes)


class _Last(NamedTuple):
    """What is remembered of a track."""

    ordinal: int  # of the frame
    window: Window
    area: float
    centre: Floats  # (2,) x, y
    feature: npt.NDArray[np.float32]
    speed: Floats  # (2,) pixels a frame; nan = not known


class Measurer:
    """Measures the frames of a recording, in their order."""

    def __init__(self) -> None:
        self._ordinal = 0
        self._last: dict[int, _Last] = {}
        self._frame: tuple[Instances, FrameMeasures] | None = None

    def measure(self, found: Instances) -> FrameMeasures:
        """Measure the next frame; `others_behind` of the frame before is filled in."""
        n, size = len(found), found.frame.size
        boxes, area = boxes_xywh(found.masks), areas(found.masks).astype(float)
        right, bottom = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
        is_same = found.class_ids[:, None] == found.class_ids[None]
        inside = share_of_box(boxes, boxes)
        overlap = iou(found.masks, found.masks)
        for pairs in (inside, overlap):
            np.fill_diagonal(pairs, 0)
        shared = overlap / (1 + overlap) * (area[:, None] + area[None])  # pixels
        log_area, log_width, log_height = (
            np.log2(np.maximum(v, 1)) for v in (area, boxes[:, 2], boxes[:, 3])
        )
        border = (boxes[:, 0] < BORDER) | (boxes[:, 1] < BORDER)
        border |= (right > size[1] - BORDER) | (bottom > size[0] - BORDER)
        columns = {name: np.full(n, np.nan) for name in FrameMeasures.COLUMNS} | {
            "index": np.full(n, float(found.frame.index)),
            "place": np.arange(n, dtype=float),
            "track": found.track_ids.astype(float),
            "class": found.class_ids.astype(float),
            "score": found.scores.astype(float),
            "interpolated": found.interpolated.astype(float),
            "log_area": log_area,
            "log_frame": np.full(n, np.log2(size[0] * size[1])),
            "log_width": log_width,
            "log_height": log_height,
            "log_fill": log_area - log_width - log_height,
            "border": border.astype(float),
            "hidden": (shared / np.maximum(area, 1)[:, None]).max(1, initial=0),
            "in_same": (inside * is_same).max(1, initial=0),
            "in_other": (inside * ~is_same).max(1, initial=0),
        }
        measures = FrameMeasures(found.frame.index, boxes, columns)
        self._follow(found, measures, area)
        self._look_at_others(found, measures)
        self._frame = found, measures
        self._ordinal += 1
        return measures

    def _follow(self, found: Instances, measures: FrameMeasures, area: Floats) -> None:
        """Measure every instance against the one of its track before, and remember it."""
        columns, boxes = measures.columns, measures.boxes
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        for k, window in enumerate(decode_windows(found.masks)):
            track = int(found.track_ids[k])
            if not track:
                continue
            feature = found.features[k].astype(np.float32)
            before, speed = self._last.get(track), np.full(2, np.nan)
            if before is not None:
                steps = self._ordinal - before.ordinal
                way = centres[k] - before.centre
                speed = way / steps
                displacement = found.displacement[k].astype(float) if steps == 1 else np.full(2, np.nan)
                expected = displacement if np.isfinite(displacement).all() else before.speed * steps
                if not np.isfinite(expected).all():
                    expected = way
                length = np.sqrt(max(area[k], before.area, 1))
                columns["motion"][k] = np.hypot(*(way - expected)) / length
                columns["overlap"][k] = _overlap(before.window, window, expected)
                columns["shape"][k] = _overlap(before.window, window, way)
                columns["growth"][k] = np.log2(max(area[k], 1) / max(before.area, 1))
                columns["appearance"][k] = _distance(before.feature, feature)
            self._last[track] = _Last(self._ordinal, window, area[k], centres[k], feature, speed)
        self._last = {
            track: last for track, last in self._last.items() if self._ordinal - last.ordinal < REMEMBERED
        }

    def _look_at_others(self, found: Instances, measures: FrameMeasures) -> None:
        """How much every instance overlaps with other tracks' of the frame before, and those with it."""
        if self._frame is None or self._frame[0].frame.size != found.frame.size:
            return
        before, of_before = self._frame
        overlap = iou(found.masks, before.masks)
        overlap[found.track_ids[:, None] == before.track_ids[None]] = 0
        measures.columns["others_before"][:] = overlap.max(1, initial=0)
        of_before.columns["others_behind"][:] = overlap.max(0, initial=0)


def share_of_box(a: Floats, b: Floats) -> Floats:
    """(K, M) the share of each box of `a` (K, 4: left, top, width, height) that lies in each of `b`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    return np.asarray(sides[..., 0] * sides[..., 1] / np.maximum(a[:, 2] * a[:, 3], 1)[:, None])


def _overlap(before: Window, here: Window, way: Sequence[float] | Floats) -> float:
    """IoU of two masks, the first moved by (x, y)."""
    mask_a, top_a, left_a = before
    mask_b, top_b, left_b = here
    top_a, left_a = top_a + round(float(way[1])), left_a + round(float(way[0]))
    top, left = max(top_a, top_b), max(left_a, left_b)
    bottom = min(top_a + mask_a.shape[0], top_b + mask_b.shape[0])
    right = min(left_a + mask_a.shape[1], left_b + mask_b.shape[1])
    total = int(np.count_nonzero(mask_a)) + int(np.count_nonzero(mask_b))
    if bottom <= top or right <= left or not total:
        return 0.0
    both = int(
        np.count_nonzero(
            mask_a[top - top_a : bottom - top_a, left - left_a : right - left_a]
            & mask_b[top - top_b : bottom - top_b, left - left_b : right - left_b]
        )
    )
    return both / (total - both)


def _distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """How unlike two appearances are, 0 to 2; nan where one isn't known."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b)) if len(a) == len(b) else 0.0
    return 1 - float(a @ b) / lengths if lengths else np.nan
