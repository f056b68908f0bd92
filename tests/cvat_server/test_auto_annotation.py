"""The auto-annotation function keeps the contract of cvat_sdk, as its own driver checks it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotator.errors import UsageError
from annotator.labels import BY_NAME
from tests.helpers.fake_detector import draw, install

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

from cvat_sdk import models
from cvat_sdk.auto_annotation.driver import _AnnotationMapper, _DetectionFunctionContextImpl
from cvat_sdk.masks import decode_mask

from annotator.integrations import cvat

CAR, PERSON = BY_NAME["car"].id, BY_NAME["person"].id
IN_TASK = {"car": 501, "person": 502}  # ids of the labels in a task


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> cvat.Function:
    install(monkeypatch)
    return cvat.create(seed_threshold=0.5)


def annotated(function: cvat.Function, kind: str = "any", **context: Any) -> list[models.LabeledShapeRequest]:
    """The shapes of an image, through the driver's own checks."""
    labels = [
        models.Label(name=name, id=k, type=kind, attributes=[], sublabels=[]) for name, k in IN_TASK.items()
    ]
    mapper = _AnnotationMapper(
        logging.getLogger(),
        function.spec.labels,
        labels,
        allow_unmatched_labels=False,
        conv_mask_to_poly=context.get("conv_mask_to_poly", False),
    )
    image = Image.fromarray(draw(0))
    shapes = function.detect(_DetectionFunctionContextImpl(frame_name="a.png", **context), image)
    _, remapped = mapper.validate_and_remap(shapes, 7)
    return remapped


def test_objects_are_masks_of_the_tasks_labels(function: cvat.Function) -> None:
    car, person = sorted(annotated(function), key=lambda shape: shape.label_id)
    assert (car.label_id, person.label_id) == (501, 502)
    assert (str(car.type), car.frame, str(car.source)) == ("mask", 7, "auto")
    pixels = decode_mask(car.points, image_width=64, image_height=48)
    red = draw(0)[..., 0].astype(int) - draw(0)[..., 2] > 100
    assert np.array_equal(pixels, red)
    assert 0 < car.score <= 1


def test_masks_become_polygons_where_they_are_asked_for(function: cvat.Function) -> None:
    shapes = annotated(function, kind="polygon", conv_mask_to_poly=True)
    assert {str(shape.type) for shape in shapes} == {"polygon"}
    car = next(shape for shape in shapes if shape.label_id == 501)
    corners = {tuple(point) for point in np.array(car.points).reshape(-1, 2).tolist()}
    assert corners == {(2, 26), (20, 26), (20, 40), (2, 40)}


def test_what_is_below_the_threshold_is_left_out(function: cvat.Function) -> None:
    scores = [shape.score for shape in annotated(function)]
    assert len(scores) == 2
    kept = [shape.score for shape in annotated(function, conf_threshold=max(scores))]
    assert kept == [max(scores)]
    detector = function._detector
    function._detector = replace(detector, options=replace(detector.options, min_score=0.6))
    assert len(annotated(function)) == 1
    assert len(annotated(function, conf_threshold=0.3)) == 2  # also below what labelling begins at


def test_labels_are_those_that_the_weights_know(function: cvat.Function) -> None:
    assert {label.name: label.id for label in function.spec.labels} == {"person": PERSON, "car": CAR}


def test_the_command_of_cvat_finds_it_by_name_and_passes_parameters() -> None:
    loaded = __import__("annotator.integrations.cvat", fromlist=["create"])
    with pytest.raises(UsageError, match=r"nothing\.pth"):
        loaded.create(weights="nothing.pth", device="cpu", scale=0.5)
    with pytest.raises(UsageError, match=r"must be between 0\.5 and 1"):
        loaded.create(seed_threshold=7)


def test_the_model_in_the_package_draws_on_an_image() -> None:
    function = cvat.create(device="cpu")
    assert {label.name for label in function.spec.labels} >= {"car", "person"}
    image = Image.new("RGB", (96, 64), (90, 90, 90))
    context = _DetectionFunctionContextImpl(frame_name=str(Path("a.png")))
    assert isinstance(function.detect(context, image), list)
