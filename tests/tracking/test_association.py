"""Association: objects keep their ids through the recording, by time and not by frame number."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator import masks
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.interpolation import MaskInterpolator
from annotator.labels import BY_NAME
from annotator.options import TrackingOptions
from annotator.store import Store
from annotator.tracking import associate
from annotator.tracking.association import associate_frames
from annotator.tracking.boosting import stitching_trees
from annotator.tracking.detections import Detections
from annotator.tracking.parameters import CONFIRMATION, WINDOWS
from annotator.tracking.sequence import SequenceTracker
from annotator.tracking.windows import with_provisional_ids, with_times
from tests.helpers.builders import blob

SIZE = (60, 200)
ALL = TrackingOptions(min_track=1, fill_gaps=0)  # every instance is labelled, and nothing else
Seen = tuple[str, npt.NDArray[np.bool_]]  # class and mask
Scene = Sequence[Mapping[str, Seen]]  # by frame: what is seen of each object
Ids = dict[str, list[int]]  # by object: its track id in every frame, 0 where it is not seen


def box(
    left: float, top: float = 20, width: float = 20, height: float = 20, size: tuple[int, int] = SIZE
) -> npt.NDArray[np.bool_]:
    """A rectangular mask."""
    mask = np.zeros(size, bool)
    rows = slice(max(0, round(top)), max(0, round(top + height)))
    mask[rows, max(0, round(left)) : max(0, round(left + width))] = True
    return mask


def car(left: float, top: float = 20, **shape: float) -> Seen:
    return "car", box(left, top, **shape)


def person(left: float, top: float = 20) -> Seen:
    return "person", box(left, top, width=12, height=30)


def frames_of(
    scene: Scene, times_ms: Sequence[int] | None = None, indices: Sequence[int] | None = None
) -> list[Instances]:
    """Frames of a scene, ten a second unless told; scores vary, so that positions say nothing about objects."""
    rng = np.random.default_rng(0)
    found = []
    size = SIZE
    for k, seen in enumerate(scene):
        size = next(
            (mask.shape for _, mask in seen.values()), size
        )  # that of the frame before, without objects
        ref = FrameRef(
            indices[k] if indices else k, times_ms[k] if times_ms else 100 * k, Fraction(1, 1000), size
        )
        class_ids = [BY_NAME[name].id for name, _ in seen.values()]
        rles = [masks.encode(mask) for _, mask in seen.values()]
        found.append(Instances.of(ref, rles, class_ids, rng.uniform(0.75, 1, len(seen))))
    return found


UNKNOWN = ((np.nan, np.nan),)


def follow(
    folder: Path,
    scene: Scene,
    times_ms: Sequence[int] | None = None,
    indices: Sequence[int] | None = None,
    batch: int = 4,
    options: TrackingOptions = ALL,
    moved: Sequence[tuple[float, float]] = UNKNOWN,
) -> Ids:
    """The track ids that association gives to the objects of a scene, whose pixels `moved` alike in each frame."""
    found = [
        replace(each, displacement=np.tile(np.float32(by), (len(each), 1)))
        for each, by in zip(frames_of(scene, times_ms, indices), cycle(moved), strict=False)
    ]
    with Store.open(folder, {}, overwrite=True) as store:
        for first in range(0, len(found), batch):
            store.add(found[first : first + batch])
        associate(store, options)
        given = list(store.instances())
    ids: Ids = {name: [] for seen in scene for name in seen}
    for seen, instances in zip(scene, given, strict=True):
        by_mask = {
            mask["counts"]: int(k) for mask, k in zip(instances.masks, instances.track_ids, strict=True)
        }
        for name, of_object in ids.items():
            of_object.append(by_mask.get(masks.encode(seen[name][1])["counts"], 0) if name in seen else 0)
    return ids


# ---- objects that are seen all the time


@pytest.mark.parametrize("speed", [0, 1, 5, -5])
def test_an_object_that_moves_keeps_its_id(tmp_path: Path, speed: float) -> None:
    scene = [{"a": car(90 + speed * k)} for k in range(12)]
    assert follow(tmp_path, scene)["a"] == [1] * 12


def test_an_object_that_speeds_up_beyond_its_own_width_a_frame_is_followed_by_its_motion(
    tmp_path: Path,
) -> None:
    lefts = np.cumsum([0, 6, 12, 18, 22, 24, 24, 24])
    scene = [{"a": car(left)} for left in lefts]
    assert follow(tmp_path, scene)["a"] == [1] * len(lefts)


@pytest.mark.parametrize("step_ms", [100, 50])
def test_cars_that_come_to_where_the_next_one_was_are_told_apart_where_their_pixels_were_followed(
    tmp_path: Path, step_ms: int
) -> None:
    places = {"a": (10, 60, 110, 160), "b": (70, 120, 170)}
    scene = [{name: car(lefts[k]) for name, lefts in places.items() if k < len(lefts)} for k in range(4)]
    times = [step_ms * k for k in range(4)]
    ids = follow(tmp_path, scene, times, moved=[(50, 0)])
    assert [len({*ids["a"][1:]}), len({*ids["b"][1:3]})] == [1, 1]  # of the first frame nothing is known
    ids = follow(tmp_path, scene, times)
    assert ids["a"][1] == ids["b"][0]
    assert ids["a"][2] == ids["b"][1]


def test_where_the_camera_jerks_pixels_tell_which_car_of_a_queue_is_which(tmp_path: Path) -> None:
    scene = [
        {name: car(5 + 30 * place + 18 * (k > 5)) for place, name in enumerate("abc")} for k in range(12)
    ]
    jerks = [(18.0 * (k == 6), 0.0) for k in range(12)]
    ids = follow(tmp_path, scene, moved=jerks)
    assert [len({*ids[name]}) for name in "abc"] == [1, 1, 1]
    ids = follow(tmp_path, scene)
    assert [len({*ids[name]}) for name in "abc"] == [2, 2, 2]


def test_two_cars_that_cross_in_neighbouring_lanes_keep_their_ids(tmp_path: Path) -> None:
    scene = [{"right": car(20 + 4 * k, 20), "left": car(140 - 4 * k, 30)} for k in range(30)]
    ids = follow(tmp_path, scene)
    assert {*ids["right"]} | {*ids["left"]} == {1, 2}
    assert len({*ids["right"]}) == len({*ids["left"]}) == 1


@pytest.mark.parametrize("speed", [1, 2])
def test_a_walker_who_passes_behind_another_comes_out_with_the_same_id(tmp_path: Path, speed: int) -> None:
    """In the middle only the head shows over the other's; that may count as somebody new for a frame."""
    scene = []
    for k in range(-15, 16):
        front, behind = box(90 + speed * k, 20, 12, 30), box(90 - speed * k, 16, 12, 30)
        scene.append({"front": ("person", front), "behind": ("person", behind & ~front)})
    ids = follow(tmp_path, scene)
    assert len({*ids["front"]}) == 1
    assert {*ids["behind"][:13]} == {*ids["behind"][18:]}
    assert len({*ids["behind"][18:]}) == 1


