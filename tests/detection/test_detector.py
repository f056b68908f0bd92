"""The detector is the one door to the network: an image, a batch, or a stream of batches in; instances out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from annotator.errors import SourceError, UsageError
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.options import DetectionOptions
from annotator.video import Batch
from tests.helpers.fake_detector import CAR, PERSON, ToyDetector, ToyRuntime, draw


def batch_of(*indices: int) -> Batch:
    refs = tuple(FrameRef(k, k, Fraction(1, 10), (48, 64)) for k in indices)
    return Batch(refs, torch.from_numpy(np.stack([draw(k) for k in indices])).permute(0, 3, 1, 2))


def batches_of(count: int, asked: list[int], cut_off: bool = False) -> Iterator[Batch]:
    """Batches of one frame; `asked` grows as they are read."""
    for k in range(count):
        asked.append(k)
        yield batch_of(k)
    if cut_off:
        raise SourceError("the video ends here")


class FailsAt(ToyRuntime):
    """A network that fails on one batch."""

    def maps(self, images: torch.Tensor, scale: float | None) -> Any:
        if self.batches == 2:
            raise MemoryError
        return super().maps(images, scale)


def indices(stream: Iterator[list[Instances]]) -> Iterator[list[int]]:
    return ([found.frame.index for found in batch] for batch in stream)


def test_an_image_gives_its_instances() -> None:
    found = ToyDetector(ToyRuntime()).detect(draw(0))
    assert set(found.class_ids.tolist()) == {CAR, PERSON}
    assert found.frame.size == (48, 64)


def test_a_class_that_the_weights_do_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="they know person, car"):
        ToyDetector(ToyRuntime(), DetectionOptions(classes=("truck",)))


def test_a_stream_equals_its_batches_and_tells_how_far_instances_moved() -> None:
    detector = ToyDetector(ToyRuntime())
    [first, second] = detector.stream([batch_of(0, 1), batch_of(2)])
    assert [found.masks for found in (*first, *second)] == [
        found.masks for found in (*detector.detect_batch(batch_of(0, 1)), *detector.detect_batch(batch_of(2)))
    ]
    assert np.isnan(first[0].displacement).all()
    assert second[0].displacement[second[0].class_ids == CAR][0] == pytest.approx((1, 0), abs=0.2)


def test_known_frames_are_left_out_and_pixels_followed_from_them() -> None:
    detector = ToyDetector(ToyRuntime())
    [[_, whole]] = detector.stream([batch_of(1, 2)])
    [[resumed]] = detector.stream([batch_of(0, 1), batch_of(2)], after=1)
    assert resumed.frame.index == whole.frame.index == 2
    np.testing.assert_array_equal(resumed.displacement, whole.displacement)


def test_the_network_is_one_batch_ahead_of_what_is_made_of_its_maps() -> None:
    asked: list[int] = []
    stream = indices(ToyDetector(ToyRuntime()).stream(batches_of(4, asked)))
    assert [(found, len(asked)) for found in stream] == [([0], 2), ([1], 3), ([2], 4), ([3], 4)]


def test_what_fails_in_the_network_comes_behind_the_batches_before() -> None:
    stored: list[list[int]] = []
    with pytest.raises(MemoryError):
        stored.extend(indices(ToyDetector(FailsAt()).stream(batches_of(4, []))))
    assert stored == [[0], [1]]


def test_what_fails_in_the_source_comes_behind_the_batches_before() -> None:
    stored: list[list[int]] = []
    with pytest.raises(SourceError):
        stored.extend(indices(ToyDetector(ToyRuntime()).stream(batches_of(3, [], cut_off=True))))
    assert stored == [[0], [1], [2]]
