"""What every format promises: whole or not at all, equal for equal labels, read back as it was written."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotator import masks
from annotator.errors import FormatError, OutputError
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.registry import WRITABLE
from annotator.formats.summary import EMPTY, HIDDEN, shortest, text
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.labels import INSTANCE_CLASSES
from annotator.options import CvatOptions
from tests.helpers.builders import Labels, Recording, blob, frame_ref, mask, read_instances

CAR, PERSON, BUS = 26, 24, 28
VIDEO = Recording()
FOLDER = Recording(is_video=False, path=Path("/data/day_1/drive"))

SQUARE = mask("####......", "####......", "####......", "####......", *[".........."] * 4)
BESIDE = mask(*[".........."] * 4, "......####", "......####", "......####", "......####")
OVER_BOTH = mask("..........", "..........", "..######..", "..######..", "..######..", "..######..")
OVER_BOTH = np.vstack([OVER_BOTH, np.zeros((2, 10), bool)])
RING_AND_PARTS = mask(
    "#####..##.", "#...#..##.", "#...#.....", "#...#...##", "#####...##", *[".........."] * 3
)
WITHIN = mask(*[".........."] * 2, "..#.......", *[".........."] * 5)


def instances(
    index: int, *found: tuple[np.ndarray, int, float, int], size: tuple[int, int] = (8, 10)
) -> Instances:
    """A frame that holds (mask, class, score, track) each."""
    rles, class_ids, scores, tracks = zip(*found, strict=True) if found else ((), (), (), ())
    encoded = [masks.encode(pixels) for pixels in rles]
    return Instances.of(
        frame_ref(index, size, f"image {index}.png"), encoded, class_ids, scores, track_ids=tracks
    )


def crowd(index: int) -> Instances:
    """300 cars in a frame."""
    cars = []
    for k in range(300):
        pixels = np.zeros((60, 80), bool)
        top, left = 3 * (k // 20), 4 * (k % 20)
        pixels[top : top + 2, left : left + 3] = True
        cars.append((pixels, CAR, 1 - k / 300, 0))
    return instances(index, *cars, size=(60, 80))


CASES = {
    "a source without frames": Labels(),
    "frames without instances": Labels([instances(0), instances(1)]),
    "one object": Labels([instances(0, (SQUARE, CAR, 0.9, 1))]),
    "overlapping masks": Labels([instances(0, (SQUARE, CAR, 0.9, 1), (OVER_BOTH, BUS, 0.8, 2))]),
    "an instance that is fully hidden": Labels(
        [instances(0, (SQUARE, CAR, 0.9, 1), (SQUARE, PERSON, 0.5, 2)), instances(1, (SQUARE, CAR, 0.9, 1))]
    ),
    "a mask with a hole, something in it, and parts": Labels(
        [instances(k, (RING_AND_PARTS, BUS, 0.9, 1), (WITHIN, PERSON, 0.8, 2)) for k in range(3)]
    ),
    "a track with a gap, on every second frame": Labels(
        [
            instances(3, (SQUARE, CAR, 0.9, 1)),
            instances(5, (SQUARE, CAR, 0.9, 1), (BESIDE, PERSON, 0.4, 2)),
            instances(7, (BESIDE, PERSON, 0.4, 2)),
            instances(9),
            instances(11, (SQUARE, CAR, 0.7, 1)),
        ]
    ),
    "instances without tracks": Labels(
        [instances(k, (SQUARE, CAR, 0.9, 0), (BESIDE, PERSON, 0.4, 0)) for k in range(3)]
    ),
    "a track that changes its class": Labels(
        [instances(k, (SQUARE, (CAR, BUS, CAR)[k], 0.9, 1)) for k in range(3)]
    ),
    "300 instances in a frame": Labels([crowd(0)]),
}

each_format = pytest.mark.parametrize("name", WRITABLE)
each_case = pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
each_kind = pytest.mark.parametrize("source", [VIDEO, FOLDER], ids=["video", "folder"])


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@each_format
@each_case
@each_kind
def test_labels_are_published_whole_and_come_back(
    tmp_path: Path, name: str, labels: Labels, source: Recording
) -> None:
    written = WRITABLE[name].write(labels, source, tmp_path)
    published = contents(tmp_path)
    top = {Path(file).parts[0] for file in published} | {path.name for path in tmp_path.iterdir()}
    assert top == {path.name for path in written.files}, "nothing else is left"
    assert written.frames == len(labels.found)
    if name.startswith("cityscapes") and not labels.found:
        return  # a folder without files of frames is empty, and none to read
    back = list(read_instances(name, written.files[0]))
    assert sum(map(len, back)) == written.instances
    if name != "frames":
        assert written.instances + sum_of_lost(written.losses) == sum(map(len, labels.found))
    if name != "mots":
        assert [found.frame.size for found in back] == [found.frame.size for found in labels.found]


def sum_of_lost(losses: dict[str, int]) -> int:
    return sum(count for what, count in losses.items() if what.startswith("instances"))


@each_format
@each_case
def test_equal_labels_give_equal_bytes(tmp_path: Path, name: str, labels: Labels) -> None:
    for folder in (tmp_path / "once", tmp_path / "again", tmp_path / "again"):
        WRITABLE[name].write(labels, VIDEO, folder)
    assert contents(tmp_path / "once") == contents(tmp_path / "again")


class Interrupted:
    """A reader that is interrupted behind the first frame: of the frames, or of the instances' second pass."""

    def __init__(self, labels: Labels) -> None:
        self.found, self.passes = labels.found, 0

    def instances(self) -> Iterator[Instances]:
        self.passes += 1
        yield from self.found[:1]
        if self.passes == 2:
            raise KeyboardInterrupt
        yield from self.found[1:]

    def frames(self) -> Iterator[FrameRef]:
        yield self.found[0].frame
        raise KeyboardInterrupt


