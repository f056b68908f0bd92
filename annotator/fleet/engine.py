"""Which engine takes a job: this machine, with or without object storage, or several."""

from __future__ import annotations

from collections.abc import Generator

from annotator.fleet.stored import annotate_stored, is_stored
from annotator.options import AnnotationJob
from annotator.pipeline.annotate import annotate as annotate_here
from annotator.pipeline.events import Event


def annotate(job: AnnotationJob) -> Generator[Event, None, None]:
    """Label every pending source of a job, as `annotator.pipeline.annotate` does, wherever things lie."""
    if job.engine.engine == "ray":
        from annotator.fleet.ray_engine import annotate_on_ray

        return annotate_on_ray(job)
    return annotate_stored(job) if is_stored(job) else annotate_here(job)
