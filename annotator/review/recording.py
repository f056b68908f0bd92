"""A labelled recording: its store, its folder, and its pictures, as long as they are where they were."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from annotator.errors import SourceError, UsageError
from annotator.formats.summary import LabelSummary
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.review.drawing import Picture
from annotator.store import Store
from annotator.video import Source, find_sources

FPS_OF_IMAGES = 10.0  # images of a folder have no times
TIMED = 1000  # frames by whose times the rate of a recording is told


@dataclass(frozen=True)
class Span:
    """Which frames of a recording are labelled."""

    count: int
    first: int  # indices
    last: int
    step: int  # that divides all distances between them
    size: tuple[int, int]  # (H, W) of the first
    fps: float  # labelled frames a second
    are_named: bool  # as images of a folder are

    @classmethod
    def of(cls, store: Store) -> Span:
        """The span of a store. Raises SourceError when it has no frames."""
        first = next(store.frames(), None)
        if first is None:
            raise SourceError(f"{store.path}: holds no frames; label the recording first")
        count, step, last = 0, 0, first.index
        for ref in store.frames():
            step, last, count = math.gcd(step, ref.index - first.index), ref.index, count + 1
        return cls(count, first.index, last, step or 1, first.size, _fps(store), bool(first.name))


def _fps(store: Store) -> float:
    refs = list(islice(store.frames(), TIMED))
    if refs[0].name or len(refs) < 2:
        return FPS_OF_IMAGES
    typical = float(np.median(np.diff([ref.time_s for ref in refs])))
    return min(60.0, max(1.0, 1 / typical)) if typical > 0 else FPS_OF_IMAGES


def open_source(path: Path, name: str) -> Source:
    """The recording at a path, as it was labelled under a name. Raises SourceError when it isn't there any more."""
    try:
        sources = find_sources([path])
    except UsageError as error:
        raise SourceError(str(error)) from error
    real = os.path.realpath(path)
    same = [source for source in sources if os.path.realpath(source.path) == real]
    if not same:
        raise SourceError(f"{path}: is not the recording any more that was labelled as {name}")
    return same[0]


def labelled_frames(
    store: Store, source: Source, summary: LabelSummary, span: Span
) -> Generator[tuple[Picture, Instances], None, None]:
    """Yield every labelled frame (H, W, 3), with its labels as they are published.

    Raises SourceError where the recording isn't the one that was labelled.
    """
    labels = map(summary.disjoint, store.instances())
    with closing(source.frames(span.first, span.last + 1, span.step)) as frames:
        coming = next(labels, None)
        for frame in frames:
            if coming is None:
                return
            if frame.ref.index < coming.frame.index:
                continue
            _require_same_frame(source, frame.ref, coming.frame)
            yield frame.image, coming
            coming = next(labels, None)
    if coming is not None:
        raise _another(source, f"has no frame {coming.frame.index}")


def frame_at(source: Source, ref: FrameRef) -> Picture:
    """The picture of a labelled frame. Raises SourceError where the recording lacks it."""
    with closing(source.frames(ref.index, ref.index + 1)) as frames:
        for frame in frames:
            _require_same_frame(source, frame.ref, ref)
            return frame.image
    raise _another(source, f"has no frame {ref.index}")


def _require_same_frame(source: Source, is_there: FrameRef, labelled: FrameRef) -> None:
    if is_there.index != labelled.index:
        raise _another(source, f"has no frame {labelled.index}")
    if is_there.size != labelled.size:
        raise _another(source, f"frame {labelled.index} is {_by(is_there.size)}, not {_by(labelled.size)}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _another(source: Source, what: str) -> SourceError:
    return SourceError(
        f"{source.path}: {what}, unlike the recording that was labelled; put that one back, or label this one"
    )
