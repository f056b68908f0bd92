"""The Cityscapes label table as a table, and the ids of its instances."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from annotator.errors import FormatLimitError, UsageError

INSTANCES_PER_CLASS = 1000  # id = class * 1000 + k: k = 1000 would be an instance of the next class


class Label(NamedTuple):
    """One line of the table."""

    name: str
    id: int  # as stored in labelIds; instanceIds of instances are id * 1000 + k
    train_id: int  # what networks are trained on; 255 and -1 = not trained
    category: str
    category_id: int
    has_instances: bool
    ignore_in_eval: bool  # void for the official metrics
    colour: tuple[int, int, int]  # RGB


LABELS = (
    #     name                   id  train  category     cat  instances ignored  RGB
    Label("unlabeled", 0, 255, "void", 0, False, True, (0, 0, 0)),
    Label("ego vehicle", 1, 255, "void", 0, False, True, (0, 0, 0)),
    Label("rectification border", 2, 255, "void", 0, False, True, (0, 0, 0)),
    Label("out of roi", 3, 255, "void", 0, False, True, (0, 0, 0)),
    Label("static", 4, 255, "void", 0, False, True, (0, 0, 0)),
    Label("dynamic", 5, 255, "void", 0, False, True, (111, 74, 0)),
    Label("ground", 6, 255, "void", 0, False, True, (81, 0, 81)),
    Label("road", 7, 0, "flat", 1, False, False, (128, 64, 128)),
    Label("sidewalk", 8, 1, "flat", 1, False, False, (244, 35, 232)),
    Label("parking", 9, 255, "flat", 1, False, True, (250, 170, 160)),
    Label("rail track", 10, 255, "flat", 1, False, True, (230, 150, 140)),
    Label("building", 11, 2, "construction", 2, False, False, (70, 70, 70)),
    Label("wall", 12, 3, "construction", 2, False, False, (102, 102, 156)),
    Label("fence", 13, 4, "construction", 2, False, False, (190, 153, 153)),
    Label("guard rail", 14, 255, "construction", 2, False, True, (180, 165, 180)),
    Label("bridge", 15, 255, "construction", 2, False, True, (150, 100, 100)),
    Label("tunnel", 16, 255, "construction", 2, False, True, (150, 120, 90)),
    Label("pole", 17, 5, "object", 3, False, False, (153, 153, 153)),
    Label("polegroup", 18, 255, "object", 3, False, True, (153, 153, 153)),
    Label("traffic light", 19, 6, "object", 3, False, False, (250, 170, 30)),
    Label("traffic sign", 20, 7, "object", 3, False, False, (220, 220, 0)),
    Label("vegetation", 21, 8, "nature", 4, False, False, (107, 142, 35)),
    Label("terrain", 22, 9, "nature", 4, False, False, (152, 251, 152)),
    Label("sky", 23, 10, "sky", 5, False, False, (70, 130, 180)),
    Label("person", 24, 11, "human", 6, True, False, (220, 20, 60)),
    Label("rider", 25, 12, "human", 6, True, False, (255, 0, 0)),
    Label("car", 26, 13, "vehicle", 7, True, False, (0, 0, 142)),
    Label("truck", 27, 14, "vehicle", 7, True, False, (0, 0, 70)),
    Label("bus", 28, 15, "vehicle", 7, True, False, (0, 60, 100)),
    Label("caravan", 29, 255, "vehicle", 7, True, True, (0, 0, 90)),
    Label("trailer", 30, 255, "vehicle", 7, True, True, (0, 0, 110)),
    Label("train", 31, 16, "vehicle", 7, True, False, (0, 80, 100)),
    Label("motorcycle", 32, 17, "vehicle", 7, True, False, (0, 0, 230)),
    Label("bicycle", 33, 18, "vehicle", 7, True, False, (119, 11, 32)),
    Label("license plate", -1, -1, "vehicle", 7, False, True, (0, 0, 142)),
)
BY_NAME = {label.name: label for label in LABELS}
BY_ID = {label.id: label for label in LABELS}
INSTANCE_CLASSES = tuple(
    label.id for label in LABELS if label.has_instances and not label.ignore_in_eval
)  # 24 person, 25 rider, 26 car, 27 truck, 28 bus, 31 train, 32 motorcycle, 33 bicycle


def class_ids(names: Iterable[str]) -> tuple[int, ...]:
    """Cityscapes ids of label names, in their order. Raises UsageError for a name that isn't in the table."""
    ids = []
    for name in names:
        if name not in BY_NAME:
            known = ", ".join(BY_ID[i].name for i in INSTANCE_CLASSES)
            raise UsageError(f"{name!r} is not a Cityscapes class; those with instances are {known}")
        ids.append(BY_NAME[name].id)
    return tuple(ids)


def instance_id(class_id: int, k: int) -> int:
    """The id of instance `k` (from 0) of a class, as stored in instanceIds. Raises FormatError above 999."""
    if not 0 <= k < INSTANCES_PER_CLASS:
        raise FormatLimitError(
            f"{BY_ID[class_id].name} number {k}: an id (class * 1000 + number) holds numbers 0 to 999 only;"
            " raise `seed_threshold` or `min_pixels`, or label a shorter stretch (`start`, `end`)"
        )
    return class_id * INSTANCES_PER_CLASS + k
