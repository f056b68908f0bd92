"""The overlap table holds the pixels that dense masks share, exactly, and no masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotator import masks
from annotator.errors import FormatError
from annotator.evaluation import Overlap
from annotator.evaluation.overlap import judged
from annotator.instances import GroundTruth, Instances, Region
from tests.helpers.builders import frame_ref, mask

PERSON, CAR, BUS = 24, 26, 28
SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))


def objects(*drawn: tuple[np.ndarray, int], tracks: tuple[int, ...] = ()) -> Instances:
    """Instances of masks and classes, the first with the best score."""
    return Instances.of(
        frame_ref(size=drawn[0][0].shape),
        [masks.encode(pixels) for pixels, _ in drawn],
        [class_id for _, class_id in drawn],
        np.linspace(1, 0.5, len(drawn)),
        track_ids=tracks or None,
    )


def stacks(size: tuple[int, int]) -> st.SearchStrategy[tuple[list[np.ndarray], ...]]:
    some = st.lists(arrays.arrays(np.bool_, size), max_size=5)
    return st.tuples(st.just(size), some, some, some)


@given(SIZES.flatmap(stacks))
def test_shared_pixels_are_those_of_dense_masks(case: tuple) -> None:
    size, predicted, true, ignored = case
    frame = frame_ref(size=size)
    overlap = Overlap.of(
        Instances.of(frame, list(map(masks.encode, predicted)), [CAR] * len(predicted), [1] * len(predicted)),
        GroundTruth(
            Instances.of(frame, list(map(masks.encode, true)), [CAR] * len(true), [1] * len(true)),
            tuple(Region(0, masks.encode(pixels)) for pixels in ignored),
        ),
    )
    assert overlap.shared.dtype == overlap.shared_with_regions.dtype == np.int64
    assert overlap.shared.tolist() == [[int((a & b).sum()) for b in true] for a in predicted]
    assert overlap.shared_with_regions.tolist() == [[int((a & b).sum()) for b in ignored] for a in predicted]
    assert overlap.predicted.areas.tolist() == [int(pixels.sum()) for pixels in predicted]
    assert overlap.truth.areas.tolist() == [int(pixels.sum()) for pixels in true]
    assert overlap.regions.areas.tolist() == [int(pixels.sum()) for pixels in ignored]
    assert overlap.iou().tolist() == [
        [(a & b).sum() / (a | b).sum() if (a | b).any() else 0 for b in true] for a in predicted
    ]


def test_large_masks_share_exact_pixels() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1024, 2048)) < 0.5
    one, other = objects((a, CAR)), objects((b, CAR), (~b, CAR))
    both = int((a & b).sum())
    assert Overlap.of(one, GroundTruth(other)).shared.tolist() == [[both, int(a.sum()) - both]]


LEFT, RIGHT, ALL = mask("##..", "##.."), mask("..##", "..##"), mask("####", "####")


def test_columns_are_those_of_the_instances() -> None:
    overlap = Overlap.of(
        objects((LEFT, CAR), (RIGHT, PERSON), tracks=(3, 4)), GroundTruth(objects((ALL, CAR), tracks=(9,)))
    )
    assert overlap.predicted.class_ids.tolist() == [CAR, PERSON]
    assert overlap.predicted.scores.tolist() == [1, 0.5]
    assert overlap.predicted.track_ids.tolist() == [3, 4]
    assert overlap.truth.track_ids.tolist() == [9]
    assert overlap.iou().tolist() == [[0.5], [0.5]]


def test_a_class_alone_keeps_its_regions_and_those_of_any_class() -> None:
    truth = GroundTruth(
        objects((RIGHT, PERSON), (LEFT, CAR)),
        tuple(Region(c, masks.encode(m)) for c, m in ((0, ALL), (PERSON, LEFT), (CAR, RIGHT))),
    )
    cars = Overlap.of(objects((LEFT, PERSON), (ALL, CAR)), truth).of_class(CAR)
    assert (len(cars.predicted), len(cars.truth), len(cars.regions)) == (1, 1, 2)
    assert cars.shared.tolist() == [[4]]
    assert cars.regions.class_ids.tolist() == [0, CAR]
    assert cars.shared_with_regions.tolist() == [[8, 4]]


def test_classes_that_truth_does_not_label_are_not_judged() -> None:
    truth = GroundTruth(objects((LEFT, CAR), (RIGHT, PERSON)), class_ids=frozenset({CAR, BUS}))
    prediction = objects((RIGHT, PERSON), (LEFT, CAR), (LEFT, BUS))
    overlap = Overlap.of(prediction, truth)
    assert overlap.predicted.class_ids.tolist() == [CAR, BUS]
    assert overlap.truth.class_ids.tolist() == [CAR]
    assert overlap.shared.tolist() == [[4], [4]]
    assert judged(prediction, truth).masks == prediction.masks[1:]
    assert judged(prediction, GroundTruth(objects((LEFT, CAR)))) is prediction


def test_frames_without_objects() -> None:
    nothing = Instances.of(frame_ref(size=(2, 4)))
    assert Overlap.of(nothing, GroundTruth(nothing)).iou().shape == (0, 0)
    assert Overlap.of(objects((LEFT, CAR)), GroundTruth(nothing)).shared.shape == (1, 0)
    assert Overlap.of(nothing, GroundTruth(objects((LEFT, CAR)))).shared.shape == (0, 1)


def test_sizes_that_differ_are_refused_in_a_sentence() -> None:
    with pytest.raises(
        FormatError, match=r"frame 0: predictions are 4x2 pixels, truth is 3x1; label .* size"
    ):
        Overlap.of(objects((LEFT, CAR)), GroundTruth(objects((mask("###"), CAR))))
    with pytest.raises(ValueError, match="region of another size"):
        GroundTruth(objects((LEFT, CAR)), (Region(0, masks.encode(mask("#"))),))
    with pytest.raises(ValueError, match="different sizes"):
        masks.intersections([masks.encode(LEFT)], [masks.encode(mask("#"))], np.array([4]))
