"""Maps of several runs of the network are fused: what each says of the same place, in the same units."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from annotator.detection.fusion import PASSES, Pass, fused_maps
from annotator.detection.postprocessing import cluster_batch
from annotator.masks import iou
from annotator.model.embedding import PAPER_GRID
from annotator.model.network import NetworkSpec, RawMaps
from annotator.model.preprocess import processed_size
from annotator.options import DetectionOptions
from annotator.options.labelling import QUALITIES
from tests.helpers.builders import frame_ref

SIZE = (96, 128)
IMAGE_SIZE = (192, 256)  # of images, which are processed at SIZE
CAR = 26
OBJECT = (0.3, 0.55, 0.4, 0.75)  # top, left, bottom, right in parts of the image


@dataclass
class PerfectRuntime:
    """A network that knows the one object of its images at any size; which side it is on, their pixels say."""

    n_sigma: int = 2
    stride: int = 2
    name: str = "torch"
    precision: str = "32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def spec(self) -> NetworkSpec:
        return NetworkSpec("erfnet", (CAR,), self.n_sigma, PAPER_GRID, (0, 0, 0), (1, 1, 1), SIZE)

    @property
    def checkpoint(self) -> Any:
        return SimpleNamespace(spec=self.spec, head=None)

    def maps(self, images: torch.Tensor, scale: float | None) -> RawMaps:
        size = processed_size((images.shape[-2], images.shape[-1]), scale, self.spec.trained_size)
        self.asked.append(size)
        height, width = (-(-side // self.stride) for side in size)
        y, x = (
            (torch.arange(count) + 0.5) * self.stride / side
            for count, side in zip((height, width), size, strict=True)
        )
        is_mirrored = images[0, 0, 0, 0] > images[0, 0, 0, -1]
        top, left, bottom, right = OBJECT
        if is_mirrored:
            left, right = 1 - right, 1 - left
        inside = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))
        grid = PAPER_GRID.coordinates((height, width), self.stride)
        raw = torch.zeros(1, 3 + self.n_sigma, height, width)
        unit = torch.tensor([2 / 2047, 1 / 1023])  # of the grid, per pixel
        sides = torch.tensor([size[1], size[0]])
        centre = (torch.tensor([left + right, top + bottom]) / 2 * sides - 0.5) * unit
        raw[0, :2] = (centre[:, None, None] - grid).atanh()
        reach = torch.tensor([right - left, bottom - top]) * sides * unit
        raw[0, 2 : 2 + self.n_sigma] = ((np.log(2) / reach**2).log() / 10)[: self.n_sigma, None, None]
        raw[0, -1] = torch.where(inside, 3.0, -6.0)
        return RawMaps(raw, self.spec, size, self.stride)


def image(size: tuple[int, int] = IMAGE_SIZE) -> torch.Tensor:
    """Brighter to the right."""
    row = torch.linspace(0, 255, size[1]).to(torch.uint8)
    return row.expand(1, 3, size[0], -1)


@pytest.mark.parametrize("n_sigma", [1, 2])
@pytest.mark.parametrize(
    "other", [Pass(1, True), Pass(1.5), Pass(0.7), Pass(1.3, True)], ids=lambda each: f"{each}"
)
def test_passes_that_agree_change_nothing_inside_objects(n_sigma: int, other: Pass) -> None:
    runtime = PerfectRuntime(n_sigma)
    alone = fused_maps(runtime, image(), None, [Pass()])
    fused = fused_maps(runtime, image(), None, [Pass(), other])
    assert fused.raw.shape == alone.raw.shape
    core = alone.raw[0, -1] > 0
    core[1:-1, 1:-1] &= core[:-2, 1:-1] & core[2:, 1:-1] & core[1:-1, :-2] & core[1:-1, 2:]
    torch.testing.assert_close(fused.raw[0][:, core], alone.raw[0][:, core], atol=2e-2, rtol=0)
    [[expected]] = [cluster_batch(alone, [frame_ref(size=SIZE)], DetectionOptions())]
    [[found]] = [cluster_batch(fused, [frame_ref(size=SIZE)], DetectionOptions())]
    assert len(expected) == len(found) == 1
    assert iou(expected.masks, found.masks)[0, 0] > 0.75


def test_a_mirrored_pass_over_the_same_pixels_is_exact() -> None:
    runtime = PerfectRuntime()
    alone, fused = (
        fused_maps(runtime, image(), None, passes) for passes in ([Pass()], [Pass(), Pass(is_mirrored=True)])
    )
    torch.testing.assert_close(fused.raw, alone.raw, atol=1e-4, rtol=1e-4)


def test_every_quality_has_its_passes_and_takes_more_time_than_the_one_before() -> None:
    assert tuple(PASSES) == QUALITIES
    times = []
    for passes in PASSES.values():
        runtime = PerfectRuntime()
        fused_maps(runtime, image(), None, passes)
        times.append(sum(height * width for height, width in runtime.asked))
    assert times == sorted(set(times))
    assert times[2] < 4.1 * times[1]


def test_a_scale_is_of_the_first_pass() -> None:
    runtime = PerfectRuntime()
    fused_maps(runtime, image(), 0.25, [Pass(), Pass(1.5)])
    assert runtime.asked == [(48, 64), (72, 96)]


@pytest.mark.parametrize(
    ("size", "second"),
    [
        ((192, 256), (144, 192)),  # half as large again
        ((120, 160), (120, 160)),  # as large as the image
        ((48, 64), (96, 128)),  # enlarged as it is, and no further
    ],
)
def test_no_pass_enlarges_an_image_beyond_what_it_is_processed_at(
    size: tuple[int, int], second: tuple[int, int]
) -> None:
    runtime = PerfectRuntime()
    fused_maps(runtime, image(size), None, [Pass(), Pass(1.5)])
    assert runtime.asked == [SIZE, second]


def test_maps_that_say_nothing_finite_are_fused_without_a_word() -> None:
    runtime = PerfectRuntime()

    class Wild(PerfectRuntime):
        def maps(self, images: torch.Tensor, scale: float | None) -> RawMaps:
            found = runtime.maps(images, scale)
            found.raw[:, :2], found.raw[:, -1] = 1e9, -1e9
            return found

    fused = fused_maps(Wild(), image(), None, PASSES["best"])
    assert torch.isfinite(fused.raw).all()