@pytest.mark.parametrize("speed", [-1, 0, 1])
def test_a_walker_whom_a_car_hides_up_to_the_head_from_one_frame_to_the_next_keeps_the_id(
    tmp_path: Path, speed: int
) -> None:
    scene = []
    for k in range(40):
        passing, walker = box(10 * k - 60, 14, 60, 46), box(100 + speed * k, 10, 12, 45)
        seen = {"car": ("car", passing), "walker": ("person", walker & ~passing)}
        scene.append({name: each for name, each in seen.items() if each[1].any()})
    ids = follow(tmp_path, scene)
    assert len({*ids["walker"]}) == 1


def test_neighbours_keep_their_ids_in_a_crowd(tmp_path: Path) -> None:
    scene = [{f"walker {i}": person(10 + 14 * i + 2 * k) for i in range(10)} for k in range(10)]
    ids = follow(tmp_path, scene)
    assert all(len({*of_one}) == 1 for of_one in ids.values())
    assert len({of_one[0] for of_one in ids.values()}) == 10


# ---- ids


def test_an_edge_behind_something_nearer_or_at_the_border_of_the_frame_may_be_hidden() -> None:
    scene = {"far": car(60, 10), "near": car(80, 20, width=30), "leaving": car(180, 30)}
    hidden = dict(
        zip(scene, Detections.from_instances(frames_of([scene])[0], 0).occluded_sides.tolist(), strict=True)
    )
    assert hidden == {
        "far": [False, False, True, False],
        "near": [False, False, False, False],
        "leaving": [False, False, True, False],
    }


