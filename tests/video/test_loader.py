"""The loader: frames as batches on the device, from a thread that ends with its owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.errors import SourceError
from annotator.frames import Frame
from annotator.model.preprocess import resize
from annotator.video import Batch, Loader
from annotator.video.container import Video
from annotator.video.selection import IsCancelled, never
from tests.faults.videos import garble, write_video
from tests.helpers.builders import frame, gaps_of

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])]


@dataclass
class Made:
    """A source of made frames; it counts how many were taken, and fails where it is told to."""

    sizes: list[tuple[int, int]] = field(default_factory=lambda: [(8, 10)] * 20)
    fails_at: int | None = None
    taken: int = 0
    is_closed: bool = False
    path: Path = Path("made")
    name: str = "made"
    is_video: bool = True
    files: tuple[Path, ...] = ()

    def length_hint(self) -> int | None:
        return len(self.sizes)

    def read(
        self, start: int = 0, end: int | None = None, every: int = 1, is_cancelled: IsCancelled = never
    ) -> Generator[Frame, None, None]:
        try:
            for k in range(len(self.sizes))[start:end:every]:
                if is_cancelled():
                    return
                if k == self.fails_at:
                    raise SourceError("made: can't be read on")
                self.taken += 1
                yield frame(k, self.sizes[k], value=k)
        finally:
            self.is_closed = True


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever happens in a test, its threads have ended."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "loader"]


def indices(batches: list[Batch]) -> list[list[int]]:
    return [[ref.index for ref in batch.refs] for batch in batches]


def load(source: Made, **options: int) -> list[Batch]:
    with Loader(source, **options) as batches:  # type: ignore[arg-type]
        return list(batches)


# -- batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_frames_in_order_with_their_pixels(device: str) -> None:
    with Loader(Made(), device, batch_size=8) as batches:
        found = list(batches)
    assert indices(found) == [[*range(8)], [*range(8, 16)], [*range(16, 20)]]
    for batch in found:
        assert batch.images.shape == (len(batch), 3, 8, 10)
        assert batch.images.dtype == torch.uint8
        assert batch.images.device.type == device
        assert batch.images[:, 0, 0, 0].tolist() == [ref.index for ref in batch.refs]


def test_colours_and_rows_stay_where_they_are(tmp_path: Path) -> None:
    source = Video(write_video(tmp_path / "drive.mp4", 5), "drive")
    frames = list(source.frames())
    with Loader(source, batch_size=2) as batches:
        images = torch.cat([batch.images for batch in batches])
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), np.stack([f.image for f in frames]))


def test_a_batch_never_mixes_sizes() -> None:
    sizes = [(8, 10)] * 3 + [(6, 6)] * 5 + [(8, 10)]
    found = load(Made(sizes), batch_size=4)
    assert indices(found) == [[0, 1, 2], [3, 4, 5, 6], [7], [8]]
    assert [tuple(batch.images.shape[2:]) for batch in found] == [(8, 10), (6, 6), (6, 6), (8, 10)]


def test_a_part_of_the_frames() -> None:
    assert indices(load(Made(), batch_size=2, start=3, end=15, every=4)) == [[3, 7], [11]]


def test_a_source_without_frames_has_no_batches() -> None:
    assert load(Made([])) == []


def test_what_is_left_can_be_had_after_a_pause() -> None:
    with Loader(Made(), batch_size=5) as batches:
        first = next(iter(batches))
        rest = list(batches)
        assert list(batches) == []
    assert indices([first, *rest]) == [[*range(k, k + 5)] for k in (0, 5, 10, 15)]


def test_gaps_are_known_with_the_batch_behind_them(tmp_path: Path) -> None:
    source = Video(garble(write_video(tmp_path / "drive.mkv", 60), 0.4, 0.5), "drive")
    gaps, taken = gaps_of(source), []
    assert gaps
    with Loader(source, batch_size=4) as batches:
        for batch in batches:
            taken += batches.take_gaps()
            assert taken == gaps[: len(taken)]
            assert {gap for gap in gaps if gap.after_index < batch.refs[-1].index} <= set(taken)
        taken += batches.take_gaps()
    assert taken == gaps


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"prefetch": 0}])
def test_impossible_numbers_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no loader has"):
        Loader(Made(), **options)


# -- the thread ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [1, 2, 4])
def test_it_reads_ahead_but_not_far(prefetch: int) -> None:
    source = Made([(8, 10)] * 100)
    with Loader(source, batch_size=3, prefetch=prefetch) as batches:
        for handed_out, _ in enumerate(batches, start=1):
            wait_until_taken(source, min(100, (handed_out + prefetch) * 3))
            time.sleep(0.01)
            # One frame more has been looked at: the thread waits for room with it in its hand.
            assert source.taken <= (handed_out + prefetch) * 3 + 1


def wait_until_taken(source: Made, count: int) -> None:
    deadline = time.monotonic() + 5
    while source.taken < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_nothing_is_read_before_the_first_batch_is_wanted() -> None:
    source = Made()
    with Loader(source):
        pass
    assert source.taken == 0


def test_stopping_early_ends_the_thread_and_closes_the_source() -> None:
    source = Made([(8, 10)] * 1000)
    with Loader(source, batch_size=2) as batches:
        for _ in batches:
            break
    assert source.is_closed
    assert source.taken < 20


def test_closing_does_as_well() -> None:
    source = Made([(8, 10)] * 1000)
    with closing(Loader(source, batch_size=2)) as batches:
        next(iter(batches))
    assert source.is_closed


@pytest.mark.parametrize("error", [ValueError("the network is out of memory"), KeyboardInterrupt()])
def test_a_fault_of_the_consumer_ends_the_thread(error: BaseException) -> None:
    source = Made([(8, 10)] * 1000)
    with pytest.raises(type(error)), Loader(source, batch_size=2) as batches:  # noqa: PT012
        for _ in batches:
            raise error
    assert source.is_closed


def test_a_fault_of_the_source_comes_out_after_the_frames_before_it() -> None:
    source = Made(fails_at=7)
    seen = []
    with pytest.raises(SourceError, match="can't be read on"), Loader(source, batch_size=4) as batches:  # noqa: PT012
        for batch in batches:
            seen.append(batch)
    assert indices(seen) == [[0, 1, 2, 3], [4, 5, 6]]
    assert source.is_closed


def test_a_file_that_is_no_video_comes_out_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "drive.mp4").write_text("no video")
    with (
        pytest.raises(SourceError, match=r"drive\.mp4"),
        Loader(Video(tmp_path / "drive.mp4", "drive")) as batches,
    ):
        list(batches)


def test_a_read_that_skips_for_long_can_be_stopped() -> None:
    class Endless(Made):
        def read(
            self, start: int = 0, end: int | None = None, every: int = 1, is_cancelled: IsCancelled = never
        ) -> Generator[Frame, None, None]:
            yield frame(0)
            while not is_cancelled():  # frames that nobody asked for
                time.sleep(0.001)

    with Loader(Endless()) as batches:
        next(iter(batches))


def test_closing_twice_does_no_harm() -> None:
    loader = Loader(Made())
    next(iter(loader))
    loader.close()
    loader.close()
    assert list(loader) == []


# -- resizing --------------------------------------------------------------------------------------


def noise(count: int, height: int, width: int, device: str = "cpu") -> torch.Tensor:
    """Images as the loader gives them: channels last in memory."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(20, 30), (17, 41), (48, 64), (50, 100), (96, 128)])
