"""All figures of tracks, by class and over sequences, equal to TrackEval's."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.evaluation.clear_mot import ClearMot
from annotator.evaluation.hota import Hota
from annotator.evaluation.identity import Identity
from annotator.evaluation.matching import TrackedFrame, tracked_frames
from annotator.evaluation.overlap import Overlap
from annotator.instances import Instances
from annotator.labels import BY_ID


def disjoint(found: Instances) -> tuple[Instances, int]:
    """Instances of which no two share a pixel, as tracking metrics demand, and how many had to give pixels up.

    The best scored has them; one that is left without a pixel is left out.
    """
    if masks.are_disjoint(found.masks):
        return found, 0
    shown = masks.visible(found.masks, found.frame.size)
    areas = masks.areas(shown)
    changed = int(np.sum(areas < masks.areas(found.masks)))
    return replace(found, masks=tuple(shown)).select(np.flatnonzero(areas)), changed


class TrackMetrics:
    """HOTA, CLEAR and identity figures over frames, added in order, and sequences.

    Objects are judged class by class; one without a track is a track of its own. Memory does not grow with frames,
    except by 4 bytes each.
    """

    def __init__(self) -> None:
        self._classes: defaultdict[int, _Class] = defaultdict(_Class)
        self._untracked = count(1)
        self._truth_has_tracks = self._predictions_have_tracks = False

    def add(self, overlap: Overlap) -> None:
        """Count a frame, of disjoint masks. Raises FormatError when two objects in it have one track."""
        self._truth_has_tracks |= bool(np.any(overlap.truth.track_ids))
        self._predictions_have_tracks |= bool(np.any(overlap.predicted.track_ids))
        for class_id, frame in tracked_frames(overlap, self._untracked):
            self._classes[class_id].add(frame)

    def end_sequence(self) -> None:
        """Identities of the frames added from here on are others."""
        for of_class in self._classes.values():
            of_class.end_sequence()

    @property
    def has_tracks(self) -> bool:
        """Whether some object of each side had a track: without, the figures say nothing."""
        return self._truth_has_tracks and self._predictions_have_tracks

    def per_alpha(self) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
        """What HOTA is made of at each of `hota.ALPHAS`, by class name: (19,) each."""
        return {self._name(class_id): self._classes[class_id].hota.per_alpha() for class_id in self._known()}

    def result(self) -> dict[str, Any]:
        """Figures of the sequences that have ended, and the same of each class under "classes".

        HOTA, DetA, AssA, LocA, DetRe, DetPr, AssRe, AssPr, IDF1, IDP, IDR in [0, 1]; MOTSA, sMOTSA, MOTSP at most 1;
        counts TP, FP, FN, IDS, Frag, MT, PT, ML, IDTP, IDFP, IDFN. On top are means over classes that have a
        true or predicted object, and sums of counts.
        """
        classes = {self._name(class_id): self._classes[class_id].result() for class_id in self._known()}
        names = next(iter(classes.values()), {})
        over_classes = {name: [figures[name] for figures in classes.values()] for name in names}
        return {
            **{
                name: sum(n) if isinstance(n[0], int) else sum(n) / len(n) for name, n in over_classes.items()
            },
            "classes": classes,
        }

    def _known(self) -> list[int]:
        """Classes with an object that counts."""
        return [class_id for class_id in sorted(self._classes) if self._classes[class_id].objects]

    def _name(self, class_id: int) -> str:
        return BY_ID[class_id].name


@dataclass
class _Class:
    """The metrics of one class."""

    hota: Hota = field(default_factory=Hota)
    clear: ClearMot = field(default_factory=ClearMot)
    identity: Identity = field(default_factory=Identity)
    objects: int = 0  # true and predicted

    def add(self, frame: TrackedFrame) -> None:
        self.objects += len(frame.truth_ids) + len(frame.predicted_ids)
        self.hota.add(frame)
        self.clear.add(frame)
        self.identity.add(frame)

    def end_sequence(self) -> None:
        self.hota.end_sequence()
        self.clear.end_sequence()
        self.identity.end_sequence()

    def result(self) -> dict[str, float]:
        return self.hota.result() | self.clear.result() | self.identity.result()
