"""All images of a training decoded once into the memory of its device, and pixels gathered from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from annotator.errors import AnnotatorError
from annotator.training.images import UNKNOWN, LabelledImage, LabelledImages, Size
from annotator.training.objects import Objects

PADDING = 114  # the colour of what lies beyond an image, in every channel
BYTES_OF_PIXEL = 4 + 2  # colours with a spare byte, and the label
MOST_OF_FREE = 0.5  # share of the free memory that images may take

Decoded = tuple[LabelledImage, Objects]


def fit_on(device: torch.device, images: Sequence[LabelledImages], size: Size) -> bool:
    """Whether the memory of a GPU has room for all the images, each of about `size` pixels."""
    if device.type != "cuda":
        return False
    free, _total = torch.cuda.mem_get_info(device)
    return sum(map(len, images)) * size[0] * size[1] * BYTES_OF_PIXEL <= MOST_OF_FREE * free


class DeviceImages:
    """The images of several sets one after another, each of any size, in one row of pixels."""

    def __init__(self, sets: Sequence[LabelledImages], device: torch.device, workers: int) -> None:
        """Decodes them all, in worker processes. Raises what makes one unreadable."""
        self.device = device
        self.objects: list[Objects] = []
        self._about: list[LabelledImage] = []  # without pixels
        colours, labels, sizes = [], [], []
        for labelled, objects in _decoded(sets, workers):
            image = labelled.image
            colours.append(np.dstack([image, np.zeros(image.shape[:2], np.uint8)]).ravel().view(np.int32))
            labels.append(labelled.label_map.ravel())
            sizes.append(labelled.label_map.shape)
            self.objects.append(objects)
            nothing = np.empty(0, np.uint8), np.empty(0, np.int16)
            self._about.append(replace(labelled, image=nothing[0], label_map=nothing[1]))
        self.sizes = np.array(sizes, np.int64)
        areas = self.sizes.prod(1)
        self.firsts = areas.cumsum() - areas  # places of the first pixels
        self._host_colours, self._host_labels = np.concatenate(colours), np.concatenate(labels)
        self.colours = torch.from_numpy(self._host_colours).to(
            device
        )  # (all pixels,) int32: R, G, B, nothing
        self.labels = torch.from_numpy(self._host_labels).to(device)  # (all pixels,) int16

    def __len__(self) -> int:
        return len(self.objects)

    def image(self, number: int) -> LabelledImage:
        """One of all the images with its labels, as views of what is in the memory of the host."""
        about, (height, width) = self._about[number], self.sizes[number].tolist()
        pixels = slice(self.firsts[number], self.firsts[number] + height * width)
        colours = self._host_colours[pixels].view(np.uint8).reshape(height, width, 4)[..., :3]
        label_map = self._host_labels[pixels].reshape(height, width)
        return replace(about, image=colours, label_map=label_map)


class _Decoding(Dataset[Any]):
    def __init__(self, sets: Sequence[LabelledImages]) -> None:
        self._of = [(images, number) for images in sets for number in range(len(images))]

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, index: int) -> Decoded | AnnotatorError:
        images, number = self._of[index]
        try:
            labelled = images.image(number)
        except AnnotatorError as error:
            return error
        return labelled, Objects.of(labelled)


def _decoded(sets: Sequence[LabelledImages], workers: int) -> Iterator[Decoded]:
    for decoded in DataLoader(_Decoding(sets), batch_size=None, num_workers=workers, collate_fn=_as_it_is):
        if isinstance(decoded, AnnotatorError):
            raise decoded
        yield decoded


def _as_it_is(decoded: Any) -> Any:
    return decoded


# ---- gathering


class Window:
    """Where the pixels of B crops (h, w) lie in their images: x for every column, y for every row."""

    def __init__(self, firsts: Tensor, sizes: Tensor, x: Tensor, y: Tensor) -> None:
        """firsts (B,) and sizes (B, 2), of the images; x (B, w) and y (B, h) float32, 0 at the first pixel's centre."""
        self._firsts, self._sizes, self.x, self.y = firsts, sizes, x, y

    def of(self, chosen: Tensor) -> Window:
        """Some of the crops."""
        return Window(self._firsts[chosen], self._sizes[chosen], self.x[chosen], self.y[chosen])

    def moved(self, firsts: Tensor, right: Tensor) -> Window:
        """The same places, that many columns (B,) to the left, in other images of the same sizes."""
        return Window(firsts, self._sizes, self.x - right[:, None], self.y)

    def labels(self, images: DeviceImages) -> Tensor:
        """Labels of the nearest pixels, UNKNOWN beyond the images: (B, h, w) int64."""
        place, is_there = self._places(self.x.round().long(), self.y.round().long())
        return torch.where(is_there, images.labels[place].long(), UNKNOWN)

    def colours(self, images: DeviceImages) -> Tensor:
        """Colours between the four nearest pixels, PADDING beyond the images: (B, h, w, 3) float32."""
        total: Tensor | float = 0.0
        for place, is_there, weight in self._corners():
            colours = images.colours[place].view(torch.uint8).view(*place.shape, 4)[..., :3]
            total = total + weight[..., None] * torch.where(is_there[..., None], colours, PADDING)
        assert isinstance(total, Tensor)
        return total

    def cover(self, images: DeviceImages, numbers: Tensor) -> Tensor:
        """Share of the four nearest pixels that has the label numbers[b]: (B, h, w) float32 in [0, 1]."""
        total: Tensor | float = 0.0
        for place, is_there, weight in self._corners():
            total = total + weight * (is_there & (images.labels[place] == numbers[:, None, None]))
        assert isinstance(total, Tensor)
        return total

    def _corners(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Places, whether they are in the image, and weights of the four pixels around each: (B, h, w)."""
        left, top = self.x.floor(), self.y.floor()
        right_share, bottom_share = self.x - left, self.y - top
        for down, of_row in enumerate((1 - bottom_share, bottom_share)):
            for across, of_column in enumerate((1 - right_share, right_share)):
                place, is_there = self._places(left.long() + across, top.long() + down)
                yield place, is_there, of_row[:, :, None] * of_column[:, None, :]

    def _places(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Where pixels stand in the row of all, and whether they are in their images: (B, h, w)."""
        height, width = self._sizes[:, :1], self._sizes[:, 1:]
        is_there = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]
        row, column = row.clamp(min=0).minimum(height - 1), column.clamp(min=0).minimum(width - 1)
        return self._firsts[:, None, None] + (row * width)[:, :, None] + column[:, None, :], is_there


def to_device(values: npt.ArrayLike, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Small numbers of the host, without waiting for the device."""
    tensor = torch.as_tensor(np.asarray(values), dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
