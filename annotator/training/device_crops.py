"""Crops made on a GPU: drawn by number on the host as `Crops` draws them; cut, pasted and recoloured in batches."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from annotator.training.augmentation import choose, placement
from annotator.training.batched_loss import BatchTarget
from annotator.training.crops import Batch, Crops, Rank
from annotator.training.device_colour import Look, draw_look, recoloured
from annotator.training.device_images import DeviceImages, Window, to_device
from annotator.training.images import LabelledImage
from annotator.training.objects import Objects


@dataclass(frozen=True)
class Pasted:
    """An object of another image, moved sideways."""

    image: int
    number: int  # of the object in its image, from 0
    right: int  # columns
    bottom: int  # row that it stands on


@dataclass(frozen=True)
class Plan:
    """All that chance decides of a crop."""

    image: int
    to_crop: np.ndarray  # (2, 3), from pixels of the image
    pasted: tuple[Pasted, ...]
    look: Look | None


class DeviceCrops:
    """In the place of `Crops`, the same images, objects and places by the same numbers, a batch at a time."""

    def __init__(self, crops: Crops, images: DeviceImages) -> None:
        """`images`: those of all parts of `crops`, in order."""
        self.options, self._images = crops.options, images
        self._spec, self._stride = crops.spec, crops.stride
        self._shares, self._image_shares = crops.shares, crops.image_shares
        sizes = [len(part.images) for part in crops.parts]
        self._first_of_part = np.cumsum(sizes) - sizes
        index_of = {class_id: index for index, class_id in enumerate(crops.spec.class_ids)}
        self._class_indices = [
            np.array([index_of.get(int(k), -1) for k in images.image(number).class_ids], np.int64)
            for number in range(len(images))
        ]
        self._stream = torch.cuda.Stream(images.device) if images.device.type == "cuda" else None

    def batches(self, first_step: int, steps: int | None, rank: Rank) -> Generator[list[Batch], None, None]:
        """As `crops.batches` gives them."""
        numbers = rank.numbers(first_step, steps, self.options)
        while of_step := list(islice(numbers, self.options.batch_size * self.options.accumulate)):
            yield [
                self.batch(of_pass.tolist())
                for of_pass in np.split(np.array(of_step), self.options.accumulate)
            ]

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, BatchTarget]:
        """Crops with these numbers: images (B, 3, h, w) uint8, and what is in them; both on the device.

        On a GPU they are made beside the step that is under way.
        """
        plans = [self.plan(number) for number in numbers]
        if self._stream is None:
            return self._made(plans, numbers[0])
        current = torch.cuda.current_stream(self._images.device)
        with torch.cuda.stream(self._stream):
            images, target = self._made(plans, numbers[0])
        current.wait_stream(self._stream)
        for tensor in (images, *target):
            tensor.record_stream(current)
        return images, target

    # ---- on the host

    def plan(self, number: int) -> Plan:
        """What crop `number` is to be; the same whoever asks."""
        options = self.options.crop
        rng = np.random.default_rng((self.options.seed, number))
        part = int(rng.choice(len(self._shares), p=self._shares))
        index = self._draw(part, rng)
        labelled, objects = self._images.image(index), self._images.objects[index]
        pasted: tuple[Pasted, ...] = ()
        if rng.random() < options.pasted:
            pasted = self._paste(index, self._draw(part, rng), rng)
            labelled, objects = self._with(labelled, objects, pasted)
        to_crop = placement(labelled, rng, options, objects)
        return Plan(index, to_crop, pasted, draw_look(rng) if options.recoloured else None)

    def _draw(self, part: int, rng: np.random.Generator) -> int:
        shares = self._image_shares[part]
        return int(self._first_of_part[part] + rng.choice(len(shares), p=shares))

    def _paste(self, onto: int, donor: int, rng: np.random.Generator) -> tuple[Pasted, ...]:
        """As `augmentation.paste` chooses and moves them."""
        if (self._images.sizes[onto] != self._images.sizes[donor]).any():
            return ()
        labelled, objects = self._images.image(donor), self._images.objects[donor]
        there = np.flatnonzero(~labelled.is_group & (objects.areas > 0))
        chosen = choose(labelled.class_ids, there, rng, lambda number: objects.riding[number])
        pasted = []
        for number in sorted(chosen, key=lambda number: objects.bottoms[number]):
            if objects.are_whole[number]:
                first, last = objects.columns[number].tolist()
                right = int(rng.integers(-first, labelled.label_map.shape[1] - last))
                pasted.append(Pasted(donor, number, right, int(objects.bottoms[number])))
        return tuple(pasted)

    def _with(
        self, labelled: LabelledImage, objects: Objects, pasted: Sequence[Pasted]
    ) -> tuple[LabelledImage, Objects]:
        """An image's objects with those pasted into it, as if nothing hid them; its pixels as they were."""
        if not pasted:
            return labelled, objects
        donors = [(self._images.image(p.image), self._images.objects[p.image]) for p in pasted]
        class_ids = [donor.class_ids[p.number] for p, (donor, _) in zip(pasted, donors, strict=True)]
        centres = [of.centres[p.number] + (p.right, 0) for p, (_, of) in zip(pasted, donors, strict=True)]
        areas = [of.areas[p.number] for p, (_, of) in zip(pasted, donors, strict=True)]
        return (
            replace(
                labelled,
                class_ids=np.append(labelled.class_ids, class_ids).astype(np.uint8),
                is_group=np.append(labelled.is_group, np.zeros(len(pasted), bool)),
            ),
            replace(
                objects,
                areas=np.append(objects.areas, areas),
                centres=np.concatenate([objects.centres, np.array(centres)]),
            ),
        )

    # ---- on the device

    @torch.no_grad()
    def _made(self, plans: Sequence[Plan], seed: int) -> tuple[Tensor, BatchTarget]:
        device, store = self._images.device, self._images
        window, field_window = self._window(plans, 1), self._window(plans, self._stride)
        images, labels = window.colours(store), field_window.labels(store)
        tables = Tables.of(plans, store, self._class_indices)
        self._do_paste(plans, tables, window, field_window, images, labels)
        if plans[0].look:
            generator = torch.Generator(device).manual_seed(self.options.seed * 1_000_003 + seed)
            images = recoloured(images, [plan.look for plan in plans if plan.look], generator)
        made = images.round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2)
        return made, self._target(plans, tables, labels)

    def _window(self, plans: Sequence[Plan], stride: int) -> Window:
        """Where the centres of the crops' pixels lie, or those of pixels of `stride` of them."""
        device, store, options = self._images.device, self._images, self.options.crop
        height, width = (extent // stride for extent in options.size)
        images = [plan.image for plan in plans]
        matrices = np.stack([plan.to_crop for plan in plans])
        u, v = (np.arange(count) * stride + (stride - 1) / 2 for count in (width, height))
        return Window(
            to_device(store.firsts[images], torch.int64, device),
            to_device(store.sizes[images], torch.int64, device),
            to_device((u - matrices[:, 0, 2:]) / matrices[:, 0, :1], torch.float32, device),
            to_device((v - matrices[:, 1, 2:]) / matrices[:, 1, 1:2], torch.float32, device),
        )

    def _do_paste(
        self,
        plans: Sequence[Plan],
        tables: Tables,
        window: Window,
        field_window: Window,
        images: Tensor,
        labels: Tensor,
    ) -> None:
        """Change the images and the labels of the fields where objects are pasted; nearer objects stay in front."""
        device, store = self._images.device, self._images
        with_any = [b for b, plan in enumerate(plans) if plan.pasted]
        if not with_any:
            return
        crops = to_device(with_any, torch.int64, device)
        full = window.of(crops).labels(store)  # of these crops, to know what is in front in the image, too
        for turn in range(max(len(plan.pasted) for plan in plans)):
            rows = [row for row, b in enumerate(with_any) if len(plans[b].pasted) > turn]
            items = [plans[with_any[row]].pasted[turn] for row in rows]
            at, b = (
                to_device(values, torch.int64, device) for values in (rows, [with_any[row] for row in rows])
            )
            firsts, right, number, bottom = (
                to_device(values, torch.int64, device)
                for values in (
                    store.firsts[[item.image for item in items]],
                    [item.right for item in items],
                    [item.number + 1 for item in items],
                    [item.bottom for item in items],
                )
            )
            new = tables.first_pasted[b] + turn
            for labels_of, rows_of, of in ((full, at, window), (labels, b, field_window)):
                moved = of.of(b).moved(firsts, right)
                there, current = moved.labels(store), labels_of[rows_of]
                shown = (there == number[:, None, None]) & ~tables.reach_below(b, current, bottom)
                labels_of[rows_of] = torch.where(shown, new[:, None, None], current)
                if of is window:
                    alpha = moved.cover(store, number)[..., None] * shown[..., None]
                    images[b] = images[b].lerp(moved.colours(store), alpha)

    def _target(self, plans: Sequence[Plan], tables: Tables, labels: Tensor) -> BatchTarget:
        """As `augmentation.target` makes it of each crop."""
        known = labels >= 0
        at = labels.clamp(min=0).flatten(1)  # (B, P), 0 where nothing is known
        counts = torch.zeros_like(tables.class_index).scatter_add_(1, at, torch.ones_like(at))
        kept = (counts >= self.options.crop.min_field_pixels) & ~tables.is_group & (tables.class_index >= 0)
        kept[:, 0] = False
        numbers = kept.flatten().cumsum(0).view_as(kept) * kept
        image, slot = kept.nonzero(as_tuple=True)
        class_of_pixel = tables.class_index.gather(1, at).view_as(labels)
        ids = self._spec.class_ids
        labelled = to_device(
            [[class_id in self._images.image(plan.image).labelled for class_id in ids] for plan in plans],
            torch.bool,
            labels.device,
        )
        of_class = torch.arange(len(ids), device=labels.device)[:, None, None]
        return BatchTarget(
            instance=numbers.gather(1, at).view_as(labels),
            image=image,
            class_index=tables.class_index[image, slot],
            background=known[:, None] & (class_of_pixel[:, None] != of_class) & labelled[:, :, None, None],
        )


@dataclass(frozen=True)
class Tables:
    """Of every label (0 to L) of every crop of a batch; those that its image doesn't have are 0's."""

    class_index: Tensor  # (B, L + 1) int64: seed map, -1 for none
    is_group: Tensor  # (B, L + 1) bool
    bottoms: Tensor  # (B, L + 1) int64: last row, -1 for none
    first_pasted: Tensor  # (B,) int64: the label of the first object pasted into each

    @classmethod
    def of(cls, plans: Sequence[Plan], images: DeviceImages, class_indices: Sequence[np.ndarray]) -> Tables:
        """The tables of a batch."""
        counts = [len(class_indices[plan.image]) for plan in plans]
        shape = (
            len(plans),
            1 + max(count + len(plan.pasted) for count, plan in zip(counts, plans, strict=True)),
        )
        class_index, bottoms = np.full(shape, -1), np.full(shape, -1)
        is_group = np.zeros(shape, bool)
        for b, (count, plan) in enumerate(zip(counts, plans, strict=True)):
            class_index[b, 1 : count + 1] = class_indices[plan.image]
            bottoms[b, 1 : count + 1] = images.objects[plan.image].bottoms
            is_group[b, 1 : count + 1] = images.image(plan.image).is_group
            for label, pasted in enumerate(plan.pasted, count + 1):
                class_index[b, label] = class_indices[pasted.image][pasted.number]
                bottoms[b, label] = pasted.bottom
        device = images.device
        return cls(
            to_device(class_index, torch.int64, device),
            to_device(is_group, torch.bool, device),
            to_device(bottoms, torch.int64, device),
            to_device(np.array(counts) + 1, torch.int64, device),
        )

    def reach_below(self, crops: Tensor, labels: Tensor, bottom: Tensor) -> Tensor:
        """Which of the labels (n, h, w) of these crops are of objects that stand nearer than a row (n,)."""
        of_label = self.bottoms[crops].gather(1, labels.clamp(min=0).flatten(1)).view_as(labels)
        return of_label > bottom[:, None, None]
