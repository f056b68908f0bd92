"""What people changed in labels: edits by kind, class, frame and track, what they cost, and where to train again.

In each frame objects are paired one to one: first those of one track that overlap at all, as a reshaped object keeps
its identity, then as for the cost of correction. Time is estimated from acts, not objects: what is done to a track in
consecutive frames is one act, and drawing and reshaping one for every keyframe.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annotator.errors import UsageError
from annotator.evaluation.edits import CUT, JOIN, Links, is_ignored, paired
from annotator.evaluation.matching import EPSILON, Pairs, assign
from annotator.evaluation.overlap import Overlap, is_background, judged, without_void
from annotator.evaluation.tracks import disjoint
from annotator.formats.comparison import Comparison, Counts, Recording, compare
from annotator.formats.cvat.format import CVAT
from annotator.formats.label_set import RecordingLabels
from annotator.formats.run.format import RUN
from annotator.formats.sniffing import bad_input
from annotator.formats.summary import LabelSummary
from annotator.instances import GroundTruth, Instances
from annotator.labels import BY_ID
from annotator.options import AS_WRITTEN, PAIRED_AS_NAMED, PairingOptions, ReadingOptions
from annotator.store import Store

KEPT, RESHAPED, ADDED, DELETED, RELABELLED = "kept", "reshaped", "added", "deleted", "relabelled"
KINDS = (KEPT, RESHAPED, ADDED, DELETED, RELABELLED, JOIN, CUT)
EDITS = KINDS[1:]
ASSUMED_SECONDS = {  # of an act; drawing a polygon as in a public count of 119 an hour, the others are guesses
    ADDED: 30.0,
    RESHAPED: 15.0,
    RELABELLED: 4.0,
    DELETED: 3.0,
    JOIN: 8.0,
    CUT: 5.0,
    "frame": 0.5,  # to look at
}
KEYFRAME_EVERY = 10  # frames for which a drawn or reshaped outline is assumed to serve
WEIGHT = {ADDED: 1.0, DELETED: 1.0, RELABELLED: 1.0, RESHAPED: 0.5}  # of what a network can learn from
SENT = ("cvat_sent.xml", "cvat.xml", "cvat")  # what people were sent of a recording of a run
APART = 5  # frames that two frames worth training on are apart at least, as neighbours show the same


class Change(NamedTuple):
    """An object of one frame on one side or both; 0 where there is none."""

    kind: str
    class_id: int  # as corrected; of a deleted object, as it was
    machine_track: int
    corrected_track: int


@dataclass(frozen=True)
class ChangedFrame:
    """A frame in which something was changed."""

    recording: str
    index: int
    name: str
    counts: Mapping[str, int]  # by kind

    @property
    def weight(self) -> float:
        """How much there is to learn from it."""
        return sum(WEIGHT.get(kind, 0) * count for kind, count in self.counts.items())


@dataclass
class Diff:
    """All that was changed."""

    machine: Path
    corrected: Path
    frames: int = 0  # compared
    pairing: Counts = field(default_factory=Counts)  # what frames were paired by
    skipped: Mapping[str, int] = field(default_factory=dict)  # frames and recordings that one side has alone
    unread: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of both sides, in words
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)  # by kind and class
    actions: Counter[str] = field(default_factory=Counter)  # by kind
    drawn: int = 0  # acts of drawing all that is in the corrected labels
    changed: list[ChangedFrame] = field(default_factory=list)
    tracks: dict[tuple[str, int, int], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # by recording, track of the machine and corrected one

    def total(self, kind: str) -> int:
        """Objects in frames, or links of tracks, of a kind."""
        return sum(count for (of_kind, _), count in self.counts.items() if of_kind == kind)

    def seconds(self, assumed: Mapping[str, float] = ASSUMED_SECONDS) -> float:
        """The time that the edits took, by seconds an act."""
        return (
            sum(assumed[kind] * count for kind, count in self.actions.items())
            + assumed["frame"] * self.frames
        )

    def seconds_from_nothing(self, assumed: Mapping[str, float] = ASSUMED_SECONDS) -> float:
        """The time to draw the corrected labels without the machine's."""
        return assumed[ADDED] * self.drawn + assumed["frame"] * self.frames

    def frames_to_retrain(self, most: int) -> list[ChangedFrame]:
        """The frames with most to learn from, best first; of neighbours the best."""
        chosen: list[ChangedFrame] = []
        taken: set[tuple[str, int]] = set()
        for frame in sorted(self.changed, key=lambda frame: -frame.weight):
            near = ((frame.recording, frame.index + k) for k in range(1 - APART, APART))
            if frame.weight and len(chosen) < most and taken.isdisjoint(near):
                chosen.append(frame)
                taken.add((frame.recording, frame.index))
        return chosen

    def as_json(self, most: int, assumed: Mapping[str, float] = ASSUMED_SECONDS) -> dict[str, Any]:
        """Everything, for JSON."""
        classes = sorted({class_id for _, class_id in self.counts})
        return {
            "machine": str(self.machine),
            "corrected": str(self.corrected),
            "frames": self.frames,
            "paired_by": self.pairing.told_pairs(),
            "left_out": dict(self.skipped),
            "unread": self.unread,
            "edits": {kind: self.total(kind) for kind in KINDS},
            "classes": {BY_ID[c].name: {kind: self.counts[kind, c] for kind in KINDS} for c in classes},
            "time": {
                "seconds": round(self.seconds(assumed), 1),
                "seconds_from_nothing": round(self.seconds_from_nothing(assumed), 1),
                "acts": {kind: self.actions[kind] for kind in EDITS},
                "assumed_seconds": dict(assumed),
                "assumed_frames_of_a_keyframe": KEYFRAME_EVERY,
            },
            "worth_training": [
                _frame(frame) | {"weight": frame.weight} for frame in self.frames_to_retrain(most)
            ],
            "changed_frames": [_frame(frame) for frame in self.changed],
            "tracks": [
                {"recording": name, "machine": ours or None, "corrected": theirs or None, **counts}
                for (name, ours, theirs), counts in sorted(self.tracks.items())
            ],
        }