def test_an_image_is_the_same_in_any_batch(device: str, size: tuple[int, int]) -> None:
    images = noise(8, 48, 64, device)
    together = resize(images, size)
    assert together.shape == (8, 3, *size)
    for k in range(8):
        assert torch.equal(resize(images[k : k + 1], size)[0], together[k])
        assert torch.equal(resize(images[k : k + 1].contiguous(), size)[0], together[k])
    assert torch.equal(resize(images[2:5], size), together[2:5])


@pytest.mark.parametrize("size", [(20, 30), (48, 64), (96, 128)])
def test_values_are_shares(size: tuple[int, int]) -> None:
    images = resize(torch.full((1, 3, 48, 64), 255, dtype=torch.uint8), size)
    assert images.dtype == torch.float32
    assert torch.allclose(images, torch.ones(1, 3, *size), rtol=0, atol=1e-6)
    assert float(resize(noise(2, 48, 64), size).max()) <= 1


def test_the_same_size_changes_no_pixel() -> None:
    images = noise(2, 48, 64)
    assert torch.equal((resize(images, (48, 64)) * 255).round().to(torch.uint8), images)


def test_shrinking_averages_instead_of_picking() -> None:
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 254
    inside = resize(stripes, (16, 16))[..., 1:-1]
    assert torch.allclose(inside, torch.full_like(inside, 127 / 255), atol=0.001)
