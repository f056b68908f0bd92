"""Recordings and their tracks to a CVAT server: one task each, and never over what people edited."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from annotator.cvat_server.held import Held, held
from annotator.cvat_server.projects import Project, lacking
from annotator.cvat_server.server import Server
from annotator.cvat_server.tasks import LOCK, Task, alone
from annotator.errors import AnnotatorError, ServerError, ServerUnavailable, SourceError, UsageError
from annotator.files import scratch_folder
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.cvat.xml_stream import parts
from annotator.options import CvatOptions, PushJob
from annotator.pipeline.run import require_run
from annotator.review.doubted import DoubtedLabels
from annotator.store import Recording, Store

IMPORT_FORMAT = "CVAT 1.1"
XML, LABELS = "cvat.xml", "cvat_labels.json"
SENDING = ".cvat_sending.xml"  # until all of it is there
EXPORT = "cvat_export.zip"
SENT = "cvat_sent.xml"  # kept beside the labels: what people change is told from it
ANEW = "delete it there, and push again to make it anew"

OnSent = Callable[[int, int], None]  # bytes sent, of so many


@dataclass(frozen=True)
class Frames:
    """Which frames of a recording are labelled."""

    first: int
    last: int
    step: int
    count: int
    names: tuple[str, ...]  # of images; none in a video

    @property
    def in_task(self) -> int:
        """Frames that a task has which begins, ends and steps as these do."""
        return len(range(self.first, self.last + 1, self.step))


@dataclass(frozen=True)
class Pushed:
    """What became of a recording."""

    name: str
    task_id: int | None
    what: str  # in words
    error: str | None = None


def push(job: PushJob, on_sent: OnSent = lambda done, total: None) -> Iterator[Pushed]:
    """Make a task of every recording of a run, or go on with it; one bad recording never ends the run.

    Raises UsageError when the run, the project or the token is no good, ServerError when the server is away.
    """
    run = require_run(job.run)
    with Server.connect(job.url) as server:
        project = Project(server, job.project)
        for recording in run.recordings:
            folder = run.folders[recording.name]
            try:
                with alone(folder / LOCK, f"{folder}: another command is sending it; wait for it"):
                    pushed = _Push(server, job, recording, folder, project, on_sent).go()
                yield pushed
            except UsageError:
                raise  # of the token
            except ServerUnavailable:
                raise  # the others would fare no better
            except AnnotatorError as error:
                yield Pushed(recording.name, None, "", str(error))


@dataclass
class _Push:
    """One recording on its way."""

    server: Server
    job: PushJob
    recording: Recording
    folder: Path
    project: Project
    on_sent: OnSent
    note: str = ""  # of what was found on the way

    def go(self) -> Pushed:
        """Take every step that is not done yet."""
        with Store.read(self.folder) as store, scratch_folder(self.folder / XML) as scratch:
            frames = _frames(store)
            _write(store, replace(self.recording, is_video=not frames.names), scratch)
            labels = _labels(scratch / XML)
            task = self._task_with_data(frames, labels, scratch)
            sent = _hash(scratch / XML)
            if not self.job.replace:
                if task.sent != sent or task.sending:
                    task = self._untouched(task, scratch)
                if task.sent == sent and not task.sending:
                    return Pushed(self.recording.name, task.task_id, "is there already")
            self._import(task, scratch / XML, sent)
        what = " and their tracks are there" if labels else " are there, with nothing labelled in them"
        return Pushed(self.recording.name, task.task_id, f"{frames.count} frames{what}{self.note}")

    def _task_with_data(self, frames: Frames, labels: set[str], scratch: Path) -> Task:
        """The task of the recording, whole and fit for it; one that nobody could work on yet is made anew if not."""
        task = Task.read(self.folder, self.server.url)
        remote = self.server.task(task.task_id) if task else None
        if task is None:
            return self._created(frames, labels, scratch)
        if remote is None:
            self.note = f" (task {task.task_id} was not there any more)"
        elif unfit := self._unfit(remote, frames, labels):
            if int(remote.size or 0) and (task.sent or self.server.has_annotations(task.task_id)):
                raise SourceError(f"{self.recording.name}: task {task.task_id} is on the server, but {unfit}")
            self._remove(task)
            self.note = f" (in the place of task {task.task_id})"
        else:
            return task
        return self._created(frames, labels, scratch)

    def _unfit(self, remote: Any, frames: Frames, labels: set[str]) -> str | None:
        """Why a task can't take what is to be sent, with the remedy, in words; None if it can."""
        size = int(remote.size or 0)
        if size != frames.in_task:
            return (
                f"CVAT counts {size} frames in it, and {frames.in_task} are labelled: it is of another recording;"
                f" {ANEW}"
            )
        if self.project.is_to_be_made or self.project.number not in (None, remote.project_id):
            return f"not in project {self.project.wanted}; leave `project` out, or {ANEW}"
        wanted, has = self.job.segment_size, getattr(remote, "segment_size", None)
        if wanted and has is not None and min(wanted, size) != min(has or size, size):
            return f"with jobs of {has or size} frames; leave `segment_size` out, or {ANEW}"
        if lacks := lacking(self.server.ask(remote.get_labels), labels):
            return f"{lacks}; add what is lacking there, and push again"
        return None

    def _remove(self, task: Task) -> None:
        """Leave nothing of a task, neither there nor here."""
        self.server.ask(self.server.client.tasks.remove_by_ids, [task.task_id])
        Task.forget(self.folder)

    def _created(self, frames: Frames, labels: set[str], scratch: Path) -> Task:
        """A new task with the frames; nothing of it is left when it can't be had."""
        resources = self._resources(frames)
        if lacks := self.project.lacks(labels):
            raise SourceError(f"{self.recording.name}: can't go into project {self.project.wanted}: {lacks}")
        self.project.enter()
        task = self._create(scratch)
        try:
            self._upload(task, frames, resources)
            self._require_frames(task, frames)
        except AnnotatorError as error:
            if not isinstance(error, ServerUnavailable):
                with suppress(
                    ServerError
                ):  # the first fault is the one to report; the next push removes the task
                    self._remove(task)
            raise
        return task

    def _create(self, scratch: Path) -> Task:
        spec: dict[str, Any] = {"name": self.recording.name, "overlap": 0}
        if self.job.segment_size:
            spec["segment_size"] = self.job.segment_size
        number = self.project.make()
        if number is None:
            spec["labels"] = json.loads((scratch / LABELS).read_text(encoding="utf-8"))
        else:
            spec["project_id"] = number
        with self.server.faults():
            created = self.server.client.tasks.create(spec)
        task = Task(self.server.url, int(created.id))
        task.write(self.folder)
        return task

    def _resources(self, frames: Frames) -> list[Path]:
        """The files to send. Raises SourceError when one isn't there any more."""
        path = self.recording.path
        folder = path if path.is_dir() else path.parent  # of the only image
        resources = [folder / name for name in frames.names] or [path]
        if missing := [path for path in resources if not path.is_file()]:
            raise SourceError(
                f"{missing[0]}: is not there any more; put the recording back where it was labelled"
            )
        return resources

    def _upload(self, task: Task, frames: Frames, resources: list[Path]) -> None:
        params: dict[str, Any] = {"image_quality": self.job.image_quality}
        if frames.names:
            params["sorting_method"] = "predefined"
        else:
            # A stop at frame 0 is none to CVAT: the only frame is one that steps behind the stop at 1 leave.
            stop, step = (frames.last, frames.step) if frames.last else (1, 2)
            params |= {"start_frame": frames.first, "stop_frame": stop, "frame_step": step}
        remote = self.server.ask(self.server.client.tasks.retrieve, task.task_id)
        with self.server.faults():
            remote.upload_data(resources, params=params, pbar=_bar(self.on_sent))

    def _import(self, task: Task, xml: Path, sent: str) -> None:
        """Put the tracks in the place of what is there, and keep what is needed to go on if that breaks off."""
        xml.replace(self.folder / SENDING)
        replace(task, sending=sent).write(self.folder)
        remote = self.server.ask(self.server.client.tasks.retrieve, task.task_id)
        sending = self.folder / SENDING
        self.server.ask(remote.import_annotations, IMPORT_FORMAT, sending, pbar=_bar(self.on_sent))
        self._is_sent(task, sent, self.server.annotations_digest(task.task_id))

    def _is_sent(self, task: Task, sent: str, digest: str) -> Task:
        """Keep that all is on the server, and how it looks there."""
        if (self.folder / SENDING).exists():
            (self.folder / SENDING).replace(self.folder / SENT)
        task = replace(task, sent=sent, sending=None, digest=digest)
        task.write(self.folder)
        return task

    def _require_frames(self, task: Task, frames: Frames) -> None:
        size = int(getattr(self.server.task(task.task_id), "size", 0) or 0)
        if size != frames.in_task:
            raise SourceError(
                f"{self.recording.path}: CVAT counts {size} frames in it, and {frames.in_task} are labelled: it is"
                " another recording, or CVAT decodes it otherwise; nothing of it was left on the server"
            )

    def _untouched(self, task: Task, scratch: Path) -> Task:
        """The task, if nobody edited it. Raises SourceError when people edited what was sent before, or may have."""
        name, task_id = self.recording.name, task.task_id
        if (task.sending or not task.digest) and not self.server.has_annotations(task_id):
            return task
        digest = self.server.annotations_digest(task_id)
        if digest == task.digest:
            return task
        broke_off = f"{name}: sending to task {task_id} broke off, and it has annotations"
        if task.sending:
            there = self._held(task, scratch)
            if there is Held.ALL:
                return self._is_sent(task, task.sending, digest)
            if there is Held.PART:
                return task
            raise SourceError(
                f"{broke_off} that are not those that were sent: people edited it since;"
                " pull them first, or use `replace` to lose what they did"
            )
        if task.digest is None:
            raise SourceError(
                f"{broke_off}, which people may have edited since; look at it, then use `replace` to send again"
            )
        raise SourceError(
            f"{name}: people edited task {task_id} since its tracks were sent;"
            " pull them first, or use `replace` to lose what they did"
        )

    def _held(self, task: Task, scratch: Path) -> Held:
        """What a task holds of what was being sent when it broke off."""
        files = [path for path in (self.folder / SENDING, self.folder / SENT) if path.is_file()]
        sending = [path for path in files if _hash(path) == task.sending]
        if not sending:
            return Held.OTHER
        self.server.export(self.server.task(task.task_id), scratch / EXPORT)
        return held(scratch / EXPORT, sending[0])


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(store: Store, recording: Recording, folder: Path) -> None:
    """Write the tracks as they were published, but in one file, as one task has them."""
    published = store.progress.published.get("cvat")
    options = CvatOptions(**((published and published.options) or {}))
    cvat_writer.write(DoubtedLabels.of(store), recording, folder, replace(options, split_frames=None))


