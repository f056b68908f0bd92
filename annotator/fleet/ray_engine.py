"""Labelling on a Ray cluster: actors detect in chunks and finish recordings, and whoever dies is replaced.

The driver is the only one that writes the run's records. Chunks lie beside the labels, on the disk that all machines
share or in the storage, so that what a lost machine had finished is not lost.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from annotator.detection import Detector
from annotator.errors import OutputError, RecordingOutputError, UsageError
from annotator.escape import one_line
from annotator.fleet.cluster import connected, count_of_workers, require_same_versions
from annotator.fleet.listing import LocalRecording, StoredRecording
from annotator.fleet.markers import StoredLabels, asked_of, output_of, record_failure
from annotator.fleet.metrics import Metrics
from annotator.fleet.scratch import scratch_of
from annotator.fleet.storage import Storage
from annotator.fleet.stored import found, is_stored, places_of
from annotator.fleet.tasks import InStorage, SharedFolder, Span, Task
from annotator.fleet.vitals import beyond
from annotator.fleet.worker import Detected, Finished, Plan, Worker, finish_alone, unproven
from annotator.options import AnnotationJob, Attempts
from annotator.pipeline.annotate import describe_failure, run_metadata
from annotator.pipeline.events import (
    Event,
    FramesLabelled,
    RunStarted,
    SourceEnded,
    SourceStarted,
    SourceTaken,
)
from annotator.pipeline.run import Run, versions
from annotator.store.records import SourceRecord
from annotator.video import Findings, find

log = logging.getLogger(__name__)

TURN_S = 1.0
START_S, PATIENCE_S = 600.0, 60.0  # for the first worker, and until it is told that there is none yet
FILL_S = 1.0  # of listing at once, before workers are looked after again
TIDY_S = 10.0
BEAT_S = 5.0  # between two questions whether a worker gets on
PLAN, DETECT, FINISH = "plan", "detect", "finish"


def annotate_on_ray(job: AnnotationJob) -> Generator[Event, None, None]:
    """Label every pending source of a job on a cluster, as `annotate` does on one machine.

    Raises UsageError for a cluster that can't be used, OutputError when labels can't be written.
    """
    out = output_of(job.out)
    places = places_of(job)
    are_here = not is_stored(job)
    findings = find(job.inputs) if are_here else Findings([], [])
    part = job.part
    sources = [source for source in findings.sources if part is None or part.holds(source.name)]
    recordings = map(LocalRecording, sources) if are_here else found(places, job)
    with connected(job) as ray:
        count, needs = count_of_workers(ray, job)
        crew = _Crew(ray, job, count, needs)
        facts = crew.first_facts()
        folder = scratch_of(job) / "labels" if out else job.out
        metadata = {**run_metadata(job, facts, findings), "workers": count}
        with Run(folder, metadata, sources, part) as run:
            yield RunStarted(run, tuple(findings.passed_over), count)
            driver = _Driver(ray, job, run, crew, out)
            try:
                yield from driver.work_off(_tasks(recordings, job, run, out, asked_of(job, facts)))
            finally:
                crew.dismiss()


def _tasks(
    recordings: Iterable[StoredRecording | LocalRecording],
    job: AnnotationJob,
    run: Run,
    out: Storage | None,
    asked: dict[str, Any],
) -> Iterator[Task | SourceRecord]:
    """What there is to do, or what a storage says of a recording that is done. Raises what `known` raises."""
    for recording in recordings:
        if recording.name in job.past.ended:
            continue
        there = StoredLabels.of(out, recording.name, asked, recording.version) if out else None
        known = there.known(job) if there else None
        if is_stored(job):
            run.add(recording, known)
        if known is not None:
            yield known
        elif there is not None:
            yield Task(recording, InStorage(there, job.overwrite))
        else:
            yield Task(recording, SharedFolder(run.folder(recording)))


@dataclass
class _Recording:
    """A recording under work."""

    task: Task
    plan: Plan | None = None
    waiting: deque[Span] = field(default_factory=deque)
    chunks: list[Detected] = field(default_factory=list)
    under_work: int = 0
    seconds: float = 0.0  # that workers were at it, one by one
    deaths: tuple[str, ...] = ()
    is_over: bool = False


@dataclass
class _Call:
    """What a worker is at, or what is being finished."""

    recording: _Recording
    stage: str  # PLAN, DETECT or FINISH
    span: Span | None  # to detect in
    worker: _Member | None  # None: a process of its own finishes
    since: float = field(default_factory=time.monotonic)


@dataclass
class _Member:
    """A worker of the crew."""

    actor: Any
    facts: Any  # a reference, until it is checked
    is_checked: bool = False
    call: Any = None  # a reference to what it is at
    vitals: Any = None  # a reference, until it has answered
    beat: Any = None  # what changes as it gets on
    alive: float = field(default_factory=time.monotonic)  # when it was last seen to get on
    memory: int = 0  # bytes
    asked: float = 0.0


class _Crew:
    """The workers."""

    def __init__(self, ray: Any, job: AnnotationJob, count: int, needs: dict[str, float]) -> None:
        self._ray = ray
        self._job = replace(job, past=Attempts())
        threads = {"OMP_NUM_THREADS": str(job.engine.worker_threads)}
        # Of two calls one answers whether the other gets on.
        self._kind = ray.remote(Worker).options(max_concurrency=2, runtime_env={"env_vars": threads}, **needs)
        self.members = [self._hire() for _ in range(count)]
        self._known: Any = None
        self.has_gpus = "num_gpus" in needs

    def _hire(self) -> _Member:
        actor = self._kind.remote(self._job, Detector.load)
        return _Member(actor, actor.facts.remote())

    def first_facts(self) -> Any:
        """What shapes labels, of the first worker that is there. Raises UsageError when none comes."""
        facts = [member.facts for member in self.members]
        ready, _ = self._ray.wait(facts, timeout=PATIENCE_S)
        if not ready:
            log.warning("`engine` ray: no worker has begun yet (%s); waiting for one", self._room())
            ready, _ = self._ray.wait(facts, timeout=START_S - PATIENCE_S)
        if not ready:
            raise UsageError(
                f"`engine` ray: no worker has begun in {START_S:g} s ({self._room()}); run it again when others"
                " need less of the cluster, or lower `worker_threads`"
            )
        try:
            self._known = self._ray.get(ready[0])
            member = next(member for member in self.members if member.facts == ready[0])
            require_same_versions(versions(), self._ray.get(member.actor.place.remote()))
        except self._ray.exceptions.RayError as error:  # its actor died, or Ray began no process for it
            raise UsageError(f"`engine` ray: a worker can't begin ({_last_line(error)})") from error
        return self._known

    def _room(self) -> str:
        """What of the cluster nobody holds; workers that are loading hold theirs."""
        free, there = self._ray.available_resources(), self._ray.cluster_resources()
        kinds = [kind for kind in ("CPU", "GPU") if there.get(kind)]
        return ", ".join(f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s free" for kind in kinds)

    def idle(self) -> Iterator[_Member]:
        """The workers that are ready and have nothing to do. Raises UsageError for one that is unlike the others."""
        for member in self.members:
            if not member.is_checked and not self._check(member):
                continue
            if member.call is None:
                yield member

    def _check(self, member: _Member) -> bool:
        ready, _ = self._ray.wait([member.facts], timeout=0)
        if not ready:
            return False
        try:
            facts = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            log.warning("`engine` ray: a worker could not begin (%s); another is begun", _last_line(error))
            self.replace(member)
            return False
        if repr(facts) != repr(self._known):
            raise UsageError(
                f"`engine` ray: workers would label differently ({facts.made_with} on {facts.runtime.device}, others"
                f" {self._known.made_with}); give `runtime`, `precision` and `device`"
            )
        member.is_checked, member.alive = True, time.monotonic()
        return True

    def replace(self, member: _Member) -> None:
        """Put a new worker in the place of one that is gone, or is to go."""
        with suppress(Exception):
            self._ray.kill(member.actor)
        self.members[self.members.index(member)] = self._hire()

    def dismiss(self) -> None:
        """Let all go: living actors hold their CPUs."""
        tidied = [member.actor.tidy.remote() for member in self.members if member.is_checked]
        with suppress(Exception):
            self._ray.wait(tidied, num_returns=len(tidied), timeout=TIDY_S)
        for member in self.members:
            with suppress(Exception):
                self._ray.kill(member.actor)


class _Driver:
    """Hands out the work, and records how it went."""

    def __init__(self, ray: Any, job: AnnotationJob, run: Run, crew: _Crew, out: Storage | None) -> None:
        self._ray, self._job, self._run, self._crew, self._out = ray, job, run, crew, out
        self._finish_alone = ray.remote(finish_alone).options(num_cpus=0, max_retries=0)
        self._calls: dict[Any, _Call] = {}
        self._events: deque[Event] = deque()
        self._metrics = Metrics()
        self._is_all_taken = False

    def work_off(self, tasks: Iterator[Task | SourceRecord]) -> Generator[Event, None, None]:
        """Label recordings, some at a time, in their order as far as can be."""
        active: list[_Recording] = []
        while active or not self._is_all_taken:
            self._fill(active, tasks)
            self._hand_out(active)
            ready, _ = self._ray.wait(list(self._calls), timeout=TURN_S) if self._calls else ([], [])
            if not self._calls and active:
                time.sleep(TURN_S / 10)
            for reference in ready:
                self._take(reference, self._calls.pop(reference))
            self._watch()
            active = [recording for recording in active if not recording.is_over]
            while self._events:
                yield self._events.popleft()

    def _fill(self, active: list[_Recording], tasks: Iterator[Task | SourceRecord]) -> None:
        """Take in as many recordings as workers may soon need, as far as their listing doesn't take long."""
        begun = time.monotonic()
        while len(active) < 2 * len(self._crew.members) and time.monotonic() - begun < FILL_S:
            task = next(tasks, None)
            if task is None:
                self._is_all_taken = True
                return
            if isinstance(task, SourceRecord):
                self._events.append(SourceEnded(task, changed=False))
                continue
            self._run.started(task)
            self._events.append(SourceTaken(task.name))
            active.append(_Recording(task))

    def _hand_out(self, active: list[_Recording]) -> None:
        idle = self._crew.idle()
        for recording in active:
            task = recording.task
            if recording.is_over:
                continue
            if recording.plan is None and not recording.under_work and (member := next(idle, None)):
                plan = member.actor.plan.remote(task, self._past(recording))
                self._call(plan, _Call(recording, PLAN, None, member))
            while recording.waiting and (member := next(idle, None)):
                span = recording.waiting.popleft()
                self._call(member.actor.detect.remote(task, span), _Call(recording, DETECT, span, member))
            if recording.plan is not None and not recording.waiting and not recording.under_work:
                if again := unproven(recording.chunks):
                    recording.chunks = [chunk for chunk in recording.chunks if chunk not in again]
                    recording.waiting.extend(
                        replace(chunk.span, enters=False, is_anew=True) for chunk in again
                    )
                    continue
                self._finish(recording, idle)

    def _finish(self, recording: _Recording, idle: Iterator[_Member]) -> None:
        """Have a worker finish a recording; where that would idle a GPU, a process that is begun for it."""
        parts = recording.task, recording.plan, tuple(recording.chunks), recording.seconds
        if self._crew.has_gpus:
            reference = self._finish_alone.remote(replace(self._job, past=Attempts()), *parts)
            self._call(reference, _Call(recording, FINISH, None, None))
        elif member := next(idle, None):
            self._call(member.actor.finish.remote(*parts), _Call(recording, FINISH, None, member))

    def _past(self, recording: _Recording) -> Attempts:
        """What a worker should know of a recording: what died of it, and whether its labels are of this run."""
        name = recording.task.name
        begun = frozenset([name]) if recording.deaths else self._job.past.begun
        return Attempts(begun=begun, deaths={name: recording.deaths})

    def _call(self, reference: Any, call: _Call) -> None:
        self._calls[reference] = call
        call.recording.under_work += 1
        if call.worker is not None:
            call.worker.call, call.worker.alive, call.worker.memory = reference, time.monotonic(), 0

    def _over(self, call: _Call) -> None:
        """Nobody is at a call any more."""
        call.recording.under_work -= 1
        call.recording.seconds += time.monotonic() - call.since

    def _take(self, reference: Any, call: _Call) -> None:
        """Take what a call gave, or what it failed of."""
        recording, errors = call.recording, self._ray.exceptions
        self._over(call)
        if call.worker is not None:
            call.worker.call = None
        try:
            found = self._ray.get(reference)
        except (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
        ) as error:
            self._died(call, _first_line(error))
            return
        except errors.RayTaskError as error:
            self._failed(recording, error.cause if isinstance(error.cause, Exception) else error)
            return
        except errors.RayError as error:  # a worker, its machine, or what it should have given is lost
            self._died(call, _first_line(error))
            return
        if recording.is_over:
            return
        self._metrics.stage(call.stage, time.monotonic() - call.since)
        if isinstance(found, Plan):
            recording.plan = found
            recording.waiting.extend(found.spans)
            if found.spans:
                self._events.append(SourceStarted(recording.task.name, found.frames))
        elif isinstance(found, Detected):
            recording.chunks.append(found)
            self._metrics.frames(found.frames)
            frames = sum(chunk.frames for chunk in recording.chunks)
            self._events.append(FramesLabelled(recording.task.name, frames, found.frames, found.instances))
        else:
            self._finished(recording, found)

    def _died(self, call: _Call, why: str) -> None:
        """A worker or its machine is gone: another one tries again, unless the recording has had its tries."""
        recording = call.recording
        if call.worker is not None and call.worker in self._crew.members:
            self._crew.replace(call.worker)
        if recording.is_over:
            return
        recording.deaths = (*recording.deaths, why)
        if len(recording.deaths) > self._job.faults.retries:
            times = "once" if len(recording.deaths) == 1 else f"{len(recording.deaths)} times"
            self._end(
                recording,
                f"{recording.task.path}: given up, as its process ended {times} (last: {why}); check the file, and"
                " convert it or leave it out",
            )
        elif call.span is not None:
            recording.waiting.appendleft(call.span)

    def _failed(self, recording: _Recording, error: Exception) -> None:
        if isinstance(error, OutputError) and not recording.is_over:
            self._end(recording, str(error))
            if not isinstance(error, RecordingOutputError):
                raise error  # nothing more can be written
            return
        if not recording.is_over:
            path = self._run.record(recording.task).path
            self._end(recording, describe_failure(error, path, self._run.folder(recording.task)))

    def _end(self, recording: _Recording, why: str) -> None:
        recording.is_over = True
        recording.waiting.clear()
        self._metrics.failure()
        self._run.failed(recording.task, why, recording.seconds)
        record = self._run.record(recording.task)
        record_failure(record, self._out)
        self._events.append(SourceEnded(record, changed=True))

    def _finished(self, recording: _Recording, found: Finished) -> None:
        recording.is_over = True
        self._run.counted(recording.task, found.counts)
        self._run.done(recording.task, found.changed, recording.seconds)
        self._events.append(SourceEnded(self._run.record(recording.task), found.changed))

    def _watch(self) -> None:
        """Ask workers whether they get on, and end those that don't."""
        for reference, call in list(self._calls.items()):
            if call.worker is not None:
                self._ask(call.worker)
            if why := self._beyond(call):
                del self._calls[reference]
                self._over(call)
                if call.worker is None:
                    with suppress(Exception):
                        self._ray.cancel(reference, force=True)
                self._died(call, why)

    def _ask(self, member: _Member) -> None:
        now = time.monotonic()
        if member.vitals is not None and self._ray.wait([member.vitals], timeout=0)[0]:
            with suppress(Exception):
                beat, member.memory = self._ray.get(member.vitals)
                if beat != member.beat:
                    member.beat, member.alive = beat, now
            member.vitals = None
        if member.vitals is None and now - member.asked > BEAT_S:
            member.vitals, member.asked = member.actor.vitals.remote(), now

    def _beyond(self, call: _Call) -> str | None:
        """Which bound a call is beyond, in words."""
        now, member = time.monotonic(), call.worker
        idle_s, memory = (now - member.alive, member.memory) if member else (0.0, 0)
        return beyond(self._job.faults, idle_s, now - call.since, memory)


def _last_line(error: Exception) -> str:
    """Of what a worker failed as it began, in a line."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return one_line(lines[-1])[:300] if lines else type(cause).__name__


def _first_line(error: Exception) -> str:
    """What Ray says of a death, in a line: that it happened, and of what as far as it knows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = re.search(r"(?:exit detail|death cause message): *(.+?)(?:\. |$)", str(error), re.MULTILINE)
    return one_line(" ".join([*lines[:1], *([detail[1]] if detail else [])]))[:300] or type(error).__name__
