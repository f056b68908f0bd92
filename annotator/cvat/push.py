"""Recordings and their tracks to a CVAT server: one task each, and never over what people edited."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from annotator.cvat.server import Server
from annotator.cvat.tasks import Task
from annotator.errors import AnnotatorError, ServerError, SourceError, UsageError
from annotator.formats import cvat
from annotator.formats.recognise import Kind, bad_input, recognise
from annotator.formats.whole import scratch_folder
from annotator.labels import BY_ID, BY_NAME, INSTANCE_CLASSES
from annotator.options import PublishOptions, PushJob
from annotator.publishing import Recording, recording_of
from annotator.store import Store

IMPORT_FORMAT = "CVAT 1.1"
XML, LABELS = "cvat.xml", "cvat_labels.json"
SENT = "cvat_sent.xml"  # kept beside the labels: what people change is told from it

Tell = Callable[[int, int], None]  # bytes sent, of so many


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


def push(job: PushJob, tell: Tell = lambda done, total: None) -> Iterator[Pushed]:
    """Make a task of every recording of a run, or go on with it; one bad recording never ends the run.

    Raises UsageError when the run, the project or the token is no good, ServerError when the server is away.
    """
    with bad_input():
        side = recognise(job.run)
    if side.kind is not Kind.RUN:
        raise UsageError(
            f"{job.run}: is {side.kind.value}; make a run of it with spatialemb-convert --to run"
        )
    with Server.connect(job.url) as server:
        project_id = _project(server, job.project) if job.project else None
        for labels in side.labels:
            recording = recording_of(labels.path, labels.name)
            try:
                yield _Push(server, job, recording, labels.path, project_id, tell).go()
            except UsageError:
                raise  # of the token
            except ServerError as error:
                if error.may_pass:
                    raise  # away: the others would fare no better
                yield Pushed(recording.name, None, "", str(error))
            except AnnotatorError as error:
                yield Pushed(recording.name, None, "", str(error))


@dataclass
class _Push:
    """One recording on its way."""

    server: Server
    job: PushJob
    recording: Recording
    folder: Path
    project_id: int | None
    tell: Tell

    def go(self) -> Pushed:
        """Take every step that is not done yet."""
        with Store.read(self.folder) as store, scratch_folder(self.folder / XML) as scratch:
            frames = _frames(store)
            _write(store, replace(self.recording, is_video=not frames.names), scratch)
            task = self._task_with_data(frames, scratch)
            with (scratch / XML).open("rb") as file:
                sent = hashlib.file_digest(file, "sha256").hexdigest()
            if task.sent == sent and not self.job.replace:
                return Pushed(self.recording.name, task.task_id, "is there already")
            if not self.job.replace:
                self._insist_on_untouched(task)
            self._import(task, scratch / XML)
            (scratch / XML).replace(self.folder / SENT)
        task = replace(task, sent=sent, digest=None)
        task.write(self.folder)
        digest = self.server.annotations_digest(task.task_id)
        replace(task, digest=digest).write(self.folder)
        return Pushed(self.recording.name, task.task_id, f"{frames.count} frames and their tracks are there")

    def _task_with_data(self, frames: Frames, scratch: Path) -> Task:
        """The task of the recording, whole; a task that lacks the recording is made anew."""
        task = Task.read(self.folder, self.server.url)
        size = self._size(task) if task else None
        if task and size:
            self._insist_on_frames(task, size, frames)
            return task
        if task and size is not None:
            self.server.ask(self.server.client.tasks.remove_by_ids, [task.task_id])
        task = self._create(scratch)
        self._upload(task, frames)
        self._insist_on_frames(task, self._size(task) or 0, frames)
        return task

    def _size(self, task: Task) -> int | None:
        """The number of frames of a task, None when it isn't there any more."""
        try:
            found = self.server.ask(self.server.client.tasks.retrieve, task.task_id)
        except ServerError as error:
            if error.is_missing:
                return None
            raise
        return int(found.size or 0)

    def _create(self, scratch: Path) -> Task:
        spec: dict[str, Any] = {"name": self.recording.name, "overlap": 0}
        if self.job.segment_size:
            spec["segment_size"] = self.job.segment_size
        if self.project_id is None:
            spec["labels"] = json.loads((scratch / LABELS).read_text(encoding="utf-8"))
        else:
            spec["project_id"] = self.project_id
        with self.server.faults():
            created = self.server.client.tasks.create(spec)
        task = Task(self.server.url, int(created.id))
        task.write(self.folder)
        return task

    def _upload(self, task: Task, frames: Frames) -> None:
        params: dict[str, Any] = {"image_quality": self.job.image_quality}
        if frames.names:
            path = self.recording.path
            folder = path if path.is_dir() else path.parent  # of the only image
            resources = [folder / name for name in frames.names]
            params["sorting_method"] = "predefined"
        else:
            resources = [self.recording.path]
            params |= {"start_frame": frames.first, "stop_frame": frames.last, "frame_step": frames.step}
        missing = [path for path in resources if not path.is_file()]
        if missing:
            raise SourceError(
                f"{missing[0]}: is not there any more; put the recording back where it was labelled"
            )
        remote = self.server.ask(self.server.client.tasks.retrieve, task.task_id)
        with self.server.faults():
            remote.upload_data(resources, params=params, pbar=_bar(self.tell))

    def _import(self, task: Task, xml: Path) -> None:
        remote = self.server.ask(self.server.client.tasks.retrieve, task.task_id)
        # It takes the place of what is there, so that it may be sent again.
        self.server.ask(remote.import_annotations, IMPORT_FORMAT, xml, pbar=_bar(self.tell))

    def _insist_on_frames(self, task: Task, size: int, frames: Frames) -> None:
        if size != frames.in_task:
            raise SourceError(
                f"{self.recording.path}: CVAT counts {size} frames in task {task.task_id}, and {frames.in_task} are"
                " labelled: it is another recording, or CVAT decodes it otherwise; no tracks were sent"
            )

    def _insist_on_untouched(self, task: Task) -> None:
        """Raise SourceError when people edited what was sent before, or may have."""
        if task.digest is None:
            if self.server.has_annotations(task.task_id):
                raise SourceError(
                    f"{self.recording.name}: sending to task {task.task_id} broke off, and it has annotations, which"
                    " people may have edited since; look at it, then use --replace to send again"
                )
        elif self.server.annotations_digest(task.task_id) != task.digest:
            raise SourceError(
                f"{self.recording.name}: people edited task {task.task_id} since its tracks were sent;"
                " pull them first, or use --replace to lose what they did"
            )


