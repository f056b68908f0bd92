"""How a training looks while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import shell
from .options import with_flags

if TYPE_CHECKING:
    from annotator.training.loop import Progress as Training


def display() -> Lines:
    """The display that suits stderr; of several processes the first one shows."""
    if int(os.environ.get("RANK", 0)):
        return Lines(is_silent=True)
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


class Lines:
    """A line on stderr for every report."""

    def __init__(self, is_silent: bool = False) -> None:
        self._is_silent = is_silent

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def show(self, progress: Training) -> None:
        """Print a line."""
        if not self._is_silent:
            for remark in progress.remarks:
                shell.warn(remark)
            line = f"step {progress.step} of {progress.steps}, {describe(progress)}"
            print(with_flags(line), file=sys.stderr, flush=True)


class Bar(Lines):
    """A rich bar, with the time left; validations stay above it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("loading", total=None)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, progress: Training) -> None:
        """Move the bar."""
        for remark in progress.remarks:
            self._console.print(with_flags(f"warning: {remark}"), highlight=False, markup=False)
        self._progress.update(
            self._task, completed=progress.step, total=progress.steps, description=describe(progress)
        )
        if progress.scores:
            self._console.print(f"step {progress.step}: {scores(progress)}", highlight=False)


def describe(progress: Training) -> str:
    """The figures of a report."""
    line = (
        f"loss {progress.loss:.3f}, learning rate {progress.learning_rate:.2e},"
        f" {progress.crops_per_second:.1f} crops/s"
    )
    return f"{line}, {scores(progress)}" if progress.scores else line


def scores(progress: Training) -> str:
    """The figures of a validation."""
    return ", ".join(f"{name} {progress.scores[name]:.3f}" for name in ("AP", "AP50"))