@each_format
@each_kind
def test_an_interrupted_writer_leaves_what_was_there(tmp_path: Path, name: str, source: Recording) -> None:
    labels = CASES["a track with a gap, on every second frame"]
    with pytest.raises(KeyboardInterrupt):
        WRITABLE[name].write(Interrupted(labels), source, tmp_path)
    assert list(tmp_path.iterdir()) == []
    WRITABLE[name].write(CASES["one object"], source, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        WRITABLE[name].write(Interrupted(labels), source, tmp_path)
    assert contents(tmp_path) == before


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk on which a file can't grow beyond `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@each_format
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with largest_file(64), pytest.raises(OutputError, match=r"can't be written .* make room"):
        WRITABLE[name].write(CASES["a track with a gap, on every second frame"], VIDEO, tmp_path)
    assert list(tmp_path.iterdir()) == []


@each_format
def test_a_folder_that_cannot_be_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/.* can't be written"):
        WRITABLE[name].write(CASES["one object"], VIDEO, tmp_path / "file")


@each_format
def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path, name: str) -> None:
    written = WRITABLE[name].write(CASES["one object"], VIDEO, tmp_path)
    before = contents(tmp_path)
    for path in written.files:
        left = path.with_name(f".{path.name}.tmp")
        if path.is_dir():
            left.mkdir()
            (left / "half.png").write_bytes(b"")
            path.rename(path.with_name(f".{path.name}.old"))  # killed between the two renames
        else:
            left.write_text("half")
    WRITABLE[name].write(CASES["one object"], VIDEO, tmp_path)
    assert contents(tmp_path) == before


class Forgetful(Labels):
    """Labels that change between two passes."""

    def frames(self) -> Iterator[FrameRef]:
        return (found.frame for found in self.found[:-1])


def test_a_file_that_is_not_right_is_not_published(tmp_path: Path) -> None:
    labels = CASES["instances without tracks"]
    with pytest.raises(FormatError, match=r"coco.json: not published"):
        WRITABLE["coco"].write(Forgetful(labels.found), VIDEO, tmp_path)
    assert list(tmp_path.iterdir()) == []


@each_format
@pytest.mark.parametrize("content", [b"", b"text", b"{}", b"<annotations><track/></annotations>", b"\x89PNG"])
def test_what_is_not_of_the_format_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / "a_000000_000000_gtFine_instanceIds.png"
    path.write_bytes(content)
    if name == "mots" and content == b"":
        return  # a file without a line has no labels, and is none the worse for it
    with pytest.raises(FormatError, match=r"tmp|/"):
        list(read_instances(name, tmp_path if name == "cityscapes" else path))


def test_hostile_xml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotations>&y;</annotations>')
    with pytest.raises(FormatError, match="no XML that can be read"):
        list(read_instances("cvat", path))


# ---- write -> read, for any labels

SIZE = (9, 11)


@st.composite
def any_labels(draw: st.DrawFn, class_ids: tuple[int, ...] = INSTANCE_CLASSES) -> Labels:
    """A few frames of any masks, overlapping and empty ones included, of objects with and without a track."""
    step = draw(st.integers(1, 3))
    class_of = draw(st.lists(st.sampled_from(class_ids), min_size=4, max_size=4))
    frames = []
    for index in range(draw(st.integers(0, 3)), 10, step)[: draw(st.integers(1, 4))]:
        tracks = draw(st.lists(st.integers(1, 4), unique=True, max_size=4))
        untracked = draw(st.lists(st.sampled_from(class_ids), max_size=2))
        objects = [(class_of[t - 1], t) for t in tracks] + [(c, 0) for c in untracked]
        scores = st.floats(0, 1, width=32)
        found = [
            (draw(arrays.arrays(np.bool_, SIZE)), class_id, draw(scores), track_id)
            for class_id, track_id in objects
        ]
        frames.append(instances(index, *found, size=SIZE))
    return Labels(frames)


