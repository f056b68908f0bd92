"""The package as a library: eight verbs and nouns, loaded when they are used."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import annotator
from annotator import AnnotationJob, Instances, TrackingOptions, annotate, read_labels, track, write_labels
from annotator.errors import UsageError
from annotator.video import Loader, find_sources
from tests.helpers import fake_detector
from tests.helpers.fake_detector import CAR, ROOT, ToyDetector, ToyRuntime, write_video
from tests.test_architecture import HEAVY


@pytest.fixture
def found(tmp_path: Path) -> list[Instances]:
    """What the toy finds in 24 frames: a car all along, a person who is out of sight for a while."""
    [source] = find_sources([write_video(tmp_path / "drive.mp4")])
    detector = ToyDetector(ToyRuntime())
    with Loader(source, "cpu", 8) as batches:
        return [each for batch in detector.stream(batches) for each in batch]


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, annotator; print(*annotator.__all__); print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names, loaded = answer.stdout.splitlines()
    assert names.split() == annotator.__all__
    assert not {name.split(".")[0] for name in loaded.split()} & HEAVY


@pytest.mark.parametrize("name", annotator.__all__)
def test_every_name_is_there_and_says_what_it_does(name: str) -> None:
    assert name in dir(annotator)
    assert getattr(annotator, name).__doc__


def test_a_name_that_is_not_there_is_none() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        annotator.nothing  # noqa: B018


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(annotator).failed == 0


WITH_EXAMPLES = (
    *("DetectionOptions", "Detector", "Instances"),
    *("annotate", "evaluate", "read_labels", "track", "write_labels"),
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drive.mp4, and labels of it in labels/."""
    folder = tmp_path_factory.mktemp("workplace")
    video = write_video(folder / "drive.mp4")
    list(annotate(AnnotationJob((video,), folder / "labels", ("coco",)), ToyDetector(ToyRuntime())))
    return folder


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_name_hold(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detector.install(monkeypatch)
    monkeypatch.chdir(workplace)
    [example] = (
        each for each in doctest.DocTestFinder().find(getattr(annotator, name), name) if each.name == name
    )
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_instances_get_tracks(found: list[Instances]) -> None:
    tracked = list(track(found))
    assert [each.frame for each in tracked] == [each.frame for each in found]
    cars = {int(i) for each in tracked for i in each.track_ids[each.class_ids == CAR]}
    assert len(cars) == 1
    assert 0 not in cars
    untracked = list(track(found, TrackingOptions(enabled=False)))
    assert not any(each.track_ids.any() for each in untracked)


def test_what_is_written_is_read_again(found: list[Instances], tmp_path: Path) -> None:
    tracked = list(track(found))
    files = write_labels(tracked, tmp_path / "out", "coco", "mots", name="monday")
    assert files == [tmp_path / "out" / "coco.json", tmp_path / "out" / "mots.txt"]
    read = [truth.instances for truth in read_labels(files[0])]
    assert [each.masks for each in read] == [each.masks for each in tracked]
    for mine, theirs in zip(read, tracked, strict=True):
        np.testing.assert_array_equal(mine.track_ids, theirs.track_ids)


def test_frames_may_be_a_generator(found: list[Instances], tmp_path: Path) -> None:
    def frames() -> Iterator[Instances]:
        yield from found

    assert len(list(track(frames()))) == len(found)


def test_an_unknown_format_is_refused(found: list[Instances], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'yolo' is no format; choose from cityscapes"):
        write_labels(found, tmp_path, "yolo")
