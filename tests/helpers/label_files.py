"""Label files of formats with a file an image, as other tools write them, and what is read of them."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotator import masks
from annotator.errors import ExitCode, UsageError
from annotator.formats.sniffing import bad_input, sniff
from annotator.instances import GroundTruth
from annotator.options import ReadingOptions
from tests.helpers.builders import mask

PERSON, RIDER, CAR, BUS = 24, 25, 26, 28
SIZE = (8, 12)
BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]
BOX_MASK = mask("............", ".####.......", ".####.......", ".####.......", *["............"] * 4)
LOW = [[3, 2], [8, 2], [8, 6], [3, 6]]
NAME = "ulm_000000_000019_gtFine_polygons.json"


def truths(path: Path, **options: Any) -> list[GroundTruth]:
    """What a path holds, read as all commands read it."""
    with bad_input():
        (labels,) = sniff(path, ReadingOptions(**options)).labels
        return list(labels.truth())


def skipped(path: Path, **options: Any) -> Counter[str]:
    (labels,) = sniff(path, ReadingOptions(**options)).labels
    list(labels.truth())
    return +labels.skipped


def decoded(truth: GroundTruth) -> list[np.ndarray]:
    return [masks.decode(one) for one in truth.instances.masks]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as fault:
        truths(path, **options)
    assert fault.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(fault.value)
    return str(fault.value)


def polygons(folder: Path, *objects: Any, name: str = NAME, size: tuple[int, int] = SIZE) -> Path:
    entries = [
        {"label": one[0], "polygon": one[1], **(one[2] if len(one) > 2 else {})}
        if isinstance(one, tuple)
        else one
        for one in objects
    ]
    folder.mkdir(exist_ok=True)
    content = {"imgHeight": size[0], "imgWidth": size[1], "objects": entries}
    (folder / name).write_text(json.dumps(content))
    return folder


def labelme(folder: Path, *shapes: dict[str, Any], name: str = "a", **more: Any) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\pictures\\{name}.jpg"}
    content |= {"imageData": "A" * 10_000, "imageHeight": SIZE[0], "imageWidth": SIZE[1]} | more
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def shape(label: Any, points: Any, kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def yolo(root: Path, **texts: str) -> Path:
    """A data set as YOLO has it: images/train and labels/train, names in data.yaml."""
    for folder in (root / "images" / "train", root / "labels" / "train"):
        folder.mkdir(parents=True)
    (root / "data.yaml").write_text("train: images/train\nnames:\n  0: car\n  1: person\n  7: dog\n")
    for name, text in texts.items():
        Image.new("RGB", (SIZE[1], SIZE[0])).save(root / "images" / "train" / f"{name}.png")
        if text:
            (root / "labels" / "train" / f"{name}.txt").write_text(text)
    return root


LEFT_HALF = "0.0 0.0 0.5 0.0 0.5 1.0 0.0 1.0"
RIGHT_HALF = "0.5 0 1 0 1 1 0.5 1"
