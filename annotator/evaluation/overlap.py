"""How the objects of one frame overlap: everything that metrics need of it, and no masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.errors import LabelFileError
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances

ANY_CLASS = 0


@dataclass(frozen=True)
class Objects:
    """The N objects of one side, in the order of its `Instances`: score descending."""

    areas: npt.NDArray[np.int64]  # (N,) pixels
    class_ids: npt.NDArray[np.uint8]  # (N,) Cityscapes ids
    scores: npt.NDArray[np.floating[Any]]  # (N,) in [0, 1]; they mean nothing in truth
    track_ids: npt.NDArray[np.int32]  # (N,) from 1, 0 = none

    def __len__(self) -> int:
        return len(self.areas)

    @classmethod
    def of(cls, found: Instances, areas: npt.NDArray[np.int64]) -> Objects:
        """All that is known of instances but their masks; `areas` (N,) are of these."""
        return cls(areas, found.class_ids, found.scores, found.track_ids)

    def __getitem__(self, which: npt.NDArray[Any]) -> Objects:
        """Some of the objects, by index or by truth values."""
        return Objects(self.areas[which], self.class_ids[which], self.scores[which], self.track_ids[which])


@dataclass(frozen=True)
class Regions:
    """The R regions where truth is not exhaustive."""

    areas: npt.NDArray[np.int64]  # (R,) pixels
    class_ids: npt.NDArray[np.uint8]  # (R,) Cityscapes ids, 0 = any class

    def __len__(self) -> int:
        return len(self.areas)


@dataclass(frozen=True)
class Overlap:
    """The P predicted and the T true objects of one frame, and the pixels that they share."""

    frame: FrameRef  # as truth knows it
    predicted: Objects  # P
    truth: Objects  # T
    regions: Regions  # R
    shared: npt.NDArray[np.int64]  # (P, T) pixels in both
    shared_with_regions: npt.NDArray[np.int64]  # (P, R) pixels in both

    @classmethod
    def of(cls, prediction: Instances, truth: GroundTruth) -> Overlap:
        """Compare predictions with truth; objects of classes that truth does not label are left out.

        Work follows the runs of masks whose boxes overlap. Raises FormatError when sizes differ.
        """
        frame = truth.instances.frame
        if prediction.frame.size != frame.size:
            raise LabelFileError(
                f"frame {frame.name or frame.index}: predictions are {_by(prediction.frame.size)} pixels,"
                f" truth is {_by(frame.size)}; label the recording at the size of its ground truth"
            )
        predicted, true = judged(prediction, truth), judged(truth.instances, truth)
        # All at once: what pycocotools does is quick, and calling it is not.
        others = (*true.masks, *(region.mask for region in truth.ignore_regions))
        areas = masks.areas((*predicted.masks, *others))
        of_predicted, of_true, of_regions = np.split(areas, [len(predicted), len(predicted) + len(true)])
        shared = masks.intersections(predicted.masks, others, of_predicted)
        return cls(
            frame=frame,
            predicted=Objects.of(predicted, of_predicted),
            truth=Objects.of(true, of_true),
            regions=Regions(
                of_regions, np.array([region.class_id for region in truth.ignore_regions], np.uint8)
            ),
            shared=shared[:, : len(true)],
            shared_with_regions=shared[:, len(true) :],
        )

    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of every prediction with every true object: (P, T), 0 between empty masks."""
        union = self.predicted.areas[:, None] + self.truth.areas[None] - self.shared
        return self.shared / np.maximum(union, 1)

    def of_class(self, class_id: int) -> Overlap:
        """The same frame with the objects of one class, and the regions that concern it."""
        p = np.flatnonzero(self.predicted.class_ids == class_id)
        t = np.flatnonzero(self.truth.class_ids == class_id)
        r = np.flatnonzero(np.isin(self.regions.class_ids, (ANY_CLASS, class_id)))
        return Overlap(
            frame=self.frame,
            predicted=self.predicted[p],
            truth=self.truth[t],
            regions=Regions(self.regions.areas[r], self.regions.class_ids[r]),
            shared=self.shared[np.ix_(p, t)],
            shared_with_regions=self.shared_with_regions[np.ix_(p, r)],
        )


def judged(found: Instances, truth: GroundTruth) -> Instances:
    """The instances of classes that truth labels: those of an overlap's table, with their masks."""
    if truth.class_ids is None or truth.class_ids.issuperset(found.class_ids.tolist()):
        return found
    return found.select(np.flatnonzero(np.isin(found.class_ids, list(truth.class_ids))))


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def is_background(overlap: Overlap) -> bool:
    """Whether truth is objects and void and nothing else: then void is what this tool leaves 0, not unlabelled."""
    height, width = overlap.frame.size
    void = overlap.regions.class_ids == ANY_CLASS
    return bool(overlap.regions.areas[void].sum() + overlap.truth.areas.sum() == height * width)


def without_void(overlap: Overlap) -> Overlap:
    """The same as if void were background."""
    kept = overlap.regions.class_ids != ANY_CLASS
    return replace(
        overlap,
        regions=Regions(overlap.regions.areas[kept], overlap.regions.class_ids[kept]),
        shared_with_regions=overlap.shared_with_regions[:, kept],
    )
