"""The preview plays in browsers, shows the labels of each frame in that frame, and is whole or not there."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from annotator.errors import SourceError
from annotator.instances import Instances
from annotator.masks import encode as encode_mask
from annotator.options import DetectionOptions
from annotator.review.preview import FILES, PREVIEW, is_current, preview_pictures, remove, write_preview
from annotator.review.recording import open_source
from annotator.store import Store
from annotator.video import Source
from tests.helpers.builders import finish
from tests.helpers.fake_detector import draw, find_boxes, write_video


def label(folder: Path, source: Source, every: int = 1) -> Store:
    """A store of the cars in a recording."""
    store = Store.open(folder, {"made": "here"})
    tracks = []
    for frame in source.frames(every=every):
        image = torch.from_numpy(np.array(frame.image)).permute(2, 0, 1)
        found = find_boxes(image, frame.ref, DetectionOptions(classes=("car",)))
        store.add([found])
        tracks += [(frame.ref.index, k, 1) for k in range(len(found))]
    store.set_tracks(tracks)
    finish(store)
    return store


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return open_source(write_video(tmp_path / "drive.mp4"), "drive")


@pytest.fixture
def store(tmp_path: Path, source: Source) -> Iterator[Store]:
    with label(tmp_path / "labels", source) as made:
        yield made


def car_in(picture: np.ndarray) -> tuple[float, float]:
    """Where the car begins and ends in a preview picture, in source pixels: no name is so tall and coloured."""
    rows = picture[54:78].astype(int)
    columns = np.flatnonzero((rows.max(2) - rows.min(2) > 35).mean(0) > 0.8)
    return columns[0] / 2, (columns[-1] + 1) / 2


def test_frame_k_of_the_preview_shows_the_labels_of_frame_k(store: Store, source: Source) -> None:
    assert write_preview(store, source, store.path.parent)
    shown = dict(preview_pictures(store.path.parent, store.frames()))
    assert sorted(shown) == list(range(24))
    off = np.array([np.mean(car_in(picture)) - (11 + k) for k, picture in shown.items()])
    assert np.abs(off).max() < 2.5
    assert abs(off.mean()) < 0.4  # it moves by a pixel a frame


def test_each_picture_is_of_the_frame_whose_labels_it_shows(tmp_path: Path) -> None:
    """Frames say their number in bars of light and dark, also where a codec sends them in another order."""
    path = tmp_path / "numbers.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "3", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for k in range(40):
            image = np.full((48, 64, 3), 16, np.uint8)
            for bit in range(6):
                image[:24, 8 + 8 * bit : 16 + 8 * bit] = 235 if k >> bit & 1 else 16
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    source = open_source(path, "numbers")
    with Store.open(tmp_path / "labels", {"made": "here"}) as store:
        for frame in source.frames(every=3):
            marked = np.zeros((48, 64), bool)
            marked[30:46, 8 : 9 + frame.ref.index] = True  # as wide as its number
            store.add([Instances.of(frame.ref, [encode_mask(marked)], [26], [0.9])])
        finish(store)
        write_preview(store, source, tmp_path / "labels")
        shown = dict(preview_pictures(tmp_path / "labels", store.frames()))
    assert sorted(shown) == list(range(0, 40, 3))
    for index, picture in shown.items():
        bars = [picture[8:16, 20 + 16 * bit : 28 + 16 * bit].mean() > 128 for bit in range(6)]
        assert sum(lit << bit for bit, lit in enumerate(bars)) == index
        assert (
            np.ptp(picture[72:84].astype(int), axis=2).mean(0)[16 + 2 * index] > 35
        )  # the last column of the mask
        assert np.ptp(picture[72:84].astype(int), axis=2).mean(0)[16 + 2 * index + 6] < 35


def test_browsers_play_it(store: Store, source: Source) -> None:
    write_preview(store, source, store.path.parent)
    path = store.path.parent / PREVIEW
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 10)
        assert [frame.pts * frame.time_base for frame in container.decode(stream)] == [
            pytest.approx(k / 10) for k in range(24)
        ]
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_it_is_made_once_and_again_when_the_labels_are_others(store: Store, source: Source) -> None:
    folder = store.path.parent
    assert write_preview(store, source, folder)
    assert is_current(store, folder)
    assert not write_preview(store, source, folder)
    store.set_tracks([(0, 0, 1)])
    assert not is_current(store, folder)
    assert write_preview(store, source, folder)
    (folder / PREVIEW).write_bytes(b"no video")
    assert not is_current(store, folder)
    remove(folder)
    assert not any((folder / name).exists() for name in FILES)


def test_of_every_fifth_frame_it_has_those(tmp_path: Path, source: Source) -> None:
    with label(tmp_path / "fifth", source, every=5) as store:
        write_preview(store, source, tmp_path / "fifth")
        shown = dict(preview_pictures(tmp_path / "fifth", store.frames()))
    assert sorted(shown) == [0, 5, 10, 15, 20]
    assert car_in(shown[15])[0] == pytest.approx(17, abs=2.5)


def test_images_of_a_folder_are_drawn_too_whatever_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for k, size in enumerate([(48, 65), (48, 64), (90, 40)]):
        Image.fromarray(draw(k, size)).save(tmp_path / "images" / f"{k}.png")
    source = open_source(tmp_path / "images", "images")
    with label(tmp_path / "labels", source) as store:
        write_preview(store, source, tmp_path / "labels")
        shown = dict(preview_pictures(tmp_path / "labels", store.frames()))
    assert [picture.shape for picture in shown.values()] == [(96, 130, 3)] * 3


def test_another_video_is_refused_and_leaves_nothing(tmp_path: Path, store: Store) -> None:
    folder = store.path.parent
    for path, what in (
        (write_video(tmp_path / "short.mp4", frames=9), "has no frame 9"),
        (write_video(tmp_path / "large.mp4", size=(96, 128)), "frame 0 is 128x96, not 64x48"),
    ):
        with pytest.raises(SourceError, match=what):
            write_preview(store, open_source(path, "drive"), folder)
        assert sorted(file.name for file in folder.iterdir() if not file.name.startswith("labels")) == []


def test_a_recording_that_is_gone_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="isn't there"):
        open_source(tmp_path / "gone.mp4", "drive")


def test_memory_does_not_follow_the_length(tmp_path: Path) -> None:
    peaks = []
    for frames in (30, 120):
        source = open_source(write_video(tmp_path / f"{frames}.mp4", frames=frames), "drive")
        with label(tmp_path / str(frames), source) as store:
            write_preview(store, source, tmp_path / str(frames))  # what is cached is cached
            remove(tmp_path / str(frames))
            tracemalloc.start()
            write_preview(store, source, tmp_path / str(frames))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_a_frame_without_objects_is_a_frame(tmp_path: Path, source: Source) -> None:
    with Store.open(tmp_path / "empty", {"made": "here"}) as store:
        store.add([Instances.of(frame.ref) for frame in source.frames()])
        finish(store)
        write_preview(store, source, tmp_path / "empty")
        assert len(list(preview_pictures(tmp_path / "empty", store.frames()))) == 24
