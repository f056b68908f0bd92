"""Labels of rendered drives, right but for errors planted in them: where each is, and of which kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import cv2
import numpy as np

from annotator.instances import Instances
from annotator.masks import Rle, areas, decode, encode, encode_label_map
from annotator.synthetic import Street
from tests.helpers.builders import frame_ref

SMALLEST = 150  # pixels of an object that is labelled
CLASSES = (24, 26, 27, 28)
KINDS = ("dropped", "eroded", "split", "swapped", "other class")


@dataclass
class Thing:
    """An object of a frame."""

    track: int
    class_id: int
    mask: Rle
    score: float


@dataclass
class Planted:
    """A drive's labels, and what is wrong in them: the kind of error, by frame and track."""

    frames: list[list[Thing]]
    size: tuple[int, int]
    errors: dict[tuple[int, int], str] = field(default_factory=dict)

    def instances(self) -> Iterator[Instances]:
        """The labels, frame by frame."""
        for index, things in enumerate(self.frames):
            yield Instances.of(
                frame_ref(index, self.size),
                [thing.mask for thing in things],
                [thing.class_id for thing in things],
                [thing.score for thing in things],
                track_ids=[thing.track for thing in things],
            )


def right(seed: int, frames: int, size: tuple[int, int] = (192, 384), trembling: float = 0.3) -> Planted:
    """A drive's labels without an error; outlines tremble a little, as those of a network do."""
    street, random = Street(seed, size), Random(seed)
    scores: dict[int, float] = {}
    labels = []
    for index in range(frames):
        drawn = street.frame(index)
        things = []
        for track, mask in encode_label_map(drawn.label_map).items():
            if areas([mask])[0] < SMALLEST:
                continue
            if random.random() < trembling:
                mask = _grown(mask, random.choice((-1, 1)))
            base = scores.setdefault(track, random.uniform(0.45, 0.95))
            score = min(1.0, max(0.3, random.gauss(base, 0.05)))
            things.append(Thing(track, drawn.classes[track], mask, score))
        labels.append(things)
    return Planted(labels, size)


def planted(seed: int, frames: int, share: float = 0.05, size: tuple[int, int] = (192, 384)) -> Planted:
    """The same with errors in about a share of all objects, as many of each kind."""
    labels, random = right(seed, frames, size), Random(seed + 1)
    total = sum(map(len, labels.frames))
    for turn in range(100 * len(KINDS)):
        if len(labels.errors) >= share * total:
            break
        _plant(labels, KINDS[turn % len(KINDS)], random)
    return labels


def _plant(labels: Planted, kind: str, random: Random) -> None:
    """One error, of one or a few frames."""
    first = random.randrange(2, len(labels.frames) - 4)
    things = [thing for thing in labels.frames[first] if _is_clean(labels, first, thing.track)]
    if not things:
        return
    track = random.choice(things).track
    if kind == "swapped":
        _swap(labels, first, track, random)
        return
    new_class = random.choice([c for c in CLASSES if c != _thing(labels, first, track).class_id])
    new_track = 1 + max(thing.track for each in labels.frames for thing in each)
    for index in range(first, first + random.randint(1, 4)):
        thing = _thing(labels, index, track) if index < len(labels.frames) - 1 else None
        if thing is None or not _thing(labels, index + 1, track):
            return
        labels.errors[index, track] = kind
        if kind == "dropped":
            labels.frames[index].remove(thing)
        elif kind == "eroded":
            thing.mask = _grown(thing.mask, -max(2, round(0.12 * float(np.sqrt(areas([thing.mask])[0])))))
        elif kind == "other class":
            thing.class_id = new_class
        else:
            thing.mask, other = _halves(thing.mask, random.random() < 0.5)
            labels.frames[index].append(Thing(new_track, thing.class_id, other, 0.9 * thing.score))


def _swap(labels: Planted, first: int, track: int, random: Random) -> None:
    """Two tracks of a class are each other's from a frame on."""
    one = _thing(labels, first, track)
    others = [
        thing.track
        for thing in labels.frames[first]
        if thing.class_id == one.class_id and thing.track != track and _thing(labels, first - 1, thing.track)
    ]
    if not others or not _thing(labels, first - 1, track):
        return
    other = random.choice(others)
    for things in labels.frames[first:]:
        for thing in things:
            thing.track = {track: other, other: track}.get(thing.track, thing.track)
    later = {key: kind for key, kind in labels.errors.items() if key[0] >= first}
    for key in later:
        del labels.errors[key]
    for (index, of_track), kind in later.items():
        labels.errors[index, {track: other, other: track}.get(of_track, of_track)] = kind
    labels.errors[first, track] = labels.errors[first, other] = "swapped"


def _is_clean(labels: Planted, index: int, track: int) -> bool:
    near = range(index - 2, index + 7)
    return not any((k, track) in labels.errors for k in near)


def _thing(labels: Planted, index: int, track: int) -> Thing | None:
    return next((thing for thing in labels.frames[index] if thing.track == track), None)


def _grown(mask: Rle, pixels: int) -> Rle:
    """The mask with so many pixels more, or less, all around; as it is where nothing would be left."""
    way = cv2.dilate if pixels > 0 else cv2.erode
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    changed = way(decode(mask).astype(np.uint8), kernel, iterations=abs(pixels)) > 0
    return encode(changed) if np.count_nonzero(changed) > 30 else mask


def _halves(mask: Rle, is_upright: bool) -> tuple[Rle, Rle]:
    """A mask cut in two through its middle, the larger half first."""
    whole = decode(mask)
    lines = np.flatnonzero(whole.any(0 if is_upright else 1))
    middle = int(np.median(lines))
    first = whole.copy()
    if is_upright:
        first[:, middle:] = False
    else:
        first[middle:] = False
    parts = sorted((first, whole & ~first), key=lambda part: -np.count_nonzero(part))
    return encode(parts[0]), encode(parts[1])
