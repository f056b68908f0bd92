"""The label table is the official one, and ids stay within their class."""

from __future__ import annotations

import pytest

from annotator.errors import FormatError, UsageError
from annotator.labels import BY_ID, BY_NAME, INSTANCE_CLASSES, LABELS, class_ids, instance_id


def test_the_table_holds_every_cityscapes_label_once() -> None:
    assert sorted(label.id for label in LABELS) == list(range(-1, 34))
    assert len(BY_NAME) == len(BY_ID) == 35
    assert {label.category_id: label.category for label in LABELS} == dict(
        enumerate(["void", "flat", "construction", "object", "nature", "sky", "human", "vehicle"])
    )


def test_the_nineteen_train_ids_are_the_labels_that_are_evaluated() -> None:
    trained = {label.train_id: label.name for label in LABELS if label.train_id not in (-1, 255)}
    assert list(trained) == list(range(19))
    assert all(label.ignore_in_eval == (label.train_id in (-1, 255)) for label in LABELS)
    assert trained[0] == "road"
    assert trained[13] == "car"


def test_eight_classes_have_instances_that_are_evaluated() -> None:
    assert INSTANCE_CLASSES == (24, 25, 26, 27, 28, 31, 32, 33)
    assert BY_ID[26].name == "car"
    assert BY_NAME["person"].colour == (220, 20, 60)
    assert BY_NAME["caravan"].has_instances
    assert BY_NAME["caravan"].ignore_in_eval


def test_classes_are_known_by_name() -> None:
    assert class_ids(["car", "person"]) == (26, 24)
    with pytest.raises(UsageError, match=r"'dragon' is not a Cityscapes class; .* person, rider, car"):
        class_ids(["car", "dragon"])


def test_an_instance_id_never_runs_into_the_next_class() -> None:
    assert instance_id(26, 0) == 26000
    assert instance_id(26, 999) == 26999
    for k in (1000, -1):
        with pytest.raises(FormatError, match=r"car number .* 0 to 999"):
            instance_id(26, k)
