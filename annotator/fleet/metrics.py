"""Figures of a cluster's run in Ray's own form, for its dashboard and Prometheus."""

from __future__ import annotations

from ray.util.metrics import Counter, Histogram

SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000]


class Metrics:
    """Frames, seconds of each stage, and failures."""

    def __init__(self) -> None:
        self._frames = Counter("spatialemb_frames", "Frames in which objects were detected.")
        self._failures = Counter("spatialemb_failures", "Recordings that failed.")
        self._seconds = Histogram(
            "spatialemb_stage_seconds", "Seconds of each stage.", boundaries=SECONDS, tag_keys=("stage",)
        )

    def frames(self, count: int) -> None:
        """So many frames are in a chunk that is there."""
        if count:
            self._frames.inc(count)

    def failure(self) -> None:
        """A recording failed."""
        self._failures.inc()

    def stage(self, name: str, seconds: float) -> None:
        """A stage took so long."""
        self._seconds.observe(seconds, tags={"stage": name})
