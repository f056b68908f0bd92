"""What is known of the objects of an image without looking at its pixels again."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from annotator.training.images import LabelledImage

MIN_PASTED_PIXELS = 100  # smaller ones teach nothing when they stand alone
RIDING = (25, 32, 33)  # rider, motorcycle, bicycle: pasted together

Place = tuple[float, float]  # x, y in pixels of an image


@dataclass(frozen=True)
class Objects:
    """Measures of the K objects of an image, by number from 0; of one that no pixel shows: no area."""

    areas: npt.NDArray[np.int64]  # (K,) pixels
    centres: npt.NDArray[np.float64]  # (K, 2) x, y
    bottoms: npt.NDArray[np.int64]  # (K,) last row; -1 where there is none
    columns: npt.NDArray[np.int64]  # (K, 2) first and last
    are_whole: npt.NDArray[np.bool_]  # (K,)
    riding: tuple[tuple[int, ...], ...]  # of each: those that ride with it

    @classmethod
    def of(cls, labelled: LabelledImage) -> Objects:
        """Measure the objects of an image."""
        count = len(labelled.class_ids)
        label_map = np.maximum(labelled.label_map, 0)
        boxes = find_objects(label_map, max_label=count) if count else []
        areas, bottoms = np.zeros(count, np.int64), np.full(count, -1)
        centres, columns = np.zeros((count, 2)), np.zeros((count, 2), np.int64)
        are_whole = np.zeros(count, bool)
        riding: list[tuple[int, ...]] = [()] * count
        for number, box in enumerate(boxes):
            if box is None:
                continue
            rows, across = box
            mask = label_map[box] == number + 1
            ys, xs = np.nonzero(mask)
            areas[number] = len(xs)
            centres[number] = xs.mean() + across.start, ys.mean() + rows.start
            bottoms[number], columns[number] = rows.stop - 1, (across.start, across.stop - 1)
            at_side = across.start == 0 or across.stop == label_map.shape[1]
            are_whole[number] = not at_side and in_one_part(mask)
            riding[number] = tuple(riding_with(labelled, number, (rows, across)))
        return cls(areas, centres, bottoms, columns, are_whole, tuple(riding))

    def centre(self, number: int) -> Place | None:
        """The mean of an object's pixels; None where nothing shows it."""
        x, y = self.centres[number].tolist()
        return (x, y) if self.areas[number] else None


def is_whole(mask: npt.NDArray[np.bool_]) -> bool:
    """Whether an object's mask (H, W) is large enough, in one part, and not cut off by the image's sides."""
    return in_one_part(mask) and not mask[:, [0, -1]].any()


def in_one_part(mask: npt.NDArray[np.bool_]) -> bool:
    """Whether a mask is large enough to be pasted, and nearly all of it hangs together."""
    _count, _labels, parts, _centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = parts[1:, cv2.CC_STAT_AREA]
    return bool(areas.sum() >= MIN_PASTED_PIXELS and areas.max() >= 0.95 * areas.sum())


def riding_with(labelled: LabelledImage, number: int, box: tuple[slice, slice] | None = None) -> list[int]:
    """Objects that touch one which rides or is ridden, and do so themselves; itself among them.

    `box`: rows and columns that hold the object, where they are known.
    """
    if labelled.class_ids[number] not in RIDING:
        return []
    around = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in box or ())
    label_map = labelled.label_map[around]
    near = cv2.dilate((label_map == number + 1).astype(np.uint8), np.ones((5, 5)))
    touching = np.unique(label_map[near > 0]) - 1
    return [int(k) for k in touching if k >= 0 and labelled.class_ids[k] in RIDING]
