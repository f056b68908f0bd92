"""What association leaves out of the labels, counted; and whether images follow each other at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from annotator.instances import Instances
from annotator.store import FrameTracks
from annotator.tracking.parameters import CONFIDENCE, CONFIRMATION


@dataclass
class Tally:
    """Counts what goes into association and what comes out, in passing."""

    images: int = 0  # frames that are files of their own
    instances: int = 0
    flow_expected: int = 0  # instances with an image of the same size before theirs
    flow_found: int = 0  # of them, those whose pixels were found again there
    certain: int = 0  # instances
    lost: int = 0
    certain_lost: int = 0

    def count_frames(self, frames: Iterable[Instances]) -> Iterator[Instances]:
        """Count frames of instances that pass through."""
        size = None
        for found in frames:
            self.images += bool(found.frame.name)
            self.instances += len(found)
            self.certain += int(np.count_nonzero(found.scores >= CONFIDENCE.full))
            if size == found.frame.size:
                self.flow_expected += len(found)
                self.flow_found += int(np.count_nonzero(~np.isnan(found.displacement[:, 0])))
            size = found.frame.size
            yield found

    def count_tracks(self, frames: Iterable[FrameTracks]) -> Iterator[FrameTracks]:
        """Count what frames lose of their instances, in passing."""
        for tracks in frames:
            self.lost += len(tracks.lost)
            self.certain_lost += sum(score >= CONFIDENCE.full for score in tracks.lost)
            yield tracks

    def are_unrelated(self) -> bool:
        """Whether these are images that show one place after the other, where tracks mean nothing.

        Neither are pixels found again in the image before, nor do certain instances make tracks.
        """
        is_followed = self.flow_found > CONFIRMATION.min_related * self.flow_expected
        is_tracked = self.certain_lost < CONFIRMATION.min_related * self.certain
        return bool(self.images and self.lost and not is_followed and not is_tracked)

    def losses(self, min_track: int) -> dict[str, int]:
        """Say what is lost, in words with the remedy, and how many."""
        if self.are_unrelated():
            return {"instances without identities, as the images don't look like a sequence": self.instances}
        what = (
            f"instances left out whose tracks have fewer than {min_track} sound ones,"
            " which `min_track` 1 or `enabled=False` keeps"
        )
        return {what: self.lost} if self.lost else {}
