"""All figures of an evaluation in one pass: what is scored, what is left out, and what goes to files and plots."""

from __future__ import annotations

import csv
import json
import math
import sys
import tracemalloc
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator import masks
from annotator.errors import UsageError
from annotator.evaluation.output import write_csv, write_json
from annotator.evaluation.plots import ALONE, FITS, OVERLAPS, WORST, picture, write_plots
from annotator.evaluation.report import Report, evaluate
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.options import METRICS
from annotator.store import Store
from tests.formats.test_comparison import WRITERS
from tests.helpers.builders import REAL_DATA, Labels, Recording, finish, frame_ref, needs_real_data
from tests.helpers.scenes import scene

CAR, PERSON, TRAILER = (BY_NAME[name].id for name in ("car", "person", "trailer"))
VIDEO = Recording("drive", True, Path("/data/drive.mp4"))
SIZE = (40, 60)
Box = tuple[int, int, int, int]  # top, left, bottom, right
A, B, C = (2, 2, 18, 18), (2, 30, 18, 46), (22, 2, 38, 18)  # 16 x 16 pixels


def found(index: int, *drawn: tuple[Box, int], tracked: bool = True) -> Instances:
    """Objects of boxes and classes, tracks from 1, the first with the best score."""
    pixels = np.zeros((len(drawn), *SIZE), bool)
    for mask, ((top, left, bottom, right), _) in zip(pixels, drawn, strict=True):
        mask[top:bottom, left:right] = True
    return Instances.of(
        frame_ref(index, SIZE),
        list(map(masks.encode, pixels)),
        [class_id for _, class_id in drawn],
        np.linspace(1, 0.5, len(drawn)),
        track_ids=np.arange(1, len(drawn) + 1) * tracked,
    )


def write(folder: Path, frames: Sequence[Instances], kind: str = "coco") -> Path:
    return WRITERS[kind](folder, Labels(frames), VIDEO)


def scored(
    tmp_path: Path, predicted: Sequence[Instances], true: Sequence[Instances], kind: str = "run"
) -> Report:
    return evaluate(write(tmp_path / "a", predicted, "run"), write(tmp_path / "b", true, kind))


GOOD = [found(k, (A, CAR), (B, PERSON)) for k in range(3)]


def test_a_run_is_scored_as_its_label_files_are_where_a_track_has_one_class(tmp_path: Path) -> None:
    true = [found(k, (A, CAR), (B, PERSON)) for k in range(4)]
    seen = [found(k, (A, CAR if k else PERSON), (B, PERSON)) for k in range(4)]
    truth, run = write(tmp_path / "truth", true, "coco"), write(tmp_path / "run", seen, "run")
    report = evaluate(run, truth)
    assert report.as_json()["edits"] == evaluate(write(tmp_path, seen, "coco"), truth).as_json()["edits"]
    assert (report.figure("wrong_class"), report.figure("AP"), report.figure("HOTA")) == (0, 1, 1)


@pytest.mark.parametrize("kind", WRITERS)
def test_labels_against_themselves_score_1_everywhere(kind: str, tmp_path: Path) -> None:
    drawn = [labelled.instances for labelled in scene(1, frames=6, errors=0).truth]
    labels = write(tmp_path, drawn, kind)
    report = evaluate(labels, labels)
    assert (report.counts.compared, report.counts.only_predicted, report.counts.only_true) == (6, 0, 0)
    for key in ("coco.AP", "coco.AR100", "boundary.boundary_iou"):
        assert report.figure(key) == 1
    assert report.figure("edits") == report.figure("contour_px") == 0
    assert report.figure("stay") == report.figure("objects") > 0
    assert ("tracks" in report.parts) == (kind not in ("cityscapes", "results"))
    if "tracks" in report.parts:
        for key in ("HOTA", "DetA", "AssA", "IDF1", "MOTSA", "sMOTSA"):
            assert report.figure(key) == pytest.approx(1)
    assert report.worst == ()


def test_only_metrics_that_are_asked_for_are_scored(tmp_path: Path) -> None:
    labels = write(tmp_path, GOOD)
    assert list(evaluate(labels, labels).parts) == list(METRICS)
    assert list(evaluate(labels, labels, ["edits", "coco"]).parts) == ["coco", "edits"]


