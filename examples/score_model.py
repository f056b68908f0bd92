"""Scores a model on a COCO file: mask AP50 and AP by pycocotools, per source and class.

    python examples/score_model.py val.json images/ [--weights model.safetensors] [--source Cityscapes]

Images may name their `source` and, in `labelled`, the category ids that are labelled in them; a class is scored
on the images that label it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotator.detection import Detector
from annotator.options import DetectionOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--source", help="only this one")
    parser.add_argument("--scale", type=float)
    parser.add_argument("--seed-threshold", type=float, default=0.5)
    options = parser.parse_args()

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(options.annotations))
    images = [i for i in truth.dataset["images"] if options.source in (None, i.get("source"))]
    found = label(images, options)
    with contextlib.redirect_stdout(io.StringIO()):
        labels = truth.loadRes(found)
    print(f"{'source':<18} {'class':<11} {'images':>6} {'objects':>7} {'AP50':>6} {'AP':>6}")
    for source in sorted({image.get("source", "") for image in images}):
        for category in truth.dataset["categories"]:
            report(truth, labels, [i for i in images if i.get("source", "") == source], source, category)


def label(images: list[dict], options: argparse.Namespace) -> list[dict]:
    """COCO results of the model on the images."""
    detection = DetectionOptions(scale=options.scale, seed_threshold=options.seed_threshold, min_score=0)
    detector = Detector.load(options.weights, options=detection)
    found = []
    for image in images:
        pixels = cv2.imread(str(options.images / image["file_name"]), cv2.IMREAD_COLOR_RGB)
        instances = detector.detect(pixels)
        found += [
            {
                "image_id": image["id"],
                "category_id": int(class_id),
                "segmentation": mask,
                "score": float(score),
            }
            for mask, class_id, score in zip(
                instances.masks, instances.class_ids, instances.scores, strict=True
            )
        ]
    return found


def report(truth: COCO, labels: COCO, images: list[dict], source: str, category: dict) -> None:
    """One line of the table, if there is something to score."""
    ids = [image["id"] for image in images if category["id"] in image.get("labelled", [category["id"]])]
    objects = truth.getAnnIds(imgIds=ids, catIds=category["id"], iscrowd=False) if ids else []
    if not objects:
        return
    with contextlib.redirect_stdout(io.StringIO()):
        scores = COCOeval(truth, labels, "segm")
        scores.params.imgIds, scores.params.catIds = ids, [category["id"]]
        scores.evaluate()
        scores.accumulate()
    precision = scores.eval["precision"][:, :, 0, 0, -1]  # overlap, recall
    ap50, ap = (float(np.mean(p[p > -1])) for p in (precision[0], precision))
    print(f"{source:<18} {category['name']:<11} {len(ids):>6} {len(objects):>7} {ap50:>6.3f} {ap:>6.3f}")


if __name__ == "__main__":
    main()
