"""Labels for those who import this package: read, track and write them without a run folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from annotator.errors import UsageError
from annotator.formats import sniffing
from annotator.instances import GroundTruth, Instances
from annotator.options import FORMATS, CvatOptions, TrackingOptions
from annotator.pipeline.publish import publish_all
from annotator.store import IMPORTED, Recording, Store
from annotator.tracking import associate

BATCH = 64  # frames in a transaction


def read_labels(path: str | Path) -> Iterator[GroundTruth]:
    """Read labels of any kind that is known, frame by frame, recording by recording.

    Frames have an index, and a name where they are images. Raises UsageError for a path that isn't there or holds no
    known labels, FormatError or SourceError for labels that can't be read.

    >>> from annotator import read_labels
    >>> truth = next(read_labels("labels/drive/coco.json"))
    >>> truth.instances.frame.index, truth.instances.class_ids.tolist(), truth.ignore_regions
    (0, [26, 24], ())
    """
    return sniffing.read_labels(Path(path))


def track(frames: Iterable[Instances], options: TrackingOptions | None = None) -> Iterator[Instances]:
    """Give instances of a recording's frames, in order, their tracks.

    The whole recording is looked at before the first frame comes out, in memory that doesn't grow with it. Tracks
    given before are forgotten; instances between the found ones are filled in, as the options say.

    >>> from annotator import read_labels, track
    >>> untracked = (truth.instances.with_tracks([0] * len(truth.instances)) for truth in read_labels("labels"))
    >>> sorted({int(track_id) for found in track(untracked) for track_id in found.track_ids})
    [1, 2]
    """
    with _stored(frames) as store:
        associate(store, options or TrackingOptions())
        yield from store.instances()


def write_labels(
    frames: Iterable[Instances],
    folder: str | Path,
    *formats: str,
    name: str = "labels",
    options: CvatOptions | None = None,
) -> list[Path]:
    """Write labels of a recording's frames, in order, in some formats: each file whole or not at all.

    `name` is what files call the recording. Returns the files and folders of the formats. Raises UsageError for an
    unknown format, FormatError for labels that one can't hold, OutputError where files can't be written.

    >>> from annotator import read_labels, write_labels
    >>> [path.name for path in write_labels((truth.instances for truth in read_labels("labels")), "out", "mots")]
    ['mots.txt']
    """
    if unknown := [each for each in formats if each not in FORMATS]:
        raise UsageError(f"{unknown[0]!r} is no format; choose from {', '.join(FORMATS)}")
    folder = Path(folder)
    with _stored(frames) as store:
        publish_all(store, Recording(name, folder), folder, *formats, options=options)
        published = store.progress.published
        return [folder / file for each in formats for file in published[each].files]


@contextmanager
def _stored(frames: Iterable[Instances]) -> Iterator[Store]:
    """A store of frames, for a while."""
    with (
        tempfile.TemporaryDirectory(prefix="spatialemb-") as folder,
        Store.open(Path(folder), {"made": "by the library"}) as store,
    ):
        waiting = iter(frames)
        while batch := list(islice(waiting, BATCH)):
            store.add(batch)
        store.update(IMPORTED)
        yield store