def _write(store: Store, recording: Recording, folder: Path) -> None:
    """Write the tracks as they were published, but in one file, as one task has them."""
    published = (store.note("published") or {}).get("cvat", {})
    options = PublishOptions(**(published.get("options") or {}))
    cvat.write(store, recording, folder, replace(options, split_frames=None))


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


def _project(server: Server, wanted: str) -> int:
    """The number of a project, given as such or by name; one that isn't there is made. Raises UsageError.

    What is done from then on is done in the project's organization.
    """
    client = server.client
    if wanted.isdecimal():
        try:
            return _ready(server, server.ask(client.projects.retrieve, int(wanted)))
        except ServerError as error:
            if error.is_missing:
                raise UsageError(f"--project {wanted}: {server.url} has no project of this number") from error
            raise
    found = [each for each in server.ask(client.projects.list, search=wanted) if each.name == wanted]
    if len(found) > 1:
        raise UsageError(f"--project {wanted}: {len(found)} projects are called so; give the number of one")
    if found:
        return _ready(server, found[0])
    labels = json.loads(cvat.label_specification(BY_ID[class_id] for class_id in INSTANCE_CLASSES))
    with server.faults():
        return int(client.projects.create({"name": wanted, "labels": labels}).id)


def _ready(server: Server, project: Any) -> int:
    """The number of a project that can take what is sent here. Raises UsageError where it would drop identities."""
    if project.organization is not None:
        found, _ = server.ask(server.client.api_client.organizations_api.retrieve, project.organization)
        server.client.organization_slug = found.slug
    for label in server.ask(project.get_labels):
        known = BY_NAME.get(label.name)
        lacking = cvat.ATTRIBUTES.keys() - {attribute.name for attribute in label.attributes}
        if known and known.has_instances and lacking:
            raise UsageError(
                f"--project {project.name}: its label {label.name} lacks the attribute {min(lacking)}, without which"
                " nothing tells identities when tracks come back; take the labels of cvat_labels.json"
            )
    return int(project.id)


def _bar(tell: Tell) -> Any:
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
            tell(self.sent, self.total)

        def advance(self, delta: int) -> None:
            super().advance(delta)
            self.sent += delta
            tell(self.sent, self.total)

    return Bar()
