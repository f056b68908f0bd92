"""Labels are drawn where they are, in the colours of their tracks, and no name covers another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.instances import Instances
from annotator.masks import encode
from annotator.review.colours import class_colour, hexadecimal, ink_on, track_colour
from annotator.review.drawing import FrameDrawer, picture_size
from annotator.review.names import NamePlacer
from tests.helpers.builders import frame_ref

SIZE = (120, 200)
CAR, PERSON = 26, 24


def labelled(*boxes: tuple[int, int, int, int], index: int = 0, first_track: int = 1) -> Instances:
    """Boxes (top, left, bottom, right) as instances of the tracks 1, 2, ..."""
    masks = []
    for top, left, bottom, right in boxes:
        mask = np.zeros(SIZE, bool)
        mask[top:bottom, left:right] = True
        masks.append(encode(mask))
    tracks = range(first_track, first_track + len(boxes))
    scores = np.linspace(0.9, 0.5, len(boxes))
    return Instances.of(frame_ref(index, SIZE), masks, [CAR] * len(boxes), scores, track_ids=tracks)


def test_a_mask_is_tinted_and_outlined_in_the_colour_of_its_track() -> None:
    image = np.full((*SIZE, 3), 100, np.uint8)
    drawn = FrameDrawer(SIZE).draw(image, labelled((60, 50, 100, 150)))
    colour = np.array(track_colour(1, CAR))
    assert np.abs(drawn[80, 100] - (0.55 * 100 + 0.45 * colour)).max() <= 1
    assert drawn[60, 100].tolist() == colour.tolist()
    assert drawn[110, 180].tolist() == [100, 100, 100]


def test_the_better_scored_of_two_masks_lies_on_top() -> None:
    drawn = FrameDrawer(SIZE).draw(None, labelled((60, 20, 100, 120), (60, 80, 100, 180)))
    assert drawn[60, 100].tolist() == list(track_colour(1, CAR))
    assert drawn[60, 150].tolist() == list(track_colour(2, CAR))


def test_small_and_odd_frames_are_drawn_in_even_pictures() -> None:
    assert picture_size((375, 1242), 1280) == (376, 1242)
    assert picture_size((1024, 2048), 1280) == (640, 1280)
    assert picture_size((120, 201), 1280) == (240, 402)
    frame = np.full((61, 99, 3), 100, np.uint8)
    found = Instances.of(frame_ref(0, (61, 99)), [encode(np.ones((61, 99), bool))], [CAR], [0.5])
    assert FrameDrawer((62, 100)).draw(frame, found).shape == (62, 100, 3)


def test_a_frame_of_another_shape_is_fitted_into_the_picture() -> None:
    found = Instances.of(frame_ref(0, (100, 50)), [encode(np.ones((100, 50), bool))], [CAR], [0.5])
    drawn = FrameDrawer((120, 200)).draw(np.full((100, 50, 3), 100, np.uint8), found)
    assert not drawn[:, :69].any()
    assert drawn[60, 100].any()


def test_colours_are_told_apart_and_names_on_them_are_read() -> None:
    colours = [track_colour(track, CAR) for track in range(1, 60)]
    assert len(set(colours)) == len(colours)
    assert track_colour(0, CAR) == class_colour(CAR) != class_colour(PERSON)
    assert ink_on((255, 255, 0)) == (0, 0, 0)
    assert ink_on((90, 0, 90)) == (255, 255, 255)
    assert hexadecimal((255, 0, 9)) == "#ff0009"


Box = st.tuples(st.integers(0, 180), st.integers(0, 100), st.integers(2, 60), st.integers(2, 60))


@settings(max_examples=60, deadline=None)
@given(st.lists(Box, min_size=1, max_size=30))
def test_no_name_covers_another_nor_leaves_the_picture(drawn: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([(x, y, min(x + w, 200), min(y + h, 120)) for x, y, w, h in drawn], float)
    placed = NamePlacer(SIZE).place(
        boxes, [[(12, 60), (12, 20)]] * len(boxes), range(1, len(boxes) + 1), np.zeros(SIZE, bool)
    )
    covered = np.zeros(SIZE, int)
    for place in filter(None, placed):
        left, top, right, bottom = place[1].box
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 120
        covered[top:bottom, left:right] += 1
    assert placed[0] is not None
    assert covered.max() == 1


def test_a_name_keeps_off_other_objects_and_stays_where_it_was() -> None:
    placer, box = NamePlacer(SIZE), np.array([[60.0, 40, 100, 80]])
    is_object = np.zeros(SIZE, bool)
    is_object[:40, :] = True
    place = placer.place(box, [[(12, 40)]], [1], is_object)[0]
    assert place is not None
    assert place[1].box[1] >= 40
    free = placer.place(box, [[(12, 40)]], [1], np.zeros(SIZE, bool))[0]
    assert free is not None
    assert free[1].box == place[1].box


@pytest.mark.parametrize("filled", [True, False])
def test_what_was_filled_in_is_paler(filled: bool) -> None:
    found = labelled((60, 50, 100, 150))
    found.interpolated[:] = filled
    drawn = FrameDrawer(SIZE).draw(np.zeros((*SIZE, 3), np.uint8), found)
    share = 0.2 if filled else 0.45
    assert np.abs(drawn[80, 100] - share * np.array(track_colour(1, CAR))).max() <= 1