def test_ids_count_from_1_in_order_of_appearance_without_holes(tmp_path: Path) -> None:
    scene = [
        {
            name: car(10 + 60 * i)
            for i, (name, first) in enumerate([("a", 2), ("b", 0), ("c", 4)])
            if k >= first
        }
        for k in range(6)
    ]
    assert follow(tmp_path, scene) == {
        "b": [1, 1, 1, 1, 1, 1],
        "a": [0, 0, 2, 2, 2, 2],
        "c": [0, 0, 0, 0, 3, 3],
    }


def test_within_a_frame_the_best_score_is_numbered_first(tmp_path: Path) -> None:
    with Store.open(tmp_path, {}) as store:
        store.add(frames_of([{name: car(10 + 40 * i) for i, name in enumerate("abcd")}]))
        associate(store, ALL)
        [found] = store.instances()
    assert found.track_ids.tolist() == [1, 2, 3, 4]


def test_every_instance_has_a_track_and_no_track_two_instances_of_a_frame(tmp_path: Path) -> None:
    """Instances that overlap heavily, as a network finds them: only one goes on with the track."""
    scene = [
        {"a": car(50)},
        {"a": car(51), "double": car(53), "triple": car(48)},
        {"a": car(52), "double": car(54)},
    ]
    ids = follow(tmp_path, scene)
    for k, seen in enumerate(scene):
        given = [ids[name][k] for name in seen]
        assert 0 not in given
        assert len(set(given)) == len(given)
    assert ids["a"] == [1, 1, 1]


def test_doing_it_again_gives_the_same_and_other_options_replace_it(tmp_path: Path) -> None:
    scene: Scene = [{"a": car(10 * k)} if k < 5 else {} for k in range(8)]
    with Store.open(tmp_path, {}) as store:
        store.add(frames_of(scene))
        for min_track, tracks in ((4, 1), (4, 1), (6, 0), (4, 1)):
            associate(store, TrackingOptions(min_track=min_track))
            assert store.track_count == tracks


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_how_detection_was_batched_makes_no_difference(tmp_path: Path, batch: int) -> None:
    rng = np.random.default_rng(3)
    lefts = rng.uniform(0, 180, 6) + np.cumsum(rng.uniform(-6, 6, (25, 6)), 0)
    seen = rng.random((25, 6)) < 0.8
    scene = [{f"{i}": car(lefts[k, i] % 180, 5 * i) for i in range(6) if seen[k, i]} for k in range(25)]
    assert follow(tmp_path / "a", scene, batch=batch) == follow(tmp_path / "b", scene, batch=7)


# ---- what is real, and what was missed


def test_what_shows_up_too_briefly_is_left_out_but_stays_in_the_store(tmp_path: Path) -> None:
    scene = [{"a": car(20), **({"false": car(120)} if k in (5, 6) else {})} for k in range(12)]
    ids = follow(tmp_path, scene, options=TrackingOptions())
    assert {*ids["a"]} == {1}
    assert {*ids["false"]} == {0}
    with Store.read(tmp_path) as store:
        assert (store.instance_count, store.track_count) == (12, 1)
        assert sum(map(len, store.detections())) == 14


