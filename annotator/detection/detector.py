"""The detector: images in, instances out; the only door to the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from annotator.detection.carrying import carry
from annotator.detection.fusion import PASSES, fused_maps
from annotator.detection.optical_flow import Grey, OpticalFlow, displaced, small_grey
from annotator.detection.postprocessing import cluster_batch
from annotator.detection.runtime import Runtime, load_runtime
from annotator.errors import UsageError
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.labels import BY_ID
from annotator.model.network import NetworkSpec, RawMaps
from annotator.options import DetectionOptions
from annotator.video import Batch

Item = TypeVar("Item")
# Frames between two that the network sees, and the small pictures of all of them with these.
Stretch = tuple[list[FrameRef], list[Grey]]


@dataclass(frozen=True)
class Detector:
    """A network on a device, with the options of detection.

    Raises UsageError when a class is asked for that the weights don't know.

    >>> import numpy as np
    >>> from annotator import DetectionOptions, Detector
    >>> detector = Detector.load(device="cpu", options=DetectionOptions(classes=("car", "person")))
    >>> len(detector.detect(np.zeros((120, 240, 3), np.uint8)))  # an image (H, W, 3), RGB
    0
    """

    runtime: Runtime
    options: DetectionOptions = field(default_factory=DetectionOptions)

    def __post_init__(self) -> None:
        known = self.spec.class_ids
        unknown = [BY_ID[i].name for i in self.options.class_ids or () if i not in known]
        if unknown:
            names = ", ".join(BY_ID[i].name for i in known)
            raise UsageError(
                f"`classes` {unknown[0]}: these weights don't know this class; they know {names}"
            )

    @classmethod
    def load(
        cls, weights: Path | None = None, device: str = "auto", options: DetectionOptions | None = None
    ) -> Detector:
        """Load weights (None: the model in the package) onto "auto", "cpu" or "cuda"[":N"].

        Raises CheckpointError for weights that can't be loaded, UsageError for a device that isn't there.
        """
        options = options or DetectionOptions()
        return cls(load_runtime(weights, device, options.precision, options.runtime), options)

    @property
    def spec(self) -> NetworkSpec:
        """What the network is, and which classes it knows."""
        return self.runtime.checkpoint.spec

    @property
    def device(self) -> torch.device:
        """Where batches are expected."""
        return self.runtime.device

    @property
    def made_with(self) -> DetectionOptions:
        """The options as they shape labels: with what "auto" stands for here."""
        return replace(self.options, precision=self.runtime.precision, runtime=self.runtime.name)

    def detect(self, image: npt.NDArray[np.uint8]) -> Instances:
        """Find the instances of an image (H, W, 3) uint8 RGB."""
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(self.device)
        frame = FrameRef(0, 0, Fraction(1), (image.shape[0], image.shape[1]))
        [found] = self.detect_batch(Batch((frame,), pixels))
        return found

    def detect_batch(self, batch: Batch) -> list[Instances]:
        """Find the instances of every frame of a batch on `device`."""
        return self.instances(self.maps(batch.images), batch.refs)

    def stream(self, batches: Iterable[Batch], after: int = -1) -> Iterator[list[Instances]]:
        """Find the instances of batches in order, with how far each moved since the frame before.

        Frames up to index `after` are known already: only their pixels are followed from. While instances are made
        of one batch, a thread runs the network on the next.
        """
        if self.options.fill_every:
            yield from self._filled(batches, after)
            return
        flow = OpticalFlow()
        with closing(self._with_maps(_unknown(batches, after, flow))) as ahead:
            for batch, maps in ahead:
                yield list(map(flow.with_displacement, batch.images, self.instances(maps, batch.refs)))

    def _filled(self, batches: Iterable[Batch], after: int) -> Iterator[list[Instances]]:
        """`stream` of batches of all frames, of which the network sees every N-th: with masks carried between these.

        Frames come out up to one that the network saw, which is where to go on from.
        """
        stretches = deque[Stretch]()
        before: Instances | None = None
        with closing(self._with_maps(_seen(batches, self.options, stretches))) as ahead:
            for batch, maps in ahead:
                between, pictures = stretches.popleft()
                [found] = self.instances(maps, batch.refs)
                carried: list[Instances] = []
                if before is not None:
                    carried = carry(before, found, between, pictures)
                    found = displaced(pictures[-2], pictures[-1], found)
                before = found
                if found.frame.index > after:
                    yield [*carried, found]

    def maps(self, images: torch.Tensor) -> RawMaps:
        """Run the network on images (B, 3, H, W) uint8 RGB on `device`, as often as `quality` wants it."""
        return fused_maps(self.runtime, images, self.options.scale, PASSES[self.options.quality])

    def instances(self, maps: RawMaps, frames: Sequence[FrameRef]) -> list[Instances]:
        """Cluster the raw maps of a batch, in source pixels."""
        return cluster_batch(maps, frames, self.options, self.runtime.checkpoint.head)

    def _with_maps(self, batches: Iterable[Batch]) -> Generator[tuple[Batch, RawMaps], None, None]:
        """Every batch and its maps, computed one batch ahead."""
        with ThreadPoolExecutor(1, "network") as network:
            coming: Iterator[tuple[Batch, Future[RawMaps]]]
            coming = ((batch, network.submit(self.maps, batch.images)) for batch in batches)
            for batch, maps in _one_ahead(coming):
                yield batch, maps.result()


def _seen(batches: Iterable[Batch], options: DetectionOptions, stretches: deque[Stretch]) -> Iterator[Batch]:
    """The frames that the network sees, one by one; what lies before each goes into `stretches`."""
    between: list[FrameRef] = []
    pictures: list[Grey] = []
    for batch in batches:
        for k, ref in enumerate(batch.refs):
            pictures.append(small_grey(batch.images[k]))
            if (ref.index - options.start) % options.every:
                between.append(ref)
                continue
            stretches.append((between, pictures))
            between, pictures = [], pictures[-1:]
            yield Batch((ref,), batch.images[k : k + 1])


def _unknown(batches: Iterable[Batch], after: int, flow: OpticalFlow) -> Iterator[Batch]:
    """Skip frames up to index `after`, priming optical flow with the last of them."""
    for batch in batches:
        known = sum(ref.index <= after for ref in batch.refs)
        if known:
            flow.update(batch.images[known - 1])
        if known < len(batch):
            yield Batch(batch.refs[known:], batch.images[known:])


def _one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Give out each item when the next one is there; what fails comes behind those before it."""
    ahead = deque[Item]()
    try:
        for item in items:
            ahead.append(item)
            if len(ahead) > 1:
                yield ahead.popleft()
    except Exception:
        yield from ahead
        raise
    yield from ahead
