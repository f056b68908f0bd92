"""Tracks have keyframes where CVAT's interpolation needs them, and nowhere else."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from annotator import masks, polygons
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.cvat.interpolation import interpolate
from annotator.instances import Instances
from annotator.options import CvatOptions
from tests.formats.test_all_formats import CAR, PERSON, VIDEO, any_labels, expected, instances
from tests.helpers.builders import Labels, blob
from tests.reference.cvat_interpolation import between, shown

WIDE = (90, 300)
COORDINATES = st.integers(0, 60)
RINGS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=12, unique=True).map(
    lambda points: np.array(points, np.float64)
)


def written(folder: Path, labels: Labels, **options: float) -> ET.Element:
    cvat_writer.write(labels, VIDEO, folder, CvatOptions(**options))
    return ET.parse(folder / cvat_writer.FILE).getroot()


def driving(frames: int, wobble: float = 0) -> Labels:
    """A car that drives by and comes nearer, its outline trembling by some pixels."""
    return Labels(
        [
            instances(
                k,
                (blob(WIDE, 45, 40 + 5 * k, 15 + 0.4 * k + wobble * (k % 2)), CAR, 0.9, 1),
                size=WIDE,
            )
            for k in range(frames)
        ]
    )


def overlaps(root: ET.Element, labels: Labels) -> list[float]:
    """IoU of every instance with what CVAT shows of it, given one part for each."""
    first, step = labels.found[0].frame.index, 1
    if len(labels.found) > 1:
        step = labels.found[1].frame.index - first
    size, by_frame = labels.found[0].frame.size, {found.frame.index: found for found in labels.found}
    found = []
    for track in root.iterfind("track"):
        uid = int(track.findtext("polygon/attribute[@name='uid']", "0"))
        for frame, ring in shown(track, step, max(by_frame)):
            truth = by_frame[frame].masks[by_frame[frame].track_ids.tolist().index(uid)]
            found.append(masks.iou([polygons.fill(np.array(ring), size)], [truth])[0, 0])
    return found


@settings(deadline=None)
@given(RINGS, RINGS, st.floats(0.01, 0.99))
def test_the_product_interpolates_as_the_rule_says(
    first: np.ndarray, second: np.ndarray, share: float
) -> None:
    ours = interpolate(first, second, [share])[0]
    theirs = np.array(between([*map(tuple, first.tolist())], [*map(tuple, second.tolist())], share))
    assert ours.shape == theirs.shape
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_what_moves_evenly_has_few_keyframes(tmp_path: Path) -> None:
    labels = driving(40)
    (track,) = written(tmp_path, labels).iterfind("track")
    assert len(track) <= 4
    assert len(overlaps(ET.parse(tmp_path / cvat_writer.FILE).getroot(), labels)) == 40


@pytest.mark.parametrize("bound", [0.8, 0.9, 0.95])
def test_frames_between_keyframes_keep_the_bound(tmp_path: Path, bound: float) -> None:
    labels = driving(40, wobble=0.6)
    root = written(tmp_path, labels, keyframe_iou=bound)
    found = overlaps(root, labels)
    assert len(found) == 40
    assert min(found) >= bound
    assert sum(1 for _ in root.iter("polygon")) < 40


def test_every_stretch_keeps_the_bound_by_itself(tmp_path: Path) -> None:
    def trembling(k: int) -> np.ndarray:
        return blob(WIDE, 45, 100 + (0, 9, -7, 4)[k % 4], 20 + (0, 4, -3)[k % 3])

    steady = [instances(k, (blob(WIDE, 45, 100, 20), CAR, 0.9, 1), size=WIDE) for k in range(20)]
    away = [instances(20, size=WIDE)]
    back = [instances(k, (trembling(k), CAR, 0.9, 1), size=WIDE) for k in range(21, 50)]
    labels = Labels([*steady, *away, *back])
    assert min(overlaps(written(tmp_path, labels), labels)) >= 0.9


def test_a_lower_bound_never_needs_more_keyframes(tmp_path: Path) -> None:
    labels = driving(40, wobble=1.5)
    counts = [
        sum(1 for _ in written(tmp_path, labels, keyframe_iou=bound).iter("polygon"))
        for bound in (0.7, 0.8, 0.9, 0.95, 1)
    ]
    assert counts == sorted(counts)
    assert counts[-1] == 40


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_labels(), st.sampled_from([0.6, 0.9, 1]))
def test_an_object_is_shown_where_it_is_and_nowhere_else(
    tmp_path: Path, labels: Labels, bound: float
) -> None:
    assume(any(len(found) for found in labels.found))
    root = written(tmp_path, labels, keyframe_iou=bound)
    indices = [ref.index for ref in labels.frames()]
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    seen = {
        (frame, uid)
        for track in root.iterfind("track")
        for frame, _ in shown(track, step, indices[-1])
        if (uid := track.findtext("polygon/attribute[@name='uid']", "")).isdecimal()
    }
    assert seen == {
        (found.frame.index, str(track)) for found in labels.found for *_, track in expected(found) if track
    }


def test_with_every_nth_frame_interpolation_goes_by_the_task(tmp_path: Path) -> None:
    frames = [
        Instances.of(
            instances(100 + 3 * k, size=WIDE).frame,
            [masks.encode(blob(WIDE, 45, 40 + 5 * k, 20))],
            [CAR],
            [0.9],
            track_ids=[1],
        )
        for k in range(30)
    ]
    root = written(tmp_path, Labels(frames))
    assert root.findtext("meta/task/frame_filter") == "step=3"
    assert len(overlaps(root, Labels(frames))) == 30
    assert min(overlaps(root, Labels(frames))) >= 0.9
    assert sum(1 for _ in root.iter("polygon")) <= 4


def test_remarks_hold_until_the_next_keyframe(tmp_path: Path) -> None:
    disc = blob(WIDE, 45, 60, 20)
    labels = Labels(
        [instances(k, (disc, PERSON if k == 2 else CAR, 0.9, 1), size=WIDE) for k in (0, 1, 2, 3)]
        + [instances(4, size=WIDE), instances(5, (disc, CAR, 0.9, 1), size=WIDE)]
    )
    (track,) = written(tmp_path, labels).iterfind("track")
    remarks = [(shape.get("frame"), shape.findtext("attribute[@name='review']")) for shape in track]
    assert remarks == [("0", "looks like person"), ("3", ""), ("4", ""), ("5", "same after 1 frames?")]
