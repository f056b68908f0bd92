"""Predictions and truth brought together: recordings by name, their frames by name or index.

Labels are read once, frame by frame; in memory are names, and frames that come in another order on the other side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from annotator.errors import LabelFileError, UsageError
from annotator.formats.coco.format import COCO_RESULTS
from annotator.formats.finished import require_finished
from annotator.formats.interface import Size
from annotator.formats.label_set import LabelSet, RecordingLabels
from annotator.formats.pairing import By, FrameNames, Pair, by_name, by_number, repeated
from annotator.formats.sniffing import bad_input, sniff
from annotator.frames import FrameRef
from annotator.instances import GroundTruth, Instances
from annotator.options import (
    AS_WRITTEN,
    MATCH_AUTO,
    MATCH_ID,
    MATCH_NAME,
    PAIRED_AS_NAMED,
    PairingOptions,
    ReadingOptions,
)

Pairs = Iterator[tuple[Instances, GroundTruth]]
Item = TypeVar("Item")


@dataclass
class Counts:
    """What was compared, and what one side has alone; final when all frames have been read."""

    compared: int = 0  # frames
    only_predicted: int = 0  # frames of recordings that were compared
    only_true: int = 0
    paired_by: Counter[By] = field(default_factory=Counter)  # frames that were compared
    are_named: bool = False  # on a side at least
    similar: tuple[str, str] | None = None  # names of two frames that were paired by similar ones

    def told_pairs(self) -> dict[str, int]:
        """How many frames were paired by what, in words."""
        return {by.value: self.paired_by[by] for by in By if self.paired_by[by]}


@dataclass(frozen=True)
class Recording:
    """Labels of a recording on both sides. Several on a side are frames of one: tracks are lost there."""

    name: str
    predicted: tuple[RecordingLabels, ...]
    true: tuple[RecordingLabels, ...]
    counts: Counts
    match: str = MATCH_AUTO  # what frames meet by

    def frames(self) -> Pairs:
        """Yield the frames that both sides have, as truth orders them, and count; to be read once.

        Raises UsageError for bad labels.
        """
        with bad_input():
            first_truth, truths = _peek(_truths(self.true))
            if first_truth is None:
                return
            first, predictions = _peek(_predictions(self.predicted, first_truth.instances.frame.size))
            theirs = _frame_names(self.true)
            ours = _frame_names(self.predicted) if len(theirs) else FrameNames()
            self.counts.are_named |= any(each.frame.name for each in (first, first_truth.instances) if each)
            pairs = self._paired(ours, theirs)
            if pairs:
                yield from self._by_pairs(predictions, truths, pairs, (len(ours), len(theirs)))
            elif self._may_go_by_index(first, first_truth.instances):
                yield from self._by_index(predictions, truths)
            else:
                raise UsageError(
                    f"no frame in common: {_paths(self.predicted)} has {_example(ours)},"
                    f" {_paths(self.true)} has {_example(theirs)}{self._remedy()}"
                )

    def _paired(self, ours: FrameNames, theirs: FrameNames) -> Mapping[Pair, By]:
        """The frames that are one by names or, where those say nothing or when told, by the numbers of files."""
        if self.match == MATCH_ID:
            return by_number(ours, theirs)
        if self.match != MATCH_NAME and (ours.are_numbers or theirs.are_numbers):
            return by_number(ours, theirs)
        _require_one_each(ours, theirs, self.predicted)
        _require_one_each(theirs, ours, self.true)
        pairs = by_name(ours, theirs)
        similar = next((pair for pair, by in pairs.items() if by is By.SIMILAR), None)
        if similar:
            self.counts.similar = (ours.first(similar[0]), theirs.first(similar[1]))
        return pairs

    def _may_go_by_index(self, first: Instances | None, first_true: Instances) -> bool:
        """Whether a side has no names, so that numbers have to do, or they were asked for; not those of several."""
        is_named = first is not None and bool(first.frame.name) and bool(first_true.frame.name)
        is_one_each = len(self.predicted) == len(self.true) == 1
        return is_one_each and (self.match == MATCH_ID or (self.match != MATCH_NAME and not is_named))

    def _remedy(self) -> str:
        if self.match == MATCH_ID:
            return ""
        return "; if they are the same images in the same order, `match` id pairs them by number"

    def _by_pairs(
        self,
        predictions: Iterator[Instances],
        truths: Iterator[GroundTruth],
        pairs: Mapping[Pair, By],
        lengths: tuple[int, int],
    ) -> Pairs:
        partners = {j: (i, by) for (i, j), by in pairs.items()}
        paired = {i for i, _ in pairs}
        self.counts.only_predicted += lengths[0] - len(pairs)
        self.counts.only_true += lengths[1] - len(pairs)
        numbered = zip(range(lengths[0]), predictions, strict=False)  # a run that goes on has more by now
        waiting: dict[int, Instances] = {}  # predictions that truth has not come to yet
        for j, truth in zip(range(lengths[1]), truths, strict=False):
            if j not in partners:
                continue
            i, by = partners[j]
            while i not in waiting:
                place, found = next(numbered)
                if place in paired:
                    waiting[place] = found
            self.counts.compared += 1
            self.counts.paired_by[by] += 1
            yield waiting.pop(i), truth

    def _by_index(self, predictions: Iterator[Instances], truths: Iterator[GroundTruth]) -> Pairs:
        predictions = _ascending(predictions, lambda found: found.frame, self.predicted)
        found = next(predictions, None)
        form = self.predicted[0].format
        is_empty = form is COCO_RESULTS and found is None  # [] is a result
        is_silent = is_empty or not form.lists_empty_frames
        for truth in _ascending(truths, lambda truth: truth.instances.frame, self.true):
            ref = truth.instances.frame
            while found is not None and found.frame.index < ref.index:
                self.counts.only_predicted += 1
                found = next(predictions, None)
            if found is not None and found.frame.index == ref.index:
                self._count_numbered()
                yield found, truth
                found = next(predictions, None)
            elif is_silent:
                self._count_numbered()
                yield Instances.of(ref), truth
            else:
                self.counts.only_true += 1
        self.counts.only_predicted += (found is not None) + sum(1 for _ in predictions)

    def _count_numbered(self) -> None:
        self.counts.compared += 1
        self.counts.paired_by[By.NUMBER] += 1


@dataclass(frozen=True)
class Comparison:
    """Predictions and truth, recording by recording."""

    prediction: LabelSet
    truth: LabelSet
    counts: Counts
    only_predicted: tuple[str, ...]  # recordings that truth lacks
    only_true: tuple[str, ...]
    recordings: tuple[Recording, ...] = field(repr=False)

    def unread(self) -> dict[str, dict[str, int]]:
        """What could not be read of each side's labels, in words; to be asked when all have been read."""
        sides = {"predicted": self.prediction, "true": self.truth}
        return {
            name: dict(sum((labels.skipped for labels in side.labels), Counter()))
            for name, side in sides.items()
        }

    def require_compared(self) -> None:
        """Raise UsageError when no frame was compared; to be called when all have been read."""
        if not self.counts.compared:
            raise UsageError(
                f"no frame in common: {self.prediction.path} has {self.counts.only_predicted} that"
                f" {self.truth.path} lacks, which has {self.counts.only_true} others"
            )


