"""The command that fits an instance head puts it beside the weights, where labelling finds it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest

from annotator.labels import BY_ID, INSTANCE_CLASSES
from annotator.masks import encode_label_map
from annotator.model.checkpoint import default_weights, load_checkpoint
from annotator.model.instance_head import head_path
from annotator.synthetic import Street
from annotator.training import instance_head


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder with weights, three rendered pictures, and their labels as COCO."""
    shutil.copy(default_weights(), tmp_path / "net.safetensors")
    images, annotations = [], []
    drive = Street(3, (192, 384))
    (tmp_path / "images").mkdir()
    for k in range(3):
        drawn = drive.frame(20 * k)
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), drawn.image[..., ::-1])
        images.append({"id": k, "file_name": f"{k}.png", "width": 384, "height": 192})
        for track, mask in encode_label_map(drawn.label_map).items():
            counts = mask["counts"].decode()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": k,
                    "category_id": drawn.classes[track],
                    "iscrowd": 0,
                    "segmentation": {"size": [192, 384], "counts": counts},
                }
            )
    categories = [{"id": k, "name": BY_ID[k].name} for k in INSTANCE_CLASSES]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


def test_a_head_is_fitted_and_lies_beside_its_weights(
    street: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("FEWEST", 1), ("FEWEST_STEPS", 3), ("EPOCHS", 1), ("FEWEST_OF_CLASS", 1)):
        monkeypatch.setattr(instance_head, name, value)
    weights = street / "net.safetensors"
    assert load_checkpoint(weights).head is None
    instance_head.main([str(street / "labels.json"), str(street / "images"), "--weights", str(weights)])
    head = load_checkpoint(weights).head
    assert head is not None
    assert head.provenance["images"] == 3
    assert sum(head.provenance["instances"]) > 0
    assert str(head_path(weights)) in capsys.readouterr().out
