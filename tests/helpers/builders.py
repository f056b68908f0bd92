"""Readable fixtures: ASCII masks, frames, instances; and where real data lies when it is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from annotator.formats.interface import Reading
from annotator.formats.registry import FORMATS
from annotator.frames import Frame, FrameRef, Gap
from annotator.instances import Instances
from annotator.options import TrackingOptions
from annotator.store import Store
from annotator.video import Source

SHARED = Path(__file__).parents[3] / "shared"
REAL_DATA = SHARED / "data"
PARITY = SHARED / "parity"

needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"real clips are not at {REAL_DATA}")
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason=f"parity figures are not at {PARITY}")


def mask(*rows: str) -> npt.NDArray[np.bool_]:
    """A mask drawn in ASCII: '.' or ' ' is off, anything else is on."""
    return np.array([[char not in ". " for char in row] for row in rows])


def frame_ref(index: int = 0, size: tuple[int, int] = (8, 10), name: str = "") -> FrameRef:
    """Frame `index` of a recording with 10 frames a second."""
    return FrameRef(index=index, pts=index, time_base=Fraction(1, 10), size=size, name=name)


def frame(index: int = 0, size: tuple[int, int] = (8, 10), value: int = 0) -> Frame:
    """A frame of one colour."""
    return Frame(frame_ref(index, size), np.full((*size, 3), value, np.uint8))


def blob(size: tuple[int, int], y: float, x: float, radius: float) -> npt.NDArray[np.bool_]:
    """A disc around (y, x)."""
    rows, columns = np.indices(size)
    return np.hypot(rows - y, columns - x) <= radius


@dataclass(frozen=True)
class Labels:
    """Labels of a recording in memory, as writers read them from a store."""

    found: Sequence[Instances] = ()

    def frames(self) -> Iterator[FrameRef]:
        return (found.frame for found in self.found)

    def instances(self) -> Iterator[Instances]:
        return iter(self.found)


@dataclass(frozen=True)
class Recording:
    """A recording as writers know it."""

    name: str = "day_1/drive"
    is_video: bool = True
    path: Path = Path("/data/day_1/drive.mp4")


def finish(store: Store) -> None:
    """Note that all of a recording is labelled and tracked."""
    store.update(replace(store.progress, detected=True, tracking=TrackingOptions()))


def add_recording(run: Path, name: str, path: Path, found: Sequence[Instances]) -> None:
    """Add a tracked recording to a run folder."""
    with Store.open(run / name, {"weights": "c0ffee"}) as store:
        store.add(found)
        finish(store)
    content = json.loads((run / "run.json").read_text()) if (run / "run.json").exists() else {"sources": []}
    content["sources"].append({"name": name, "path": str(path), "state": "done"})
    (run / "run.json").write_text(json.dumps(content))


def read_instances(name: str, path: Path, **reading: Any) -> Iterator[Instances]:
    """The instances of a label file of a format; the reader may be told more."""
    frames = FORMATS[name].read(path, Reading(only_instances=True, **reading))
    return (truth.instances for truth in frames)


def gaps_of(source: Source, *selection: int | None) -> list[Gap]:
    """The gaps of a read."""
    return [item for item in source.read(*selection) if isinstance(item, Gap)]
