"""review(): what people look at before they correct, made of a run that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotator.errors import AnnotatorError, OutputError, RecordingOutputError, SourceError, UsageError
from annotator.options import ReviewJob
from annotator.review.preview import PREVIEW, is_current, write_preview
from annotator.review.recording import open_source
from annotator.review.run_folder import LabelledRecording, Record, recordings_of
from annotator.store import Store
from annotator.video import Source


@dataclass(frozen=True)
class Reviewed:
    """What was made of a recording."""

    name: str
    files: Sequence[Path] = ()
    error: str | None = None  # one sentence


def review(job: ReviewJob, records: Mapping[str, Record]) -> Iterator[Reviewed]:
    """Make previews of the recordings of a run, of which `records` tell by name; one that fails doesn't end the others.

    Raises UsageError when there are no labels, OutputError when nothing can be written.
    """
    for recording in recordings_of(job.run, records):
        if not recording.has_labels:
            continue
        try:
            yield Reviewed(recording.name, list(_files(recording, job)))
        except OutputError as error:
            if not isinstance(error, RecordingOutputError):
                raise
            yield Reviewed(recording.name, error=str(error))
        except AnnotatorError as error:
            yield Reviewed(recording.name, error=str(error))


def show(job: ReviewJob, records: Mapping[str, Record], weights: Path | None) -> Path:
    """Draw the frame that is asked for, of a run's only recording; returns the file. Raises UsageError."""
    from annotator.review.show import write_frame

    labelled = [each for each in recordings_of(job.run, records) if each.has_labels]
    if len(labelled) != 1 or job.show is None:
        names = ", ".join(each.name for each in labelled[:3])
        raise UsageError(
            f"{job.run}: --show draws a frame of one recording; name its folder, as those of {names}"
        )
    recording = labelled[0]
    with Store.read(recording.folder) as store:
        return write_frame(store, _source_of(recording), recording.folder, job.show, weights)


def _files(recording: LabelledRecording, job: ReviewJob) -> Iterator[Path]:
    """Make what there is to look at of a recording."""
    with Store.read(recording.folder) as store:
        if not store.progress.detected:
            raise SourceError(
                f"{recording.folder}: is not labelled to its end; run spatialemb-annotate again"
            )
        if job.preview and not is_current(store, recording.folder):
            write_preview(store, _source_of(recording), recording.folder)
        if is_current(store, recording.folder):
            yield recording.folder / PREVIEW


def _source_of(recording: LabelledRecording) -> Source:
    path = recording.source_path
    if path is None:
        raise SourceError(
            f"{recording.folder}: no run.json says where {recording.name} was read from, so that there are no"
            " pictures of it"
        )
    return open_source(path, recording.name)
