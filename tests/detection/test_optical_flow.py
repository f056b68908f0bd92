"""How far instances moved is read from the pixels on their masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from annotator.detection.optical_flow import OpticalFlow
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.masks import encode_window
from tests.helpers.builders import frame_ref

SIZE = (120, 200)
CAR = BY_NAME["car"].id
Pixels = npt.NDArray[np.uint8]


def texture(height: int, width: int, seed: int) -> Pixels:
    """Smooth blobs, as surfaces have them."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height // 4 + 2, width // 4 + 2))
    rows, columns = np.arange(height) / 4, np.arange(width) / 4
    i, j = rows.astype(int), columns.astype(int)
    y, x = (rows - i)[:, None], columns - j
    above = noise[i][:, j] * (1 - x) + noise[i][:, j + 1] * x
    below = noise[i + 1][:, j] * (1 - x) + noise[i + 1][:, j + 1] * x
    return np.asarray(above * (1 - y) + below * y, np.uint8)


def picture(*places: tuple[int, int], scale: int = 1) -> torch.Tensor:
    """(3, H, W): textured squares of 40 pixels, each with its upper left corner there, on a texture that stands."""
    gray = texture(*SIZE, seed=0)
    for seed, (left, top) in enumerate(places, 1):
        gray[top : top + 40, left : left + 40] = texture(40, 40, seed)
    large = gray.repeat(scale, 0).repeat(scale, 1)
    return torch.from_numpy(np.stack([large] * 3))


def squares(*places: tuple[int, int], scale: int = 1) -> Instances:
    size = (SIZE[0] * scale, SIZE[1] * scale)
    mask = np.ones((40 * scale, 40 * scale), np.bool_)
    rles = [encode_window(mask, top * scale, left * scale, size) for left, top in places]
    return Instances.of(frame_ref(1, size), rles, [CAR] * len(rles), np.ones(len(rles)))


@pytest.mark.parametrize("scale", [1, 4])
def test_each_instance_moved_as_its_pixels_did_whatever_the_size_of_the_frame(scale: int) -> None:
    flow = OpticalFlow()
    flow.update(picture((20, 30), (120, 40), scale=scale))
    places = (26, 28), (120, 40)
    moved = flow.with_displacement(picture(*places, scale=scale), squares(*places, scale=scale)).displacement
    np.testing.assert_allclose(moved, [[6 * scale, -2 * scale], [0, 0]], atol=0.2 * scale)


def test_what_stands_beside_something_large_that_moves_is_not_carried_away_with_it() -> None:
    def scene(left: int) -> Pixels:
        gray = np.tile(texture(SIZE[0], 4, seed=0), 50)
        gray[20:100, left : left + 80] = texture(80, 80, seed=1)
        gray[60:72, 130:142] = texture(12, 12, seed=2)
        return gray

    stands = encode_window(np.ones((12, 12), np.bool_), 60, 130, SIZE)
    flow = OpticalFlow()
    flow.update(torch.from_numpy(np.stack([scene(30)] * 3)))
    found = Instances.of(frame_ref(1, SIZE), [stands], [CAR], np.ones(1))
    moved = flow.with_displacement(torch.from_numpy(np.stack([scene(50)] * 3)), found).displacement
    np.testing.assert_allclose(moved, [[0, 0]], atol=0.2)


def test_a_frame_that_was_measured_is_the_one_before_the_next() -> None:
    flow = OpticalFlow()
    for k, left in enumerate((20, 25, 33)):
        moved = flow.with_displacement(picture((left, 30)), squares((left, 30))).displacement
        expected = (np.nan, 5, 8)[k]
        np.testing.assert_allclose(moved[0, 0], expected, atol=0.2)


def test_nothing_is_known_of_what_came_into_sight_of_other_sizes_and_of_the_first_frame() -> None:
    flow = OpticalFlow()
    assert np.isnan(flow.with_displacement(picture((20, 30)), squares((20, 30))).displacement).all()
    flow.update(torch.zeros((3, *SIZE), dtype=torch.uint8))
    assert np.isnan(flow.with_displacement(picture((20, 30)), squares((20, 30))).displacement).all()
    assert np.isnan(
        flow.with_displacement(picture((20, 30), scale=2), squares((20, 30), scale=2)).displacement
    ).all()
    assert flow.with_displacement(picture(scale=2), squares(scale=2)).displacement.shape == (0, 2)
