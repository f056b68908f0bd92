"""The figures of a training as it goes on: CSV files, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.errors import OutputError
from annotator.files import atomic_file

STEP = "step"


class Log:
    """OUT/training.csv, OUT/validation.csv, OUT/tensorboard/; a `with` item.

    Rows of steps that a stopped training did but did not save are taken out when it goes on.
    """

    def __init__(self, out: Path, first_step: int, is_silent: bool = False) -> None:
        """`is_silent`: write nothing, as in all processes of a training but one."""
        self._out, self._first_step, self._is_silent = out, first_step, is_silent
        self._board: Any = None

    def __enter__(self) -> Log:
        if self._is_silent:
            return self
        try:
            with warnings.catch_warnings(action="ignore"):
                from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            pass
        else:
            self._board = SummaryWriter(str(self._out / "tensorboard"), purge_step=self._first_step + 1)
        for file in self._out.glob("*.csv"):
            _keep_until(file, self._first_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board:
            self._board.close()

    def add(self, name: str, step: int, figures: Mapping[str, float]) -> None:
        """A row for OUT/`name`.csv, and curves called `name`/FIGURE. Raises OutputError."""
        if self._is_silent:
            return
        path = self._out / f"{name}.csv"
        row = {STEP: step, **figures}
        try:
            is_new = not path.exists()
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, row)
                if is_new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise OutputError(
                f"{path}: can't be written ({error.strerror}); make room and run again"
            ) from error
        if self._board:
            for figure, value in figures.items():
                self._board.add_scalar(f"{name}/{figure}", value, step)

    def add_picture(self, name: str, step: int, image: npt.NDArray[np.uint8]) -> None:
        """A picture (H, W, 3) RGB for TensorBoard."""
        if self._board:
            self._board.add_image(name, image, step, dataformats="HWC")


def _keep_until(path: Path, step: int) -> None:
    """Keep the rows up to `step`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows if row and (not row[0].isdecimal() or int(row[0]) <= step)]
    if kept != rows:
        with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)