def test_tracks_are_left_out_where_a_side_has_none_and_refused_when_asked_for(tmp_path: Path) -> None:
    without = write(tmp_path / "a", [found(k, (A, CAR), tracked=False) for k in range(2)])
    tracked = write(tmp_path / "b", GOOD)
    frames = write(tmp_path / "c", GOOD, "cityscapes")
    for ours, theirs in ((without, tracked), (tracked, without), (tracked, frames)):
        assert "tracks" not in evaluate(ours, theirs).parts
        with pytest.raises(UsageError, match=r"`metrics` tracks: .* holds no identities"):
            evaluate(ours, theirs, ["tracks"])


def test_each_part_sees_the_same_errors(tmp_path: Path) -> None:
    # One car too low by 1 of its 16 rows, one person missed, one car invented.
    predicted = found(0, ((3, 2, 19, 18), CAR), (C, CAR))
    report = scored(tmp_path, [predicted], GOOD[:1])
    edits = report.parts["edits"]
    assert {name: edits[name] for name in ("reshape", "delete", "missing", "objects")} == {
        "reshape": 1,  # 15 / 17 is less than 0.9
        "delete": 1,
        "missing": 1,
        "objects": 2,
    }
    assert report.figure("cityscapes.AP50") == 0.5
    assert report.figure("coco.AP50") == pytest.approx(0.5)
    assert report.figure("car.boundary_iou") < 1
    assert report.figure("tracks.DetA") < 1
    assert report.confusion is not None
    assert report.confusion.names == ("person", "car")
    assert report.confusion.table.tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 0]]


def test_pixels_of_two_objects_are_the_better_ones_where_masks_must_not_overlap(tmp_path: Path) -> None:
    predicted = found(0, (A, CAR), (A, CAR), ((2, 10, 18, 26), CAR))
    report = scored(tmp_path, [predicted], [found(0, (A, CAR))])
    assert (report.hidden_predicted, report.hidden_true) == (2, 0)
    assert report.figure("edits.delete") == 1  # the rest of the third; the second is fully hidden
    assert report.figure("coco.AP") == pytest.approx(
        1
    )  # COCO's rules let masks overlap: two come after the right one
    report = evaluate(tmp_path / "b", tmp_path / "a")
    assert (report.hidden_predicted, report.hidden_true) == (0, 2)


def test_classes_that_have_no_figures_are_not_judged(tmp_path: Path) -> None:
    ids = np.full(SIZE, 7, np.uint16)  # a road
    ids[2:18, 2:18], ids[22:38, 2:18] = CAR * 1000, TRAILER * 1000
    (tmp_path / "gt").mkdir()
    cv2.imwrite(str(tmp_path / "gt" / "ulm_000000_000000_gtFine_instanceIds.png"), ids)
    report = evaluate(tmp_path / "gt", tmp_path / "gt")
    assert list(report.parts["edits"]["classes"]) == ["car"]
    assert "trailer" not in report.parts["coco"]["classes"]
    assert report.figure("objects") == 1
    assert report.unlabelled_frames == 0


def test_classes_that_truth_does_not_label_take_no_pixels(tmp_path: Path) -> None:
    predicted = found(0, (A, BY_NAME["bus"].id), (A, CAR))
    report = scored(tmp_path, [predicted], GOOD[:1], "mots")  # which labels cars and persons
    assert report.hidden_predicted == 0
    assert report.figure("edits.car.stay") == 1


def test_background_of_instance_ids_forgives_in_cityscapes_ap_alone(tmp_path: Path) -> None:
    predicted = [found(0, (A, CAR), (C, CAR), (B, PERSON))]
    report = scored(tmp_path, predicted, GOOD[:1], "cityscapes")
    assert report.unlabelled_frames == 1
    assert report.figure("cityscapes.AP") == 1
    assert report.figure("delete") == 1
    assert scored(tmp_path / "other", predicted, GOOD[:1]).figure("delete") == 1


def test_frames_and_recordings_of_one_side_are_left_out_and_told(tmp_path: Path) -> None:
    report = scored(tmp_path, GOOD[:2], GOOD[1:])
    assert report.as_json()["frames"] == 1
    assert report.as_json()["left_out"] == {
        "predicted_frames": 1,
        "true_frames": 1,
        "predicted_recordings": [],
        "true_recordings": [],
    }


