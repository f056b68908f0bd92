"""Draws the labels of a recording over its frames: one picture for every frame named.

python examples/draw_labels.py examples/drive.mp4 labels/drive --frames 10,30,50 --out pictures/
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from annotator.formats.summary import LabelSummary
from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.masks import boxes_xywh, decode
from annotator.store import Store
from annotator.video import find_sources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("labels", type=Path, help="its folder in --out of spatialemb-annotate")
    parser.add_argument("--frames", default="0", help="frame indices, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    wanted = {int(index) for index in options.frames.split(",")}

    with Store.read(options.labels) as store:
        survey = LabelSummary.of(store)  # as labels are published: disjoint, and a track has one class
        frames = (found for found in store.instances() if found.frame.index in wanted)
        labelled = {found.frame.index: survey.disjoint(found) for found in frames}
    [source] = find_sources([options.recording])
    options.out.mkdir(parents=True, exist_ok=True)
    for frame in source.frames(end=max(wanted) + 1):
        if frame.ref.index in labelled:
            path = options.out / f"{options.labels.name}_{frame.ref.index:06d}.jpg"
            cv2.imwrite(str(path), draw(frame.image, labelled[frame.ref.index])[..., ::-1])
            print(path)


def draw(image: np.ndarray, instances: Instances) -> np.ndarray:
    """The image with every instance in the colour of its track, outlined and named."""
    out = image.copy()
    boxes = boxes_xywh(instances.masks)
    for mask, track_id, class_id, box in zip(
        instances.masks, instances.track_ids, instances.class_ids, boxes, strict=True
    ):
        colour = np.random.default_rng(int(track_id)).integers(64, 256, 3)
        inside = decode(mask)
        out[inside] = out[inside] // 2 + (colour // 2).astype(np.uint8)
        outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, outlines, -1, colour.tolist(), 1, cv2.LINE_AA)
        corner = (int(box[0]), max(10, int(box[1]) - 3))
        text = f"{BY_ID[int(class_id)].name} {track_id}"
        cv2.putText(out, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1, cv2.LINE_AA)
    return out


if __name__ == "__main__":
    main()
