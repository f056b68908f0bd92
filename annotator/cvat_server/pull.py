"""Corrections from a CVAT server into a run of their own, with the frames of the run that was sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annotator.cvat_server.secrets import printable
from annotator.cvat_server.server import IMAGES_FORMAT, Server, require_address
from annotator.cvat_server.tasks import LOCK, Task, alone
from annotator.errors import AnnotatorError, ServerError, ServerUnavailable, UsageError
from annotator.files import scratch_folder
from annotator.formats.cvat.xml_stream import step_of_filter
from annotator.options import RUN_FOLDER, ConversionJob, PullJob
from annotator.pipeline.convert import Converted, convert
from annotator.pipeline.run import require_run

EXPORT = "cvat_export.zip"  # kept beside the labels: `diff` is exact with it


@dataclass(frozen=True)
class Pulled:
    """What became of a recording."""

    name: str
    converted: Converted | None  # None: see `what` or `error`
    what: str = ""
    error: str | None = None


def pull(job: PullJob) -> Iterator[Pulled]:
    """Fetch the corrections of every recording of a run; one bad recording never ends it.

    Raises UsageError when the run or the token is no good, ServerError when the server is away.
    """
    require_address(job.url)
    run = require_run(job.run, "give the run that was pushed")
    tasks = [Task.read(folder, job.url) for folder in run.folders.values()]
    if not any(tasks):
        raise UsageError(f"{job.run}: nothing of it was sent to {job.url}; push it first")
    busy = f"{job.out}: another command is fetching into it; wait for it, or choose another `out`"
    with Server.connect(job.url) as server, alone(job.out / LOCK, busy):
        for (name, folder), task in zip(run.folders.items(), tasks, strict=True):
            if task is None:
                yield Pulled(name, None, "was never sent")
            elif (job.out / name).exists() and not job.overwrite:
                yield Pulled(name, None, "is there already; `overwrite` fetches it again")
            else:
                yield _pulled(server, job, name, folder, task)


def _pulled(server: Server, job: PullJob, name: str, folder: Path, task: Task) -> Pulled:
    try:
        with scratch_folder(job.out / name) as scratch:
            export = scratch / EXPORT
            deleted = _fetch(server, task, export)
            conversion = ConversionJob(
                export,
                RUN_FOLDER,
                job.out,
                folder,
                overwrite=job.overwrite,
                reading=job.reading,
                deleted=deleted,
            )
            (converted,) = convert(conversion)
            export.replace(job.out / name / EXPORT)
            return Pulled(name, converted)
    except AnnotatorError as error:
        if isinstance(error, ServerUnavailable):
            raise  # the others would fare no better
        return Pulled(name, None, error=printable(f"{name}: {error}"))


def _fetch(server: Server, task: Task, path: Path) -> frozenset[int]:
    """Save the export of a task; indices of the frames that people deleted, which no export says in so many words."""
    remote = server.task(task.task_id)
    if remote is None:
        raise ServerError(
            f"task {task.task_id} is not on {server.url} any more, or not for this token;"
            " spatialemb-cvat push makes it anew, without what people corrected"
        )
    kind = server.export(remote, path)
    if kind == IMAGES_FORMAT:
        return frozenset()  # that one leaves them out
    meta = server.ask(remote.get_meta)
    step = step_of_filter(meta.frame_filter)
    return frozenset(meta.start_frame + step * place for place in meta.deleted_frames)
