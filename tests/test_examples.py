"""The examples run."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from annotator import Instances, read_labels
from annotator.detection import Detector
from annotator.formats.finished import require_finished
from annotator.formats.sniffing import sniff
from annotator.masks import decode, encode
from annotator.model.checkpoint import load_checkpoint, save_checkpoint
from annotator.options import AS_WRITTEN
from annotator.store import Store
from annotator.synthetic import Street
from tests.helpers.builders import frame_ref
from tests.helpers.fake_cvat import FakeTask, exported, take_annotations
from tests.helpers.fake_detector import draw, install, write_video
from tests.helpers.labelled import DrawnImages, write_coco
from tests.training.test_training import tiny_network

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_render_drive_makes_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "drive.mp4"
    run("render_drive.py", path, "--height", 48, "--width", 96, "--frames", 3, monkeypatch=monkeypatch)
    assert path.stat().st_size > 0


def test_render_drive_writes_exact_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--height", 48, "--width", 96, "--frames", 3, "--truth", tmp_path / "truth")
    run("render_drive.py", tmp_path / "drive.mp4", *options, monkeypatch=monkeypatch)
    require_finished(sniff(tmp_path / "truth"), AS_WRITTEN)  # as spatialemb-eval does
    with Store.read(tmp_path / "truth") as store:
        for found in store.instances():
            drawn = Street(257, (48, 96)).frame(found.frame.index)
            assert set(found.track_ids.tolist()) == set(drawn.classes)
            for mask, track in zip(found.masks, found.track_ids, strict=True):
                assert np.array_equal(decode(mask), drawn.label_map == track)


def test_score_model_scores_by_source_and_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = Street(0, (192, 384)).frame(10)
    cv2.imwrite(str(tmp_path / "frame.png"), frame.image[..., ::-1])
    annotations = []
    for number, (object_id, class_id) in enumerate(frame.classes.items(), 1):
        mask = frame.label_map == object_id
        rle = encode(mask)
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": class_id,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": [0, 0, 1, 1],
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
            }
        )
    truth = {
        "info": {},
        "images": [{"id": 1, "file_name": "frame.png", "height": 192, "width": 384, "source": "street"}],
        "categories": [{"id": 24, "name": "person"}, {"id": 26, "name": "car"}],
        "annotations": annotations,
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    run("score_model.py", tmp_path / "truth.json", tmp_path, monkeypatch=monkeypatch)
    assert "street" in capsys.readouterr().out


def test_train_street_packs_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three images packed, one of a city kept aside, and two steps."""
    pytest.importorskip("lightning_fabric")
    data = tmp_path / "data"
    drawn = [DrawnImages().image(k) for k in range(4)]
    names = [f"cityscapes_{city}_{k}.png" for k, city in enumerate(("ulm", "bremen", "aachen", "jena"))]
    for name, chosen in (("train", range(3)), ("val", [3])):
        file = write_coco(tmp_path / name, [drawn[k] for k in chosen])
        content = json.loads(file.read_text())
        for k, image in zip(chosen, content["images"], strict=True):
            (data / "images").mkdir(parents=True, exist_ok=True)
            (file.parent / "images" / image["file_name"]).rename(data / "images" / names[k])
            image |= {"file_name": names[k], "source": "Cityscapes", "labelled": [24, 26]}
        (data / f"{name}.json").write_text(json.dumps(content))
    save_checkpoint(tmp_path / "start.safetensors", tiny_network(), {}, torch.float32)

    run("train_street.py", "pack", data, tmp_path / "pack.zip", monkeypatch=monkeypatch)
    assert "train-Cityscapes: 2 images, 6 objects" in capsys.readouterr().out
    weights = ("--weights", tmp_path / "start.safetensors")
    run("train_street.py", "compare", data, tmp_path / "pack.zip", *weights, monkeypatch=monkeypatch)
    assert capsys.readouterr().out.count("1 images, AP 0") == 2
    options = (
        *weights,
        "--device",
        "cpu",
        "--batch",
        2,
        "--crop",
        64,
        96,
        "--workers",
        0,
        "--validation-images",
        1,
    )
    arguments = ("run", tmp_path / "pack.zip", tmp_path / "out", *options)
    run("train_street.py", *arguments, "--steps", 2, monkeypatch=monkeypatch)
    results = {path.name for path in (tmp_path / "out" / "results").iterdir()}
    assert results >= {"last.safetensors", "best.safetensors", "training.csv", "validation.csv"}
    assert load_checkpoint(tmp_path / "out" / "results" / "last.safetensors").provenance["step"] == 2


