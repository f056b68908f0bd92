"""Whether a task holds what was sent to it, told from keyframes: what CVAT adds of itself counts for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotator import masks
from annotator.cvat_server.held import Held, held
from annotator.formats.cvat import writer as cvat_writer
from annotator.instances import Instances
from annotator.labels import BY_NAME
from tests.formats.test_all_formats import VIDEO
from tests.helpers.builders import Labels, frame_ref
from tests.helpers.fake_cvat import FakeTask
from tests.helpers.fake_cvat_formats import exported, take_annotations

SIZE = (48, 64)
FRAMES = 30
CAR, PERSON = BY_NAME["car"].id, BY_NAME["person"].id


def labelled(index: int) -> Instances:
    """A car that grows and drives right, and from frame 7 to 23 a person behind it who is seen in two parts."""
    found = [(CAR, 3, np.zeros(SIZE, bool))]
    found[0][2][20 : 36 + index // 5, 2 + index : 22 + 2 * index // 3 + index] = True
    if 7 <= index < 23:
        found.append((PERSON, 8, np.zeros(SIZE, bool)))
        found[1][2][4:12, 50 - index // 3 : 58 - index // 3] = True
        found[1][2][14:18, 50:56] = True
    return Instances.of(
        frame_ref(index, SIZE),
        [masks.encode(each[2]) for each in found],
        [each[0] for each in found],
        [0.75] * len(found),
        track_ids=[each[1] for each in found],
    )


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    cvat_writer.write(Labels([labelled(k) for k in range(FRAMES)]), VIDEO, tmp_path)
    return tmp_path / cvat_writer.FILE


def task_of(sent: Path, segment_size: int | None = None) -> FakeTask:
    """A task with the annotations of a file."""
    spec = {"name": "drive", "segment_size": segment_size, "overlap": 0}
    task = FakeTask(spec, list(range(FRAMES)), size=SIZE)
    assert take_annotations(task, sent.read_bytes(), "CVAT 1.1") == ""
    return task


def found(sent: Path, task: FakeTask, edited: Callable[[str], str] = lambda text: text) -> Held:
    """What an export of a task is taken for."""
    export = sent.with_name("export.xml")
    export.write_text(edited(exported(1, task, "CVAT for video 1.1")))
    return held(export, sent)


@pytest.mark.parametrize("segment_size", [None, 15, 10, 7, 4, 1])
def test_what_nobody_touched_is_what_was_sent(sent: Path, segment_size: int | None) -> None:
    assert found(sent, task_of(sent, segment_size)) is Held.ALL


def test_an_import_that_did_not_reach_all_jobs_is_a_part(sent: Path) -> None:
    def without_second_job(text: str) -> str:
        return re.sub(r'<polygon frame="1\d" .*?</polygon>', "", text)

    task = task_of(sent, 10)
    assert found(sent, task, without_second_job) is Held.PART


@pytest.mark.parametrize("segment_size", [None, 10])
@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (r'label="car"', 'label="bus"'),
        (r'(<polygon frame="0" [^>]*points=")2\.00', r"\g<1>2.05"),
        (r'(<polygon frame="0" [^>]*z_order=")0', r"\g<1>1"),
        (r'(<polygon frame="0" [^>]*occluded=")0', r"\g<1>1"),
        (r'(<polygon frame="0" .*?name="review">)', r"\g<1>looks like a bus"),
        (r'(<polygon frame="0" .*?name="uid">)3', r"\g<1>4"),
        (
            r"</annotations>",
            '<track label="car"><polygon frame="5" keyframe="1" points="1,1;9,1;9,9"/></track>\\g<0>',
        ),
        (
            r"</annotations>",
            '<track label="car"><mask frame="5" keyframe="1" rle="0,9" left="1"/></track>\\g<0>',
        ),
        (r'(?s)<track id="1".*?</track>', ""),
        (r'<polygon frame="29" .*?</polygon>', ""),
        (r'(<polygon frame="12" [^>]*keyframe=")0', r"\g<1>1"),
    ],
    ids=[
        "label",
        "vertex",
        "z_order",
        "occluded",
        "review",
        "uid",
        "new",
        "mask",
        "deleted",
        "last",
        "keyframe",
    ],
)
def test_any_edit_makes_it_somebodys_work(
    sent: Path, segment_size: int | None, pattern: str, by: str
) -> None:
    def edited(text: str) -> str:
        changed = re.sub(pattern, by, text, count=1)
        assert changed != text
        return changed

    assert found(sent, task_of(sent, segment_size), edited) is Held.OTHER


def test_a_shape_at_the_border_of_a_job_must_be_where_cvat_shows_it(sent: Path) -> None:
    def edited(text: str) -> str:
        seen = r'(<polygon frame="10" keyframe="1" outside="0" [^>]*points=")(\d+)'
        changed = re.sub(seen, r"\g<1>1\g<2>", text, count=1)
        assert changed != text
        return changed

    assert found(sent, task_of(sent, 10), edited) is Held.OTHER


def test_images_are_compared_shape_by_shape(tmp_path: Path) -> None:
    sent, export = tmp_path / "sent.xml", tmp_path / "export.xml"
    text = (
        '<annotations><image name="a.png" width="64" height="48">'
        '<polygon label="car" occluded="0" points="1,1;9,1;9,9" z_order="0"><attribute name="uid">3</attribute>'
        '</polygon><mask label="car" rle="3, 4" left="1" top="2" width="7" height="1" z_order="0"/></image>'
        "</annotations>"
    )
    sent.write_text(text)
    export.write_text(text.replace("1,1;9,1;9,9", "1.00,1.00;9.00,1.00;9.00,9.00").replace("3, 4", "3,4"))
    assert held(export, sent) is Held.ALL
    for before, after in (("9,9", "9,8"), ('left="1"', 'left="2"'), ("a.png", "b.png"), ("3, 4", "2, 5")):
        export.write_text(text.replace(before, after))
        assert held(export, sent) is Held.OTHER
