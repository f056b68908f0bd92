"""COCO AP equals pycocotools run on annotations, crowds and predictions past the hundredth included."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotator import masks
from annotator.evaluation import Overlap
from annotator.evaluation.coco_ap import CocoAP
from annotator.instances import GroundTruth, Instances, Region
from annotator.labels import BY_ID, INSTANCE_CLASSES
from tests.golden.cityscapes_cases import SIZE, Scene, ellipse, scenes
from tests.helpers.builders import frame_ref

PERSON, CAR = 24, 26
Pair = tuple[Instances, GroundTruth]
STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def pair(scene: Scene, index: int) -> Pair:
    """A drawn scene: groups are crowds, void is none of COCO's."""
    frame = frame_ref(index, scene.ids.shape)
    rles = masks.encode_label_map(scene.ids)
    true = [(rles[i], i // 1000) for i in rles if i // 1000 in INSTANCE_CLASSES]
    crowds = tuple(Region(i, rles[i]) for i in rles if i in INSTANCE_CLASSES)
    return (
        Instances.of(
            frame,
            [masks.encode(one.mask) for one in scene.predicted],
            [one.class_id for one in scene.predicted],
            [one.score for one in scene.predicted],
        ),
        GroundTruth(Instances.of(frame, *zip(*true, strict=True), np.ones(len(true))), crowds),
    )


def many(index: int) -> Pair:
    """More cars than count, some over others."""
    random, frame = Random(index), frame_ref(index, SIZE)
    drawn = [masks.encode(ellipse(random, 3, 40)) for _ in range(260)]
    scores = [random.random() for _ in drawn]
    true = [masks.encode(ellipse(random, 3, 40)) for _ in range(40)]
    return Instances.of(frame, drawn, [CAR] * 260, scores), GroundTruth(
        Instances.of(frame, true + drawn[::9], [CAR] * (40 + len(drawn[::9])), np.ones(40 + len(drawn[::9])))
    )


def official(pairs: Iterable[Pair], class_ids: tuple[int, ...]) -> list[float]:
    """The twelve figures of COCOeval for annotations of these classes."""
    images: list[dict[str, Any]] = []
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for prediction, truth in pairs:
        image_id = prediction.frame.index + 1
        images.append({"id": image_id, "height": prediction.frame.size[0], "width": prediction.frame.size[1]})
        true += annotations(image_id, truth.instances.class_ids, truth.instances.masks, iscrowd=[0] * 1000)
        regions = [(region.class_id, region.mask) for region in truth.ignore_regions]
        if regions:
            true += annotations(image_id, *zip(*regions, strict=True), iscrowd=[1] * 1000)
        found += annotations(
            image_id, prediction.class_ids, prediction.masks, score=prediction.scores.tolist()
        )
    for k, entry in enumerate(true):
        entry.update(id=k + 1, area=int(masks.areas([entry["segmentation"]])[0]), bbox=[0, 0, 1, 1])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "annotations": true, "categories": [{"id": c} for c in class_ids]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "segm")
        evaluation.params.catIds = list(class_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [math.nan if value == -1 else value for value in evaluation.stats.tolist()]


def annotations(image_id: int, class_ids: Any, rles: Any, **columns: list[Any]) -> Iterator[dict[str, Any]]:
    for k, (class_id, rle) in enumerate(zip(class_ids, rles, strict=True)):
        entry = {"image_id": image_id, "category_id": int(class_id), "segmentation": rle}
        yield entry | {name: values[k] for name, values in columns.items()}


def scored(pairs: Iterable[Pair]) -> dict[str, Any]:
    score = CocoAP()
    for prediction, truth in pairs:
        score.add(Overlap.of(prediction, truth))
    return score.result()


CASES = {
    "drawn": [pair(scene, index) for index, scene in enumerate(scenes("drawn, all classes"))],
    "two classes": [pair(scene, index) for index, scene in enumerate(scenes("drawn, cars and persons"))],
    "more than count": [many(index) for index in range(3)],
}


@pytest.mark.parametrize("case", CASES)
def test_all_figures_are_those_of_pycocotools(case: str) -> None:
    ours = scored(CASES[case])
    for figures, class_ids in (
        (ours, INSTANCE_CLASSES),
        *((ours["classes"][BY_ID[c].name], (c,)) for c in INSTANCE_CLASSES),
    ):
        expected = official(CASES[case], class_ids)
        assert [figures[name] for name in STATS] == pytest.approx(expected, rel=0, abs=1e-12, nan_ok=True)


def test_void_is_a_crowd_of_every_class() -> None:
    (prediction, truth), *_ = CASES["drawn"]
    void = masks.encode(ellipse(Random(5), 40, 90))
    everywhere = GroundTruth(truth.instances, (*truth.ignore_regions, Region(0, void)))
    in_each = GroundTruth(
        truth.instances, (*truth.ignore_regions, *(Region(c, void) for c in INSTANCE_CLASSES))
    )
    ours = scored([(prediction, everywhere)])
    expected = official([(prediction, in_each)], INSTANCE_CLASSES)
    assert [ours[name] for name in STATS] == pytest.approx(expected, rel=0, abs=1e-12, nan_ok=True)


def test_nothing_at_all_has_no_figures() -> None:
    nothing = Instances.of(frame_ref())
    for result in (scored([]), scored([(nothing, GroundTruth(nothing))])):
        assert all(math.isnan(result[name]) for name in STATS)
    (_, truth), *_ = CASES["drawn"]
    missed = scored([(Instances.of(truth.instances.frame), truth)])
    assert missed["AP"] == missed["AR100"] == 0