def test_moving_picture_makes_a_picture_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "preview.mp4", 6)
    out = tmp_path / "drive.webp"
    run("moving_picture.py", video, out, "--width", 64, monkeypatch=monkeypatch)
    with Image.open(out) as picture:
        assert (picture.width, getattr(picture, "n_frames", 1)) == (64, 3)


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with drives/drive.mp4, and labels/ of it, made by the example."""
    with monkeypatch.context() as patched:
        install(patched)
        write_video(tmp_path / "drives" / "drive.mp4")
        run("label_folder.py", tmp_path / "drives", tmp_path / "labels", monkeypatch=patched)
    return tmp_path


def test_label_folder_labels_what_is_in_it(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in (labelled / "labels" / "drive").iterdir()} >= {"coco.json", "cvat.xml"}


def test_label_folder_takes_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(draw(0, (64, 96))).save(tmp_path / "images" / "0.png")
    save_checkpoint(tmp_path / "own.safetensors", tiny_network(), {}, torch.float32)
    own = ("--weights", tmp_path / "own.safetensors")
    run("label_folder.py", tmp_path / "images", tmp_path / "labels", *own, monkeypatch=monkeypatch)
    assert "images: 1 frames" in capsys.readouterr().out


def test_come_back_from_cvat_says_what_people_changed(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = labelled / "labels" / "drive"
    task = FakeTask({"name": "drive"}, list(range(24)), size=(48, 64))
    assert take_annotations(task, (ours / "cvat.xml").read_bytes(), "CVAT 1.1") == ""
    task.tracks = [track for track in task.tracks if track.label == "car"]  # somebody deleted the person
    (labelled / "export.xml").write_text(exported(1, task, "CVAT for video 1.1"))
    capsys.readouterr()
    out = labelled / "corrected"
    run("come_back_from_cvat.py", ours, labelled / "export.xml", out, monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert "stay: 24\n" in said
    assert "delete: 24\n" in said  # the person, of each frame
    assert (out / "coco.json").is_file()


def test_train_on_corrections_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lightning_fabric")
    labels = write_coco(tmp_path / "corrected", [DrawnImages().image(k) for k in range(2)])
    save_checkpoint(tmp_path / "start.safetensors", tiny_network(), {}, torch.float32)
    options = ("--weights", tmp_path / "start.safetensors", "--steps", 1, "--batch", 2, "--crop", 64, 96)
    run("train_on_corrections.py", labels, tmp_path / "out", *options, monkeypatch=monkeypatch)
    assert "step 1 of 1" in capsys.readouterr().out
    assert (tmp_path / "out" / "last.safetensors").is_file()


def test_evaluate_labels_fails_below_a_figure(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = (labelled / "labels", labelled / "labels" / "drive" / "coco.json")
    run("evaluate_labels.py", *both, "--least", "coco.AP=0.9", monkeypatch=monkeypatch)
    assert "coco.AP: 1.000" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"coco.AP is 1.000, below 1.5"):
        run("evaluate_labels.py", *both, "--least", "coco.AP=1.5", monkeypatch=monkeypatch)


def test_use_as_library_writes_tracks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Detector, "load", lambda: Red())
    run("use_as_library.py", write_video(tmp_path / "drive.mp4"), tmp_path / "out", monkeypatch=monkeypatch)
    truth = list(read_labels(tmp_path / "out" / "coco.json"))
    assert [each.instances.track_ids.tolist() for each in truth] == [[1]] * 24


class Red:
    """A detector of what is red."""

    def detect(self, image: np.ndarray) -> Instances:
        lit = image[..., 0].astype(int) - image[..., 2] > 100
        return Instances.of(frame_ref(0, image.shape[:2]), [encode(lit)], [26], [0.9])


def test_plot_tracks_draws_them(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    run("plot_tracks.py", labelled / "labels", labelled / "tracks.png", monkeypatch=monkeypatch)
    assert "2 tracks" in capsys.readouterr().out
    with Image.open(labelled / "tracks.png") as picture:
        assert picture.width == 1200
