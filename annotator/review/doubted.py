"""Labels with the number of the review list beside each of them, as writers of formats take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotator.formats.interface import LabelReader
from annotator.formats.summary import LabelSummary
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.review.doubt import doubt_model
from annotator.review.signs import signs_of


@dataclass(frozen=True)
class DoubtedLabels:
    """Labels of a recording, and how likely a person would change each: 12 bytes an instance in memory."""

    reader: LabelReader
    _frames: npt.NDArray[np.int64]  # (N,) the index of each instance's frame, in order
    _doubts: npt.NDArray[np.float32]  # (N,) by frame, and then by place in it

    @classmethod
    def of(cls, reader: LabelReader) -> DoubtedLabels:
        """Judge all instances, in two passes over the labels."""
        model = doubt_model()
        frames, doubts = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for signs in signs_of(reader, LabelSummary.of(reader)):
            which = np.array([(item.frame_index, item.place) for item in signs.items], np.int64).reshape(
                -1, 2
            )
            order = np.lexsort(which.T[::-1])
            order = order[which[order, 1] >= 0]  # the others are places in gaps
            frames.append(which[order, 0])
            doubts.append(model.probability(signs.values[order]).astype(np.float32))
        return cls(reader, np.concatenate(frames), np.concatenate(doubts))

    def frames(self) -> Iterator[FrameRef]:
        """Those of the labels."""
        return self.reader.frames()

    def instances(self) -> Iterator[Instances]:
        """Those of the labels."""
        return self.reader.instances()

    def doubts(self, index: int) -> Sequence[float]:
        """The probabilities of the instances of the frame of this index, in their order."""
        begin, end = np.searchsorted(self._frames, [index, index + 1])
        return self._doubts[begin:end].tolist()
