"""Rows of the tables <-> frames and instances. A store comes from anywhere: rows are checked as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.escape import encodable
from annotator.frames import FrameRef, Gap
from annotator.instances import Instances
from annotator.labels import LABELS
from annotator.limits import FARTHEST, MOST_FRAMES
from annotator.masks import from_counts
from annotator.store.database import Row
from annotator.store.schema import FOUND, KINDS, UNSEEN

COUNTS = 4  # place in a row of an instance
AT_ONCE = 1 << 16  # bytes of masks whose rows are taken at once
MOST_TRACKS = int(np.iinfo(np.int32).max)
CLASSES = frozenset(label.id for label in LABELS if label.has_instances)


def row_of_frame(frame: FrameRef) -> Row:
    """A row of `frames`."""
    base = frame.time_base
    return frame.index, frame.pts, base.numerator, base.denominator, *frame.size, encodable(frame.name)


def rows_of_instances(found: Instances, unseen: int) -> Iterator[Row]:
    """Rows of `instances`; those that are interpolated are of the kind `unseen`."""
    columns = (
        found.masks,
        found.class_ids,
        found.scores,
        found.features,
        found.displacement,
        found.interpolated,
    )
    for position, (mask, class_id, score, features, moved, interpolated) in enumerate(
        zip(*columns, strict=True)
    ):
        yield (
            found.frame.index,
            position,
            int(class_id),
            float(score),
            bytes(mask["counts"]),
            features.astype("<f2").tobytes(),
            *(None if np.isnan(way) else float(way) for way in moved),
            unseen if interpolated else FOUND,
        )


def rows_of_tracks(found: Instances) -> Iterator[Row]:
    """Rows of `tracks`, for the instances that have one."""
    for position, track_id in enumerate(found.track_ids):
        if track_id:
            yield found.frame.index, position, int(track_id)


def frame_of(row: Row) -> FrameRef:
    """The frame that FRAME_COLUMNS tell. Raises ValueError for what is no frame."""
    index, pts, numerator, denominator, height, width, name = row
    _require(_are(int, row[:6]) and _are(str, (name,)), "a frame of other types")
    _require(0 <= index < MOST_FRAMES, f"no frame has the number {index}")
    _require(numerator > 0 and denominator > 0, f"frame {index} has ticks of {numerator}/{denominator} s")
    return FrameRef(index, pts, Fraction(numerator, denominator), (height, width), name)


def gap_of(row: Row) -> Gap:
    """The gap that a row (after_index, pts, reason) tells. Raises ValueError for what is no gap."""
    after_index, pts, reason = row
    is_sound = _are(int, (after_index,)) and (pts is None or _are(int, (pts,))) and _are(str, (reason,))
    _require(is_sound and -1 <= after_index < MOST_FRAMES, "a gap that can be none")
    return Gap(after_index, pts, reason)


def rows_to_instances(
    frames: Sequence[FrameRef], of_frame: Mapping[int, Sequence[Row]]
) -> Iterator[Instances]:
    """Yield the instances of frames, given by index their rows (frame_index, position, class_id, score, counts,
    features, moved_x, moved_y, track_id, kind).

    Most work is per call, not per frame: as many frames are taken at once as memory allows. Raises ValueError for rows
    that can't have been written.
    """
    waiting: list[FrameRef] = []
    size = 0
    for frame in frames:
        rows = of_frame.get(frame.index, ())
        more = sum(len(row[COUNTS]) for row in rows if isinstance(row[COUNTS], bytes))
        if waiting and (size + more > AT_ONCE or frame.size != waiting[0].size):
            yield from _at_once(waiting, of_frame)
            waiting, size = [], 0
        waiting.append(frame)
        size += more
    yield from _at_once(waiting, of_frame)


def _at_once(frames: Sequence[FrameRef], of_frame: Mapping[int, Sequence[Row]]) -> list[Instances]:
    """`rows_to_instances` frames of one size."""
    rows = [row for frame in frames for row in of_frame.get(frame.index, ())]
    if not rows:
        return [Instances.of(frame) for frame in frames]
    try:
        return list(_split(frames, rows, [len(of_frame.get(frame.index, ())) for frame in frames]))
    except ValueError as error:
        if len(frames) > 1:  # one by one, to name the first that is wrong
            return [found for frame in frames for found in _at_once([frame], of_frame)]
        raise ValueError(f"frame {frames[0].index}: {error}") from error


def _split(frames: Sequence[FrameRef], rows: Sequence[Row], lengths: Sequence[int]) -> Iterator[Instances]:
    """The instances of frames of one size, given the rows of all of them and how many each has."""
    _, _, class_ids, scores, counts, features, moved_x, moved_y, track_ids, kinds = zip(*rows, strict=True)
    _require(_are(int, class_ids + kinds + track_ids), "an instance without a class, kind or track")
    _require(CLASSES.issuperset(class_ids), "an instance of a class that has none")
    _require(KINDS.issuperset(kinds), "an instance of an odd kind")
    _require(min(track_ids) >= 0 and max(track_ids) <= MOST_TRACKS, "an odd track")
    _require(_are(float, scores) and min(scores) >= 0 and max(scores) <= 1, "a score that is none")
    _require(_are(bytes, counts) and _are(bytes, features), "an instance without a mask or appearance")
    known = [way for way in moved_x + moved_y if way is not None]
    _require(_are(float, known), "an instance that moved by no number")
    _require(min(known, default=0) >= -FARTHEST and max(known, default=0) <= FARTHEST, "an odd motion")
    masks = from_counts(counts, frames[0].size)
    classes, tracks = np.array(class_ids, np.uint8), np.array(track_ids, np.int32)
    score, interpolated = np.array(scores, np.float32), np.isin(kinds, UNSEEN)
    moved = np.array([moved_x, moved_y], np.float32).T
    begin = 0
    for frame, length in zip(frames, lengths, strict=True):
        of = slice(begin, begin := begin + length)
        yield Instances(
            frame=frame,
            masks=tuple(masks[of]),
            class_ids=classes[of],
            scores=score[of],
            features=_features(features[of]),
            track_ids=tracks[of],
            interpolated=interpolated[of],
            displacement=moved[of],
        )


def require_places(frame: FrameRef, rows: Sequence[Row]) -> None:
    """Raise ValueError when instances as they were found are not all there, or not in the order of their places."""
    places = [row[1] for row in rows]
    _require(places == list(range(len(rows))), f"frame {frame.index} has instances at {places[:10]}")


def _features(blobs: Sequence[bytes]) -> npt.NDArray[np.float16]:
    """(N, D); zeros for made instances, which have none."""
    width = max(map(len, blobs), default=0)
    _require(width % 2 == 0 and {*map(len, blobs)} <= {0, width}, "an instance of an odd appearance")
    features = np.frombuffer(b"".join(blob.ljust(width, b"\0") for blob in blobs), "<f2")
    _require(bool(np.isfinite(features).all()), "an appearance that is no number")
    return features.reshape(len(blobs), -1 if width else 0)


def _are(types: type | tuple[type, ...], values: Sequence[Any]) -> bool:
    return {*map(type, values)} <= {*(types if isinstance(types, tuple) else (types,))}


def _require(is_sound: bool, otherwise: str) -> None:
    if not is_sound:
        raise ValueError(otherwise)
