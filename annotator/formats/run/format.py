"""The record of run folders as a format: labels are read from their stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from annotator.errors import AnnotatorError, UsageError, unreadable
from annotator.formats.findings import ERROR, Finding
from annotator.formats.interface import Candidate, Format, Found, Reading
from annotator.formats.names import frame_stem
from annotator.formats.pairing import FrameNames
from annotator.formats.summary import LabelSummary
from annotator.instances import GroundTruth
from annotator.store import FILE_NAME as STORE
from annotator.store import RunFolder, Store
from annotator.store.lock import RUN_FILE


def sniff(candidate: Candidate) -> Sequence[Found]:
    """The recordings of a run, or of a folder in one."""
    path = candidate.path
    if candidate.is_folder and (run := RunFolder.find(path)):
        return [Found(name, folder) for name, folder in run.folders.items()]
    if candidate.is_folder and (path / RUN_FILE).is_file():
        raise UsageError(f"{path}: a run that has labelled nothing yet; label a recording first")
    return []


def read(path: Path, reading: Reading) -> Iterator[GroundTruth]:
    """Yield the frames of a store, with one class for a track, as it is published."""
    with Store.read(path) as store:
        summary = LabelSummary.of(store)
        yield from (GroundTruth(summary.classed(found)) for found in store.instances())


def frame_names(found: Found, reading: Reading) -> FrameNames:
    """Files of images, and the names that published labels have."""
    files, published = [], []
    with Store.read(found.path) as store:
        for ref in store.frames():
            files.append(ref.name)
            published.append(frame_stem(found, ref))
    return FrameNames((files, published))


def check(path: Path) -> Iterator[Finding]:
    """Yield what can't be read of a store."""
    try:
        with Store.read(path) as store:
            for rows in (store.gaps(), store.detections(), store.instances()):
                for _ in rows:
                    pass
            _ = store.fingerprint, store.progress
    except (AnnotatorError, OSError) as error:
        sentence = str(unreadable(error)) if isinstance(error, OSError) else str(error)
        yield Finding(ERROR, str(path), sentence.removeprefix(f"{path / STORE}: ").removeprefix(f"{path}: "))


RUN = Format(
    "run",
    "labels of this tool",
    sniff,
    read,
    frame_names,
    check,
    described="a folder that spatialemb-annotate wrote",
)