def _frames(store: Store) -> Frames:
    first, last, step, count = 0, -1, 0, 0
    names = []
    for ref in store.frames():
        if count == 0:
            first = ref.index
        else:
            step = min(step or ref.index - last, ref.index - last)
        last, count = ref.index, count + 1
        if ref.name:
            names.append(ref.name)
    stems = Counter(str(PurePosixPath(name).with_suffix("")) for name in names)
    if twice := [stem for stem, times in stems.items() if times > 1]:
        raise SourceError(
            f"{twice[0]}: {stems[twice[0]]} images are called so but for their suffix, and CVAT takes them for one"
        )
    if names:  # images are counted as they are sent
        return Frames(0, len(names) - 1, 1, len(names), tuple(names))
    return Frames(first, last, step or 1, count, ())


def _labels(xml: Path) -> set[str]:
    """The labels of all that is drawn in a file."""
    elements = (part.element for part in parts(xml) if part.element.tag != "meta")
    return {element.attrib["label"] for element in elements if "label" in element.attrib}


def _bar(on_sent: OnSent) -> Any:
    """A progress reporter of the SDK that tells how many bytes are sent."""
    from cvat_sdk.core.progress import BaseProgressReporter

    class Bar(BaseProgressReporter):  # type: ignore[misc]  # the SDK has no types
        total = sent = 0

        def start2(self, total: int, **options: Any) -> None:
            super().start2(total=total, **options)
            self.total, self.sent = total, 0

        def report_status(self, progress: int) -> None:
            super().report_status(progress)
            self.sent = progress
            on_sent(self.sent, self.total)

        def advance(self, delta: int) -> None:
            super().advance(delta)
            self.sent += delta
            on_sent(self.sent, self.total)

    return Bar()
