"""Labels of every kind become labels of every other, and runs that can be worked with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from annotator import masks
from annotator.errors import FormatError, UsageError
from annotator.evaluation.report import evaluate
from annotator.files import FileLock
from annotator.formats.registry import WRITABLE
from annotator.formats.sniffing import read_labels
from annotator.instances import Instances
from annotator.labels import BY_NAME
from annotator.options import RUN_FOLDER, ConversionJob, CvatOptions, ReadingOptions, TrackingOptions
from annotator.pipeline.convert import STRANGE, Converted, convert
from annotator.store import Store
from annotator.tracking import associate
from tests.formats.test_all_formats import BESIDE, CAR, PERSON, SQUARE, any_labels, expected, instances
from tests.formats.test_comparison import IN_IMAGES, IN_VIDEO, LEFT, TRACKED, VIDEO, WRITERS, labelled, stored
from tests.helpers.builders import Labels, Recording, add_recording, frame_ref
from tests.helpers.fake_detector import ROOT

IMAGES = Recording("drive", False, Path("/data/drive"))
FILES = {"cityscapes": "cityscapes", "coco": "coco.json", "cvat": "cvat.xml", "mots": "mots.txt", "run": ""}


def converted(source: Path, to: str, out: Path, **options: object) -> Converted:
    """The one recording of a source, converted."""
    (one,) = convert(ConversionJob(source, to, out, **options))  # type: ignore[arg-type]
    return one


def content(path: Path) -> list[tuple[int, list[tuple[int, int, bytes]]]]:
    """By frame: index, and class, track and mask of every object in it."""
    found = [truth.instances for truth in read_labels(path)]
    return [
        (
            each.frame.index,
            sorted(
                (int(class_id), int(track_id), bytes(mask["counts"]))
                for class_id, track_id, mask in zip(each.class_ids, each.track_ids, each.masks, strict=True)
            ),
        )
        for each in found
    ]


def without_tracks(frames: Sequence[tuple[int, list[tuple[int, int, bytes]]]]) -> list[object]:
    return [(index, [(class_id, counts) for class_id, _, counts in objects]) for index, objects in frames]


@pytest.mark.parametrize("ours", WRITERS)
@pytest.mark.parametrize("to", FILES)
def test_every_kind_becomes_every_other(ours: str, to: str, tmp_path: Path) -> None:
    source = WRITERS[ours](tmp_path / "source", IN_VIDEO, VIDEO)
    one = converted(source, to, tmp_path / "out")
    assert (one.frames, one.instances, +one.losses) == (4, 8, {})
    back, before = content(tmp_path / "out" / one.name / FILES[to]), content(source)
    if ours in TRACKED and to in ("run", "coco", "cvat"):
        assert back == before
        assert one.tracks == 2
    else:
        assert without_tracks(back) == without_tracks(before)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_labels())
@pytest.mark.parametrize("source", [VIDEO, IMAGES], ids=["video", "images"])
def test_a_run_of_coco_and_back_gives_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, source: Recording, labels: Labels
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    WRITABLE["coco"].write(labels, source, folder)
    run = converted(folder / "coco.json", "run", folder / "run")
    assert run.instances == sum(len(expected(found)) for found in labels.found)
    again = converted(folder / "run", "coco", folder / "again")
    ours, theirs = (
        json.loads(path.read_text())
        for path in (folder / "coco.json", folder / "again" / again.name / "coco.json")
    )
    assert ours["annotations"] == theirs["annotations"]


def test_frames_of_images_keep_their_names(tmp_path: Path) -> None:
    source = WRITERS["coco"](tmp_path, IN_IMAGES, IMAGES)
    converted(source, "cvat", tmp_path / "out")
    names = [t.instances.frame.name for t in read_labels(next(tmp_path.glob("out/*/cvat.xml")))]
    assert names == [found.frame.name for found in IN_IMAGES.found]


def test_every_recording_of_a_run_gets_a_folder(tmp_path: Path) -> None:
    for name in ("day_1/a", "day_2/a"):
        stored(tmp_path, IN_VIDEO, Recording(name))
    for to in ("coco", "run"):
        names = [one.name for one in convert(ConversionJob(tmp_path / "run", to, tmp_path / f"as_{to}"))]
        assert names == ["day_1/a", "day_2/a"]
        assert content(tmp_path / f"as_{to}" / "day_1" / "a" / ("coco.json" if to == "coco" else ""))


# ---- runs


def test_a_run_of_other_labels_can_be_tracked_evaluated_and_converted(tmp_path: Path) -> None:
    source = WRITERS["cityscapes"](tmp_path, IN_VIDEO, VIDEO)  # which keeps no tracks
    run = tmp_path / "run"
    one = converted(source, RUN_FOLDER, run)
    assert one.tracks == 0
    record = json.loads((run / "run.json").read_text())
    assert [(each["name"], each["state"], each["frames"]) for each in record["sources"]] == [
        (one.name, "done", 4)
    ]
    with Store.read(run / one.name) as store:
        fingerprint = store.fingerprint
    with Store.open(run / one.name, fingerprint) as store:
        associate(store, TrackingOptions())
        assert store.track_count == 2
    assert evaluate(run, source, ("coco",)).figure("AP") == 1
    assert converted(run, "mots", tmp_path / "mots").tracks == 2


def test_a_run_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    source, run = WRITERS["coco"](tmp_path, IN_VIDEO, VIDEO), tmp_path / "run"
    name = converted(source, RUN_FOLDER, run).name
    before = content(run)
    other = WRITERS["coco"](tmp_path / "other", Labels(IN_VIDEO.found[:2]), VIDEO)
    other = other.rename(other.with_name("coco.json"))
    with pytest.raises(UsageError, match=r"is there already; use `overwrite`"):
        converted(source, RUN_FOLDER, run)
    assert content(run) == before
    (tmp_path / name).mkdir(exist_ok=True)
    two = other.rename(tmp_path / name / "coco.json")
    assert converted(two, RUN_FOLDER, run, overwrite=True).frames == 2
    assert len(content(run)) == 2


def test_two_commands_do_not_write_one_run(tmp_path: Path) -> None:
    source = WRITERS["coco"](tmp_path, IN_VIDEO, VIDEO)
    (tmp_path / "run").mkdir()
    lock = FileLock(tmp_path / "run" / ".lock")
    lock.take()
    with pytest.raises(UsageError, match="another run is writing here"):
        converted(source, RUN_FOLDER, tmp_path / "run")
    lock.release()


def test_corrections_get_the_names_and_times_of_their_run(tmp_path: Path) -> None:
    run = stored(tmp_path, IN_VIDEO, Recording("day_1/drive"))
    corrected = WRITERS["cvat"](tmp_path, Labels([labelled(k, moved=1) for k in range(6)]), VIDEO)
    one = converted(corrected, RUN_FOLDER, tmp_path / "corrected", like=run)
    assert (one.name, one.frames) == ("day_1/drive", 4)
    assert one.losses["frames that the run lacks"] == 2
    with Store.read(tmp_path / "corrected" / one.name) as store:
        assert [asdict(ref) for ref in store.frames()] == [asdict(ref) for ref in IN_VIDEO.frames()]


# ---- bad input


def other_size() -> Labels:
    pixels = np.zeros((5, 6), bool)
    pixels[1:4, 1:4] = True
    return Labels([Instances.of(frame_ref(k, (5, 6)), [masks.encode(pixels)], [CAR], [1]) for k in range(4)])


def test_labels_of_another_recording_are_refused(tmp_path: Path) -> None:
    run = stored(tmp_path, IN_VIDEO, VIDEO)
    for labels, sentence in (
        (other_size(), "is of another recording: its frames are 6x5, those of"),
        (Labels([labelled(k) for k in range(50, 52)]), "is of another recording: it has no frame of"),
    ):
        path = WRITERS["cvat"](tmp_path / sentence[-6:], labels, VIDEO)
        with pytest.raises(UsageError, match=sentence):
            converted(path, RUN_FOLDER, tmp_path / "out", like=run)
        assert not list((tmp_path / "out").glob("*/labels.sqlite"))
    with pytest.raises(UsageError, match="is no run of this tool"):
        converted(path, RUN_FOLDER, tmp_path / "out", like=path)


def test_labels_that_meet_nothing_of_their_run_are_doubted(tmp_path: Path) -> None:
    run = stored(tmp_path / "ours", Labels([instances(k, (SQUARE, CAR, 0.9, 1)) for k in range(4)]), VIDEO)
    for mask, doubted in ((BESIDE, 3), (SQUARE, 0)):
        theirs = Labels([instances(k, *[(mask, CAR, 0.9, 1)][: int(k > 0)]) for k in range(4)])
        source = WRITERS["cvat"](tmp_path / f"theirs{doubted}", theirs, VIDEO)
        one = converted(source, "run", tmp_path / f"back{doubted}", like=run)
        assert one.losses[STRANGE] == doubted


def test_what_breaks_off_leaves_nothing_half_imported(tmp_path: Path) -> None:
    source = WRITERS["mots"](tmp_path, IN_VIDEO, VIDEO)
    source.write_text(source.read_text() + "9 1 1 4 9 T1 0.5 7\n")
    for to in FILES:
        with pytest.raises(UsageError, match="is no MOTS label"):
            converted(source, to, tmp_path / to)
        assert not list((tmp_path / to).rglob("*"))


def test_killed_on_the_way_nothing_is_there_and_the_same_command_makes_it(tmp_path: Path) -> None:
    source, run = WRITERS["coco"](tmp_path, IN_VIDEO, VIDEO), tmp_path / "run"
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from annotator.pipeline import convert as conversion\n"
        "from annotator.options import ConversionJob\n"
        "conversion.publish_all = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"list(conversion.convert(ConversionJob(Path({str(source)!r}), 'run', Path({str(run)!r}))))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(UsageError, match="a run that has labelled nothing yet"):
        list(read_labels(run))
    name = converted(source, RUN_FOLDER, run).name
    assert [path.name for path in run.iterdir() if path.is_dir()] == [name]
    assert len(content(run)) == 4


def test_a_second_object_of_a_track_in_a_frame_loses_its_identity(tmp_path: Path) -> None:
    left, right = np.zeros((2, 8, 10), bool)
    left[:3, :3] = right[5:, 5:] = True
    source = tmp_path / "coco.json"
    WRITABLE["coco"].write(
        Labels([instances(0, (left, CAR, 0.9, 7), (right, PERSON, 0.5, 8))]), IMAGES, tmp_path
    )
    source.write_text(source.read_text().replace('"track_id":8', '"track_id":7'))
    one = converted(source, RUN_FOLDER, tmp_path / "run")
    assert (one.instances, one.tracks) == (2, 1)
    assert [count for what, count in one.losses.items() if "second" in what] == [1]


def test_classes_are_called_as_the_user_says(tmp_path: Path) -> None:
    source = WRITERS["cvat"](tmp_path, IN_VIDEO, VIDEO)
    source.write_text(source.read_text().replace('label="person"', 'label="Fußgänger"'))
    with pytest.raises(
        UsageError, match=r"label 'Fußgänger' is no Cityscapes class; `map` 'Fußgänger=none' leaves it out"
    ):
        converted(source, "coco", tmp_path / "a")
    one = converted(source, "coco", tmp_path / "b", reading=ReadingOptions(map=("Fußgänger=rider",)))
    assert {c for _, objects in content(one.files[0]) for c, *_ in objects} == {CAR, BY_NAME["rider"].id}
    one = converted(
        source, "coco", tmp_path / "c", reading=ReadingOptions(map=("Fußgänger=none", "car=person"))
    )
    assert {c for _, objects in content(one.files[0]) for c, *_ in objects} == {PERSON}
    assert one.losses["shapes of the label 'Fußgänger' left out"] == 2, "keyframes"
    for wrong in ("Fußgänger", "Fußgänger=gehen", "=car"):
        with pytest.raises(UsageError, match="`map` takes NAME=CLASS"):
            converted(source, "coco", tmp_path / "d", reading=ReadingOptions(map=(wrong,)))


@pytest.mark.parametrize("to", ["coco", "cvat", "mots", "cityscapes"])
def test_nothing_that_is_there_is_replaced_unasked(tmp_path: Path, to: str) -> None:
    source = WRITERS["run"](tmp_path / "source", IN_VIDEO, VIDEO)
    converted(source, to, tmp_path / "out")
    with pytest.raises(UsageError, match=r"is there already; use `overwrite`"):
        converted(source, to, tmp_path / "out")
    assert converted(source, to, tmp_path / "out", overwrite=True).frames == 4


def test_a_source_is_never_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    WRITERS["coco"](tmp_path / "drive", IN_VIDEO, VIDEO)
    file = next((tmp_path / "drive").rglob("coco.json"))
    before = file.read_bytes()
    with pytest.raises(UsageError, match="is what is to be converted"):
        converted(file, "coco", file.parents[1], overwrite=True)
    assert file.read_bytes() == before


def test_two_recordings_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    WRITERS["mots"](tmp_path / "a", IN_VIDEO, VIDEO)
    text = next((tmp_path / "a").rglob("mots.txt")).read_bytes()
    for name in ("mots.txt", "day.txt"):
        (folder / name).write_bytes(text)
    with pytest.raises(UsageError, match="two recordings are called day"):
        list(convert(ConversionJob(folder, "coco", tmp_path / "out")))


def test_what_the_format_cannot_hold_leaves_no_list_of_frames_behind(tmp_path: Path) -> None:
    source = WRITERS["coco"](
        tmp_path, Labels([instances(k, (SQUARE, CAR, 0.9, 0)) for k in range(1001)]), VIDEO
    )
    with pytest.raises(FormatError, match=r"make tracks \(spatialemb-track\)"):
        converted(source, "mots", tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_images_of_one_name_are_refused(tmp_path: Path) -> None:
    source = WRITERS["coco"](tmp_path, IN_IMAGES, IMAGES)
    content = json.loads(source.read_text())
    content["images"][1]["file_name"] = content["images"][0]["file_name"]
    source.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="give them names of their own"):
        converted(source, "cvat", tmp_path / "out")


def test_ignored_regions_of_mots_are_a_loss_that_is_said(tmp_path: Path) -> None:
    source = WRITERS["mots"](tmp_path, IN_VIDEO, VIDEO)
    line = source.read_text().splitlines()[0].split()
    ignored = " ".join(
        [line[0], "10000", "10", *line[3:5], masks.encode(np.zeros(LEFT.shape))["counts"].decode()]
    )
    source.write_text("\n".join([ignored, *source.read_text().splitlines()]) + "\n")
    assert +converted(source, "coco", tmp_path / "out").losses == {"frames with ignored regions": 1}


@pytest.mark.parametrize("kind", ["person group", "road"])
def test_labels_without_instances_are_left_out_and_counted(tmp_path: Path, kind: str) -> None:
    source = WRITERS["cvat"](tmp_path, IN_VIDEO, VIDEO)
    source.write_text(source.read_text().replace('label="car"', f'label="{kind}"'))
    classes = (f"{kind}=none",) if kind not in BY_NAME else ()
    one = converted(source, "coco", tmp_path / "out", reading=ReadingOptions(map=classes))
    assert one.instances == 4
    assert one.losses[f"shapes of the label {kind!r} left out"] == 2  # keyframes


def test_a_split_recording_is_converted_and_corrected_as_one(tmp_path: Path) -> None:
    labels = Labels([instances(k, (SQUARE, CAR, 0.9, 1), (BESIDE, PERSON, 0.8, 2)) for k in range(30)])
    run = stored(tmp_path, labels, Recording("drive"))
    recording = run if (run / "labels.sqlite").exists() else run / "drive"
    split = CvatOptions(split_frames=12)
    [sent] = convert(ConversionJob(recording, "cvat", tmp_path / "sent", publishing=split))
    back = converted(tmp_path / "sent" / sent.name / "cvat", "run", tmp_path / "back", like=run)
    assert (back.frames, back.instances, back.tracks) == (30, 60, 2)
    assert content(tmp_path / "back") == content(run)


def test_a_run_below_the_folder_that_is_given_is_converted(tmp_path: Path) -> None:
    found = [Instances.of(frame_ref(0), [], [], [])]
    add_recording(tmp_path / "in" / "run", "drive", tmp_path / "drive.mp4", found)
    done = list(convert(ConversionJob(tmp_path / "in", "coco", tmp_path / "out")))
    assert [one.name for one in done] == ["run/drive"]