def diff(
    machine: Path,
    corrected: Path,
    reading: ReadingOptions = AS_WRITTEN,
    kept_iou: float = 0.9,
    pairing: PairingOptions = PAIRED_AS_NAMED,
) -> Diff:
    """Compare labels with what people made of them, each whatever `sniff` knows.

    From `kept_iou` on an outline counts as kept. Raises UsageError for labels that can't be read or compared.
    """
    comparison = compare(machine, corrected, reading, pairing)
    result = Diff(machine, corrected)
    with bad_input():
        for recording in comparison.recordings:
            _Reading(result, _as_sent(recording), kept_iou).add_all()
        comparison.require_compared()
    result.frames, result.pairing = comparison.counts.compared, comparison.counts
    result.unread = comparison.unread()
    result.skipped = {name: count for name, count in _left_out(comparison).items() if count}
    return result


def parse_seconds(text: str) -> dict[str, float]:
    """Seconds an act from "KIND=NUMBER,...", the others as assumed. Raises UsageError."""
    seconds = dict(ASSUMED_SECONDS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, number = (each.strip() for each in part.partition("="))
        if kind not in seconds or not number.replace(".", "", 1).isdecimal():
            raise UsageError(f"`seconds` takes KIND=NUMBER,... of {', '.join(seconds)}, not {part!r}")
        seconds[kind] = float(number)
    return seconds


def _as_sent(recording: Recording) -> Recording:
    """The same with the CVAT file of a run in its place, if that is what people corrected.

    Polygons are not quite the masks of a run: nobody reshaped what only comes back as it was sent.
    """
    if not all(_is_of_cvat(labels) for labels in recording.true):
        return recording
    return replace(recording, predicted=tuple(_sent(labels) for labels in recording.predicted))


def _is_of_cvat(labels: RecordingLabels) -> bool:
    """Whether labels are an export of CVAT, or a run made of one."""
    if labels.format is not RUN:
        return labels.format is CVAT
    with Store.read(labels.path) as store:
        return store.fingerprint.get("converted") == CVAT.title


def _sent(labels: RecordingLabels) -> RecordingLabels:
    files = [labels.path / name for name in SENT] if labels.format is RUN else []
    file = next((file for file in files if file.exists()), None)
    return replace(labels, path=file, format=CVAT) if file else labels


def _surveys(labels: tuple[RecordingLabels, ...]) -> LabelSummary | None:
    """What a run is seen from afar: as it is published, a track has one class."""
    if len(labels) != 1 or labels[0].format is not RUN:
        return None
    with Store.read(labels[0].path) as store:
        return LabelSummary.of(store)


class _Reading:
    """The edits of one recording while its frames come in."""

    def __init__(self, result: Diff, recording: Recording, kept_iou: float) -> None:
        self._result, self._recording, self._kept_iou = result, recording, kept_iou
        self._machine, self._corrected = _surveys(recording.predicted), _surveys(recording.true)
        self._may_lack_background = any(labels.format.is_cityscapes for labels in recording.true)
        self._links = Links()
        self._acts = _Acts(result.actions)
        self._drawing = _Acts(Counter())

    def add_all(self) -> None:
        """Read both sides."""
        for place, (found, truth) in enumerate(self._recording.frames()):
            self._add(place, found, truth)
        self._result.drawn += self._drawing.counts[ADDED]

    def _add(self, place: int, found: Instances, truth: GroundTruth) -> None:
        found = self._machine.disjoint(found) if self._machine else found
        true = self._corrected.disjoint(truth.instances) if self._corrected else truth.instances
        found, _ = disjoint(judged(found, truth))
        true, _ = disjoint(judged(true, truth))
        overlap = Overlap.of(found, replace(truth, instances=true))
        if self._may_lack_background and is_background(overlap):
            overlap = without_void(overlap)
        p, t = _paired(overlap)
        counts = Counter[str]()
        for change in _changes(overlap, (p, t), self._kept_iou):
            counts[change.kind] += 1
            self._result.counts[change.kind, change.class_id] += 1
            self._acts.add(place, change)
            if change.kind != DELETED:
                self._drawing.add(place, change._replace(kind=ADDED))
            if change.machine_track or change.corrected_track:
                key = (self._recording.name, change.machine_track, change.corrected_track)
                self._result.tracks[key][change.kind] += 1
        class_of = dict(zip(overlap.truth.track_ids.tolist(), overlap.truth.class_ids.tolist(), strict=True))
        for link in self._links.follow(overlap, p, t):
            counts[link.kind] += 1
            self._result.counts[link.kind, class_of[link.true]] += 1
            self._result.actions[link.kind] += 1
        if any(counts[kind] for kind in EDITS):
            ref = overlap.frame
            edits = {kind: counts[kind] for kind in EDITS if counts[kind]}
            self._result.changed.append(ChangedFrame(self._recording.name, ref.index, ref.name, edits))


@dataclass
class _Acts:
    """Acts: what is done to a track in consecutive frames is one."""

    counts: Counter[str]
    last: dict[tuple[str, int, int], tuple[int, int]] = field(
        default_factory=dict
    )  # place, and first one of the act

    def add(self, place: int, change: Change) -> None:
        """Count what was done in the frame at this place."""
        if change.kind == KEPT:
            return
        key = (change.kind, change.machine_track, change.corrected_track)
        is_tracked = bool(change.machine_track or change.corrected_track)
        before, first = self.last.get(key, (-2, -2)) if is_tracked else (-2, -2)
        serves = KEYFRAME_EVERY if change.kind in (ADDED, RESHAPED) else place + 1
        if before == place - 1 and place - first < serves:
            self.last[key] = (place, first)
            return
        self.last[key] = (place, place)
        self.counts[change.kind] += 1


def _paired(overlap: Overlap) -> Pairs:
    """The objects that are one: of one track and overlapping, then by overlap and class."""
    iou = overlap.iou()
    ours, theirs = overlap.predicted.track_ids, overlap.truth.track_ids
    p, t = assign(np.where((ours[:, None] == theirs) & (ours[:, None] > 0), iou, 0))
    rest = iou.copy()
    rest[p], rest[:, t] = 0, 0
    more_p, more_t = paired(rest, overlap.predicted.class_ids[:, None] == overlap.truth.class_ids)
    return np.append(p, more_p), np.append(t, more_t)


def _changes(overlap: Overlap, pairs: Pairs, kept_iou: float) -> list[Change]:
    """What became of every object, given those that are one."""
    p, t = pairs
    machine, corrected, iou = overlap.predicted, overlap.truth, overlap.iou()
    changes = []
    for i, j in zip(p.tolist(), t.tolist(), strict=True):
        is_kept = iou[i, j] >= kept_iou - EPSILON
        kind = KEPT if is_kept else RESHAPED
        if machine.class_ids[i] != corrected.class_ids[j]:
            kind = RELABELLED
        tracks = (int(machine.track_ids[i]), int(corrected.track_ids[j]))
        changes.append(Change(kind, int(corrected.class_ids[j]), *tracks))
    for i in np.setdiff1d(np.flatnonzero(~is_ignored(overlap)), p).tolist():
        changes.append(Change(DELETED, int(machine.class_ids[i]), int(machine.track_ids[i]), 0))
    for j in np.setdiff1d(np.arange(len(corrected)), t).tolist():
        changes.append(Change(ADDED, int(corrected.class_ids[j]), 0, int(corrected.track_ids[j])))
    return changes


def _left_out(comparison: Comparison) -> dict[str, int]:
    return {
        "machine_frames": comparison.counts.only_predicted,
        "corrected_frames": comparison.counts.only_true,
        "machine_recordings": len(comparison.only_predicted),
        "corrected_recordings": len(comparison.only_true),
    }


def _frame(frame: ChangedFrame) -> dict[str, Any]:
    name = {"name": frame.name} if frame.name else {}
    return {"recording": frame.recording, "index": frame.index, **name, **frame.counts}