def expected(found: Instances) -> list[tuple[np.ndarray, int, float, int]]:
    """What is published of a frame, worked out densely: the best first, on top, the hidden left out."""
    taken = np.zeros(found.frame.size, bool)
    published = []
    for k, rle in enumerate(found.masks):
        pixels = masks.decode(rle) & ~taken
        taken |= pixels
        if pixels.any():
            about = (int(found.class_ids[k]), float(found.scores[k]), int(found.track_ids[k]))
            published.append((pixels, *about))
    return published


def rows(found: Instances) -> list[tuple[np.ndarray, int, float, int]]:
    columns = (found.class_ids.tolist(), found.scores.tolist(), found.track_ids.tolist())
    return list(zip(map(masks.decode, found.masks), *columns, strict=True))


round_trip = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(
    ("seen", "is_a"),
    [
        ([(CAR, 0.3), (CAR, 0.3), (BUS, 0.9)], BUS),  # once, but surely
        ([(CAR, 0.5), (CAR, 0.5), (BUS, 0.9)], CAR),
        ([(CAR, 0.5), (BUS, 0.25), (BUS, 0.25)], BUS),  # as much speaks for a car, but more often for a bus
        ([(BUS, 0.5), (CAR, 0.5)], CAR),  # as good: that of the smaller id
    ],
)
def test_a_track_is_published_as_what_its_instances_speak_for_by_their_scores(
    tmp_path: Path, seen: list[tuple[int, float]], is_a: int
) -> None:
    frames = [instances(k, (SQUARE, class_id, score, 1)) for k, (class_id, score) in enumerate(seen)]
    WRITABLE["coco"].write(Labels(frames), FOLDER, tmp_path)
    back = read_instances("coco", tmp_path / "coco.json")
    assert [found.class_ids.tolist() for found in back] == [[is_a]] * len(seen)


def test_masks_that_were_filled_in_say_nothing_of_the_class_of_their_track(tmp_path: Path) -> None:
    filled = replace(instances(0, (SQUARE, CAR, 0.9, 1)), interpolated=np.array([True]))
    WRITABLE["coco"].write(Labels([filled, instances(1, (SQUARE, BUS, 0.1, 1))]), FOLDER, tmp_path)
    back = read_instances("coco", tmp_path / "coco.json")
    assert [found.class_ids.tolist() for found in back] == [[BUS], [BUS]]


@round_trip
@given(any_labels())
def test_coco_gives_back_masks_classes_scores_and_tracks(tmp_path: Path, labels: Labels) -> None:
    WRITABLE["coco"].write(labels, FOLDER, tmp_path)
    back = list(read_instances("coco", tmp_path / "coco.json"))
    assert [(b.frame.index, b.frame.name) for b in back] == [(f.index, f.name) for f in labels.frames()]
    for written, read in zip(labels.found, back, strict=True):
        for ours, theirs in zip(expected(written), rows(read), strict=True):
            assert np.array_equal(ours[0], theirs[0])
            assert ours[1:] == theirs[1:]


@round_trip
@given(any_labels())
def test_cityscapes_gives_back_masks_and_classes(tmp_path: Path, labels: Labels) -> None:
    WRITABLE["cityscapes"].write(labels, VIDEO, tmp_path)
    back = list(read_instances("cityscapes", tmp_path / "cityscapes"))
    assert [b.frame.index for b in back] == [f.index for f in labels.frames()]
    for written, read in zip(labels.found, back, strict=True):
        ours = sorted((class_id, pixels.tobytes()) for pixels, class_id, *_ in expected(written))
        assert ours == sorted((class_id, pixels.tobytes()) for pixels, class_id, *_ in rows(read))


@round_trip
@given(any_labels((CAR, PERSON)))
def test_mots_gives_back_masks_classes_and_identities(tmp_path: Path, labels: Labels) -> None:
    WRITABLE["mots"].write(labels, VIDEO, tmp_path)
    back = {b.frame.index: b for b in read_instances("mots", tmp_path / "mots.txt")}
    id_of: dict[int, int] = {}
    for written in labels.found:
        published = expected(written)
        assert bool(published) == (written.frame.index in back)
        for ours, theirs in zip(published, rows(back[written.frame.index]) if published else [], strict=True):
            assert np.array_equal(ours[0], theirs[0])
            assert ours[1] == theirs[1]
            if ours[3]:
                assert id_of.setdefault(ours[3], theirs[3]) == theirs[3]
    assert len(set(id_of.values())) == len(id_of)