def tracked(folder: Path, found: Sequence[Instances]) -> tuple[list[int], dict[str, int]]:
    """The ids that association as usual gives to what is labelled, and what it says of the rest."""
    with Store.open(folder, {}) as store:
        store.add(found)
        associate(store, TrackingOptions())
        return [int(k) for each in store.instances() for k in each.track_ids], store.progress.tracking_losses


def test_what_is_left_out_is_counted_with_what_keeps_it(tmp_path: Path) -> None:
    scene = [{"a": car(5 * k)} | ({"b": car(150)} if k < 3 else {}) for k in range(8)]
    ids, losses = tracked(tmp_path, frames_of(scene))
    assert ids == [1] * 8
    [(what, count)] = losses.items()
    assert count == 3
    assert "`min_track` 1" in what


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_recording_shorter_than_the_shortest_track_keeps_its_instances(tmp_path: Path, count: int) -> None:
    scene = [{"a": car(5 * k), f"b{k}": car(60 + 50 * k, top=20 * k)} for k in range(count)]
    ids, losses = tracked(tmp_path, frames_of(scene))
    assert len(ids) == 2 * count
    assert losses == {}


def images_of(scene: Scene, moved: float = np.nan) -> list[Instances]:
    """A scene whose frames are images of a folder."""
    return [
        replace(
            each,
            frame=replace(each.frame, name=f"{each.frame.index}.jpg"),
            displacement=np.full((len(each), 2), moved, np.float32),
        )
        for each in frames_of(scene)
    ]


# Something else somewhere else in every image.
PHOTOS = [{"it": (car, person)[k % 2](170 * (k % 3) / 2, top=30 * (k % 2))} for k in range(12)]


def test_images_that_are_no_sequence_keep_their_instances_and_say_so(tmp_path: Path) -> None:
    ids, losses = tracked(tmp_path, images_of(PHOTOS))
    assert ids == [0] * 12
    [(what, count)] = losses.items()
    assert count == 12
    assert "sequence" in what


def test_frames_of_a_video_are_a_sequence_whatever_they_show(tmp_path: Path) -> None:
    ids, losses = tracked(tmp_path, frames_of(PHOTOS))
    assert ids == []
    assert list(losses.values()) == [12]


def test_images_whose_pixels_are_found_again_are_a_sequence_whatever_becomes_of_their_objects(
    tmp_path: Path,
) -> None:
    ids, _ = tracked(tmp_path, images_of(PHOTOS, moved=0.0))
    assert ids == []


def test_images_whose_objects_make_tracks_are_a_sequence_though_no_pixel_was_followed(tmp_path: Path) -> None:
    scene = [{"a": car(5 * k)} | ({"b": person(150)} if k == 4 else {}) for k in range(12)]
    ids, losses = tracked(tmp_path, images_of(scene))
    assert ids == [1] * 12
    assert list(losses.values()) == [1]


def test_images_of_different_sizes_are_no_sequence(tmp_path: Path) -> None:
    images = []
    for each in images_of([{"it": car(20)}] * 6):
        size = (60, 200 + each.frame.index)
        mask = masks.encode(box(20, size=size))
        images.append(replace(each, frame=replace(each.frame, size=size), masks=(mask,)))
    assert tracked(tmp_path, images)[0] == [0] * 6


def test_gaps_are_filled_with_masks_on_the_way_and_marked(tmp_path: Path) -> None:
    scene = [{} if k in (5, 6, 7) else {"a": car(20 + 4 * k)} for k in range(12)]
    follow(tmp_path, scene, options=TrackingOptions(fill_gaps=3))
    with Store.read(tmp_path) as store:
        shown = list(store.instances())
    assert [found.interpolated.tolist() for found in shown] == [[k in (5, 6, 7)] for k in range(12)]
    assert [found.track_ids.tolist() for found in shown] == [[1]] * 12
    lefts = [masks.boxes_xywh(found.masks)[0, 0] for found in shown]
    assert lefts == [20 + 4 * k for k in range(12)]