def test_identities_of_two_recordings_are_different_ones(tmp_path: Path) -> None:
    for side, swapped in (("a", True), ("b", False)):
        for name in ("first", "second"):
            drawn = [(A, CAR), (B, CAR)][:: -1 if swapped and name == "second" else 1]
            with Store.open(tmp_path / side / name, {}) as store:
                store.add([found(k, *drawn, tracked=False) for k in range(3)])
                store.set_tracks((k, i, i + 1) for k in range(3) for i in range(2))
                finish(store)
    report = evaluate(tmp_path / "a", tmp_path / "b")
    assert report.counts.compared == 6
    assert report.figure("HOTA") == pytest.approx(1)
    assert report.figure("IDS") == report.figure("cuts") == 0


def test_the_ten_worst_frames_are_kept_in_order(tmp_path: Path) -> None:
    wrong = [found(k, *[((2, 3 * j, 4, 3 * j + 2), CAR) for j in range(k % 4)]) for k in range(20)]
    report = scored(tmp_path, wrong, [found(k) for k in range(20)])
    assert [(frame.edits, frame.truth.instances.frame.index) for frame in report.worst] == [
        *((3, k) for k in (3, 7, 11, 15, 19)),
        *((2, k) for k in (2, 6, 10, 14, 18)),
    ]
    assert report.figure("delete") == 30


def test_memory_does_not_grow_with_frames(tmp_path: Path) -> None:
    def peak(frames: int) -> int:
        drawn = [labelled.instances for labelled in scene(2, frames=10, errors=0).truth]
        sides = []
        for side in ("a", "b"):
            with Store.open(tmp_path / f"{side}{frames}", {}) as store:
                for k in range(frames):
                    some = drawn[k % 10]
                    store.add(
                        [Instances.of(frame_ref(k, (90, 160)), some.masks, some.class_ids, some.scores)]
                    )
                finish(store)
            sides.append(tmp_path / f"{side}{frames}")
        tracemalloc.start()
        evaluate(*sides, ("boundary", "edits"))  # AP keeps a few bytes for every prediction
        peaked = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peaked

    peak(10)  # what is imported on the way
    short, long = peak(150), peak(500)  # both of more frames than a store gives at once
    assert long - short < 1_000 * 350  # names of frames, and no masks


# ---- figures by name


@pytest.fixture
def report(tmp_path: Path) -> Report:
    predicted = [found(k, ((3, 2, 19, 18), CAR), (C, CAR)) for k in range(3)]
    return scored(tmp_path, predicted, GOOD)


@pytest.mark.parametrize(
    ("key", "same"),
    [
        ("AP", "cityscapes.AP"),
        ("AP75", "coco.AP75"),
        ("HOTA", "tracks.HOTA"),
        ("car.AP", "cityscapes.classes.car.AP"),
        ("coco.car.AP", "coco.classes.car.AP"),
        ("edits_per_object", "edits.edits_per_object"),
    ],
)
def test_a_figure_has_a_short_name_and_a_full_one(key: str, same: str, report: Report) -> None:
    assert report.figure(key) == report.figure(same)


def test_a_figure_that_is_not_there_is_told_with_those_that_are(report: Report) -> None:
    with pytest.raises(UsageError, match=r"no figure 'mAP' here; there are AP, AP50, .*HOTA"):
        report.figure("mAP")


def test_an_absent_class_has_no_figure_but_nan(report: Report) -> None:
    assert math.isnan(report.figure("bus.AP"))


# ---- files


def test_json_holds_every_part_as_fractions_and_null(report: Report, tmp_path: Path) -> None:
    write_json(report, tmp_path / "new" / "figures.json")
    content = json.loads((tmp_path / "new" / "figures.json").read_text(), parse_constant=pytest.fail)
    assert [part for part in content if part in METRICS] == list(METRICS)
    assert content["frames"] == 3
    assert content["cityscapes"]["classes"]["bus"] == {"AP": None, "AP50": None}
    assert content["cityscapes"]["AP50"] == report.figure("AP50")
    assert {"HOTA", "DetA", "AssA", "IDF1", "MOTSA", "sMOTSA", "IDS", "classes"} <= content["tracks"].keys()
    assert content["edits"]["classes"]["car"]["delete"] == 3


