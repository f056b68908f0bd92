"""Rows of the tables <-> frames and instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from annotator.escape import encodable
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.store.database import Row
from annotator.store.schema import FOUND, INTERPOLATED


def row_of_frame(frame: FrameRef) -> Row:
    """A row of `frames`."""
    base = frame.time_base
    return frame.index, frame.pts, base.numerator, base.denominator, *frame.size, encodable(frame.name)


def rows_of_instances(found: Instances) -> Iterator[Row]:
    """Rows of `instances`."""
    columns = (found.masks, found.class_ids, found.scores, found.features, found.moved, found.interpolated)
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
            INTERPOLATED if interpolated else FOUND,
        )


def rows_of_tracks(found: Instances) -> Iterator[Row]:
    """Rows of `tracks`, for the instances that have one."""
    for position, track_id in enumerate(found.track_ids):
        if track_id:
            yield found.frame.index, position, int(track_id)


def frame_of(row: Row) -> FrameRef:
    """The frame that FRAME_COLUMNS tell."""
    index, pts, numerator, denominator, height, width, name = row
    return FrameRef(index, pts, Fraction(numerator, denominator), (height, width), name)


def instances_of(frame: FrameRef, rows: Sequence[Row]) -> Instances:
    """The instances of a frame from rows (frame_index, class_id, score, counts, features, moved_x, moved_y,
    track_id, kind)."""
    if not rows:
        return Instances.of(frame)
    _, class_ids, scores, counts, features, moved_x, moved_y, track_ids, kinds = zip(*rows, strict=True)
    return Instances(
        frame=frame,
        masks=tuple({"size": list(frame.size), "counts": c} for c in counts),
        class_ids=np.array(class_ids, np.uint8),
        scores=np.array(scores, np.float32),
        features=_features(features),
        track_ids=np.array(track_ids, np.int32),
        interpolated=np.array(kinds) == INTERPOLATED,
        moved=np.array([moved_x, moved_y], np.float32).T,
    )


def _features(blobs: Sequence[bytes]) -> npt.NDArray[np.float16]:
    """(N, D); zeros for made instances, which have none."""
    width = max(map(len, blobs))
    return np.frombuffer(b"".join(blob.ljust(width, b"\0") for blob in blobs), "<f2").reshape(
        len(blobs), -1 if width else 0
    )