def test_the_outline_of_a_filled_gap_is_on_its_way_from_one_side_to_the_other() -> None:
    def bitten(depth: int, left: int) -> masks.Rle:
        mask = box(left, top=10, width=60, height=40)
        mask[10 : 10 + depth, left + 10 : left + 50] = False
        return masks.encode(mask)

    for share, depth, left in ((1 / 6, 6, 25), (1 / 2, 10, 35), (5 / 6, 14, 45)):
        made = MaskInterpolator.from_pairs([(bitten(4, 20), bitten(16, 50))])[0].at(share)
        assert made is not None
        assert masks.iou([made], [bitten(depth, left)])[0, 0] > 0.95


@settings(max_examples=50)
@given(share=st.floats(0, 1))
def test_what_fills_a_gap_between_equal_masks_is_one_of_them_moved(share: float) -> None:
    round_ = blob((60, 200), 30, 100, 15)
    seen, gone = masks.encode(round_), masks.encode(np.roll(round_, 40, axis=1))
    made = MaskInterpolator.from_pairs([(seen, gone)])[0].at(share)
    assert made is not None
    assert masks.iou([made], [masks.encode(np.roll(round_, round(40 * share), axis=1))])[0, 0] > 0.9


def test_what_is_hidden_by_another_is_not_drawn_over_it(tmp_path: Path) -> None:
    scene = [
        {"front": car(44, width=28), **({} if k in (5, 6, 7) else {"a": car(20 + 4 * k, 22, width=12)})}
        for k in range(14)
    ]
    follow(tmp_path, scene, options=TrackingOptions())
    with Store.read(tmp_path) as store:
        assert not any(found.interpolated.any() for found in store.instances())


@pytest.mark.parametrize(("speed", "pole"), [(5, 98), (0, 62), (0, 47)])
def test_an_object_behind_a_pole_is_whole_in_the_labels(tmp_path: Path, speed: int, pole: int) -> None:
    """Three frames show its fragments, with the pole between them; next to it stands another."""
    scene = []
    for k in range(20):
        whole = box(40 + speed * k, width=30)
        left, right = whole.copy(), whole.copy()
        left[:, pole:], right[:, : pole + 3] = False, False
        parts = {"left": ("car", left), "right": ("car", right)} if 8 <= k < 11 else {"car": ("car", whole)}
        scene.append({**parts, "other": car(175, 35)})
    with Store.open(tmp_path, {}) as store:
        store.add(frames_of(scene))
        associate(store, ALL)
        assert [len(found) for found in store.detections()] == [3 if 8 <= k < 11 else 2 for k in range(20)]
        labelled = list(store.instances())
        assert store.progress.tracking_losses == {}  # fragments that are made one are not lost
    assert all(sorted(found.track_ids.tolist()) == [1, 2] for found in labelled)
    for found in labelled[8:11]:
        assert sorted(masks.areas(list(found.masks))) == [400, (30 - 3) * 20]
        assert not found.interpolated.any()


def test_halves_that_go_on_apart_are_two(tmp_path: Path) -> None:
    scene = [{"a": car(20 + 3 * k), "b": car(42 + 3 * k)} for k in range(20)]
    assert {len(set(of_one)) for of_one in follow(tmp_path, scene).values()} == {1}


@pytest.mark.parametrize("speed", [0, 2])
def test_two_that_are_found_as_one_for_a_moment_are_cut_apart(tmp_path: Path, speed: int) -> None:
    scene = []
    for k in range(20):
        a, b = box(40 + speed * k, width=12, height=30), box(52 + speed * k, 14, width=12, height=36)
        scene.append({"both": ("person", a | b)} if 8 <= k < 11 else {"a": ("person", a), "b": ("person", b)})
    with Store.open(tmp_path, {}) as store:
        store.add(frames_of(scene))
        associate(store, TrackingOptions(min_track=1))
        assert [len(found) for found in store.detections()] == [1 if 8 <= k < 11 else 2 for k in range(20)]
        labelled = list(store.instances())
    for found in labelled:
        assert sorted(found.track_ids.tolist()) == [1, 2]
        assert sorted(masks.areas(list(found.masks))) == [12 * 30, 12 * 36]
        assert not found.interpolated.any()


