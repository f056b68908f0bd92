"""What differs between two runs, or between a run and truth: counted, and drawn in the frames with most of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annotator.errors import SourceError
from annotator.evaluation.edits import paired
from annotator.evaluation.overlap import Overlap
from annotator.formats.comparison import Recording, compare
from annotator.formats.sniffing import bad_input
from annotator.instances import GroundTruth, Instances
from annotator.review.colours import Rgb, class_name
from annotator.review.drawing import FrameDrawer, Picture, Style, picture_size
from annotator.video import Source

ADDED, MISSING, RESHAPED, RELABELLED, IDENTITY, SAME = (
    *("added", "missing", "reshaped", "of another class", "of another identity", "same"),
)
KINDS = (ADDED, MISSING, RESHAPED, RELABELLED, IDENTITY)
COLOURS: Mapping[str, Rgb] = {
    ADDED: (52, 168, 83),
    MISSING: (226, 62, 50),
    RESHAPED: (245, 166, 35),
    RELABELLED: (66, 133, 244),
    IDENTITY: (186, 85, 211),
    SAME: (160, 160, 160),
}
SAME_IOU = 0.9  # from which an outline counts as the same
MOST_PICTURES = 12
APART = 5  # frames of which one is drawn, as neighbours show the same
LONGEST_SIDE = 960  # pixels of a picture


class Difference(NamedTuple):
    """An object of one frame, on one side or both."""

    kind: str
    ours: int | None  # place in the frame of ours, None where only the other side has it
    theirs: int | None
    iou: float


@dataclass(order=True)
class DifferentFrame:
    """A frame with differences; those with more come behind."""

    count: int
    index: int
    ours: Instances = field(compare=False)
    theirs: Instances = field(compare=False)
    differences: list[Difference] = field(compare=False)

    @property
    def description(self) -> str:
        """What differs, in words."""
        return describe(Counter(each.kind for each in self.differences))


@dataclass
class ComparedRecording:
    """How labels of a recording differ from others."""

    name: str
    folder: Path  # of ours
    frames: int = 0  # that both sides have
    counts: Counter[str] = field(default_factory=Counter)
    worst: list[DifferentFrame] = field(default_factory=list)  # by index


def compare_runs(ours: Path, theirs: Path) -> Iterator[ComparedRecording]:
    """Compare the recordings that two runs have in common, or a run and truth; memory holds a few frames of each.

    Raises UsageError for labels that can't be read or compared.
    """
    comparison = compare(ours, theirs)
    with bad_input():
        for recording in comparison.recordings:
            yield _compared(recording)
        comparison.require_compared()


def describe(counts: Mapping[str, int]) -> str:
    """Counts of differences in words."""
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts.get(kind)) or "no differences"


def drawn(compared: ComparedRecording, source: Source | None) -> Iterator[tuple[DifferentFrame, Picture]]:
    """Yield the frames with most differences, in their order, as pictures, also where images are gone."""
    if not compared.worst:
        return
    images = _images(source, {frame.index for frame in compared.worst}) if source else {}
    for frame in compared.worst:
        drawer = FrameDrawer(picture_size(frame.ours.frame.size, LONGEST_SIDE))
        marked, styles = _marked(frame)
        yield frame, drawer.draw(images.get(frame.index), marked, f"frame {frame.index}", styles)


# ---- parts


def _compared(recording: Recording) -> ComparedRecording:
    result = ComparedRecording(recording.name, recording.predicted[0].path)
    worst: dict[int, DifferentFrame] = {}  # of frames that are near to each other
    identities: dict[int, int] = {}  # by track of theirs: ours in the frame before
    for found, truth in recording.frames():
        result.frames += 1
        differences = _differences(found, truth, identities)
        kinds = Counter(each.kind for each in differences if each.kind != SAME)
        result.counts += kinds
        if kinds:
            frame = DifferentFrame(kinds.total(), found.frame.index, found, truth.instances, differences)
            near = frame.index // APART
            worst[near] = max(frame, worst.get(near, frame))
            if len(worst) > MOST_PICTURES:
                del worst[min(worst, key=lambda near: worst[near])]
    result.worst = sorted(worst.values(), key=lambda frame: frame.index)
    return result


def _differences(found: Instances, truth: GroundTruth, identities: dict[int, int]) -> list[Difference]:
    overlap = Overlap.of(found, truth)
    iou, real = overlap.iou(), truth.instances
    ours, theirs = paired(iou, found.class_ids[:, None] == real.class_ids)
    differences = []
    for p, t in zip(ours.tolist(), theirs.tolist(), strict=True):
        kind = SAME if iou[p, t] >= SAME_IOU else RESHAPED
        track, other = int(found.track_ids[p]), int(real.track_ids[t])
        if track and other and identities.setdefault(other, track) != track:
            identities[other], kind = track, IDENTITY
        if found.class_ids[p] != real.class_ids[t]:
            kind = RELABELLED
        differences.append(Difference(kind, p, t, float(iou[p, t])))
    known = truth.class_ids
    for p in np.setdiff1d(np.arange(len(found)), ours).tolist():
        if known is None or int(found.class_ids[p]) in known:
            differences.append(Difference(MISSING, p, None, 0.0))
    differences += [
        Difference(ADDED, None, t, 0.0) for t in np.setdiff1d(np.arange(len(real)), theirs).tolist()
    ]
    return differences


def _marked(frame: DifferentFrame) -> tuple[Instances, list[Style]]:
    """The objects of both sides as instances of one frame, and how each is drawn: differences on top."""
    masks, classes, styles = [], [], list[Style]()
    for each in sorted(frame.differences, key=lambda each: each.kind == SAME):
        side, place = (frame.ours, each.ours) if each.theirs is None else (frame.theirs, each.theirs)
        if place is None:
            continue
        masks.append(side.masks[place])
        classes.append(int(side.class_ids[place]))
        styles.append(Style(COLOURS[each.kind], _texts(frame, each, side, place)))
    return Instances.of(frame.ours.frame, masks, classes, [1.0] * len(masks)), styles


def _texts(frame: DifferentFrame, each: Difference, side: Instances, place: int) -> Sequence[str]:
    name, track = class_name(int(side.class_ids[place])), int(side.track_ids[place])
    numbered = f"{name} {track}" if track else name
    if each.kind == SAME:
        return ()
    if each.ours is None or each.kind == MISSING:
        return numbered, name
    if each.kind == RESHAPED:
        return f"{numbered}  {each.iou:.2f}", f"{each.iou:.2f}"
    if each.kind == RELABELLED:
        return f"{class_name(int(frame.ours.class_ids[each.ours]))} > {name}", name
    return f"{int(frame.ours.track_ids[each.ours])} > {track}", str(track)


def _images(source: Source, wanted: set[int]) -> dict[int, Picture]:
    """The images of some frames, as far as they can be read."""
    images: dict[int, Picture] = {}
    try:
        with closing(source.frames(min(wanted), max(wanted) + 1)) as frames:
            for frame in frames:
                if frame.ref.index in wanted:
                    images[frame.ref.index] = frame.image
    except SourceError:
        pass  # they are drawn without
    return images
