"""The motion of the camera is fitted to that of objects, and what comes into sight moves with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.masks import encode_window
from annotator.tracking.detections import Detections
from annotator.tracking.ego_motion import EXPANSION_UNIT, CameraMotion
from annotator.tracking.linking import link_detections
from tests.helpers.builders import frame_ref

SIZE = (300, 800)
PERSON = BY_NAME["person"].id
FOCUS = np.array([400.0, 150.0])
Array = npt.NDArray[np.float64]


def camera_of(pan: float, expansion: float) -> CameraMotion:
    """In one frame."""
    return CameraMotion(np.array([pan], float), np.array([expansion], float), FOCUS)


def objects(count: int) -> Array:
    """(N, 4) boxes of cars on both sides of the road, near and far."""
    rng = np.random.default_rng(3)
    height = rng.uniform(20, 150, count)
    left, top = rng.uniform(0, 800 - height), FOCUS[1] - 0.3 * height
    return np.stack([left, top, left + 1.3 * height, top + height], 1)


def fitted(boxes: Array, velocity: Array) -> tuple[float, float]:
    """Pan and expansion, as these objects show them."""
    camera = camera_of(0, 0)
    camera.fit(0, 0, boxes, velocity)
    return float(camera.pan[0]), float(camera.expansion[0])


@given(pan=st.floats(-30, 30), expansion=st.floats(-3, 3))
def test_standing_objects_tell_how_the_camera_turns_and_drives(pan: float, expansion: float) -> None:
    boxes = objects(12)
    assert fitted(boxes, camera_of(pan, expansion).velocity(boxes, 0)) == pytest.approx(
        (pan, expansion), rel=0.2, abs=0.2
    )


def test_some_that_move_by_themselves_hardly_change_it() -> None:
    boxes = objects(12)
    velocity = camera_of(8, 1).velocity(boxes, 0)
    velocity[:3, ::2] += 60  # by their share, they would pan the camera by 15
    assert fitted(boxes, velocity) == pytest.approx((8, 1), abs=2)


@pytest.mark.parametrize("count", [0, 5])
def test_without_objects_or_motion_there_is_none(count: int) -> None:
    assert fitted(objects(count), np.zeros((count, 4))) == (0, 0)


@given(expansion=st.floats(0.1, 3))
def test_driving_on_what_is_twice_as_near_moves_and_grows_twice_as_fast_for_its_place(
    expansion: float,
) -> None:
    near, far = np.array([[500.0, 90, 700, 290]]), np.array([[550.0, 120, 650, 220]])
    near_velocity, far_velocity = (camera_of(0, expansion).velocity(boxes, 0) for boxes in (near, far))
    assert near_velocity.sum() > 0
    middle = np.mean(near_velocity[:, ::2]), np.mean(far_velocity[:, ::2])
    assert middle[0] == pytest.approx(2 * middle[1])
    growth = [
        np.diff(velocity[:, ::2]) / np.diff(boxes[:, ::2])
        for velocity, boxes in ((near_velocity, near), (far_velocity, far))
    ]
    assert growth[0] == pytest.approx(2 * growth[1])
    assert growth[0] == pytest.approx(EXPANSION_UNIT * expansion * 200)


def mixed_tracklets() -> int:
    """How many tracklets hold two posts, where a camera turns away from a row of equal ones, faster and faster."""
    observed, posts = [], []
    for k, shift in enumerate(np.cumsum(np.minimum(3 * np.arange(18), 36))):
        lefts = {post: 60 * post + int(shift) for post in range(-9, 14)}
        here = [post for post, left in lefts.items() if 0 <= left <= SIZE[1] - 16]
        rles = [encode_window(np.ones((40, 16), np.bool_), 120, lefts[post], SIZE) for post in here]
        found = Instances.of(frame_ref(k, SIZE), rles, [PERSON] * len(here), np.ones(len(here)))
        observed.append(Detections.from_instances(found, 0))
        posts.append(here)
    tracklets, _ = link_detections(observed, np.arange(len(observed), dtype=float))
    return sum(len({posts[frame][place] for frame, place in tracklet}) > 1 for tracklet in tracklets)


def test_what_comes_into_sight_as_the_camera_turns_is_not_taken_for_its_neighbour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert mixed_tracklets() == 0
    monkeypatch.setattr(CameraMotion, "velocity", lambda camera, boxes, frames: np.zeros_like(boxes))
    assert mixed_tracklets() > 0
