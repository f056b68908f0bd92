"""What a path holds is recognized, and every kind of labels can be compared with every other."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator import masks
from annotator.errors import ExitCode, UsageError
from annotator.evaluation import Overlap
from annotator.formats.comparison import Comparison, compare
from annotator.formats.registry import WRITABLE
from annotator.formats.sniffing import bad_input, sniff
from annotator.instances import Instances, Region
from annotator.labels import BY_NAME
from annotator.store import Store
from tests.helpers.builders import (
    REAL_DATA,
    Labels,
    Recording,
    finish,
    frame_ref,
    mask,
    needs_real_data,
    read_instances,
)

CAR, PERSON = BY_NAME["car"].id, BY_NAME["person"].id
VIDEO = Recording("drive", True, Path("/data/drive.mp4"))
IMAGES = Recording("drive", False, Path("/data/drive"))

LEFT = mask("###......", "###......", ".........", ".........")
RIGHT = mask(".........", ".........", "....####.", "....####.")


def labelled(index: int, name: str = "", moved: int = 0) -> Instances:
    """A frame with a car and a person, tracks 1 and 2; moved down by some pixels."""
    return Instances.of(
        frame_ref(index, LEFT.shape, name),
        [masks.encode(np.roll(pixels, moved, axis=0)) for pixels in (LEFT, RIGHT)],
        [CAR, PERSON],
        [1, 1],
        track_ids=[1, 2],
    )


IN_VIDEO = Labels([labelled(k) for k in range(4)])
IN_IMAGES = Labels([labelled(k, f"ulm_000000_{k + 7:06d}_leftImg8bit.png") for k in range(4)])

Writer = Callable[[Path, Labels, Recording], Path]


def stored(folder: Path, labels: Labels, source: Recording) -> Path:
    """A run folder."""
    with Store.open(folder / "run" / source.name, {}) as store:
        store.add([found.with_tracks(np.zeros(len(found))) for found in labels.found])
        store.set_tracks(
            (found.frame.index, k, int(track))
            for found in labels.found
            for k, track in enumerate(found.track_ids)
        )
        finish(store)
    (folder / "run" / "run.json").write_text("{}")
    return folder / "run"


def written(name: str) -> Writer:
    def write(folder: Path, labels: Labels, source: Recording) -> Path:
        return WRITABLE[name].write(labels, source, folder).files[0]

    return write


def results(folder: Path, labels: Labels, source: Recording) -> Path:
    """A folder as the Cityscapes benchmark wants it, by way of instanceIds."""
    for file in written("cityscapes")(folder, labels, source).glob("*instanceIds.png"):
        ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        stem = file.name.removesuffix("_gtFine_instanceIds.png")
        lines = []
        (folder / "results").mkdir(exist_ok=True)
        for k in np.unique(ids[ids > 0]):
            cv2.imwrite(str(folder / "results" / f"{stem}_{k}.png"), (ids == k).astype(np.uint8) * 255)
            lines.append(f"{stem}_{k}.png {k // 1000} 1\n")
        (folder / "results" / f"{stem}.txt").write_text("".join(lines))
    return folder / "results"


WRITERS: dict[str, Writer] = {
    "run": stored,
    "source": lambda *of: stored(*of) / "drive",
    "cityscapes": written("cityscapes"),
    "results": results,
    "coco": written("coco"),
    "cvat": written("cvat"),
    "mots": written("mots"),
}
TITLES = {
    "run": "labels of this tool",
    "source": "labels of this tool",
    "cityscapes": "Cityscapes instanceIds",
}
TITLES |= {"results": "Cityscapes results", "coco": "COCO JSON", "cvat": "CVAT XML", "mots": "MOTS text"}
TRACKED = {"run", "source", "coco", "cvat", "mots"}

each_prediction = pytest.mark.parametrize("ours", WRITERS)
each_truth = pytest.mark.parametrize("theirs", WRITERS)


def frames(comparison: Comparison) -> list[tuple[int, list[list[int]]]]:
    """By frame of the truth: its index, and the pixels that objects share."""
    found = [
        (truth.instances.frame.index, Overlap.of(prediction, truth).shared.tolist())
        for recording in comparison.recordings
        for prediction, truth in recording.frames()
    ]
    comparison.require_compared()
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_a_path_is_recognized_by_what_it_holds(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path, IN_VIDEO, VIDEO)
    assert sniff(path).format.title == TITLES[name]
    assert len(sniff(path).labels) == 1


@each_prediction
@each_truth
def test_every_kind_of_labels_of_a_video_meets_every_other(ours: str, theirs: str, tmp_path: Path) -> None:
    predicted = WRITERS[ours](tmp_path / "a", IN_VIDEO, VIDEO)
    true = WRITERS[theirs](tmp_path / "b", IN_VIDEO, VIDEO)
    comparison = compare(predicted, true)
    found = [(pair, truth) for each in comparison.recordings for pair, truth in each.frames()]
    assert (comparison.counts.compared, comparison.counts.only_predicted, comparison.counts.only_true) == (
        4,
        0,
        0,
    )
    assert (comparison.only_predicted, comparison.only_true) == ((), ())
    for prediction, truth in found:
        overlap = Overlap.of(prediction, truth)
        same = overlap.predicted.class_ids[:, None] == overlap.truth.class_ids
        assert overlap.iou().tolist() == same.astype(float).tolist()
        assert overlap.predicted.track_ids.all() == (ours in TRACKED)
        assert overlap.truth.track_ids.all() == (theirs in TRACKED)


NAMED = sorted(WRITERS.keys() - {"mots"})  # MOTS knows frames by number alone


@pytest.mark.parametrize("ours", NAMED)
@pytest.mark.parametrize("theirs", NAMED)
def test_images_meet_by_name(ours: str, theirs: str, tmp_path: Path) -> None:
    some = Labels([labelled(k, found.frame.name) for k, found in enumerate(IN_IMAGES.found[2:])])
    comparison = compare(
        WRITERS[ours](tmp_path / "a", IN_IMAGES, IMAGES), WRITERS[theirs](tmp_path / "b", some, IMAGES)
    )
    assert len(frames(comparison)) == 2
    assert (comparison.counts.compared, comparison.counts.only_predicted, comparison.counts.only_true) == (
        2,
        2,
        0,
    )


@pytest.mark.parametrize("theirs", ["coco", "cvat"])
def test_frames_may_come_in_any_order(theirs: str, tmp_path: Path) -> None:
    predicted = Labels([labelled(k, f"{name}.png", k % 2) for k, name in enumerate("abcd")])
    true = Labels([labelled(k, f"sub/{name}.png", (3 - k) % 2) for k, name in enumerate("dcba")])
    comparison = compare(
        stored(tmp_path / "a", predicted, IMAGES), WRITERS[theirs](tmp_path / "b", true, IMAGES)
    )
    assert frames(comparison) == [(k, [[6, 0], [0, 8]]) for k in range(4)]


def test_images_of_this_tool_meet_their_published_labels(tmp_path: Path) -> None:
    unlike_cityscapes = Labels([labelled(k, f"{k}.jpg") for k in range(3)])
    source = Recording("day_1/drive", False, Path("/data/day_1/drive"))
    run = stored(tmp_path, unlike_cityscapes, source)
    WRITABLE["cityscapes"].write(unlike_cityscapes, source, run / "day_1" / "drive")
    assert len(frames(compare(run, run / "day_1" / "drive" / "cityscapes"))) == 3
    assert len(frames(compare(run / "day_1" / "drive", run / "day_1" / "drive" / "cityscapes"))) == 3


def test_what_one_side_has_alone_is_left_out_and_counted(tmp_path: Path) -> None:
    comparison = compare(
        stored(tmp_path / "a", Labels(IN_VIDEO.found[:3]), VIDEO),
        WRITERS["coco"](tmp_path / "b", Labels([labelled(k) for k in (1, 2, 3, 9)]), VIDEO),
    )
    assert [index for index, _ in frames(comparison)] == [1, 2]
    assert (comparison.counts.only_predicted, comparison.counts.only_true) == (1, 2)


def test_mots_is_silent_about_frames_without_objects(tmp_path: Path) -> None:
    sparse = Labels(
        [labelled(k) if k in (1, 3) else Instances.of(frame_ref(k, LEFT.shape)) for k in range(5)]
    )
    dense = Labels([labelled(k) for k in range(6)])
    missed = compare(WRITERS["mots"](tmp_path / "a", sparse, VIDEO), stored(tmp_path / "b", dense, VIDEO))
    assert [len(shared) for _, shared in frames(missed)] == [0, 2, 0, 2, 0, 0]
    invented = compare(stored(tmp_path / "a", dense, VIDEO), WRITERS["mots"](tmp_path / "b", sparse, VIDEO))
    assert frames(invented) == [(k, [[6, 0], [0, 8]] if k in (1, 3) else [[], []]) for k in range(4)]
    assert invented.counts.only_predicted == 2  # behind the last line, the recording may have ended
    (tmp_path / "none.txt").touch()
    assert len(frames(compare(tmp_path / "none.txt", tmp_path / "b" / "run"))) == 6


def test_recordings_meet_by_name(tmp_path: Path) -> None:
    run = tmp_path / "a"
    for name in ("day_1/0001", "day_1/0002", "day_1/0009"):
        stored(run, IN_VIDEO, Recording(name))
    truth = tmp_path / "b"
    truth.mkdir()
    for name in ("0001", "0002", "0003"):
        WRITERS["mots"](tmp_path, IN_VIDEO, VIDEO).rename(truth / f"{name}.txt")
    comparison = compare(run / "run", truth)
    assert [recording.name for recording in comparison.recordings if list(recording.frames())] == [
        "0001",
        "0002",
    ]
    assert (comparison.only_predicted, comparison.only_true) == (("day_1/0009",), ("0003",))
    assert comparison.counts.compared == 8


def test_recordings_of_one_short_name_meet_by_their_whole_names_alone(tmp_path: Path) -> None:
    for name in ("day_1/a", "day_2/a", "day_2/b"):
        stored(tmp_path / "ours", IN_VIDEO, Recording(name))
        WRITERS["mots"](tmp_path / "whole" / name, IN_VIDEO, VIDEO).rename(tmp_path / "whole" / f"{name}.txt")
    assert len(compare(tmp_path / "ours" / "run", tmp_path / "whole").recordings) == 3
    (tmp_path / "short").mkdir()
    for name in ("a", "b"):
        WRITERS["mots"](tmp_path, IN_VIDEO, VIDEO).rename(tmp_path / "short" / f"{name}.txt")
    comparison = compare(tmp_path / "ours" / "run", tmp_path / "short")
    assert [recording.name for recording in comparison.recordings] == ["b"]
    assert comparison.only_predicted == ("day_1/a", "day_2/a")


def test_recordings_are_pooled_for_one_truth_of_all_images(tmp_path: Path) -> None:
    for city in ("aachen", "ulm"):
        images = Labels([labelled(k, f"{city}_000000_{k:06d}_leftImg8bit.png") for k in range(2)])
        stored(tmp_path, images, Recording(city))
        WRITERS["cityscapes"](tmp_path / "gtFine" / city, images, IMAGES)
    comparison = compare(tmp_path / "run", tmp_path / "gtFine")
    (recording,) = comparison.recordings
    found = list(recording.frames())
    assert [truth.instances.frame.name for _, truth in found] == [
        f"{city}_000000_{k:06d}" for city in ("aachen", "ulm") for k in range(2)
    ]
    assert not any(prediction.track_ids.any() for prediction, _ in found), "they belong to several recordings"


def test_regions_and_labelled_classes_of_mots(tmp_path: Path) -> None:
    path = WRITERS["mots"](tmp_path, Labels([labelled(1)]), VIDEO)
    ignored = masks.encode(mask("....#....", ".........", ".........", "........."))
    more = masks.encode(mask(".....#...", ".........", ".........", "........."))
    lines = [f"1 10000 10 4 9 {ignored['counts'].decode()}", f"1 10001 10 4 9 {more['counts'].decode()}"]
    path.write_text(path.read_text() + "\n".join(lines))
    comparison = compare(WRITERS["mots"](tmp_path / "a", IN_VIDEO, VIDEO), path)
    (recording,) = comparison.recordings
    empty, truth = (truth for _, truth in recording.frames())
    assert (len(empty.instances), empty.ignore_regions) == (0, ())
    assert truth.ignore_regions == (Region(0, masks.union([ignored, more], (4, 9))),)
    assert truth.class_ids == {CAR, PERSON}


def test_lines_of_trackers_may_begin_at_any_id_and_end_with_a_score(tmp_path: Path) -> None:
    path = tmp_path / "tracker.txt"
    lines = [(0, 1, 0.25), (7, 2, 0.75)]
    car = masks.encode(LEFT)["counts"].decode()
    path.write_text("".join(f"3 {track} {number} 4 9 {car} {score}\n" for track, number, score in lines))
    (found,) = read_instances("mots", path)
    assert found.scores.tolist() == [0.75, 0.25]
    assert found.class_ids.tolist() == [PERSON, CAR]
    assert found.track_ids.tolist() == [7, 2**31 - 1], "0 would be no track"


@needs_real_data
@pytest.mark.realdata
def test_real_labels_meet_themselves() -> None:
    for path in ("frankfurt_gt", "cityscapes/gtFine", "street/val.json", "mots/instances_txt/0012.txt"):
        comparison = compare(REAL_DATA / path, REAL_DATA / path)
        for recording in comparison.recordings:
            for found, truth in recording.frames():
                overlap = Overlap.of(found, truth)
                assert np.array_equal(overlap.predicted.areas, overlap.truth.areas)
        assert comparison.counts.only_predicted == comparison.counts.only_true == 0


# ---- bad input


def refused(predicted: Path, true: Path) -> str:
    """The sentence that a comparison ends with."""
    with pytest.raises(UsageError) as fault, bad_input():
        frames(compare(predicted, true))
    assert fault.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(fault.value)
    return str(fault.value)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return WRITERS["coco"](tmp_path / "truth", IN_VIDEO, VIDEO)


def bomb() -> str:
    entities = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10 if k else "ha"}">' for k in range(9))
    return f"<?xml version='1.0'?><!DOCTYPE x [{entities}]><annotations>&a8;</annotations>"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.md", b"# Notes", "its format can't be told; give a folder"),
        ("labels.txt", b"ulm 24 0.5", "its format can't be told"),
        ("list.json", b"[1, 2]", "its format can't be told"),
        ("cut.json", b'{"images": [', "no COCO instance labels (no JSON that can be read: unexpected end"),
        (
            "other.json",
            b'{"version": 1}',
            "it has no list of images and none of categories and none of annotations",
        ),
        (
            "dogs.json",
            b'{"categories": [{"id": 1, "name": "dog"}], "images": [{"id": 1}],'
            b' "annotations": [{"image_id": 1, "category_id": 1}]}',
            "label 'dog' is no Cityscapes class; `map` dog=none leaves it out; where one is a class, put that",
        ),
        ("cut.xml", b"<annotations><meta>", "no XML that can be read"),
        ("bomb.xml", bomb().encode(), "no XML that can be read (DTDForbidden"),
        ("page.xml", b"<html></html>", "its root is <html>"),
        ("bad.txt", b"0 1 1 4 9 T1\n0 1 1 4 9 S1\n", "line 2 is no MOTS label (its runs"),
        ("class.txt", b"0 1 7 4 9 T1\n", "line 1 is no MOTS label (class 7; it knows 1, 2 and 10)"),
        ("size.txt", b"0 1 1 4 9 T1\n0 2 1 9 4 T1\n", "line 2 is no MOTS label (a mask of [9, 4] in"),
        (
            "order.txt",
            b"1 1 1 4 9 T1\n0 2 1 4 9 T1\n",
            "line 2 is no MOTS label (frame 0 comes after frame 1)",
        ),
        ("short.txt", b"1 1 1 4 9 T1\n0 2 1\n", "line 2 is no MOTS label (3 columns instead of 6 or 7)"),
        ("many.txt", b"1 1 1 4 9 T1 0.5 7\n", "line 1 is no MOTS label (8 columns instead of 6 or 7)"),
        (
            "nan.txt",
            b"1 1 1 4 9 T1 nan\n",
            "line 1 is no MOTS label (a score of nan; scores are from 0 to 1)",
        ),
    ],
)
def test_files_that_hold_no_labels_are_refused(
    name: str, content: bytes, sentence: str, tmp_path: Path, truth: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path, truth).startswith(f"{path}: ")
    assert sentence in refused(path, truth)


def test_folders_that_hold_no_labels_are_refused(tmp_path: Path, truth: Path) -> None:
    assert "is not there; give a folder" in refused(tmp_path / "nothing", truth)
    (tmp_path / "empty").mkdir()
    assert "holds no labels that are known; give a folder" in refused(tmp_path / "empty", truth)
    (tmp_path / "empty" / "run.json").write_text("{}")
    assert "a run that has labelled nothing yet" in refused(tmp_path / "empty", truth)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "labels.sqlite").write_text("no database")
    assert "labels.sqlite: is damaged" in refused(tmp_path / "bad", truth)


def test_ids_in_8_bits_are_refused(tmp_path: Path, truth: Path) -> None:
    cv2.imwrite(str(tmp_path / "ulm_000000_000001_gtFine_instanceIds.png"), np.zeros((4, 9), np.uint8))
    assert "not a 16-bit PNG of instance ids" in refused(tmp_path, truth)


def test_masks_of_another_size_are_refused(tmp_path: Path, truth: Path) -> None:
    small = Labels([Instances.of(frame_ref(0, (2, 3)), [masks.encode(mask("#..", "..."))], [CAR], [1])])
    for name in ("coco", "mots", "cityscapes"):
        sentence = refused(WRITERS[name](tmp_path / name, small, VIDEO), truth)
        assert "predictions are 3x2 pixels, truth is 9x4; label the recording at the size" in sentence


def test_labels_without_a_frame_in_common_are_refused(tmp_path: Path, truth: Path) -> None:
    later = Labels([labelled(k) for k in range(4, 6)])
    sentence = refused(stored(tmp_path / "later", later, VIDEO), WRITERS["cvat"](tmp_path, IN_VIDEO, VIDEO))
    assert "no frame in common" in sentence
    assert "run has 2 that" in sentence
    other = WRITERS["cityscapes"](tmp_path / "other", IN_IMAGES, IMAGES)
    sentence = refused(other, truth)
    assert "no frame in common" in sentence
    assert "has ulm_000000_000007" in sentence
    assert "has drive_000000_000000" in sentence
    for name in ("a", "b"):
        stored(tmp_path / "many", IN_VIDEO, Recording(name))
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}{name}.txt").touch()
    sentence = refused(tmp_path / "many" / "run", tmp_path / "texts")
    assert "no recording in common" in sentence
    assert "has a, b" in sentence


def test_names_of_several_frames_are_refused(tmp_path: Path) -> None:
    path = written("coco")(tmp_path, IN_IMAGES, IMAGES)
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = content["images"][0]["file_name"]
    path.write_text(json.dumps(content))
    assert "1 names belong to several frames, one is ulm_000000_000007" in refused(path, path)


def test_memory_is_the_same_for_many_frames(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        labels = Labels([labelled(k) for k in range(count)])
        ours = stored(tmp_path / f"a{count}", labels, VIDEO)
        theirs = WRITERS["mots"](tmp_path / f"b{count}", labels, VIDEO)
        del labels
        gc.collect()  # what other tests left is not to be freed in between
        tracemalloc.start()
        for recording in compare(ours, theirs).recordings:
            for _ in recording.frames():
                pass
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    peak(500)  # what is made once, caches among it
    assert peak(3000) < peak(1000) + 50_000  # both of more frames than are read at once