def test_csv_holds_every_figure_once(report: Report, tmp_path: Path) -> None:
    write_csv(report, tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    values = {(line["part"], line["class"], line["metric"]): line["value"] for line in lines}
    assert len(values) == len(lines) == len(list(report.rows()))
    assert float(values["coco", "all", "AP50"]) == report.figure("coco.AP50")
    assert values["cityscapes", "bus", "AP"] == ""
    assert values["edits", "car", "delete"] == "3"


# ---- plots


def test_plots_are_drawn_of_what_was_scored(report: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = write_plots(report, tmp_path / "plots")
    names = {"precision_recall.png", "ap_by_size.png", "hota_over_alpha.png", "confusion.png"}
    assert {file.relative_to(tmp_path / "plots").as_posix() for file in files} == names | {
        f"{WORST}/{rank:02d}.png" for rank in (1, 2, 3)
    }
    for file in files:
        image = cv2.imread(str(file))
        assert image is not None
        assert np.ptp(image) > 100  # something is drawn


def test_plots_of_one_metric_are_its_own_and_others_stay(report: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    labels = write(tmp_path / "c", GOOD)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "mine.txt").touch()
    files = write_plots(evaluate(labels, labels, ["coco"]), tmp_path / "plots")
    assert [file.name for file in files] == ["ap_by_size.png"]
    assert (tmp_path / "plots" / "mine.txt").exists()


def test_matplotlib_draws_without_a_screen(report: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_plots(report, tmp_path)
    assert "matplotlib.pyplot" not in sys.modules


def test_a_picture_shows_what_fits_what_overlaps_and_what_is_alone(tmp_path: Path) -> None:
    true = found(0, (A, CAR), (B, PERSON), (C, CAR))
    predicted = found(0, (A, CAR), ((4, 30, 20, 46), PERSON), (C, PERSON))
    [worst] = scored(tmp_path, [predicted], [true]).worst
    image = picture(worst)
    left, right = image[-SIZE[0] :, : SIZE[1]], image[-SIZE[0] :, -SIZE[1] :]
    for side in (left, right):
        assert [most(side, box) for box in (A, B, C, (30, 30, 38, 58))] == [FITS, OVERLAPS, ALONE, (0, 0, 0)]


def most(image: np.ndarray, box: Box) -> tuple[int, ...]:
    """The most frequent colour in a box, beside the white of outlines and names."""
    top, left, bottom, right = box
    pixels = image[top:bottom, left:right].reshape(-1, 3)
    colours, counts = np.unique(pixels[np.any(pixels < 255, axis=1)], axis=0, return_counts=True)
    return tuple(colours[counts.argmax()].tolist())


# ---- real data


@needs_real_data
@pytest.mark.realdata
def test_real_truth_scores_1_against_itself() -> None:
    frankfurt = REAL_DATA / "frankfurt_gt"
    report = evaluate(frankfurt, frankfurt)
    assert report.figure("AP") == report.figure("coco.AP") == report.figure("boundary_iou") == 1
    assert report.figure("edits.edits") == report.unlabelled_frames == 0


@pytest.mark.parametrize("kind", ["coco", "cvat"])
def test_the_files_of_a_run_have_the_figures_of_the_run(kind: str, tmp_path: Path) -> None:
    predicted = [found(k, ((3, 2, 19, 18), CAR), (C, CAR)) for k in range(3)]
    truth = write(tmp_path / "truth", GOOD, "run")
    run, file = (
        list(evaluate(write(tmp_path / each, predicted, each), truth).rows()) for each in ("run", kind)
    )
    assert [value for *_, value in run] == pytest.approx([value for *_, value in file], nan_ok=True)


def test_where_nothing_is_labelled_nothing_is_wrong(tmp_path: Path) -> None:
    true = write(tmp_path / "b", [found(0, (A, CAR))])
    content = json.loads(true.read_text())
    content["images"][0]["labelled"], content["annotations"] = [], []
    true.write_text(json.dumps(content))
    report = evaluate(write(tmp_path / "a", [found(0, (B, CAR))], "run"), true)
    assert report.as_json()["edits"]["classes"].get("car", {}).get("delete", 0) == 0