def test_what_hides_another_is_not_cut(tmp_path: Path) -> None:
    scene: list[dict[str, Seen]] = []
    for k in range(28):
        left = 20 + 4 * k
        scene.append({"large": car(50, 2, width=50, height=55)})
        if not 38 < left < 100:
            scene[-1]["small"] = car(left, 22, width=12, height=30)
    with Store.open(tmp_path, {}) as store:
        store.add(frames_of(scene))
        associate(store, TrackingOptions(min_track=1))
        labelled = list(store.instances())
    assert {len(set(found.track_ids.tolist())) for found in labelled} == {1, 2}
    assert max(found.track_ids.max() for found in labelled) == 2
    assert {int(masks.areas(list(found.masks)).max()) for found in labelled} == {50 * 55}


def test_longer_gaps_stay_open(tmp_path: Path) -> None:
    scene = [{} if k in (5, 6, 7) else {"a": car(20 + 4 * k)} for k in range(12)]
    follow(tmp_path, scene, options=TrackingOptions(fill_gaps=2))
    with Store.read(tmp_path) as store:
        assert [len(found) for found in store.instances()] == [1] * 5 + [0] * 3 + [1] * 4


def test_windows_make_no_difference_to_an_object_that_is_followed_through_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(WINDOWS, length=64, overlap=32, beside_gap=4)
    monkeypatch.setattr("annotator.tracking.windows.WINDOWS", small)
    scene = [{"a": car(50 + 30 * np.sin(k / 20)), "b": car(120, 5), "c": person(150)} for k in range(300)]
    ids = follow(tmp_path, scene)
    assert all(len({*of_one}) == 1 for of_one in ids.values())


def test_what_a_window_has_named_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(WINDOWS, length=16, overlap=8, beside_gap=3)
    monkeypatch.setattr("annotator.tracking.windows.WINDOWS", small)
    found = frames_of([{"a": car(5 * k), "b": car(150, 35)} for k in range(30)])
    kept = [
        (frame, frame.ids)
        for frame in with_provisional_ids(with_times(found, 0.1), SequenceTracker(4.0, 1, stitching_trees()))
    ]
    assert len(kept) == 30
    assert all(frame.ids is ids for frame, ids in kept)


def test_memory_does_not_grow_with_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(WINDOWS, length=32, overlap=16, beside_gap=4)
    monkeypatch.setattr("annotator.tracking.windows.WINDOWS", small)
    few = replace(CONFIRMATION, max_pending=32)
    monkeypatch.setattr("annotator.tracking.confirmation.CONFIRMATION", few)
    monkeypatch.setattr("annotator.tracking.times.REACH", 8)

    def frames(count: int) -> Iterator[Instances]:
        scene = frames_of([{"a": car(50), "b": person(120)}])[0]
        return (replace(scene, frame=replace(scene.frame, index=k, pts=100 * k)) for k in range(count))

    peaks = []
    gc.freeze()  # what other tests left is not looked through
    for count in (80, 240):
        tracemalloc.start()
        for done, _ in enumerate(associate_frames(frames(count), 0.1, TrackingOptions()), 1):
            if done % 8 == 0:
                gc.collect()  # what waits to be collected is not held
        assert done == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    gc.unfreeze()
    assert peaks[1] < 1.2 * peaks[0]


