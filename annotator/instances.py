"""Instances: what one frame holds; the record that every stage passes to the next. GroundTruth: what it should hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.frames import FrameRef
from annotator.masks import Rle


@dataclass(frozen=True)
class Instances:
    """The N instances of one frame, score descending. Masks may overlap; exporters resolve that.

    Masks are run-length codes as pycocotools has them.

    >>> from fractions import Fraction
    >>> import numpy as np
    >>> from annotator import FrameRef, Instances
    >>> from pycocotools.mask import encode
    >>> frame = FrameRef(index=0, pts=0, time_base=Fraction(1, 25), size=(4, 6))
    >>> masks = [encode(np.asfortranarray(np.eye(4, 6, k, np.uint8))) for k in (0, 2)]
    >>> found = Instances.of(frame, masks, class_ids=[24, 26], scores=[0.6, 0.9])
    >>> found.class_ids.tolist(), len(found.select(np.flatnonzero(found.scores > 0.8)))
    ([26, 24], 1)
    """

    frame: FrameRef
    masks: tuple[Rle, ...]  # N run-length masks of size frame.size
    class_ids: npt.NDArray[np.uint8]  # (N,) Cityscapes ids
    scores: npt.NDArray[np.floating[Any]]  # (N,) in [0, 1]; float32, but as a file of results has them
    features: npt.NDArray[np.float16] = field(repr=False)  # (N, D) appearance; D may be 0
    track_ids: npt.NDArray[np.int32]  # (N,) from 1, 0 = none
    interpolated: npt.NDArray[np.bool_]  # (N,) not seen in this frame, but before and after it
    displacement: npt.NDArray[np.float32]  # (N, 2) pixels x, y since the frame before; nan = not known

    def __post_init__(self) -> None:
        n = len(self.masks)
        columns = (
            self.class_ids,
            self.scores,
            self.features,
            self.track_ids,
            self.interpolated,
            self.displacement,
        )
        lengths = {len(column) for column in columns}
        if lengths != {n}:
            raise ValueError(f"{n} masks, but columns of {sorted(lengths)} entries")
        if any(tuple(mask["size"]) != self.frame.size for mask in self.masks):
            raise ValueError(f"a mask of another size in a frame of {self.frame.size}")
        if n and np.any(np.diff(self.scores) > 0):
            raise ValueError("scores must descend")

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def of(
        cls,
        frame: FrameRef,
        masks: Sequence[Rle] = (),
        class_ids: npt.ArrayLike = (),
        scores: npt.ArrayLike = (),
        features: npt.ArrayLike | None = None,
        track_ids: npt.ArrayLike | None = None,
        interpolated: npt.ArrayLike | None = None,
        displacement: npt.ArrayLike | None = None,
    ) -> Instances:
        """Instances from columns in any order: cast to their types and sorted by score (stable)."""
        n = len(masks)
        score = np.asarray(scores, np.float32).reshape(n)
        order = np.argsort(-score, kind="stable")
        feature = np.zeros((n, 0), np.float16) if features is None else np.asarray(features, np.float16)
        track = np.zeros(n, np.int32) if track_ids is None else np.asarray(track_ids, np.int32)
        unseen = np.zeros(n, np.bool_) if interpolated is None else np.asarray(interpolated, np.bool_)
        way = (
            np.full((n, 2), np.nan, np.float32)
            if displacement is None
            else np.asarray(displacement, np.float32)
        )
        return cls(
            frame=frame,
            masks=tuple(masks[i] for i in order),
            class_ids=np.asarray(class_ids, np.uint8).reshape(n)[order],
            scores=score[order],
            features=feature[order],
            track_ids=track[order],
            interpolated=unseen.reshape(n)[order],
            displacement=way.reshape(n, 2)[order],
        )

    def select(self, which: npt.NDArray[np.intp]) -> Instances:
        """Some of the instances, by ascending index."""
        return replace(
            self,
            masks=tuple(self.masks[i] for i in which),
            class_ids=self.class_ids[which],
            scores=self.scores[which],
            features=self.features[which],
            track_ids=self.track_ids[which],
            interpolated=self.interpolated[which],
            displacement=self.displacement[which],
        )

    def with_tracks(self, track_ids: npt.ArrayLike) -> Instances:
        """The same instances with other identities."""
        return replace(self, track_ids=np.asarray(track_ids, np.int32).reshape(len(self)))


@dataclass(frozen=True)
class Region:
    """Where a frame's labels are not exhaustive: what is predicted there is neither right nor wrong."""

    class_id: int  # of a group or crowd of that class; 0 = no object of any class counts there
    mask: Rle


@dataclass(frozen=True)
class GroundTruth:
    """What one frame should hold, as people labelled it."""

    instances: Instances  # scores mean nothing here
    ignore_regions: tuple[Region, ...] = ()
    class_ids: frozenset[int] | None = None  # those labelled in this frame, None = all; others are not judged

    def __post_init__(self) -> None:
        if any(tuple(region.mask["size"]) != self.instances.frame.size for region in self.ignore_regions):
            raise ValueError(f"a region of another size in a frame of {self.instances.frame.size}")
