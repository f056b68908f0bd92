"""What association leaves out of the labels, counted; and whether images follow each other at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from annotator.instances import Instances
from annotator.store import Linked
from annotator.tracking.stretch import CERTAIN

# Of unrelated street scenes of one camera 0 to 0.3 of the instances have pixels that are found again in the
# image before, and 0 to 0.1 of the certain ones make tracks; in sequences, of 1 frame a second too, over 0.7.
USUALLY = 0.5


@dataclass
class Tally:
    """Counts what goes into association and what comes out, in passing."""

    images: int = 0  # frames that are files of their own
    instances: int = 0
    could_move: int = 0  # instances with an image of the same size before theirs
    followed: int = 0  # of them, those whose pixels were found again there
    certain: int = 0  # instances
    lost: int = 0
    certain_lost: int = 0

    def of_frames(self, frames: Iterable[Instances]) -> Iterator[Instances]:
        """The same frames, counted."""
        size = None
        for found in frames:
            self.images += bool(found.frame.name)
            self.instances += len(found)
            self.certain += int(np.count_nonzero(found.scores >= CERTAIN))
            if size == found.frame.size:
                self.could_move += len(found)
                self.followed += int(np.count_nonzero(~np.isnan(found.moved[:, 0])))
            size = found.frame.size
            yield found

    def of_links(self, links: Iterable[Linked]) -> Iterator[Linked]:
        """The same links, counted."""
        for linked in links:
            self.lost += len(linked.lost)
            self.certain_lost += sum(score >= CERTAIN for score in linked.lost)
            yield linked

    def are_unrelated(self) -> bool:
        """Whether these are images that show one place after the other, where tracks mean nothing.

        Neither are pixels found again in the image before, nor do certain instances make tracks.
        """
        is_followed = self.followed > USUALLY * self.could_move
        is_tracked = self.certain_lost < USUALLY * self.certain
        return bool(self.images and self.lost and not is_followed and not is_tracked)

    def losses(self, min_track: int) -> dict[str, int]:
        """What is lost, in words with the remedy, and how many."""
        if self.are_unrelated():
            return {"instances without identities, as the images don't look like a sequence": self.instances}
        what = (
            f"instances left out whose tracks have fewer than {min_track} sound ones,"
            " which --min-track 1 or --no-track keeps"
        )
        return {what: self.lost} if self.lost else {}
