"""review(): what people look at before they correct, made of a run that is there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError, OutputError, RecordingOutputError, SourceError, UsageError
from annotator.escape import encodable
from annotator.formats.summary import LabelSummary
from annotator.options import ReviewJob
from annotator.review.colours import hexadecimal
from annotator.review.compare import COLOURS, ComparedRecording, compare_runs, describe, drawn
from annotator.review.listing import FILE_NAME as LIST
from annotator.review.listing import ReviewList
from annotator.review.page import FILE_NAME as REPORT
from annotator.review.page import Differences, bytes_each, source_page, unlabelled_page, webp, write_report
from annotator.review.preview import PREVIEW, is_current, write_preview
from annotator.review.recording import open_source
from annotator.review.run_folder import LabelledRecording, recordings_of
from annotator.store import Store
from annotator.store.records import SourceRecord
from annotator.video import Source


@dataclass(frozen=True)
class Reviewed:
    """What was made of a recording."""

    name: str
    files: Sequence[Path] = ()
    error: str | None = None  # one sentence


def review(
    job: ReviewJob, records: Mapping[str, SourceRecord], wording: Callable[[str], str] = str
) -> Iterator[Reviewed]:
    """Make what people look at of a run, of whose recordings `records` tell by name.

    `wording` turns sentences, which name options by their fields, into those of the page.
    Of each recording a preview and its review list, of all a page; one that fails doesn't end the others.
    Raises UsageError when there are no labels, OutputError when nothing can be written.
    """
    recordings = recordings_of(job.run, records)
    compared = _compared(job)
    most_bytes = bytes_each(sum(each.has_labels for each in recordings))
    pages: list[dict[str, Any]] = []
    for number, recording in enumerate(recordings):
        page = unlabelled_page(number, recording)
        if recording.has_labels:
            done, listed = _reviewed(recording, job)
            yield done
            if job.report:
                page = _page(number, recording, listed, job, most_bytes)
                page["remarks"] += {encodable(done.error)} - {*page["remarks"]} if done.error else ()
                page["differences"] = _differences(recording, compared.get(recording.folder.resolve()), job)
        page["error"], page["remarks"] = wording(page["error"]), [wording(each) for each in page["remarks"]]
        pages.append(page)
    if job.report:
        path = job.run / REPORT
        write_report(path, job.run.absolute().name, _caption(pages), pages)
        yield Reviewed("report", [path])


def _compared(job: ReviewJob) -> dict[Path, ComparedRecording]:
    """How the recordings differ from those of the other side, by folder."""
    if job.other is None:
        return {}
    return {each.folder.resolve(): each for each in compare_runs(job.run, job.other)}


def _differences(
    recording: LabelledRecording, compared: ComparedRecording | None, job: ReviewJob
) -> Differences | None:
    """What the page shows of them."""
    if compared is None or job.other is None:
        return None
    try:
        source: Source | None = _source_of(recording)
    except SourceError:
        source = None
    pictures = [
        {
            "frame": frame.index,
            "caption": frame.description,
            "content": base64.b64encode(webp(picture)).decode(),
        }
        for frame, picture in drawn(compared, source)
    ]
    legend = [(kind, hexadecimal(colour)) for kind, colour in COLOURS.items()]
    text = f"{compared.frames} frames on both sides; what the other has: {describe(compared.counts)}."
    return Differences(encodable(str(job.other)), text, legend, pictures)


def _reviewed(recording: LabelledRecording, job: ReviewJob) -> tuple[Reviewed, ReviewList | None]:
    """Make what there is to look at of a recording, as far as that goes; and its list, if it came to that."""
    files: list[Path] = []
    listed = error = None
    try:
        with Store.read(recording.folder) as store:
            if not store.progress.detected:
                raise SourceError(
                    f"{recording.folder}: is not labelled to its end; run spatialemb-annotate again"
                )
            listed = _listed(store, job)
            for file in _files(store, recording, listed, job):
                files.append(file)
    except OutputError as fault:
        if not isinstance(fault, RecordingOutputError):
            raise
        error = str(fault)
    except AnnotatorError as fault:
        error = str(fault)
    return Reviewed(recording.name, files, error), listed


def _page(
    number: int, recording: LabelledRecording, listed: ReviewList | None, job: ReviewJob, most_bytes: int
) -> dict[str, Any]:
    """The page of a labelled recording, as far as it can be read."""
    try:
        with Store.read(recording.folder) as store:
            return source_page(
                number, recording, store, _listed(store, job) if listed is None else listed, most_bytes
            )
    except AnnotatorError as error:
        page = unlabelled_page(number, recording)
        page["remarks"].append(encodable(str(error)))
        return page


def _listed(store: Store, job: ReviewJob) -> ReviewList:
    listed = ReviewList.of(store, LabelSummary.of(store))
    return listed.with_budget(job.review_budget) if job.review_budget else listed


def _caption(pages: Sequence[Mapping[str, Any]]) -> str:
    failed = [page["name"] for page in pages if page["error"]]
    if failed:
        return f"{len(failed)} of {len(pages)} recordings failed: {', '.join(failed[:5])}"
    return "all recordings are labelled" if len(pages) > 1 else ""


def show(job: ReviewJob, records: Mapping[str, SourceRecord], weights: Path | None) -> Path:
    """Draw the frame that is asked for, of a run's only recording; returns the file. Raises UsageError."""
    from annotator.review.show import write_frame

    labelled = [each for each in recordings_of(job.run, records) if each.has_labels]
    if len(labelled) != 1 or job.show is None:
        names = ", ".join(each.name for each in labelled[:3])
        raise UsageError(
            f"{job.run}: `show` draws a frame of one recording; name its folder, as those of {names}"
        )
    recording = labelled[0]
    with Store.read(recording.folder) as store:
        return write_frame(store, _source_of(recording), recording.folder, job.show, weights)


def _files(store: Store, recording: LabelledRecording, listed: ReviewList, job: ReviewJob) -> Iterator[Path]:
    """Make what there is to look at of a recording."""
    names = {ref.index: ref.name for ref in store.frames() if ref.name}
    listed.write(recording.folder / LIST, names)
    yield recording.folder / LIST
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