def compare(
    prediction: Path,
    truth: Path,
    reading: ReadingOptions = AS_WRITTEN,
    pairing: PairingOptions = PAIRED_AS_NAMED,
) -> Comparison:
    """Recognize both sides and match their recordings. Raises UsageError.

    `reading` says what becomes of labels of other names, and of what is no label; `pairing` what frames meet by.

    Faults that show when frames are compared, as masks of different sizes, are to be turned by `bad_input`, too.
    """
    with bad_input():
        ours, theirs = sniff(prediction, reading), sniff(truth, reading)
        for side in (ours, theirs):
            require_finished(side, reading)
        counts = Counts()
        recordings = [
            Recording(name, predicted, true, counts, pairing.match)
            for name, predicted, true in _matched(ours, theirs)
        ]
        used = {labels.path for each in recordings for labels in (*each.predicted, *each.true)}
        return Comparison(
            ours,
            theirs,
            counts,
            tuple(labels.name for labels in ours.labels if labels.path not in used),
            tuple(labels.name for labels in theirs.labels if labels.path not in used),
            tuple(recordings),
        )


# ---- recordings

Matched = tuple[str, tuple[RecordingLabels, ...], tuple[RecordingLabels, ...]]


def _matched(ours: LabelSet, theirs: LabelSet) -> list[Matched]:
    """The recordings that two sides have in common: name, predicted labels, true labels."""
    if len(ours.labels) == len(theirs.labels) == 1:
        return [(theirs.labels[0].name, ours.labels, theirs.labels)]
    for shorten in (str, _last_part):
        predicted, true = _by_name(ours, shorten), _by_name(theirs, shorten)
        common = [name for name in true if name in predicted]
        if common:
            return [(name, (predicted[name],), (true[name],)) for name in common]
    # Frames of a whole data set in one file or folder, and recordings of their own on the other side.
    if 1 in (len(ours.labels), len(theirs.labels)):
        return [(theirs.path.name, ours.labels, theirs.labels)]
    raise UsageError(
        f"no recording in common: {ours.path} has {_some(ours)}, {theirs.path} has {_some(theirs)}"
    )


