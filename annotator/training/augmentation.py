"""Crops centred on objects, scaled, mirrored and recoloured; and the targets that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import numpy.typing as npt
import torch

from annotator.options import CropOptions
from annotator.training.images import UNKNOWN, LabelledImage
from annotator.training.loss import Target
from annotator.training.objects import Objects, Place, is_whole, riding_with

PADDING_COLOUR = (114, 114, 114)
SMALLEST = 32  # pixels; objects are drawn as if they had no fewer, or specks would take all crops


def crop(
    labelled: LabelledImage, rng: np.random.Generator, options: CropOptions, stride: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16]]:
    """A random crop: image (h, w, 3) uint8, and label map (h / stride, w / stride) at the centres of field pixels."""
    height, width = options.size
    to_crop = placement(labelled, rng, options)
    image = cv2.warpAffine(
        labelled.image,
        to_crop,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=PADDING_COLOUR,
    )
    to_field = to_crop / stride
    to_field[:, 2] -= (stride - 1) / 2 / stride
    labels = cv2.warpAffine(
        labelled.label_map,
        to_field,
        (width // stride, height // stride),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNKNOWN,
    )
    return recolour(image, rng) if options.recoloured else image, np.asarray(labels, np.int16)


def placement(
    labelled: LabelledImage,
    rng: np.random.Generator,
    options: CropOptions,
    objects: Objects | None = None,
) -> npt.NDArray[np.float64]:
    """Where a random crop lies: the matrix (2, 3) from pixels of the image to those of the crop, without shear.

    `objects`: those of the image, where they were measured before.
    """
    height, width = options.size
    x, y = _centre(labelled, rng, options, objects)
    scale = np.exp(rng.uniform(*np.log(options.scale)))
    mirror = rng.choice((-1, 1)) if options.mirrored else 1
    x = _kept_inside(x + rng.uniform(-0.25, 0.25) * width / scale, labelled.image.shape[1], width / scale)
    y = _kept_inside(y + rng.uniform(-0.25, 0.25) * height / scale, labelled.image.shape[0], height / scale)
    return np.array([[mirror * scale, 0, width / 2 - mirror * scale * x], [0, scale, height / 2 - scale * y]])


def _kept_inside(centre: float, extent: int, window: float) -> float:
    """The centre of a window that doesn't leave the image, or the image's centre where the window is larger."""
    return float(np.clip(centre, window / 2, extent - window / 2)) if window < extent else extent / 2


def _centre(
    labelled: LabelledImage, rng: np.random.Generator, options: CropOptions, measured: Objects | None
) -> Place:
    """(x, y) in the image: inside an object of a class drawn first, so that rare classes come up; or anywhere."""
    objects = np.flatnonzero(~labelled.is_group)
    if len(objects) and rng.random() < options.centred:
        class_id = rng.choice(np.unique(labelled.class_ids[objects]))
        of_class = objects[labelled.class_ids[objects] == class_id]
        number = int(rng.choice(of_class, p=_drawn_to_small(labelled, of_class, options.small, measured)))
        place = measured.centre(number) if measured else _centre_of(labelled.label_map, number)
        if place:
            return place
    height, width = labelled.label_map.shape
    if rng.random() < options.background:
        return _busy_background(labelled, rng, options)
    return rng.uniform(0, width), rng.uniform(0, height)


def _centre_of(label_map: npt.NDArray[np.int16], number: int) -> Place | None:
    """The mean of the pixels of an object, by number from 0; None where nothing shows it."""
    rows, columns = np.nonzero(label_map == number + 1)
    return (float(columns.mean()), float(rows.mean())) if len(rows) else None


def _drawn_to_small(
    labelled: LabelledImage, objects: npt.NDArray[np.intp], power: float, measured: Objects | None
) -> npt.NDArray[np.float64] | None:
    """Probability of each of the objects, by 1 / area ** power; None where all are alike."""
    if not power:
        return None
    if measured:
        areas = measured.areas[objects]
    else:
        shown = labelled.label_map[labelled.label_map > 0]
        areas = np.bincount(shown, minlength=len(labelled.class_ids) + 1)[objects + 1]
    weights = np.maximum(areas, SMALLEST).astype(np.float64) ** -power
    return weights / weights.sum()


def _busy_background(
    labelled: LabelledImage, rng: np.random.Generator, options: CropOptions
) -> tuple[float, float]:
    """Of a few places the one with the strongest edges among those that show least of any object.

    Poles, signs and windows are what networks take for objects; objects teach little of them.
    """
    height, width = labelled.label_map.shape
    half_height, half_width = (extent // 2 for extent in options.size)
    places = [(rng.uniform(0, width), rng.uniform(0, height)) for _ in range(8)]

    def order(place: tuple[float, float]) -> tuple[float, float]:
        x, y = (int(coordinate) for coordinate in place)
        window = np.s_[max(0, y - half_height) : y + half_height, max(0, x - half_width) : x + half_width]
        objects = float((labelled.label_map[window] != 0).mean())
        grey = cv2.cvtColor(labelled.image[window], cv2.COLOR_RGB2GRAY)
        return round(objects, 2), -float(np.abs(cv2.Laplacian(grey, cv2.CV_16S)).mean())

    return min(places, key=order)


def copy_paste(onto: LabelledImage, donor: LabelledImage, rng: np.random.Generator) -> LabelledImage:
    """`onto` with a few objects of `donor` where they stood in it, moved sideways; nearer objects stay in front.

    Copy-paste (Ghiasi et al., CVPR 2021) as far as perspective allows: what was on the street stays on the street.
    Images of different sizes come from different cameras and aren't mixed.
    """
    width = onto.label_map.shape[1]
    if donor.label_map.shape != onto.label_map.shape:
        return onto
    image, label_map, class_ids = onto.image.copy(), onto.label_map.copy(), list(onto.class_ids)
    for number in _chosen_objects(donor, rng):
        mask = donor.label_map == number + 1
        if not is_whole(mask):
            continue
        rows, columns = np.nonzero(mask)
        shift = int(rng.integers(-columns.min(), width - columns.max()))
        columns, bottom = columns + shift, rows.max()
        in_front = np.isin(label_map, _reaching_below(label_map, bottom))[rows, columns]
        rows, columns = rows[~in_front], columns[~in_front]
        softness = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0)[rows, columns - shift, None]
        blend = softness * donor.image[rows, columns - shift] + (1 - softness) * image[rows, columns]
        image[rows, columns] = blend.astype(np.uint8)
        class_ids.append(donor.class_ids[number])
        label_map[rows, columns] = len(class_ids)
    return LabelledImage(
        image=image,
        label_map=label_map,
        class_ids=np.array(class_ids, np.uint8),
        is_group=np.concatenate([onto.is_group, np.zeros(len(class_ids) - len(onto.is_group), bool)]),
        labelled=onto.labelled,
    )


def _chosen_objects(donor: LabelledImage, rng: np.random.Generator) -> list[int]:
    """One to three objects, of classes drawn first; who rides comes with what is ridden. Farthest first."""
    objects = np.flatnonzero(~donor.is_group & np.isin(np.arange(len(donor.is_group)) + 1, donor.label_map))
    chosen = choose(donor.class_ids, objects, rng, lambda number: riding_with(donor, number))
    return sorted(chosen, key=lambda number: int(np.nonzero(donor.label_map == number + 1)[0].max()))


def choose(
    class_ids: npt.NDArray[np.uint8],
    objects: npt.NDArray[np.intp],
    rng: np.random.Generator,
    with_it: Callable[[int], Iterable[int]],
) -> set[int]:
    """One to three of the objects, of classes drawn first, each with those that go with it."""
    chosen: set[int] = set()
    for _ in range(int(rng.integers(1, 4)) if len(objects) else 0):
        class_id = rng.choice(np.unique(class_ids[objects]))
        number = int(rng.choice(objects[class_ids[objects] == class_id]))
        chosen.add(number)
        chosen.update(k for k in with_it(number) if k in objects)
    return chosen


def _reaching_below(label_map: npt.NDArray[np.int16], row: int) -> npt.NDArray[np.int16]:
    """Labels of objects that stand on the ground nearer than `row`."""
    labels = np.unique(label_map[row + 1 :])
    return labels[labels > 0]


def recolour(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Other light and another camera: gamma, gain and white balance, saturation, blur, noise. (H, W, 3) uint8."""
    levels = np.arange(256)[:, None] / 255
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.92, 1.08, 3)
    table = 255 * gain * levels ** rng.uniform(0.75, 1.35) + rng.uniform(-12, 12)
    out = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[:, None, :])
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        keep = rng.uniform(0, 1)
        out = cv2.addWeighted(out, keep, grey, 1 - keep, 0)
    if rng.random() < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.3))
    if rng.random() < 0.2:
        noise = rng.integers(-128, 128, out.shape, np.int8)
        out = cv2.addWeighted(out.astype(np.int16), 1, noise.astype(np.int16), rng.uniform(0.02, 0.12), 0)
        out = np.clip(out, 0, 255).astype(np.uint8)
    return np.asarray(out, np.uint8)


def target(
    labels: npt.NDArray[np.int16], labelled: LabelledImage, class_ids: tuple[int, ...], min_field_pixels: int
) -> Target:
    """What the loss compares with: objects large enough, and for each class the pixels known not to be of it."""
    counts = np.bincount(labels[labels > 0], minlength=len(labelled.class_ids) + 1)[1:]
    known_class = np.isin(labelled.class_ids, class_ids)
    kept = np.flatnonzero((counts >= min_field_pixels) & ~labelled.is_group & known_class)
    renumber = np.zeros(len(labelled.class_ids) + 1, np.int64)
    renumber[kept + 1] = np.arange(1, len(kept) + 1)
    class_of_label = np.concatenate([[0], labelled.class_ids])
    class_map = np.where(labels == UNKNOWN, 0, class_of_label[np.maximum(labels, 0)])
    background = np.stack(
        [
            (labels != UNKNOWN) & (class_map != class_id) & (class_id in labelled.labelled)
            for class_id in class_ids
        ]
    )
    return Target(
        instance=torch.from_numpy(renumber[np.maximum(labels, 0)]),
        class_index=torch.tensor([class_ids.index(labelled.class_ids[k]) for k in kept], dtype=torch.int64),
        background=torch.from_numpy(background),
    )