def test_without_appearance_or_with_it_of_another_length_tracks_are_made(tmp_path: Path) -> None:
    plain = frames_of([{"a": car(50 + k), "b": car(120)} for k in range(6)])
    mixed = [
        replace(found, features=np.ones((len(found), 4 * (k % 2)), np.float16))
        for k, found in enumerate(plain)
    ]
    for found in (plain, mixed):
        ids = [each.track_ids for each in associate_frames(iter(found), 0.1, ALL)]
        assert all(sorted(of_frame) == [1, 2] for of_frame in ids)


def test_appearance_tells_apart_what_motion_cannot(tmp_path: Path) -> None:
    """Two side by side change places while nobody looks; their looks say so."""
    names = [("red", "blue")] * 8 + [None] * 4 + [("blue", "red")] * 8
    looks = {"red": [1.0, 0.0], "blue": [0.0, 1.0]}
    frames = []
    for k, pair in enumerate(names):
        [found] = frames_of([{"left": car(50), "right": car(58, 22)} if pair else {}])
        features = np.array([looks[name] for name in pair], np.float16) if pair else np.zeros((0, 2))
        ref = replace(found.frame, index=k, pts=100 * k)
        frames.append(Instances.of(ref, found.masks, found.class_ids, np.full(len(found), 0.9), features))
    ids = [list(each.track_ids) for each in associate_frames(iter(frames), 0.1, ALL)]
    assert ids[0] == [1, 2]
    assert ids[-1] == [2, 1]


# ---- classes


def test_a_walker_called_a_rider_for_a_moment_is_the_same_one(tmp_path: Path) -> None:
    names = ["person", "person", "rider", "person", "rider", "rider"]
    scene = [{"a": (name, box(20 + k, 20, 12, 30))} for k, name in enumerate(names)]
    assert follow(tmp_path, scene)["a"] == [1] * 6


def test_a_car_called_a_truck_for_a_moment_is_the_same_one(tmp_path: Path) -> None:
    scene = [{"a": (name, box(20 + k))} for k, name in enumerate(["car", "truck", "car", "bus"])]
    assert follow(tmp_path, scene)["a"] == [1] * 4


def test_a_car_and_a_person_never_share_a_track(tmp_path: Path) -> None:
    scene = [{"a": (name, box(20))} for name in ["car", "person", "car", "person"]]
    assert follow(tmp_path, scene)["a"] == [1, 2, 1, 2]


# ---- objects that are hidden for a while


@pytest.mark.parametrize("hidden", [1, 3, 8])
@pytest.mark.parametrize("speed", [0, 5])
def test_an_object_hidden_for_some_frames_comes_back_with_its_id(
    tmp_path: Path, hidden: int, speed: float
) -> None:
    gap = range(8, 8 + hidden)
    scene = [{} if k in gap else {"a": car(10 + speed * k)} for k in range(25)]
    assert {*follow(tmp_path, scene)["a"]} == {0, 1}


@pytest.mark.parametrize("speed", [2, 4])
def test_two_that_cross_out_of_sight_for_20_frames_come_out_with_their_ids(
    tmp_path: Path, speed: float
) -> None:
    """Both are hidden where their paths cross; only motion tells which is which."""
    wide = (60, 420)
    scene = [
        {
            "right": ("car", box(20 + speed * k, 20, size=wide)),
            "left": ("car", box(380 - speed * k, 24, size=wide)),
        }
        for k in range(int(360 / speed))
    ]
    middle = int(180 / speed)
    hidden = range(middle - 10, middle + 10)
    ids = follow(tmp_path, [{} if k in hidden else seen for k, seen in enumerate(scene)])
    assert {*ids["right"]} | {*ids["left"]} == {0, 1, 2}
    assert len({*ids["right"]} - {0}) == len({*ids["left"]} - {0}) == 1


@pytest.mark.parametrize(
    ("hidden_ms", "same"), [(1000 * ALL.max_gap, True), (1000 * ALL.max_gap + 100, False)]
)
def test_an_object_hidden_for_longer_is_another_one(tmp_path: Path, hidden_ms: float, same: bool) -> None:
    back = 400 + int(hidden_ms)
    times = [*range(0, 500, 100), *range(back, back + 500, 100)]
    scene = [{"a": car(50)}] * 10
    assert follow(tmp_path, scene, times)["a"] == [1] * 5 + [1 if same else 2] * 5