@round_trip
@given(any_labels())
@pytest.mark.parametrize("source", [VIDEO, FOLDER], ids=["video", "folder"])
def test_cvat_gives_back_classes_scores_and_tracks(tmp_path: Path, source: Recording, labels: Labels) -> None:
    cvat_writer.write(labels, source, tmp_path, CvatOptions(keyframe_iou=1))
    back = list(read_instances("cvat", tmp_path / "cvat.xml"))
    assert [b.frame.index for b in back] == [f.index for f in labels.frames()]
    for written, read in zip(labels.found, back, strict=True):
        ours = sorted(about for _, *about in expected(written))
        assert ours == sorted(about for _, *about in rows(read))


@round_trip
@given(any_labels())
def test_between_keyframes_cvat_gives_back_classes_and_tracks(tmp_path: Path, labels: Labels) -> None:
    WRITABLE["cvat"].write(labels, VIDEO, tmp_path)
    back = list(read_instances("cvat", tmp_path / "cvat.xml"))
    for written, read in zip(labels.found, back, strict=True):
        ours = sorted((class_id, track) for _, class_id, _, track in expected(written))
        assert ours == sorted((class_id, track) for _, class_id, _, track in rows(read))


@round_trip
@given(any_labels())
def test_frames_come_back(tmp_path: Path, labels: Labels) -> None:
    WRITABLE["frames"].write(labels, FOLDER, tmp_path)
    back = [found.frame for found in read_instances("frames", tmp_path / "frames.csv")]
    for written, read in zip(labels.frames(), back, strict=True):
        assert (read.index, read.size, read.name) == (written.index, written.size, written.name)
        assert read.time_s == pytest.approx(written.time_s, abs=1e-6)


@given(st.floats(0, 1, width=32))
def test_a_score_is_written_short_and_read_equal(score: float) -> None:
    assert np.float32(shortest(np.float32(score))) == np.float32(score)
    assert shortest(np.float32(0.1)) == 0.1


@given(st.text())
def test_any_name_can_be_written(name: str) -> None:
    written = text(name)
    written.encode()
    assert written == name or "\\" in written


def test_round_things_survive_cvat(tmp_path: Path) -> None:
    size = (120, 160)
    discs = [(blob(size, 40, 40, 25), CAR, 0.9, 1), (blob(size, 80, 110, 33), PERSON, 0.8, 2)]
    labels = Labels([instances(0, *discs, size=size)])
    WRITABLE["cvat"].write(labels, VIDEO, tmp_path)
    (back,) = read_instances("cvat", tmp_path / "cvat.xml")
    assert np.diag(masks.iou(back.masks, labels.found[0].masks)).min() >= 0.97


def test_what_is_hidden_is_counted(tmp_path: Path) -> None:
    for name in ("cityscapes", "coco", "cvat", "mots"):
        written = WRITABLE[name].write(CASES["an instance that is fully hidden"], VIDEO, tmp_path)
        assert written.losses == {HIDDEN: 1}
        assert written.instances == 2


def test_what_is_empty_is_not_hidden(tmp_path: Path) -> None:
    nothing = (SQUARE & ~SQUARE, CAR, 0.9, 0)
    labels = Labels([instances(0, nothing, (SQUARE, CAR, 0.8, 1), (SQUARE, PERSON, 0.5, 2))])
    for name in ("cityscapes", "coco", "cvat", "mots"):
        assert WRITABLE[name].write(labels, VIDEO, tmp_path).losses == {HIDDEN: 1, EMPTY: 1}


class MadeAsRead:
    """Frames that are made as they are read: objects come and go, each lives for 40 frames."""

    def __init__(self, count: int) -> None:
        self.count = count

    def instances(self) -> Iterator[Instances]:
        for k in range(self.count):
            if k % 20 == 0:
                gc.collect()  # what only waits to be collected is held by nobody
            yield instances(
                k, (SQUARE, CAR, 0.9, 1 + 2 * (k // 40)), (BESIDE, PERSON, 0.8, 2 + 2 * (k // 40))
            )

    def frames(self) -> Iterator[FrameRef]:
        return (found.frame for found in self.instances())


@each_format
def test_memory_does_not_follow_the_length_of_the_recording(tmp_path: Path, name: str) -> None:
    def peak(frames: int, attempt: int = 0) -> int:
        gc.collect()
        gc.freeze()  # so that collecting in between is quick
        tracemalloc.start()
        WRITABLE[name].write(MadeAsRead(frames), VIDEO, tmp_path / f"{frames} {attempt}")
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        gc.unfreeze()
        return memory

    peak(20)  # what is loaded once
    # Labels take 140 kB and more. Once in a while Python's own table of interned names grows by 2 MB, never
    # twice in a row.
    assert any(peak(450, attempt) - peak(150, attempt) < 100_000 for attempt in range(2))