def _by_name(side: LabelSet, shorten: Callable[[str], str]) -> dict[str, RecordingLabels]:
    """The recordings of a side that have a short name of their own."""
    times = Counter(shorten(labels.name) for labels in side.labels)
    return {shorten(labels.name): labels for labels in side.labels if times[shorten(labels.name)] == 1}


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _some(side: LabelSet) -> str:
    names = [labels.name for labels in side.labels]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# ---- frames


def _predictions(labels: Sequence[RecordingLabels], size: Size) -> Iterator[Instances]:
    for each in labels:
        for found in each.instances(size):
            yield found if len(labels) == 1 else _without_tracks(found)


def _truths(labels: Sequence[RecordingLabels]) -> Iterator[GroundTruth]:
    for each in labels:
        for truth in each.truth():
            yield truth if len(labels) == 1 else replace(truth, instances=_without_tracks(truth.instances))


def _without_tracks(found: Instances) -> Instances:
    """Tracks of one recording are not those of another, even if their numbers are."""
    return found.with_tracks(np.zeros(len(found)))


def _peek(items: Iterator[Item]) -> tuple[Item | None, Iterator[Item]]:
    """The first item, and all of them."""
    for first in items:
        return first, chain([first], items)
    return None, iter(())


def _ascending(
    items: Iterator[Item], ref_of: Callable[[Item], FrameRef], labels: Sequence[RecordingLabels]
) -> Iterator[Item]:
    last = -1
    for item in items:
        index = ref_of(item).index
        if index <= last:
            raise LabelFileError(f"{_paths(labels)}: frame {index} comes after frame {last}")
        last = index
        yield item


def _frame_names(labels: Sequence[RecordingLabels]) -> FrameNames:
    """What the frames of some labels are called, one behind the other; those of several in a folder each."""
    if len(labels) == 1:
        return labels[0].frame_names()
    return FrameNames.of_all({each.name: each.frame_names() for each in labels})


def _require_one_each(names: FrameNames, others: FrameNames, labels: Sequence[RecordingLabels]) -> None:
    if twice := repeated(names, others):
        raise LabelFileError(
            f"{_paths(labels)}: {len(twice)} names belong to several frames, one is {twice[0]}"
        )


def _paths(labels: Sequence[RecordingLabels]) -> str:
    return str(labels[0].path) + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")


def _example(names: FrameNames) -> str:
    """The name of a frame."""
    return names.first(0) if any(names.names) else "frames without a name"