@pytest.mark.parametrize("hidden_from", [100, 890, 960])
def test_the_longest_gap_is_bridged_wherever_windows_end_and_however_many_frames_it_has(
    tmp_path: Path, hidden_from: int
) -> None:
    frames, hidden = 1200, range(hidden_from, hidden_from + 140)  # 2.3 s at 60 frames a second
    scene = [{} if k in hidden else {"a": car(50)} for k in range(frames)]
    ids = follow(tmp_path, scene, [round(1000 * k / 60) for k in range(frames)], batch=100)["a"]
    assert {*ids} == {0, 1}


def test_frames_without_instances_are_no_trouble(tmp_path: Path) -> None:
    assert follow(tmp_path / "none", [{}] * 5) == {}
    assert follow(tmp_path / "some", [{}, {"a": car(5)}, {}, {"a": car(5)}, {}])["a"] == [0, 1, 0, 1, 0]


def test_a_recording_without_frames_has_no_tracks(tmp_path: Path) -> None:
    with Store.open(tmp_path, {}) as store:
        associate(store, ALL)
        assert store.track_count == 0


# ---- time


def test_motion_is_by_time_where_the_frame_rate_varies(tmp_path: Path) -> None:
    """60 pixels a second; the pauses are long enough that the car leaves its own box behind."""
    times = [0, 100, 200, 300, 400, 500, 900, 1000, 1050, 1075, 1575, 1600]
    scene = [{"a": car(10 + 0.06 * t)} for t in times]
    assert follow(tmp_path, scene, times)["a"] == [1] * len(times)


def test_frame_numbers_say_nothing(tmp_path: Path) -> None:
    """Every 50th frame of a fast camera: numbers far apart, times close."""
    scene = [{"a": car(10 + 3 * k)} for k in range(6)]
    assert follow(tmp_path, scene, [20 * k for k in range(6)], [50 * k for k in range(6)])["a"] == [1] * 6


@pytest.mark.parametrize("step_ms", [1000, 5000], ids=["image folder", "--every 150"])
def test_frames_more_than_a_second_apart_still_make_tracks(tmp_path: Path, step_ms: int) -> None:
    """The images of a folder count as a second apart: nothing is known of their times."""
    scene = [{} if k in (4, 5) else {"a": car(10 + 2 * k)} for k in range(12)]
    ids = follow(tmp_path, scene, [step_ms * k for k in range(12)])["a"]
    assert {*ids} == {0, 1}


def test_but_not_across_a_pause_that_is_long_for_them(tmp_path: Path) -> None:
    times = [0, 1000, 2000, 3000, 30_000, 31_000, 32_000]
    assert follow(tmp_path, [{"a": car(50)}] * 7, times)["a"] == [1] * 4 + [2] * 3


def test_a_clock_that_jumps_back_ends_all_tracks(tmp_path: Path) -> None:
    times = [*range(100_000, 100_500, 100), *range(0, 500, 100)]
    assert follow(tmp_path, [{"a": car(50)}] * 10, times)["a"] == [1] * 5 + [2] * 5


def test_frames_of_the_same_time_are_survived(tmp_path: Path) -> None:
    scene = [{"a": car(10 + 3 * k)} for k in range(6)]
    assert follow(tmp_path, scene, [0, 100, 100, 100, 200, 300])["a"] == [1] * 6


# ---- the picture changes its size


def test_a_change_of_the_frame_size_ends_all_tracks(tmp_path: Path) -> None:
    small = [{"a": ("car", box(50))} for _ in range(3)]
    large = [{"a": ("car", box(50, size=(80, 220)))} for _ in range(3)]
    assert follow(tmp_path, [*small, *large])["a"] == [1, 1, 1, 2, 2, 2]
