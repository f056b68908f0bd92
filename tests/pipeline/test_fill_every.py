"""Between frames that the network sees, masks are carried by optical flow, and every format says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotator import masks
from annotator.errors import UsageError
from annotator.options import AnnotationJob, DetectionOptions, EngineOptions, TrackingOptions
from annotator.pipeline.annotate import annotate
from annotator.pipeline.events import FramesLabelled
from annotator.store import Store
from annotator.tracking import associate
from tests.helpers.fake_detector import CAR, ToyRuntime, draw, find_boxes, install, write_video
from tests.pipeline.test_annotate import label_files

EVERY = 4
FILLED = DetectionOptions(start=1, every=EVERY, fill_every=True)
NO_GAPS = TrackingOptions(fill_gaps=0)
ALL = ("cityscapes", "coco", "cvat", "mots")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyRuntime:
    return install(monkeypatch)


def labelled(tmp_path: Path, name: str = "labels", **others: Any) -> Path:
    """The labels of 24 frames, in which a box walks left and is gone for five."""
    video = tmp_path / "drive.mp4"
    if not video.is_file():
        write_video(video)
    asked = {"detection": FILLED, "formats": ALL, "tracking": NO_GAPS, **others}
    list(annotate(AnnotationJob((video,), tmp_path / name, **asked)))
    return tmp_path / name / "drive"


def test_the_frames_between_have_the_masks_that_would_have_been_found(
    tmp_path: Path, toy: ToyRuntime
) -> None:
    overlaps = []
    with Store.read(labelled(tmp_path)) as store:
        frames = list(store.instances())
    assert [found.frame.index for found in frames] == list(range(1, 22))
    assert toy.batches == 6
    for found in frames:
        is_seen = (found.frame.index - FILLED.start) % EVERY == 0
        assert np.all(found.interpolated != is_seen)
        pixels = torch.from_numpy(draw(found.frame.index)).permute(2, 0, 1)
        truth = find_boxes(pixels, found.frame, FILLED)
        cars = [found.masks[k] for k in np.flatnonzero(found.class_ids == CAR)]
        assert len(cars) == 1
        overlaps.append(
            masks.iou(cars, [truth.masks[k] for k in np.flatnonzero(truth.class_ids == CAR)])[0, 0]
        )
    assert min(overlaps) > 0.8


def test_every_format_marks_them_or_has_nothing_to_mark_with(tmp_path: Path, toy: ToyRuntime) -> None:
    folder = labelled(tmp_path)
    annotations = json.loads((folder / "coco.json").read_text())["annotations"]
    indices = {
        image["id"]: image["frame_index"]
        for image in json.loads((folder / "coco.json").read_text())["images"]
    }
    carried = {indices[a["image_id"]] for a in annotations if a.get("interpolated")}
    assert carried == {k for k in range(1, 22) if (k - 1) % EVERY}
    assert re.search(r"not found, filled in", (folder / "cvat.xml").read_text())


def test_batch_size_and_an_interruption_change_no_byte(tmp_path: Path, toy: ToyRuntime) -> None:
    whole = labelled(tmp_path)
    assert label_files(whole) == label_files(labelled(tmp_path, "one", batch_size=1))
    stopped = annotate(
        AnnotationJob(
            (tmp_path / "drive.mp4",),
            tmp_path / "stopped",
            detection=FILLED,
            formats=ALL,
            tracking=NO_GAPS,
            batch_size=3,
        )
    )
    waiting = 2
    while waiting:
        waiting -= isinstance(next(stopped), FramesLabelled)
    stopped.close()
    with Store.read(tmp_path / "stopped" / "drive") as store:
        assert store.frame_count == 1 + EVERY
    assert label_files(labelled(tmp_path, "stopped")) == label_files(whole)


def test_other_tracks_keep_what_was_carried(tmp_path: Path, toy: ToyRuntime) -> None:
    folder = labelled(tmp_path)
    with Store.read(folder) as store:
        fingerprint, before = store.fingerprint, [found.interpolated.tolist() for found in store.instances()]
    with Store.open(folder, fingerprint) as store:
        for options in (TrackingOptions(min_track=500), TrackingOptions(enabled=False), NO_GAPS):
            associate(store, options)
        assert [found.interpolated.tolist() for found in store.instances()] == before


def test_what_can_not_be_filled_is_refused() -> None:
    with pytest.raises(UsageError, match="`every` is 1"):
        DetectionOptions(fill_every=True)
    with pytest.raises(UsageError, match="`every` is 500"):
        DetectionOptions(every=500, fill_every=True)
    with pytest.raises(UsageError, match="cuts them into chunks"):
        AnnotationJob((Path("drive.mp4"),), Path("out"), detection=FILLED, engine=EngineOptions(engine="ray"))


def test_without_it_a_store_of_before_is_gone_on_with(tmp_path: Path, toy: ToyRuntime) -> None:
    with Store.read(labelled(tmp_path, detection=DetectionOptions(every=EVERY))) as store:
        assert "--fill-every" not in store.fingerprint
    with Store.read(labelled(tmp_path, "filled")) as store:
        assert store.fingerprint["--fill-every"] is True
