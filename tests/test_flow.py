"""The flow of the picture is told from the motion of objects, and what comes into sight moves with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.masks import encode_window
from annotator.tracking.flow import UNIT, Flow
from annotator.tracking.observations import Observed
from annotator.tracking.tracklets import link
from tests.builders import frame_ref

SIZE = (300, 800)
PERSON = BY_NAME["person"].id
CENTRE = np.array([400.0, 150.0])
Array = npt.NDArray[np.float64]


def flow_of(turn: float, approach: float) -> Flow:
    """In one frame."""
    return Flow(np.array([turn], float), np.array([approach], float), CENTRE)


def objects(count: int) -> Array:
    """(N, 4) edges of cars on both sides of the road, near and far."""
    rng = np.random.default_rng(3)
    height = rng.uniform(20, 150, count)
    left, top = rng.uniform(0, 800 - height), CENTRE[1] - 0.3 * height
    return np.stack([left, top, left + 1.3 * height, top + height], 1)


def told(edges: Array, velocity: Array) -> tuple[float, float]:
    """Turn and approach, as these objects show them."""
    flow = flow_of(0, 0)
    flow.tell(0, 0, edges, velocity)
    return float(flow.turn[0]), float(flow.approach[0])


@given(turn=st.floats(-30, 30), approach=st.floats(-3, 3))
def test_standing_objects_tell_how_the_camera_turns_and_drives(turn: float, approach: float) -> None:
    edges = objects(12)
    assert told(edges, flow_of(turn, approach).velocity(edges, 0)) == pytest.approx(
        (turn, approach), rel=0.2, abs=0.2
    )


def test_some_that_move_by_themselves_hardly_change_it() -> None:
    edges = objects(12)
    velocity = flow_of(8, 1).velocity(edges, 0)
    velocity[:3, ::2] += 60  # by their share, they would turn the camera by 15
    assert told(edges, velocity) == pytest.approx((8, 1), abs=2)


@pytest.mark.parametrize("count", [0, 5])
def test_without_objects_or_motion_there_is_none(count: int) -> None:
    assert told(objects(count), np.zeros((count, 4))) == (0, 0)


@given(approach=st.floats(0.1, 3))
def test_driving_on_what_is_twice_as_near_moves_and_grows_twice_as_fast_for_its_place(
    approach: float,
) -> None:
    near, far = np.array([[500.0, 90, 700, 290]]), np.array([[550.0, 120, 650, 220]])
    near_velocity, far_velocity = (flow_of(0, approach).velocity(edges, 0) for edges in (near, far))
    assert near_velocity.sum() > 0
    middle = np.mean(near_velocity[:, ::2]), np.mean(far_velocity[:, ::2])
    assert middle[0] == pytest.approx(2 * middle[1])
    growth = [
        np.diff(velocity[:, ::2]) / np.diff(edges[:, ::2])
        for velocity, edges in ((near_velocity, near), (far_velocity, far))
    ]
    assert growth[0] == pytest.approx(2 * growth[1])
    assert growth[0] == pytest.approx(UNIT * approach * 200)


def mixed_tracklets() -> int:
    """How many tracklets hold two posts, where a camera turns away from a row of equal ones, faster and faster."""
    observed, posts = [], []
    for k, shift in enumerate(np.cumsum(np.minimum(3 * np.arange(18), 36))):
        lefts = {post: 60 * post + int(shift) for post in range(-9, 14)}
        here = [post for post, left in lefts.items() if 0 <= left <= SIZE[1] - 16]
        rles = [encode_window(np.ones((40, 16), np.bool_), 120, lefts[post], SIZE) for post in here]
        found = Instances.of(frame_ref(k, SIZE), rles, [PERSON] * len(here), np.ones(len(here)))
        observed.append(Observed.of(found, 0))
        posts.append(here)
    tracklets, _ = link(observed, np.arange(len(observed), dtype=float))
    return sum(len({posts[frame][place] for frame, place in tracklet}) > 1 for tracklet in tracklets)


def test_what_comes_into_sight_as_the_camera_turns_is_not_taken_for_its_neighbour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert mixed_tracklets() == 0
    monkeypatch.setattr(Flow, "velocity", lambda flow, edges, frames: np.zeros_like(edges))
    assert mixed_tracklets() > 0
