"""What may stand in a `segmentation` of COCO, as what `masks.to_rles` takes, or in a sentence what is wrong with it."""

from __future__ import annotations

import math
from typing import Any

from annotator.formats.fields import shown, whole
from annotator.limits import require_frame_size

NUMBERS = {int, float}
Size = tuple[int, int]  # (H, W)


def is_empty(segmentation: Any) -> bool:
    """Whether there is no mask at all, as where an annotation is a box."""
    return segmentation is None or (isinstance(segmentation, (list, dict, str)) and not segmentation)


def size_of(segmentation: Any) -> Size | None:
    """The size that a mask says, None if it is no RLE. Raises ValueError for what is no size."""
    if not isinstance(segmentation, dict):
        return None
    size = segmentation.get("size")
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"not a COCO segmentation: an RLE with the size {shown(size)}")
    height, width = (whole(f"the size {shown(size)}:", number) for number in size)
    require_frame_size(height, width)
    return height, width


def segmentation_of(segmentation: Any, size: Size) -> Any:
    """An RLE of `size`, or rings [x, y, x, y, ...]; rings may be given as pairs. Raises ValueError."""
    if isinstance(segmentation, dict):
        return _rle(segmentation, size)
    if not isinstance(segmentation, list):
        raise ValueError(f"not a COCO segmentation: {shown(segmentation)} is neither an RLE nor polygons")
    if NUMBERS.issuperset(map(type, segmentation)):
        raise ValueError("not a COCO segmentation: a list of numbers, where a list of polygons should be")
    if all(_is_pair(part) for part in segmentation):
        return [_ring(segmentation)]  # [[x, y], [x, y], ...]: as rings they would be points
    return [_ring(ring) for ring in segmentation]


def _is_pair(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 2 and NUMBERS.issuperset(map(type, part))


def _ring(ring: Any) -> list[float]:
    if isinstance(ring, list) and ring and all(map(_is_pair, ring)):
        ring = [number for pair in ring for number in pair]
    if not isinstance(ring, list) or not NUMBERS.issuperset(map(type, ring)):
        raise ValueError(f"not a COCO segmentation: a polygon {shown(ring)}")
    if len(ring) < 6:
        raise ValueError("not a COCO segmentation: a polygon with fewer than 3 points")
    if len(ring) % 2:
        raise ValueError("not a COCO segmentation: a polygon with an odd number of coordinates")
    if not all(map(_is_finite, ring)):
        raise ValueError("not a COCO segmentation: a polygon with a coordinate that is no number")
    return ring


def _is_finite(number: float) -> bool:
    return (isinstance(number, float) and math.isfinite(number)) or abs(number) < 1 << 63


def _rle(segmentation: dict[str, Any], size: Size) -> dict[str, Any]:
    own, counts = size_of(segmentation), segmentation.get("counts")
    if own != size:
        raise ValueError(
            f"not a COCO segmentation: a mask of size {list(own or ())} in a frame of {list(size)}"
        )
    if isinstance(counts, str):
        if not counts.isascii():
            raise ValueError("not a COCO segmentation: its counts are cut off or not compressed RLE")
        return {"size": list(size), "counts": counts}
    if not isinstance(counts, list):
        raise ValueError(f"not a COCO segmentation: an RLE with the counts {shown(counts)}")
    runs = [whole("not a COCO segmentation: a run of its RLE,", run) for run in counts]
    if any(run < 0 for run in runs):
        raise ValueError(f"not a COCO segmentation: an RLE with a run of {min(runs)} pixels")
    if sum(runs) != size[0] * size[1]:
        raise ValueError("not a COCO segmentation: its runs don't add up to the frame")
    return {"size": list(size), "counts": runs}
