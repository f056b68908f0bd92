"""The model in the package finds what users point it at first."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from annotator.detection import Detector
from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.model.checkpoint import default_weights, load_checkpoint
from annotator.options import DetectionOptions
from annotator.video import find_sources
from tests.helpers.builders import REAL_DATA, needs_real_data

EXAMPLE = Path(__file__).parents[2] / "examples" / "drive.mp4"


def label(path: Path, index: int, min_score: float = 0.7) -> Counter[str]:
    """How many of each class the default model finds in a frame of a recording."""
    detector = Detector.load(device="cpu", options=DetectionOptions(seed_threshold=min_score))
    [source] = find_sources([path])
    [frame] = source.frames(start=index, end=index + 1)
    found = detector.detect(frame.image)
    return Counter(BY_ID[int(class_id)].name for class_id in found.class_ids)


def test_it_is_small_and_says_what_it_is() -> None:
    assert default_weights().stat().st_size < 12_000_000
    checkpoint = load_checkpoint()
    assert checkpoint.spec.class_ids == INSTANCE_CLASSES
    assert checkpoint.spec.n_sigma == 2
    assert checkpoint.provenance["step"] > 0
    assert {part["name"] for part in checkpoint.provenance["data"]} > {"train-cityscapes.json", "rendered"}
    assert default_weights().with_name("README.md").exists()


def test_it_has_an_instance_head_that_judges_what_it_saw_enough_of() -> None:
    head = load_checkpoint().head
    assert head is not None
    names = [BY_ID[k].name for k in INSTANCE_CLASSES]
    judged = {name for name, is_judged in zip(names, head.is_judged, strict=True) if is_judged}
    assert judged == {"person", "rider", "car", "motorcycle", "bicycle"}
    assert head.provenance["images"] > 500
    assert {"instances", "sources"} < set(head.provenance)


def test_it_comes_in_eight_bits_which_cost_little_and_labelling_takes_them() -> None:
    checkpoint = load_checkpoint()
    assert checkpoint.quantized is not None
    report = checkpoint.quantized.report
    full, eight = report["AP50"]
    assert report["images"] >= 100
    assert report["agreement"] > 0.95
    assert eight > full - 0.01
    pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")
    runtime = Detector.load(device="cpu").runtime
    assert (runtime.name, runtime.precision) == ("openvino", "int8")


def test_it_finds_objects_of_the_sample_drive() -> None:
    assert label(EXAMPLE, 40).total() >= 3


@pytest.mark.realdata
@needs_real_data
@pytest.mark.parametrize(
    ("clip", "index", "name", "at_least"),
    [("kitti_drive.mp4", 40, "car", 4), ("vtest.avi", 100, "person", 3)],
)
def test_it_finds_what_is_in_real_clips(clip: str, index: int, name: str, at_least: int) -> None:
    assert label(REAL_DATA / "clips" / clip, index)[name] >= at_least
